//! Many seeds, each with other faults: nothing bad ever happens, and after the chaos everything works again.

use std::{
    collections::BTreeMap,
    env,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use p2p::{
    P2PConnection, P2PConnectionExt, P2PProvider, P2PProviderExt, PeerId, ProtocolId, RuntimeExt,
    conformance::{Harness, Kind, PROPERTIES, Verdict},
};
use p2p_simulator::{LinkConfig, Network, Node, Probability, Simulation, Swarm, TraceMode, trace::What};

/// Seeds of each sweep, unless `SWARM_SEEDS` says how many.
const SEEDS: u64 = 15;

fn seeds() -> u64 {
    env::var("SWARM_SEEDS").map_or(SEEDS, |seeds| seeds.parse().expect("SWARM_SEEDS is a number"))
}

/// Providers that are in use from some time on.
struct Simulated {
    network: Network,
    from: Duration,
}

#[async_trait]
impl Harness for Simulated {
    async fn providers(&self) -> (Arc<dyn P2PProvider>, Arc<dyn P2PProvider>) {
        let (alice, bob) = (self.network.provider("alice"), self.network.provider("bob"));
        // A peer's own clock may be wrong until then. What happens in the very instant in which a fault ends may still suffer it.
        while !self.from.is_zero() && u128::from(self.network.now().as_nanos()) <= self.from.as_nanos() {
            alice.runtime().sleep(Duration::from_secs(1)).await;
        }
        (Arc::new(alice), Arc::new(bob))
    }

    // Several tries of 2 s each.
    fn settle(&self) -> Duration {
        Duration::from_secs(6)
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(600)
    }
}

/// A property of the contract on all seeds, under faults, on two threads. Returns how many runs held and were cut short.
fn sweep(kind: Kind, swarm: &Swarm, from: Duration) -> (usize, usize) {
    let runs: Vec<_> = PROPERTIES
        .iter()
        .filter(|property| property.kind == kind)
        .flat_map(|property| (0..seeds()).map(move |seed| (property, seed)))
        .collect();
    let (next, held, cut_short) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let failures = Mutex::new(Vec::new());
    let work = || {
        while let Some((property, seed)) = runs.get(next.fetch_add(1, Relaxed)) {
            // A dial fails because of a fault or not at all: the contract's properties dial once.
            let run = Simulation::new(*seed)
                .with_link(LinkConfig::default().with_dial_failure(Probability::NEVER))
                .with_swarm(swarm)
                .try_run(|network| async move { property.run(&Simulated { network, from }).await });
            match run {
                Ok(run) if matches!(run.output, Verdict::CutShort(_)) => cut_short.fetch_add(1, Relaxed),
                Ok(_) => held.fetch_add(1, Relaxed),
                Err(failure) => {
                    failures.lock().unwrap().push(format!("{} on seed {seed}: {failure}", property.name));
                    0
                }
            };
        }
    };
    std::thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(work))));
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {} runs: {}", failures.len(), runs.len(), failures.join("\n"));
    (held.into_inner(), cut_short.into_inner())
}

fn chaos_then_peace() -> Swarm {
    Swarm::new(["alice", "bob"]).with_phases(Duration::from_secs(60), Duration::from_secs(1200))
}

#[test]
#[expect(clippy::print_stderr, reason = "how much a sweep has tried is worth reading")]
fn safety_properties_hold_under_any_faults() {
    let (held, cut_short) = sweep(Kind::Safety, &chaos_then_peace(), Duration::ZERO);
    eprintln!("{held} runs held, {cut_short} were cut short");
    // Otherwise the faults were too weak to prove anything, or too strong.
    assert!(cut_short > 0 && held > cut_short, "{held} held, {cut_short} were cut short");
}

