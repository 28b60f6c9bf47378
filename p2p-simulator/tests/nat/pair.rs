//! Two peers on a network with a relay, connected, and what their paths are.

use std::{sync::Arc, time::Duration};

use p2p::{P2PConnection, P2PProvider, P2PProviderExt, Path, ProtocolId, RuntimeExt};
use p2p_simulator::{LinkConfig, Nat, Network, Relay, Router, Simulation, SimulatorP2P, Topology};

/// From any node to any other, so that by the relay it takes twice as long.
pub(crate) const LATENCY: Duration = Duration::from_millis(20);
/// How long two peers that can reach each other may take to do so.
pub(crate) const DIRECT_MAX: Duration = Duration::from_secs(2);

pub(crate) struct Pair {
    pub(crate) network: Network,
    pub(crate) dialler: SimulatorP2P,
    pub(crate) ours: Arc<dyn P2PConnection>,
    pub(crate) theirs: Arc<dyn P2PConnection>,
    _acceptor: SimulatorP2P,
}

/// A relay, and one router for each of two peers.
pub(crate) fn homes(dialler: Nat, acceptor: Nat) -> Topology {
    Topology::new()
        .with_relay(Relay::new("relay"))
        .with_router(Router::new("home-dialler", dialler).with_peer("dialler"))
        .with_router(Router::new("home-acceptor", acceptor).with_peer("acceptor"))
}

/// A simulation without loss, of seed 1.
pub(crate) fn simulation(topology: Topology) -> Simulation {
    Simulation::new(1).with_link(LinkConfig::ideal(LATENCY)).with_topology(topology)
}

pub(crate) fn protocol() -> ProtocolId {
    "nat/1".parse().unwrap()
}

impl Pair {
    pub(crate) async fn connect(network: Network) -> Self {
        let (dialler, acceptor) = (network.provider("dialler"), network.provider("acceptor"));
        let listener = acceptor.listen(&protocol()).await.unwrap();
        let ours = dialler.connect(acceptor.local_peer_id(), &protocol()).await.unwrap();
        let theirs = listener.accept().await.unwrap();
        Self { network, dialler, ours, theirs, _acceptor: acceptor }
    }

    /// Both ends' paths, in words.
    pub(crate) fn paths(&self) -> [String; 2] {
        [&self.ours, &self.theirs].map(path_of)
    }

    pub(crate) async fn sleep(&self, time: Duration) {
        self.dialler.runtime().sleep(time).await;
    }

    /// Waits until both ends use such a path, and returns how long it took.
    pub(crate) async fn until(&self, wanted: fn(&Path) -> bool, at_most: Duration) -> Duration {
        let start = self.network.now();
        for connection in [&self.ours, &self.theirs] {
            let mut state = connection.state();
            let wait = state.wait_for(|state| state.path().is_some_and(wanted));
            let left = at_most.saturating_sub(self.network.now() - start);
            let found = self.dialler.runtime().timeout(left, wait).await;
            found.unwrap_or_else(|_| panic!("{:?} after {at_most:?}", self.paths())).unwrap();
        }
        self.network.now() - start
    }

    pub(crate) async fn echo(&self) -> Duration {
        let start = self.network.now();
        self.ours.send("ping".into()).await.unwrap();
        assert_eq!(self.theirs.recv().await.unwrap(), "ping");
        self.theirs.send("pong".into()).await.unwrap();
        assert_eq!(self.ours.recv().await.unwrap(), "pong");
        self.network.now() - start
    }
}

pub(crate) fn path_of(connection: &Arc<dyn P2PConnection>) -> String {
    connection.state().get().path().map_or("none".into(), ToString::to_string)
}

pub(crate) fn is_relayed(path: &Path) -> bool {
    !path.is_direct()
}
