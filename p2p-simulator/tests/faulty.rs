//! A plan's faults on a provider that knows nothing of them: in-memory connections, in tokio's paused time.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use p2p::{
    CloseReason, P2PConnection, P2PError, P2PProvider, P2PProviderExt, PeerId, ProtocolId, RuntimeExt,
    conformance::{Harness, Kind, PROPERTIES, Verdict},
    memory::{MemoryNetwork, MemoryP2P},
};
use p2p_simulator::{Faulty, LinkConfig, Network, Plan, Simulation, Swarm, Weather};

const SECOND: Duration = Duration::from_secs(1);

fn protocol() -> ProtocolId {
    "faulty-test/1".parse().unwrap()
}

fn plan(at: &str, until: &str, what: &str, place: &str) -> Plan {
    format!("[[fault]]\nid = 'it'\nat = '{at}'\nuntil = '{until}'\nwhat = {what}\nwhere = '{place}'").parse().unwrap()
}

fn weather(plan: &Plan, seed: u64, provider: &MemoryP2P) -> p2p::Result<Weather> {
    let peers = ["alice", "bob", "carol"].map(|name| (name, PeerId::from_name(name)));
    Weather::new(seed, plan, peers, provider.runtime().clone())
}

async fn providers(plan: &Plan, seed: u64) -> (Arc<Faulty<MemoryP2P>>, Arc<Faulty<MemoryP2P>>) {
    let network = MemoryNetwork::new();
    let (alice, bob) = (network.provider("alice"), network.provider("bob"));
    let weather = weather(plan, seed, &alice).unwrap();
    (Arc::new(Faulty::new(alice, &weather).await.unwrap()), Arc::new(Faulty::new(bob, &weather).await.unwrap()))
}

type Pair = (Arc<dyn P2PConnection>, Arc<dyn P2PConnection>);

struct Connected {
    alice: Arc<Faulty<MemoryP2P>>,
    _bob: Arc<Faulty<MemoryP2P>>,
    pair: Pair,
}

async fn connected(plan: &Plan) -> Connected {
    let (alice, bob) = providers(plan, 1).await;
    let listener = bob.listen(&protocol()).await.unwrap();
    let ours = alice.connect(bob.local_peer_id(), &protocol()).await.unwrap();
    let pair = (ours, listener.accept().await.unwrap());
    Connected { alice, _bob: bob, pair }
}

/// What a dial in such weather comes to, and after how long.
async fn dial(what: &str, place: &str) -> (p2p::Result<Arc<dyn P2PConnection>>, Duration) {
    let (alice, bob) = providers(&plan("0s", "5s", what, place), 1).await;
    let _listener = bob.listen(&protocol()).await.unwrap();
    let start = alice.runtime().now();
    let dialled = alice.connect(bob.local_peer_id(), &protocol()).await;
    (dialled, alice.runtime().now() - start)
}

struct Stormy {
    plan: Plan,
    seed: u64,
}

#[async_trait]
impl Harness for Stormy {
    async fn providers(&self) -> (Arc<dyn P2PProvider>, Arc<dyn P2PProvider>) {
        let (alice, bob) = providers(&self.plan, self.seed).await;
        (alice, bob)
    }

    fn settle(&self) -> Duration {
        6 * SECOND
    }

    fn deadline(&self) -> Duration {
        600 * SECOND
    }
}

mod calm {
    use super::{Plan, Stormy};

    p2p::conformance_tests!(
        #[tokio::test(start_paused = true)]
        Stormy { plan: Plan::new(), seed: 1 }
    );
}

const SEEDS: u64 = 10;

/// Over a simulated network without faults of its own, so that thousands of seconds pass in one.
struct StormOverNetwork {
    network: Network,
    plan: Plan,
}

#[async_trait]
impl Harness for StormOverNetwork {
    async fn providers(&self) -> (Arc<dyn P2PProvider>, Arc<dyn P2PProvider>) {
        let (alice, bob) = (self.network.provider("alice"), self.network.provider("bob"));
        let peers = [("alice", alice.local_peer_id()), ("bob", bob.local_peer_id())];
        let weather = Weather::new(self.network.seed(), &self.plan, peers, alice.runtime().clone()).unwrap();
        (Arc::new(Faulty::new(alice, &weather).await.unwrap()), Arc::new(Faulty::new(bob, &weather).await.unwrap()))
    }

    fn settle(&self) -> Duration {
        6 * SECOND
    }

    fn deadline(&self) -> Duration {
        600 * SECOND
    }
}

#[test]
fn safety_properties_hold_in_any_weather() {
    let not_borne =
        ["slow", "clock-ahead", "clock-drift", "crash", "relay-down", "nat-expiry", "loss", "latency", "bandwidth"];
    let swarm = Swarm::new(["alice", "bob"]).without(not_borne);
    let (mut held, mut cut_short) = (0, 0);
    for property in PROPERTIES.iter().filter(|property| property.kind == Kind::Safety) {
        for seed in 0..SEEDS {
            let plan = swarm.plan(seed);
            let link = LinkConfig::ideal(Duration::from_millis(5));
            let run = Simulation::new(seed)
                .with_link(link)
                .run(|network| async move { property.run(&StormOverNetwork { network, plan }).await });
            match run.output {
                Verdict::CutShort(_) => cut_short += 1,
                _ => held += 1,
            }
        }
    }
    assert!(cut_short > 0 && held > cut_short, "{held} held, {cut_short} were cut short");
}

