//! Plans at work: faults begin and end when they are due, leave their records, and do the same as faults from code.

use std::time::Duration;

use p2p::{CloseReason, P2PConnection, P2PProvider, P2PProviderExt, PeerId, ProtocolId, RuntimeExt};
use p2p_simulator::{
    Entry, Failure, Fault, LinkConfig, Network, Place, Plan, Run, Simulation, SimulatorConfig, TraceMode,
    trace::{Event, What},
};

fn protocol() -> ProtocolId {
    "test/1".parse().unwrap()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Two peers of which one tells the time to the other every second, and what was heard when.
async fn tell_the_time(network: Network) -> Vec<(u64, u64)> {
    network.node("bob", |node| async move {
        let listener = node.provider().listen(&protocol()).await.unwrap();
        let connection = listener.accept().await.unwrap();
        for second in 0..u64::MAX {
            if connection.send(second.to_string().into()).await.is_err() {
                return;
            }
            node.runtime().sleep(seconds(1)).await;
        }
    });
    let alice = network.provider("alice");
    let connection = alice.connect(PeerId::from_name("bob"), &protocol()).await.unwrap();
    let mut heard = Vec::new();
    while network.now().as_nanos() < seconds(40).as_nanos() as u64 {
        let Ok(message) = connection.recv().await else { break };
        let second = String::from_utf8(message.to_vec()).unwrap().parse().unwrap();
        heard.push((network.now().as_nanos() / 1_000_000_000, second));
    }
    heard
}

fn run(plan: Plan) -> Result<Run<Vec<(u64, u64)>>, Failure> {
    let link = LinkConfig::ideal(Duration::from_millis(50));
    Simulation::new(1).with_link(link).with_plan(plan).with_trace(TraceMode::Keep).try_run(tell_the_time)
}

const CUT: &str = "
    [[fault]]
    id = 'cut'
    at = '10s'
    until = '20s'
    what = 'partition'
    where = 'bob -> alice'
";

#[test]
fn a_planned_partition_is_silence_for_its_time_and_two_records() {
    let run = run(CUT.parse().unwrap()).unwrap();
    assert!(run.output.iter().all(|(at, _)| !(11..20).contains(at)), "{:?}", run.output);
    assert!(run.output.iter().any(|&(at, second)| at > 30 && at - second <= 1), "it caught up");
    let records: Vec<_> = run.trace.kept.iter().filter(|r| matches!(r.what, What::Fault | What::FaultEnd)).collect();
    let told: Vec<_> = records.iter().map(|r| (r.t, r.event, r.what, r.conn)).collect();
    let second = 1_000_000_000;
    assert_eq!(told, [(10 * second, Event::Changed, What::Fault, 1), (20 * second, Event::Changed, What::FaultEnd, 1)]);
    let words = run.trace.describe(records[0]);
    assert!(words.contains("a fault changed, bob → alice, cut: partition at bob -> alice"), "{words}");
}

#[test]
fn a_plan_in_toml_and_the_same_in_code_give_the_same_run() {
    let code = Entry::new("cut", seconds(10), Fault::Partition, Place::from_to("bob", "alice")).until(seconds(20));
    let code = Plan::new().with(code).unwrap();
    assert_eq!(run(CUT.parse().unwrap()).unwrap().trace.hash, run(code).unwrap().trace.hash);
    assert_ne!(run(CUT.parse().unwrap()).unwrap().trace.hash, run(Plan::new()).unwrap().trace.hash);
}

#[test]
fn a_planned_crash_ends_with_a_restart() {
    let crash = Entry::new("crash", seconds(5), Fault::Crash, Place::peer("bob")).until(seconds(9));
    let run = run(Plan::new().with(crash).unwrap()).unwrap();
    let (at, second) = *run.output.last().unwrap();
    assert!((4..=5).contains(&at) && at - second <= 1, "nothing of the first life is heard after it: {:?}", run.output);
    let lives = run.trace.kept.iter().filter(|r| matches!(r.what, What::Crash | What::Restart));
    assert_eq!(lives.map(|r| (r.what, r.conn)).collect::<Vec<_>>(), [(What::Crash, 1), (What::Restart, 2)]);
}

#[test]
fn a_plan_that_names_nobody_fails_the_run_and_names_the_nearest() {
    let failure = run("[[fault]]\nid='x'\nat='3s'\nwhat='crash'\nwhere='bbo'".parse().unwrap()).unwrap_err();
    assert!(matches!(failure, Failure::Plan { .. }), "{failure}");
    let words = failure.to_string();
    assert!(words.contains("fault \"x\"") && words.contains("nearest is \"bob\""), "{words}");
}

#[tokio::test(start_paused = true)]
async fn a_plan_is_applied_to_a_running_network_or_refused_as_a_whole() {
    let link = LinkConfig::ideal(Duration::from_millis(50));
    let network = Network::on_tokio(SimulatorConfig::new(1).with_link(link));
    let (alice, bob) = (network.provider("alice"), network.provider("bob"));
    let listener = bob.listen(&protocol()).await.unwrap();
    let connection = alice.connect(bob.local_peer_id(), &protocol()).await.unwrap();
    let _theirs = listener.accept().await.unwrap();
    let bad = Entry::new("x", seconds(0), Fault::Clog, Place::between("alice", "bbo"));
    let error = network.apply(&Plan::new().with(bad).unwrap()).unwrap_err().to_string();
    assert!(error.contains("fault \"x\": peer \"bbo\""), "{error}");
    let cut = Entry::new("cut", seconds(1), Fault::Partition, Place::peer("alice"));
    network.apply(&Plan::new().with(cut).unwrap()).unwrap();
    assert_eq!(connection.closed().await, CloseReason::TimedOut);
}
