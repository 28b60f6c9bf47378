//! Gossip, with bugs that no seed repeats: what [`Check`](crate::runner::Check) is there to find.
//!
//! Peers tell each other rumours. As it should be, all of a run is a function of its seed. Each mutant takes something from
//! elsewhere, as programs do that were not written for a simulator.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "the mutants are here to be caught")]

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::{Duration, SystemTime},
};

use p2p::{BoxFuture, P2PConnection, P2PProvider, P2PProviderExt, PeerId, ProtocolId, Rng, RuntimeExt};

use crate::{
    Network, Node, always,
    case::Case,
    workload::{Knob, Mutant, Setup, Step, Violation, Workload},
};

/// The workload `gossip`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Gossip;

const HASHED_ORDER: &str = "hashed-order";
const OWN_RANDOMNESS: &str = "own-randomness";
const WALL_CLOCK: &str = "wall-clock";
const UNBIASED_SELECT: &str = "unbiased-select";

impl Workload for Gossip {
    fn name(&self) -> &'static str {
        "gossip"
    }

    fn about(&self) -> &'static str {
        "peers that tell each other rumours; its bugs are found by --check alone"
    }

    fn knobs(&self) -> &'static [Knob] {
        &[Knob { name: "rumours", default: 8, max: 10_000, about: "rumours that each peer begins" }]
    }

    fn mutants(&self) -> &'static [Mutant] {
        &[
            Mutant { name: HASHED_ORDER, about: "tells its neighbours in the order of a HashMap" },
            Mutant { name: OWN_RANDOMNESS, about: "numbers rumours by randomness that is not its runtime's" },
            Mutant { name: WALL_CLOCK, about: "waits for a while that depends on the time of day" },
            Mutant { name: UNBIASED_SELECT, about: "lets tokio's select! choose whom to tell first" },
        ]
    }

    fn steps(&self, setup: &Setup<'_>, rng: &mut Rng) -> Vec<Step> {
        let chaos_ms = setup.chaos.as_millis() as u64;
        let rumours = |peer| (0..setup.knobs["rumours"]).map(move |_| peer);
        let mut steps: Vec<Step> = setup
            .peers
            .iter()
            .flat_map(rumours)
            .map(|peer| Step {
                at: Duration::from_millis(rng.below(chaos_ms)),
                peer: peer.clone(),
                what: "tell".into(),
            })
            .collect();
        steps.sort_by_key(|step| step.at);
        steps
    }

    fn run(&self, network: Network, case: Arc<Case>) -> BoxFuture<'static, Result<(), Violation>> {
        Box::pin(async move {
            for peer in &case.peers {
                let case = case.clone();
                network.node(peer, move |node| gossiper(node, case.clone()));
            }
            network.provider("judge").runtime().sleep(case.deadline()).await;
            Ok(())
        })
    }
}

type Neighbours = BTreeMap<String, Arc<dyn P2PConnection>>;

async fn gossiper(node: Node, case: Arc<Case>) {
    let listener = node.provider().listen(&protocol()).await.expect("the first listener of this life");
    node.runtime().spawn("tell", Box::pin(tell_all(node.clone(), case))).detach();
    while let Ok(connection) = listener.accept().await {
        let node = node.clone();
        let listen = {
            let node = node.clone();
            async move {
                while let Ok(rumour) = connection.recv().await {
                    always!(node, rumour.starts_with(b"rumour "), "what is heard was told");
                }
            }
        };
        node.runtime().spawn("listen", Box::pin(listen)).detach();
    }
}

async fn tell_all(node: Node, case: Arc<Case>) {
    let mut neighbours = Neighbours::new();
    let mut rng = node.runtime().rng("rumours");
    for step in case.steps.iter().filter(|step| step.peer == node.name()) {
        let now = Duration::from_nanos(node.network().now().as_nanos());
        node.runtime().sleep(step.at.saturating_sub(now)).await;
        if case.has_mutant(WALL_CLOCK) {
            let day = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            node.runtime().sleep(Duration::from_nanos(u64::from(day.subsec_nanos()))).await;
        }
        connect_missing(&node, &case, &mut neighbours).await;
        let number = match case.has_mutant(OWN_RANDOMNESS) {
            true => RandomState::new().hash_one(0),
            false => rng.next_u64(),
        };
        let rumour = format!("rumour {number:016x}");
        for name in order(&case, &neighbours).await {
            // Who does not hear it hears another.
            let _ = neighbours[&name].send(rumour.clone().into()).await;
        }
        neighbours.retain(|_, connection| connection.close_reason().is_none());
    }
}

/// Whom to tell first.
async fn order(case: &Case, neighbours: &Neighbours) -> Vec<String> {
    let mut names: Vec<String> = neighbours.keys().cloned().collect();
    if case.has_mutant(HASHED_ORDER) {
        let unordered: HashMap<_, _> = neighbours.iter().collect();
        names = unordered.into_keys().cloned().collect();
    }
    if case.has_mutant(UNBIASED_SELECT) {
        let last_first = tokio::select! {
            () = std::future::ready(()) => false,
            () = std::future::ready(()) => true,
        };
        if last_first {
            names.reverse();
        }
    }
    names
}

async fn connect_missing(node: &Node, case: &Case, neighbours: &mut Neighbours) {
    for other in case.peers.iter().filter(|other| *other != node.name()) {
        if !neighbours.contains_key(other)
            && let Ok(connection) = node.provider().connect(PeerId::from_name(other), &protocol()).await
        {
            neighbours.insert(other.clone(), connection);
        }
    }
}

fn protocol() -> ProtocolId {
    "gossip/1".parse().expect("a name and a version")
}
