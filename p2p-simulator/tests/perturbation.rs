//! What happens between two peers is a function of what concerns these two: a peer more changes it on no seed, nor does any
//! fault elsewhere, of whatever kind a swarm draws.

#![expect(clippy::print_stderr, reason = "how much was compared is worth reading")]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use p2p::{BiStream, P2PConnection, P2PProvider, P2PProviderExt, PeerId, ProtocolId, Result, RuntimeExt};
use p2p_simulator::{
    Entry, LinkConfig, Node, Place, Plan, Probability, Profile, Simulation, Swarm, Trace, TraceMode,
    trace::{Record, What},
};

const SEEDS: u64 = 20;
const CHAOS: Duration = Duration::from_secs(20);
const RUN: Duration = Duration::from_secs(30);
/// An answer that takes longer is given up, with its connection.
const PATIENCE: Duration = Duration::from_secs(3);
/// Questions on one connection: few, so that there are many dials.
const ROUNDS: u64 = 6;
const STREAM_BYTES: usize = 4_000;

/// A network of the seed's choosing: three to five peers on one of four kinds of link.
struct Setup {
    seed: u64,
    peers: Vec<String>,
    link: LinkConfig,
}

impl Setup {
    fn of(seed: u64) -> Self {
        let links = [
            LinkConfig::default(),
            Profile::Wifi.up(),
            Profile::FourG.up().with_corruption(Probability::percent(2)).with_duplication(Probability::percent(2)),
            LinkConfig::default().with_bandwidth(60_000, 20_000).with_reorder(Probability::percent(5)),
        ];
        let peers = (1..=3 + seed % 3).map(|number| format!("p{number}")).collect();
        Self { seed, peers, link: links[(seed / 3) as usize % links.len()] }
    }

    fn plan(&self) -> Plan {
        Swarm::new(&self.peers).with_crashes(&self.peers).with_phases(CHAOS, RUN).plan(self.seed)
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.peers.iter().enumerate().flat_map(|(at, a)| self.peers[at + 1..].iter().map(move |b| (a, b)));
        pairs.map(|(a, b)| (a.as_str(), b.as_str()))
    }

    /// All peers talk to all others, each pair by itself.
    fn run(&self, peers: &[String], plan: Plan) -> Trace {
        let simulation = Simulation::new(self.seed).with_link(self.link).with_plan(plan).with_trace(TraceMode::Keep);
        let peers = peers.to_vec();
        let run = simulation.run(|network| async move {
            for (number, name) in peers.iter().enumerate() {
                let others = peers[number + 1..].to_vec();
                network.node(name, move |node| program(node, others.clone()));
            }
            network.provider("observer").runtime().sleep(RUN).await;
        });
        run.trace
    }
}

async fn program(node: Node, others: Vec<String>) {
    let listener = node.provider().listen(&protocol()).await.expect("nobody else listens");
    for other in others {
        let (runtime, node) = (node.runtime().clone(), node.clone());
        runtime.spawn("talk", Box::pin(async move { talk(&node, &other).await })).detach();
    }
    while let Ok(connection) = listener.accept().await {
        let messages = connection.clone();
        let echo = async move {
            while let Ok(message) = messages.recv().await {
                let _ = messages.send(message).await;
            }
        };
        let streams = async move {
            while let Ok(BiStream { mut recv, .. }) = connection.accept_stream().await {
                let _ = recv.read_to_end(STREAM_BYTES).await;
            }
        };
        node.runtime().spawn("echo", Box::pin(echo)).detach();
        node.runtime().spawn("streams", Box::pin(streams)).detach();
    }
}

async fn talk(node: &Node, other: &str) {
    let runtime = node.runtime();
    let mut rng = runtime.rng(other);
    loop {
        let dialled = runtime.timeout(PATIENCE, node.provider().connect(PeerId::from_name(other), &protocol())).await;
        if let Ok(Ok(connection)) = dialled {
            for round in 0..ROUNDS {
                let Ok(Ok(())) = runtime.timeout(PATIENCE, exchange(node, &*connection, round)).await else { break };
                runtime.sleep(rng.duration_between(Duration::from_millis(10), Duration::from_millis(800))).await;
            }
        }
        runtime.sleep(rng.duration_between(Duration::from_millis(100), Duration::from_secs(1))).await;
    }
}

async fn exchange(node: &Node, connection: &dyn P2PConnection, round: u64) -> Result<()> {
    connection.send(format!("{:?}", node.runtime().wall_time()).into()).await?;
    connection.recv().await?;
    let _ = connection.send_datagram(vec![round as u8; 300].into());
    if round.is_multiple_of(5) {
        let BiStream { mut send, .. } = connection.open_stream().await?;
        let _ = send.write_all(&[round as u8; STREAM_BYTES]).await;
        let _ = send.finish();
    }
    Ok(())
}

fn protocol() -> ProtocolId {
    "pairs/1".parse().expect("a constant")
}