#[tokio::test(start_paused = true)]
async fn a_partition_and_a_clog_hold_up_what_arrives_and_only_the_first_drops_datagrams() {
    for (what, datagram_arrives) in [("'partition'", false), ("'clog'", true)] {
        let Connected { alice, pair: (ours, theirs), .. } = connected(&plan("1s", "9s", what, "alice -> bob")).await;
        let start = alice.runtime().now();
        alice.runtime().sleep(2 * SECOND).await;
        ours.send("late".into()).await.unwrap();
        ours.send_datagram("perhaps".into()).unwrap();
        theirs.send("the way back is open".into()).await.unwrap();
        ours.recv().await.unwrap();
        assert_eq!(alice.runtime().now() - start, 2 * SECOND);
        assert_eq!(theirs.recv().await.unwrap(), "late");
        let took = alice.runtime().now() - start;
        assert!((9 * SECOND..10 * SECOND).contains(&took), "{what}: {took:?}");
        let datagram = alice.runtime().timeout(SECOND, theirs.recv_datagram()).await;
        assert_eq!(datagram.is_ok(), datagram_arrives, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_lasts_is_silence_until_the_idle_timeout() {
    let Connected { alice, pair: (ours, theirs), .. } = connected(&plan("1s", "200s", "'partition'", "alice")).await;
    alice.runtime().sleep(2 * SECOND).await;
    // Nor is the word that one side has closed heard by the other.
    ours.close(7.into(), "");
    assert_eq!(theirs.closed().await, CloseReason::TimedOut);
    assert!(alice.runtime().now().as_nanos() > 25 * 1_000_000_000);
}

#[tokio::test(start_paused = true)]
async fn latency_is_added_to_each_arrival_and_is_no_pipe_of_one() {
    let bad = plan("0s", "100s", "{ link = { latency = '300ms', loss = 0.5 } }", "alice -> bob");
    let Connected { alice, pair: (ours, theirs), .. } = connected(&bad).await;
    let start = alice.runtime().now();
    for number in 0..100u8 {
        ours.send(vec![number; 10_000].into()).await.unwrap();
        ours.send_datagram(vec![number].into()).unwrap();
    }
    for number in 0..100u8 {
        assert_eq!(theirs.recv().await.unwrap()[..], vec![number; 10_000]);
    }
    let took = alice.runtime().now() - start;
    assert!((300..330).contains(&took.as_millis()), "{took:?}");
    let mut arrived = 0;
    while alice.runtime().timeout(SECOND, theirs.recv_datagram()).await.is_ok() {
        arrived += 1;
    }
    assert!((25..75).contains(&arrived), "{arrived} of 100 datagrams");
}

#[tokio::test(start_paused = true)]
async fn a_kill_breaks_both_ends_once() {
    let Connected { alice, pair: (ours, theirs), _bob } =
        connected(&plan("3s", "4s", "'connection-kill'", "alice")).await;
    for end in [&ours, &theirs] {
        assert!(matches!(end.closed().await, CloseReason::Lost { .. }), "{:?}", end.close_reason());
    }
    assert_eq!(alice.runtime().now().as_nanos() / 1_000_000_000, 3);
    let listener = _bob.listen(&protocol()).await.unwrap();
    alice.connect(_bob.local_peer_id(), &protocol()).await.unwrap();
    listener.accept().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn dials_fail_hang_wait_and_find_somebody_else() {
    let (dialled, took) = dial("{ dial-failure = 1 }", "alice -> bob").await;
    assert!(matches!(dialled, Err(P2PError::ConnectionFailed { .. })) && took.is_zero());
    dial("{ dial-failure = 1 }", "bob -> alice").await.0.unwrap();
    for what in ["'dial-hang'", "'stale-record'"] {
        let (dialled, took) = dial(what, "alice -> bob").await;
        assert!(matches!(dialled, Err(P2PError::Timeout { .. })), "{what}: {dialled:?}");
        assert_eq!(took, 10 * SECOND, "a dial that began in it does not notice its end");
    }
    let (dialled, took) = dial("{ slow-lookup = '3s' }", "*").await;
    dialled.unwrap();
    assert_eq!(took.as_secs(), 3);
    let (dialled, _) = dial("{ wrong-record = 'carol' }", "alice -> bob").await;
    assert!(matches!(dialled, Err(P2PError::AuthenticationFailed { .. })), "{dialled:?}");
    let (dialled, took) = dial("'no-file-descriptors'", "alice").await;
    assert!(dialled.is_err() && took.is_zero());
    let (dialled, took) = dial("'no-file-descriptors'", "bob").await;
    dialled.unwrap();
    assert_eq!(took.as_secs(), 5, "it waits to be taken");
}

#[tokio::test]
async fn a_plan_that_no_provider_can_bear_is_refused_when_it_is_loaded() {
    let alice = MemoryNetwork::new().provider("alice");
    for (what, place, expected) in [
        (
            "'crash'",
            "alice",
            "fault \"it\": crash on a provider that is no simulator is invalid: expected one of partition",
        ),
        ("{ slow = '1s' }", "alice", "slow = "),
        ("{ clock-drift-ppm = 5 }", "alice", "clock-drift-ppm = 5"),
        ("{ nat-expiry = '0s' }", "alice", "nat-expiry"),
        ("{ link = { loss = 0.1, corruption = 0.1 } }", "alice", "only latency, jitter and loss"),
        ("'clog'", "alice -> bbo", "the nearest is \"bob\""),
        ("'relay-down'", "alice", "a known relay"),
    ] {
        let error = weather(&plan("1s", "2s", what, place), 1, &alice).unwrap_err().to_string();
        assert!(error.contains(expected), "{error} lacks {expected}");
    }
}