// A fault that outlived its end in the world, such as a link that stays cut, or a timer set by a wrong clock, shows here.
#[test]
#[expect(clippy::print_stderr, reason = "how much a sweep has tried is worth reading")]
fn liveness_properties_hold_once_the_faults_are_healed() {
    let swarm = chaos_then_peace();
    let (held, cut_short) = sweep(Kind::Liveness, &swarm, swarm.healed_at());
    eprintln!("{held} runs held");
    assert!(held > 0 && cut_short == 0, "{held} held, {cut_short} were cut short");
}

fn protocol() -> ProtocolId {
    "count/1".parse().unwrap()
}

/// Counts what it is told, in memory only: each life counts from 0. It answers (life, count).
async fn counter(node: Node) {
    let listener = node.provider().listen(&protocol()).await.unwrap();
    let count = Arc::new(AtomicU64::new(0));
    while let Ok(connection) = listener.accept().await {
        let (count, life) = (count.clone(), node.incarnation());
        let serve = async move {
            while let Ok(more) = connection.recv_value::<u64>().await {
                let now = count.fetch_add(more, Relaxed) + more;
                if connection.send_value(&(life, now)).await.is_err() {
                    return;
                }
            }
        };
        node.runtime().spawn("serve", Box::pin(serve)).detach();
    }
}

/// What one run saw: the highest count of each life.
type Seen = BTreeMap<u32, u64>;

/// Adds one again and again until an answer is from after the chaos.
async fn count_until(network: Network, healed_at: Duration) -> Seen {
    network.node("counter", counter);
    let alice = network.provider("alice");
    let runtime = alice.runtime().clone();
    let mut seen = Seen::new();
    loop {
        let connected = alice.connect(PeerId::from_name("counter"), &protocol()).await;
        if let Ok(connection) = connected {
            while let Ok((life, count)) = add_one(&*connection).await {
                let last = seen.insert(life, count).unwrap_or(0);
                assert!(count > last, "life {life} counted from {last} to {count}");
                assert_eq!(seen.last_key_value().map(|(last, _)| *last), Some(life), "an earlier life answered");
                if network.now().as_nanos() > healed_at.as_nanos() as u64 {
                    return seen;
                }
                runtime.sleep(Duration::from_millis(200)).await;
            }
        }
        runtime.sleep(Duration::from_millis(500)).await;
    }
}

async fn add_one(connection: &dyn P2PConnection) -> p2p::Result<(u32, u64)> {
    connection.send_value(&1u64).await?;
    connection.recv_value().await
}

#[test]
fn a_service_that_crashes_under_faults_is_back_by_the_deadline_on_every_seed() {
    let swarm = Swarm::new(["alice", "counter"]).with_crashes(["counter"]);
    let mut all = Vec::new();
    for seed in 0..seeds() {
        let healed_at = swarm.healed_at();
        let run = Simulation::new(seed)
            .with_swarm(&swarm)
            .with_trace(TraceMode::Keep)
            .run(|network| count_until(network, healed_at));
        let crashes = run.trace.kept.iter().filter(|record| record.what == What::Crash).count();
        all.push((run.output, crashes));
    }
    // Otherwise nothing was tried.
    assert!(all.iter().any(|(seen, crashes)| *crashes > 0 && seen.len() > 1), "{all:?}");
    assert!(all.iter().any(|(_, crashes)| *crashes == 0), "on some seeds nobody crashes");
}

#[test]
fn a_swarm_run_is_repeated_by_its_seed() {
    let swarm = Swarm::new(["alice", "counter"]).with_crashes(["counter"]);
    let hash = |seed| {
        let healed_at = swarm.healed_at();
        Simulation::new(seed).with_swarm(&swarm).run(|network| count_until(network, healed_at)).trace.hash
    };
    for seed in 0..4 {
        assert_eq!(hash(seed), hash(seed));
    }
}

#[test]
#[should_panic(expected = "not done within")]
fn what_does_not_recover_misses_the_deadline() {
    let swarm = Swarm::new(["alice"]).with_phases(Duration::from_secs(5), Duration::from_secs(30));
    Simulation::new(1).with_swarm(&swarm).run(|network| async move {
        network.provider("alice").runtime().sleep(Duration::from_secs(36)).await;
    });
}