/// The records between two peers, without what counts across the whole run. A fault is told by its name, as its number says how
/// many began before it.
fn between(trace: &Trace, (a, b): (&str, &str)) -> Vec<(Record, String)> {
    let of_record = |record: &Record| match record.what {
        What::Fault | What::FaultEnd => {
            (Record { seq: 0, parent: 0, conn: 0, ..*record }, trace.faults[&record.conn].id.clone())
        }
        _ => (Record { seq: 0, parent: 0, ..*record }, String::new()),
    };
    trace.between(a, b).map(of_record).collect()
}

/// The pairs that a fault may change: those it is between; and as a wrong record lets one program's dials end at another peer,
/// what happens there and what happens to its own pair hang together.
fn concerned(fault: &Entry, setup: &Setup, plan: &Plan) -> BTreeSet<(String, String)> {
    let is_between = |(a, b): &(&str, &str)| match &fault.place {
        Place::Around(_) => fault.place.names().any(|name| name == *a || name == *b),
        Place::Ways { .. } => fault.place.names().all(|name| name == *a || name == *b),
    };
    let misled = plan.entries().iter().filter_map(|entry| {
        let (third, names) = (entry.what.peer()?, entry.place.names().collect::<Vec<_>>());
        Some([ordered(names[0], names[1]), ordered(names[0], third)])
    });
    let misled: Vec<_> = misled.collect();
    let mut pairs: BTreeSet<_> = setup.pairs().filter(is_between).map(|(a, b)| ordered(a, b)).collect();
    loop {
        let before = pairs.len();
        for together in &misled {
            if together.iter().any(|pair| pairs.contains(pair)) {
                pairs.extend(together.iter().cloned());
            }
        }
        if pairs.len() == before {
            return pairs;
        }
    }
}

fn ordered(a: &str, b: &str) -> (String, String) {
    if a < b { (a.into(), b.into()) } else { (b.into(), a.into()) }
}

// Every pair is compared, whatever goes wrong there: a draw, a number or a turn that two links shared would shift.
#[test]
fn a_peer_more_changes_nothing_between_the_others() {
    let mut records = 0;
    for seed in 0..SEEDS {
        let setup = Setup::of(seed);
        let before = setup.run(&setup.peers, setup.plan());
        // Its name comes first or last, so that neither joining nor being dialled spares the others.
        let mut more = setup.peers.clone();
        more.insert(if seed % 2 == 0 { 0 } else { more.len() }, "newcomer".into());
        let after = setup.run(&more, setup.plan());
        assert!(after.records > before.records, "the newcomer on seed {seed} takes part");
        for pair in setup.pairs() {
            let (before, after) = (between(&before, pair), between(&after, pair));
            assert!(before == after, "seed {seed}: a peer more changed {}", first_difference(pair, &before, &after));
            records += before.len();
        }
    }
    eprintln!("{records} records stayed as they were");
    assert!(records > 30_000, "only {records}");
}

#[test]
fn a_fault_less_changes_nothing_where_it_was_not() {
    let (mut compared, mut changed, mut records) = (0, BTreeMap::new(), 0);
    for seed in 0..SEEDS {
        let setup = Setup::of(seed);
        let plan = setup.plan();
        let with = setup.run(&setup.peers, plan.clone());
        // One of three on each seed, for the time it takes.
        for left_out in plan.entries().iter().skip(seed as usize % 3).step_by(3) {
            let mut fewer = Plan::new();
            for entry in plan.entries().iter().filter(|entry| *entry != left_out) {
                fewer.push(entry.clone()).expect("it was in the larger plan");
            }
            let without = setup.run(&setup.peers, fewer);
            let concerned = concerned(left_out, &setup, &plan);
            for pair in setup.pairs() {
                let (with, without) = (between(&with, pair), between(&without, pair));
                if concerned.contains(&ordered(pair.0, pair.1)) {
                    *changed.entry(left_out.what.name()).or_insert(false) |= with != without;
                    continue;
                }
                assert!(
                    with == without,
                    "seed {seed}: {} at \"{}\" changed {}",
                    left_out.id,
                    left_out.place,
                    first_difference(pair, &with, &without)
                );
                compared += 1;
                records += with.len();
            }
        }
    }
    eprintln!("{compared} times {} records stayed as they were; where faults were: {changed:?}", records / compared);
    // Otherwise nothing was tried: each kind of fault changes what happens at its own place, on some seed.
    assert!(compared > 500 && changed.len() > 12, "{compared} comparisons, {changed:?}");
    assert!(changed.values().all(|changed| *changed), "{changed:?}");
}

fn first_difference((a, b): (&str, &str), before: &[(Record, String)], after: &[(Record, String)]) -> String {
    let at = before.iter().zip(after).take_while(|(before, after)| before == after).count();
    format!("{a} and {b} at record {at}: {:?}, then {:?}", before.get(at), after.get(at))
}
