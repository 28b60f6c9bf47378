//! The contract of `p2p`, tried on a hundred networks with latency and loss, each a run of its own.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use p2p::{
    P2PProvider, PeerAddr,
    conformance::{Harness, PROPERTIES, Property, Silence, SilentPeer},
};
use p2p_simulator::{LinkConfig, Network, Probability, Simulation, SimulatorEndpoint};

const SEEDS: u64 = 100;

struct Simulated(Network);

/// On tokio's clock: paused here, real in a demo.
mod on_tokio {
    use p2p_simulator::{Network, SimulatorConfig};

    use super::{Simulated, link};

    p2p::conformance_tests!(
        #[tokio::test(start_paused = true)]
        Simulated(Network::on_tokio(SimulatorConfig::new(1).with_link(link())))
    );
}

#[async_trait]
impl Harness for Simulated {
    async fn providers(&self) -> (Arc<dyn P2PProvider>, Arc<dyn P2PProvider>) {
        (Arc::new(self.0.provider("alice")), Arc::new(self.0.provider("bob")))
    }

    async fn silence(&self) -> Option<Silence> {
        let silent = Box::new(Silent(self.0.endpoint("mute")));
        let (ours, theirs) = self.providers().await;
        Some(Silence { ours, theirs, silent })
    }

    // Three times the worst that four losses in a row do to a round trip of 100 ms.
    fn settle(&self) -> Duration {
        Duration::from_secs(6)
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(600)
    }
}

/// Its transport works, and it never says a word.
struct Silent(SimulatorEndpoint);

#[async_trait]
impl SilentPeer for Silent {
    fn addr(&self) -> PeerAddr {
        self.0.peer_id().into()
    }

    async fn dial(&self, peer: PeerAddr) -> Box<dyn Any + Send> {
        Box::new(self.0.dial(peer.peer).await.expect("dials do not fail here"))
    }
}

fn link() -> LinkConfig {
    LinkConfig::default()
        .with_latency(Duration::from_millis(50))
        .with_loss(Probability::percent(5))
        .with_dial_failure(Probability::NEVER)
}

fn check(property: &Property, seed: u64) -> Result<(), String> {
    Simulation::new(seed)
        .with_link(link())
        .try_run(|network| async move { property.run(&Simulated(network)).await })
        .map(drop)
        .map_err(|failure| format!("{} on seed {seed}: {failure}", property.name))
}

#[test]
fn every_property_holds_on_a_hundred_seeds_with_latency_and_loss() {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut failures = Vec::new();
        while let Some(property) = PROPERTIES.get(next.fetch_add(1, Relaxed)) {
            failures.extend((0..SEEDS).filter_map(|seed| check(property, seed).err()).take(3));
        }
        failures
    };
    let failures = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker only collects")).collect::<Vec<_>>()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
