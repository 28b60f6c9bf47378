//! The same seed gives the same run in another process, and a run that differs is caught and located.

use std::{
    collections::{BTreeMap, HashMap},
    env, fs,
    path::PathBuf,
    process::Command,
    sync::Arc,
    time::Duration,
};

use p2p::{P2PConnection, P2PProviderExt, PeerId, ProtocolId, Runtime, RuntimeExt};
use p2p_simulator::{
    Node, Simulation, Trace, TraceMode,
    trace::{Difference, locate},
};

const PEERS: usize = 12;
const NEIGHBOURS: usize = 3;
const ROUNDS: usize = 150;

/// Peers gossip to their neighbours, in the order in which a map yields these.
fn gossip(seed: u64, order: Order) -> Trace {
    let simulation = Simulation::new(seed).with_trace(TraceMode::Keep);
    let run = simulation.run(|network| async move {
        let (done, mut all_done) = tokio::sync::mpsc::channel(PEERS);
        for number in 0..PEERS {
            let done = done.clone();
            network.node(&name(number), move |node| gossiper(node, number, order, done.clone()));
        }
        for _ in 0..PEERS {
            all_done.recv().await.unwrap();
        }
    });
    run.trace
}

async fn gossiper(node: Node, number: usize, order: Order, done: tokio::sync::mpsc::Sender<()>) {
    let listener = node.provider().listen(&protocol()).await.unwrap();
    let runtime = node.runtime().clone();
    let listening = async move {
        while let Ok(connection) = listener.accept().await {
            let read = async move { while connection.recv().await.is_ok() {} };
            runtime.spawn("read", Box::pin(read)).detach();
        }
    };
    node.runtime().spawn("listen", Box::pin(listening)).detach();
    let neighbours = connect(&node, number).await;
    talk(&**node.runtime(), neighbours, order).await;
    done.send(()).await.unwrap();
    std::future::pending().await
}

#[derive(Clone, Copy)]
enum Order {
    Sorted,
    /// The bug: a map whose order differs from process to process decides who is told first.
    Hashed,
}

type Neighbours = BTreeMap<String, Arc<dyn P2PConnection>>;

async fn connect(node: &Node, number: usize) -> Neighbours {
    let mut neighbours = BTreeMap::new();
    for offset in 1..=NEIGHBOURS {
        let peer = name((number + offset) % PEERS);
        let connection = loop {
            // One dial in a thousand fails, as configured.
            if let Ok(connection) = node.provider().connect(PeerId::from_name(&peer), &protocol()).await {
                break connection;
            }
        };
        neighbours.insert(peer, connection);
    }
    neighbours
}

async fn talk(runtime: &dyn Runtime, neighbours: Neighbours, order: Order) {
    let mut rng = runtime.rng("talk");
    for round in 0..ROUNDS {
        let rumour = format!("rumour {round} {:016x}", rng.next_u64());
        match order {
            Order::Sorted => {
                for connection in neighbours.values() {
                    connection.send(rumour.clone().into()).await.unwrap();
                }
            }
            Order::Hashed => {
                let unordered: HashMap<_, _> = neighbours.iter().collect();
                for connection in unordered.values() {
                    connection.send(rumour.clone().into()).await.unwrap();
                }
            }
        }
        runtime.sleep(rng.duration_between(Duration::from_millis(1), Duration::from_millis(40))).await;
    }
}

fn name(number: usize) -> String {
    format!("peer-{number}")
}

fn protocol() -> ProtocolId {
    "gossip/1".parse().unwrap()
}

/// In a child process: what to run, and where the trace goes.
const CHILD: &str = "P2P_SIMULATOR_TEST_TRACE";

/// Runs the scenario in a fresh process, where nothing is left of this one's random state.
fn in_a_fresh_process(seed: u64, order: &str) -> Trace {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!(
        "trace-{seed}-{order}-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    let status = Command::new(env::current_exe().unwrap())
        .args(["--exact", "the_scenario_as_a_process_of_its_own"])
        .env(CHILD, format!("{seed} {order} {}", file.display()))
        .status()
        .unwrap();
    assert!(status.success());
    let trace = Trace::read_from(&fs::read(&file).unwrap()[..]).unwrap();
    fs::remove_file(&file).unwrap();
    trace
}

#[test]
fn the_scenario_as_a_process_of_its_own() {
    let Ok(asked) = env::var(CHILD) else { return };
    let mut words = asked.splitn(3, ' ');
    let mut word = || words.next().unwrap();
    let seed = word().parse().unwrap();
    let order = if word() == "hashed" { Order::Hashed } else { Order::Sorted };
    let trace = gossip(seed, order);
    trace.write_to(fs::File::create(word()).unwrap()).unwrap();
}

#[test]
fn one_seed_gives_one_hash_in_two_processes_and_two_seeds_give_two() {
    let (first, second) = (in_a_fresh_process(7, "sorted"), in_a_fresh_process(7, "sorted"));
    assert!(first.records > 10_000, "only {} records", first.records);
    assert_eq!(locate(&first, &second), None);
    assert_eq!(first, second);
    assert_ne!(in_a_fresh_process(8, "sorted").hash, first.hash);
}

#[test]
#[expect(clippy::print_stderr, reason = "the report is worth reading")]
fn an_iteration_over_a_hash_map_is_caught_across_processes_and_located() {
    // Two orders of three neighbours for twelve peers are the same in one of 6^12 cases.
    let (one, other) = (in_a_fresh_process(7, "hashed"), in_a_fresh_process(7, "hashed"));
    assert_ne!(one.hash, other.hash);
    let difference = locate(&one, &other).expect("the hashes differ");
    eprintln!("{difference}");
    let Difference::Record { seq, left: Some(left), right: Some(right), words } = difference else {
        panic!("{difference}");
    };
    // The first differing record is a message to another neighbour: same peer, same moment, same length.
    assert_eq!((left.t, left.src, left.what, left.len), (right.t, right.src, right.what, right.len), "{words}");
    assert_ne!(left.dst, right.dst, "{words}");
    assert!(one.kept[..seq as usize] == other.kept[..seq as usize]);
}
