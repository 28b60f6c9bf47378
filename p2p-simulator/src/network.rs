//! The handle of a simulated network: who is on it, and what lies between them.

use std::{fmt, future::Future, sync::Arc};

use p2p::{BoxFuture, Instant, P2PProvider, PeerId, Runtime};
use tokio::runtime::Handle;

use crate::{
    Fault, FaultGuard, Hold, LinkConfig, PacketInFlight, Place, Plan, Profile, Relay, Router, SimulatorConfig,
    SimulatorEndpoint, SimulatorP2P,
    driver::RealClock,
    shared::{Clock, Shared},
    trace::{Trace, TraceMode},
    world::{World, link::LinkIx, node::NodeIx},
};

/// A simulated network. Clones are the same network.
///
/// In virtual time it is made by a [`Simulation`](crate::Simulation); on tokio's clock by
/// [`on_tokio`](Self::on_tokio). Peers are known by name, and a peer's identity is [`PeerId::from_name`].
#[derive(Clone)]
pub struct Network(Arc<Shared>);

impl Network {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.0
    }

    /// A network that follows the clock of the tokio runtime it is made in: in real time, or in a test with paused time.
    ///
    /// Losses and delays are those of the seed, but when peers act is up to tokio, so a run is not repeated to the byte;
    /// and tokio's timers have a resolution of one millisecond.
    ///
    /// ```
    /// use p2p::{P2PConnectionExt, P2PProvider, P2PProviderExt};
    /// use p2p_simulator::{Network, SimulatorConfig};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> p2p::Result<()> {
    /// let network = Network::on_tokio(SimulatorConfig::new(7));
    /// let (alice, bob) = (network.provider("alice"), network.provider("bob"));
    /// let listener = bob.listen(&"chat/1".parse()?).await?;
    /// let connection = alice.connect(bob.local_peer_id(), &"chat/1".parse()?).await?;
    /// connection.send("hello".into()).await?;
    /// assert_eq!(listener.accept().await?.recv().await?, "hello");
    /// # Ok(()) }
    /// ```
    ///
    /// # Panics
    /// Outside a tokio runtime with time enabled.
    pub fn on_tokio(config: SimulatorConfig) -> Self {
        let clock = RealClock::new();
        let shared = Shared::new(config, TraceMode::Hash, Clock::Real(clock), Handle::current());
        RealClock::start_pump(&shared);
        Self(shared)
    }

    /// A new provider for the peer of that name. It takes the place of an earlier one.
    ///
    /// # Panics
    /// If the peer crashed and was not restarted.
    pub fn provider(&self, name: &str) -> SimulatorP2P {
        SimulatorP2P::new(self.endpoint(name))
    }

    /// A place on the network for the peer of that name, without a provider. For tests that play a hostile peer.
    ///
    /// # Panics
    /// If the peer crashed and was not restarted.
    pub fn endpoint(&self, name: &str) -> SimulatorEndpoint {
        SimulatorEndpoint::new(self.0.clone(), name)
    }

    /// Puts a peer on the network and starts its program, as a task of that peer.
    ///
    /// The program is made by a factory, because a peer that crashes and comes back runs it again, with nothing left of the
    /// first run. If the peer is down now, its program begins with the restart.
    pub fn node<F>(&self, name: &str, program: impl Fn(Node) -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let program = Arc::new(move |node| Box::pin(program(node)) as BoxFuture<'static, ()>);
        let node = self.0.with(|world| world.node(name));
        self.0.programs.insert(node, program);
        self.0.programs.start(&self.0, node);
    }

    /// Ends a peer as a crash does: its tasks and timers are gone, its connections are dead, nothing is said to anybody.
    /// Peers learn of it by their timeouts, or by a reset once it is back. Does nothing if it is down.
    ///
    /// What others still hold of that life, such as a provider, reaches nobody any more. Only tasks that were started by
    /// the peer's [`Runtime`] die with it.
    ///
    /// # Panics
    /// If there is no peer of that name.
    pub fn crash(&self, peer: &str) {
        self.on_peer(peer, World::crash);
    }

    /// Brings a peer back as a new incarnation that remembers nothing, and runs its program if it was made by
    /// [`node`](Self::node). A peer that is not down crashes first.
    ///
    /// # Panics
    /// If there is no peer of that name.
    pub fn restart(&self, peer: &str) {
        self.on_peer(peer, World::restart);
    }

    /// Changes what the link from one peer to another is like, for whatever is sent from now on. The way back is a link of
    /// its own.
    ///
    /// # Panics
    /// If there is no peer of one of these names.
    pub fn set_link(&self, from: &str, to: &str, link: LinkConfig) {
        self.on_link(from, to, |world, ix| world.set_link(ix, link));
    }

    /// What the link from one peer to another is like now, faults included.
    ///
    /// # Panics
    /// If there is no peer of one of these names.
    pub fn link(&self, from: &str, to: &str) -> LinkConfig {
        self.on_link(from, to, |world, ix| world.link_config(ix))
    }

    /// Cuts two peers off from each other. Nobody is told: dials wait, data waits, datagrams are gone.
    ///
    /// # Panics
    /// If there is no peer of one of these names.
    pub fn partition(&self, a: &str, b: &str) {
        self.partition_one_way(a, b);
        self.partition_one_way(b, a);
    }

    /// Joins two peers again. What waited arrives once its sender tries again.
    ///
    /// # Panics
    /// If there is no peer of one of these names.
    pub fn heal(&self, a: &str, b: &str) {
        self.heal_one_way(a, b);
        self.heal_one_way(b, a);
    }

    /// Lets nothing pass from one peer to another, while the way back stays open.
    ///
    /// # Panics
    /// If there is no peer of one of these names.
    pub fn partition_one_way(&self, from: &str, to: &str) {
        self.on_link(from, to, World::block);
    }

    /// Ends a partition in one direction.
    ///
    /// # Panics
    /// If there is no peer of one of these names.
    pub fn heal_one_way(&self, from: &str, to: &str) {
        self.on_link(from, to, World::unblock);
    }

    /// Adds a relay. Peers find the nearest by themselves.
    ///
    /// # Panics
    /// If its name is taken, its figures cannot be, or there are too many.
    pub fn add_relay(&self, relay: &Relay) {
        self.0.with(|world| world.add_relay(relay)).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Adds a router and puts its peers behind it, now or as soon as they come.
    ///
    /// ```
    /// # use p2p_simulator::{Nat, Relay, Router, Simulation};
    /// # Simulation::new(1).run(|network| async move {
    /// network.add_relay(&Relay::new("relay"));
    /// network.add_router(&Router::new("home", Nat::MODERATE).with_peer("alice"));
    /// network.add_router(&Router::new("office", Nat::STRICT).with_peer("bob"));
    /// // alice and bob connect by way of the relay, and find no direct path
    /// # });
    /// ```
    ///
    /// # Panics
    /// If its name is taken, its upstream is not known, its NAT cannot be, or there are too many.
    pub fn add_router(&self, router: &Router) {
        self.0.with(|world| world.add_router(router)).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Moves a peer behind a router, or into public with nothing. As with a machine that changes networks, it notices at
    /// once, and its connections look for new paths.
    ///
    /// # Panics
    /// If there is no peer or no router of that name.
    pub fn put_behind(&self, peer: &str, router: Option<&str>) {
        self.on_peer(peer, |world, node| {
            let router = router.map(|name| world.find_router(name)).transpose()?;
            world.put_behind(node, router);
            Ok(())
        })
        .unwrap_or_else(|error: p2p::P2PError| panic!("{error}"));
    }

    /// Begins a fault, which lasts as long as the guard.
    ///
    /// ```
    /// # use p2p_simulator::{Fault, Place, Simulation};
    /// # Simulation::new(1).run(|network| async move {
    /// # let _peers = (network.provider("alice"), network.provider("bob"));
    /// let alone = network.inject(Fault::Partition, Place::peer("alice"));
    /// // alice hears nobody, and nobody hears alice
    /// drop(alone);
    /// # });
    /// ```
    ///
    /// # Panics
    /// If there is no peer of one of these names, or the fault cannot be at such a place.
    pub fn inject(&self, what: Fault, place: Place) -> FaultGuard {
        let begun = what.check_place(&place).and_then(|()| {
            self.0.with(|world| {
                let spot = world.find_fault_spot(&what, &place)?;
                Ok(world.begin_fault(what, spot))
            })
        });
        let number = begun.unwrap_or_else(|error| panic!("{error}"));
        FaultGuard::new(self.0.clone(), number)
    }

    /// Lets the faults of a plan happen, its times counted from now.
    ///
    /// # Errors
    /// [`InvalidInput`](p2p::P2PError::InvalidInput) if a peer of the plan is not on the network, with the nearest that is.
    /// Nothing of the plan happens then.
    pub fn apply(&self, plan: &Plan) -> p2p::Result<()> {
        self.0.with(|world| {
            world.check_plan(plan)?;
            world.schedule(plan);
            Ok(())
        })
    }

    /// Holds whatever arrives over the link from one peer to another, to be looked at and released.
    ///
    /// # Panics
    /// If there is no peer of one of these names.
    pub fn hold(&self, from: &str, to: &str) -> Hold {
        let link = self.on_link(from, to, |_, link| link);
        Hold::new(self.inject(Fault::Clog, Place::from_to(from, to)), link)
    }

    /// What is between two peers now, in one direction: first what waits for the end of a fault, then what travels.
    ///
    /// # Panics
    /// If there is no peer of one of these names.
    pub fn in_flight(&self, from: &str, to: &str) -> Vec<PacketInFlight> {
        self.on_link(from, to, |world, link| world.in_flight(link))
    }

    /// Lays a peer's access network between it and another: the profile's link up from the peer, the one down to it.
    ///
    /// # Panics
    /// If there is no peer of one of these names.
    pub fn set_profile(&self, peer: &str, other: &str, profile: Profile) {
        self.set_link(peer, other, profile.up());
        self.set_link(other, peer, profile.down());
    }

    /// Writes something into the trace, as said by that peer: it stands on the peer's lane in the viewer, and counts for the
    /// run's hash. A [`Node`] has the same for its own peer.
    ///
    /// # Panics
    /// If there is no peer of that name.
    pub fn note(&self, peer: &str, note: impl fmt::Display) {
        let note = note.to_string();
        self.on_peer(peer, |world, node| world.note(node, &note));
    }

    /// Now, on the clock that all peers share.
    pub fn now(&self) -> Instant {
        self.0.now()
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// What happened so far.
    pub fn trace(&self) -> Trace {
        self.0.with(|world| world.trace())
    }

    fn on_peer<R>(&self, peer: &str, act: impl FnOnce(&mut World, NodeIx) -> R) -> R {
        let result = self.0.with(|world| world.find_node(PeerId::from_name(peer)).map(|node| act(world, node)));
        result.unwrap_or_else(|| panic!("no peer called {peer:?} is on the simulated network"))
    }

    fn on_link<R>(&self, from: &str, to: &str, act: impl FnOnce(&mut World, LinkIx) -> R) -> R {
        // Looked up before anything is changed, and reported when the world is no longer locked.
        let result = self.0.with(|world| {
            let [from, to] = [from, to].map(|name| world.find_node(PeerId::from_name(name)).ok_or(name));
            let link = from.and_then(|from| to.map(|to| (from, to)))?;
            let link = world.link(link.0, link.1);
            Ok(act(world, link))
        });
        result.unwrap_or_else(|name: &str| panic!("no peer called {name:?} is on the simulated network"))
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("seed", &self.seed()).field("now", &self.now()).finish_non_exhaustive()
    }
}

/// What a peer's program is given.
#[derive(Clone, Debug)]
pub struct Node {
    network: Network,
    name: Arc<str>,
    provider: SimulatorP2P,
}

impl Node {
    pub(crate) const fn new(network: Network, name: Arc<str>, provider: SimulatorP2P) -> Self {
        Self { network, name, provider }
    }

    /// The peer's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which of the peer's lives this is, counted from 1. All that an earlier one knew is lost.
    pub fn incarnation(&self) -> u32 {
        self.provider.incarnation()
    }

    /// The peer's provider.
    pub const fn provider(&self) -> &SimulatorP2P {
        &self.provider
    }

    /// The peer's time, tasks and randomness.
    pub fn runtime(&self) -> &Arc<dyn Runtime> {
        self.provider.runtime()
    }

    /// Writes something into the trace, as said by this peer; see [`Network::note`].
    pub fn note(&self, note: impl fmt::Display) {
        self.network.note(&self.name, note);
    }

    /// The network the peer is on.
    pub const fn network(&self) -> &Network {
        &self.network
    }
}
