//! `Reconnect(Routes(..))` over two kinds of provider: the simulated network, which loses packets, partitions and is killed,
//! and memory, as a tunnel that always works. Whatever route carries it, a session delivers everything once and in order.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use p2p::{
    ConnectionConfig, ListenConfig, P2PConnection, P2PConnectionExt, P2PListener, P2PProvider, ProtocolId, Rng,
    RuntimeExt,
    layer::{
        LayerExt, Reconnect, ReconnectConfig, Route, Routes, RoutesHandle,
        reconnect::{Backoff, Mutant},
    },
    memory::MemoryNetwork,
};
use p2p_simulator::{Failure, LinkConfig, Network, Probability, Simulation, SimulatorP2P};

#[path = "reconnect/killable.rs"]
mod killable;
#[path = "reconnect/traffic.rs"]
mod traffic;

use killable::Killable;
use traffic::Amount;

const SECOND: Duration = Duration::from_secs(1);

/// Seeds of the sweep, unless `ROUTES_SEEDS` says otherwise.
const SEEDS: u64 = 40;

fn protocol() -> ProtocolId {
    "routes/1".parse().unwrap()
}

fn rng(seed: u64, purpose: u8) -> Rng {
    let mut bytes = [purpose; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    Rng::from_seed(bytes)
}

/// One peer: its stack, and what it takes to break and to steer it.
struct Peer {
    stack: Reconnect<Routes>,
    handle: RoutesHandle,
    direct: Killable<SimulatorP2P>,
}

impl Peer {
    fn new(network: &Network, tunnel: &MemoryNetwork, name: &str, mutant: Option<Mutant>) -> Self {
        let direct = Killable::new(network.provider(name));
        // What is named first lends its runtime to the session, which so outlives the crash of whatever is under the other.
        let routes = [Route::new("tunnel", tunnel.provider(name)), Route::new("direct", direct.clone())];
        let routes = Routes::new(routes).unwrap();
        let handle = routes.handle();
        handle.set_preference("direct", 0).unwrap();
        handle.set_preference("tunnel", 1).unwrap();
        let backoff = Backoff { initial_delay: SECOND / 10, max_delay: SECOND, ..Backoff::default() };
        let mut config = ReconnectConfig::default().with_backoff(backoff).with_replay_bytes_max(256 * 1024);
        config.mutant = mutant;
        Self { stack: routes.with_reconnect(config).unwrap(), handle, direct }
    }

    fn connections(&self) -> [usize; 2] {
        ["direct", "tunnel"].map(|name| self.handle.get(name).unwrap().connections)
    }
}

/// Alice, who dialled, and bob.
struct Scene {
    network: Network,
    alice: Peer,
    bob: Peer,
    ours: Arc<dyn P2PConnection>,
    theirs: Arc<dyn P2PConnection>,
    _listener: Box<dyn P2PListener>,
}

impl Scene {
    async fn new(network: Network) -> Self {
        Self::with(network, None).await
    }

    async fn with(network: Network, mutant: Option<Mutant>) -> Self {
        // The tunnel's time is the simulation's, and its tasks are those of a peer that never crashes.
        let tunnel = MemoryNetwork::with_runtime(network.provider("tunnel").runtime().clone()).without_datagrams();
        let [alice, bob] = ["alice", "bob"].map(|name| Peer::new(&network, &tunnel, name, mutant));
        let terms = ConnectionConfig::new(protocol())
            .with_liveness(SECOND / 2, 3 * SECOND)
            .with_handshake_timeout(3 * SECOND)
            .with_buffer_bytes(32 * 1024);
        let listener = bob.stack.listen_with(ListenConfig::from(terms.clone())).await.unwrap();
        let ours = alice.stack.connect_with(bob.stack.local_peer_id().into(), terms).await.unwrap();
        let theirs = listener.accept().await.unwrap();
        Self { network, alice, bob, ours, theirs, _listener: listener }
    }

    async fn sleep(&self, duration: Duration) {
        self.alice.stack.runtime().sleep(duration).await;
    }

    async fn assert_works(&self) {
        for [from, to] in [[&self.ours, &self.theirs], [&self.theirs, &self.ours]] {
            from.send("still here".into()).await.unwrap();
            assert_eq!(to.recv().await.unwrap(), "still here");
        }
    }
}

// Cut off, the session is on the tunnel after the loss is noticed and one head start; mended, it is back on the direct route
// when that is next asked, which after a minute of outage is within another minute. Nobody changes a preference.
#[test]
fn a_session_takes_the_tunnel_and_comes_back_when_the_line_is_mended() {
    let link = LinkConfig::ideal(Duration::from_millis(30));
    Simulation::new(1).with_link(link).with_time_limit(600 * SECOND).run(|network| async move {
        let scene = Scene::new(network).await;
        scene.assert_works().await;
        assert_eq!(scene.alice.connections(), [1, 0]);

        scene.network.partition("alice", "bob");
        scene.sleep(5 * SECOND).await;
        assert_eq!(scene.alice.connections(), [0, 1]);
        assert!(scene.ours.is_connected() && scene.theirs.is_connected());
        scene.assert_works().await;

        scene.sleep(60 * SECOND).await;
        assert_eq!(scene.alice.connections(), [0, 1]);
        scene.network.heal("alice", "bob");
        scene.sleep(60 * SECOND).await;
        assert_eq!(scene.alice.connections(), [1, 0]);
        scene.assert_works().await;
        assert_eq!((scene.alice.stack.totals().moved, scene.alice.stack.totals().resumed), (1, 2));
        assert_eq!(scene.bob.stack.totals().refused, 0);
    });
}

// The better route needs longer to answer than its head start. It is known how long, so the session stays there instead of
// going back and forth.
#[test]
fn a_better_route_that_is_slow_keeps_the_session_that_came_to_it() {
    let link = LinkConfig::ideal(Duration::from_millis(400));
    Simulation::new(1).with_link(link).with_time_limit(600 * SECOND).run(|network| async move {
        let scene = Scene::new(network).await;
        assert_eq!(scene.alice.connections(), [0, 1], "the tunnel was there first");
        scene.sleep(120 * SECOND).await;
        assert_eq!(scene.alice.connections(), [1, 0]);
        assert_eq!(scene.alice.stack.totals().moved, 1);
        scene.assert_works().await;
    });
}

/// What a run met.
#[derive(Debug, Default, Clone, Copy)]
struct Met {
    losses: u64,
    moved: u64,
    unacknowledged: u64,
    suppressed: u64,
    tunnel_dials: u64,
    given_up: u64,
    /// Runs in which what is under one side's direct route crashed in the middle.
    crashes: u64,
}

// Messages and streams both ways, while transports are killed, the direct route is cut, and preferences change. In a quarter
// of the runs all that is under one side's direct route crashes and does not come back; the session does, by the tunnel.
#[test]
#[expect(clippy::print_stdout, reason = "what a sweep met is read where its result is")]
fn nothing_is_lost_or_doubled_while_routes_flap() {
    let seeds = std::env::var("ROUTES_SEEDS").map_or(SEEDS, |seeds| seeds.parse().expect("ROUTES_SEEDS is a number"));
    let mut all = Met::default();
    for seed in 0..seeds {
        let met = run(seed, None).unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
        all.losses += met.losses;
        all.moved += met.moved;
        all.unacknowledged += met.unacknowledged;
        all.suppressed += met.suppressed;
        all.tunnel_dials += met.tunnel_dials;
        all.given_up += met.given_up;
        all.crashes += met.crashes;
    }
    println!("{seeds} seeds: {all:?}");
    // A sweep in which none of it happened would show nothing.
    assert!(all.losses > 3 * seeds && all.moved > 2 * seeds && all.tunnel_dials > 2 * seeds, "{all:?}");
    assert!(all.unacknowledged > seeds && all.suppressed > 0 && all.crashes > seeds / 8, "{all:?}");
    assert_eq!(all.given_up, 0);
}

// What the sweep is worth: sessions that forget, repeat or mix up something as they change routes are found.
#[test]
fn wrong_ways_to_change_the_route_are_found() {
    let mutants = [Mutant::NoDuplicateCheck, Mutant::LostWindow, Mutant::AnswersBeforeDraining, Mutant::NoDraining];
    for mutant in mutants {
        let found = (0..SEEDS).any(|seed| run(seed, Some(mutant)).is_err());
        assert!(found, "{mutant:?} lost and doubled nothing on {SEEDS} seeds");
    }
}

fn run(seed: u64, mutant: Option<Mutant>) -> Result<Met, Failure> {
    let link = LinkConfig::default()
        .with_latency(Duration::from_millis(30))
        .with_jitter(Duration::from_millis(10))
        .with_loss(Probability::percent(5))
        .with_dial_failure(Probability::percent(10));
    let simulation = Simulation::new(seed).with_link(link).with_time_limit(300 * SECOND);
    Ok(simulation.try_run(|network| exchange(network, seed, mutant))?.output)
}

async fn exchange(network: Network, seed: u64, mutant: Option<Mutant>) -> Met {
    let scene = Scene::with(network, mutant).await;
    let amount = Amount { messages: 150, streams: 8, stream_bytes: 20_000, pause: Duration::from_millis(200) };
    let crashed = Arc::new(AtomicBool::new(false));
    let chaos = [tokio::spawn(flap(&scene, seed)), tokio::spawn(crash(&scene, seed, crashed.clone()))];
    let mut tasks = Vec::new();
    for (purpose, connection, peer) in [(0, &scene.ours, &scene.alice), (4, &scene.theirs, &scene.bob)] {
        let (runtime, rng) = (peer.stack.runtime(), |task: u8| rng(seed, purpose + task));
        tasks.push(tokio::spawn(traffic::send_messages(connection.clone(), runtime.clone(), amount, rng(0))));
        tasks.push(tokio::spawn(traffic::receive_messages(connection.clone(), runtime.clone(), amount, rng(1))));
        tasks.push(tokio::spawn(traffic::open_streams(connection.clone(), runtime.clone(), amount, rng(2))));
        tasks.push(tokio::spawn(traffic::accept_streams(connection.clone(), runtime.clone(), amount, rng(3))));
    }
    for task in tasks {
        if let Err(failed) = task.await {
            std::panic::resume_unwind(failed.into_panic());
        }
    }
    scene.theirs.send("the last word".into()).await.unwrap();
    let (finished, last) = tokio::join!(scene.theirs.finish(), scene.ours.recv());
    assert_eq!(last.expect("nothing is lost"), "the last word");
    finished.expect("the peer's provider has everything");
    chaos.iter().for_each(|chaos| chaos.abort());
    let totals = [&scene.alice, &scene.bob].map(|peer| peer.stack.totals());
    Met {
        losses: totals[0].losses,
        moved: totals[0].moved,
        unacknowledged: totals[0].losses_with_unacknowledged + totals[1].losses_with_unacknowledged,
        suppressed: totals[0].duplicates_suppressed + totals[1].duplicates_suppressed,
        tunnel_dials: scene.alice.handle.get("tunnel").unwrap().dials,
        given_up: totals[0].given_up + totals[1].given_up,
        crashes: crashed.load(Relaxed).into(),
    }
}

/// Breaks, cuts and forbids routes, for ever.
fn flap(scene: &Scene, seed: u64) -> impl Future<Output = ()> + use<> {
    let (network, runtime) = (scene.network.clone(), scene.alice.stack.runtime().clone());
    let (direct, routes) = (scene.alice.direct.clone(), scene.alice.handle.clone());
    let mut rng = rng(seed, 99);
    direct.break_dials(self::rng(seed, 98));
    async move {
        loop {
            runtime.sleep(rng.duration_between(SECOND / 10, 2 * SECOND)).await;
            let a_while = rng.duration_between(SECOND / 100, 5 * SECOND);
            match rng.below(5) {
                0 => drop(direct.kill()),
                1 => {
                    network.partition("alice", "bob");
                    runtime.sleep(a_while).await;
                    network.heal("alice", "bob");
                }
                2 => {
                    routes.disable("direct").unwrap();
                    runtime.sleep(a_while).await;
                    routes.enable("direct").unwrap();
                }
                3 => {
                    routes.disable("tunnel").unwrap();
                    runtime.sleep(a_while).await;
                    routes.enable("tunnel").unwrap();
                }
                _ => routes.set_preference("direct", rng.below(2) as u32 * 2).unwrap(),
            }
        }
    }
}

/// Ends what is under one side's direct route, without a word to anybody, if the seed says so.
fn crash(scene: &Scene, seed: u64, crashed: Arc<AtomicBool>) -> impl Future<Output = ()> + use<> {
    let (network, runtime) = (scene.network.clone(), scene.alice.stack.runtime().clone());
    let mut rng = rng(seed, 97);
    async move {
        if rng.below(4) == 0 {
            runtime.sleep(rng.duration_between(SECOND, 8 * SECOND)).await;
            network.crash(["alice", "bob"][rng.below(2) as usize]);
            crashed.store(true, Relaxed);
        }
    }
}
