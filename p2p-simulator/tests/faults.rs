//! Faults from code: what each does, and that it ends with its guard.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use p2p::{P2PConnection, P2PError, P2PProvider, P2PProviderExt, PeerId, ProtocolId, RuntimeExt};
use p2p_simulator::{Fault, LinkChange, LinkConfig, Network, Place, Probability, Simulation, trace::What};

fn protocol() -> ProtocolId {
    "test/1".parse().unwrap()
}

fn ideal() -> LinkConfig {
    LinkConfig::ideal(Duration::from_millis(50))
}

fn simulation() -> Simulation {
    Simulation::new(1).with_link(ideal())
}

type Pair = (Arc<dyn P2PConnection>, Arc<dyn P2PConnection>);

async fn connected(network: &Network) -> Pair {
    let (alice, bob) = (network.provider("alice"), network.provider("bob"));
    let listener = bob.listen(&protocol()).await.unwrap();
    let ours = alice.connect(bob.local_peer_id(), &protocol()).await.unwrap();
    (ours, listener.accept().await.unwrap())
}

async fn sleep(network: &Network, time: Duration) {
    network.provider("clock").runtime().sleep(time).await;
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_partition_lasts_as_long_as_its_guard_and_overlapping_ones_until_the_last() {
    simulation().run(|network| async move {
        let (ours, theirs) = connected(&network).await;
        let cut = network.inject(Fault::Partition, Place::between("alice", "bob"));
        let alone = network.inject(Fault::Partition, Place::peer("alice"));
        ours.send("hello".into()).await.unwrap();
        sleep(&network, 5 * SECOND).await;
        cut.lift();
        sleep(&network, 5 * SECOND).await;
        assert_eq!(theirs.try_recv().unwrap(), None, "alice is still isolated");
        drop(alone);
        sleep(&network, 3 * SECOND).await;
        assert_eq!(theirs.try_recv().unwrap().unwrap(), "hello");
    });
}

#[test]
fn a_one_way_partition_leaves_the_way_back_open() {
    simulation().run(|network| async move {
        let (ours, theirs) = connected(&network).await;
        let _deaf = network.inject(Fault::Partition, Place::from_to("alice", "bob"));
        ours.send("unheard".into()).await.unwrap();
        theirs.send("heard".into()).await.unwrap();
        assert_eq!(ours.recv().await.unwrap(), "heard");
        sleep(&network, SECOND).await;
        assert_eq!(theirs.try_recv().unwrap(), None);
    });
}

// A datagram tells a clog from a partition: nobody sends it again, and yet it arrives.
#[test]
fn a_clog_delivers_nothing_for_a_time_and_loses_nothing() {
    simulation().run(|network| async move {
        let (ours, theirs) = connected(&network).await;
        let clog = network.inject(Fault::Clog, Place::between("alice", "bob"));
        ours.send_datagram("datagram".into()).unwrap();
        ours.send("message".into()).await.unwrap();
        sleep(&network, 10 * SECOND).await;
        assert_eq!(theirs.try_recv().unwrap(), None);
        drop(clog);
        let freed = network.now();
        assert_eq!(theirs.recv_datagram().await.unwrap(), "datagram");
        assert_eq!(theirs.recv().await.unwrap(), "message");
        assert_eq!(network.now(), freed, "they were there all along");
    });
}

#[test]
fn held_packets_can_be_looked_at_and_released_one_by_one() {
    simulation().run(|network| async move {
        let (ours, theirs) = connected(&network).await;
        let hold = network.hold("alice", "bob");
        for number in 0..3u8 {
            ours.send_datagram(vec![number; 100].into()).unwrap();
        }
        assert!(hold.in_flight().iter().all(|packet| packet.arrives_at.is_some()), "they still travel");
        sleep(&network, SECOND).await;
        let held: Vec<_> = hold.in_flight().into_iter().filter(|packet| packet.what == What::Datagram).collect();
        assert_eq!(held.len(), 3);
        assert!(held.iter().all(|packet| packet.bytes >= 100 && packet.arrives_at.is_none()));
        assert_eq!(hold.release(1), 1);
        assert_eq!(theirs.recv_datagram().await.unwrap()[0], 0);
        assert_eq!(hold.release(100), 2);
        assert_eq!(hold.release(100), 0);
        assert_eq!(theirs.recv_datagram().await.unwrap()[0], 1);
        assert_eq!(network.in_flight("alice", "bob"), []);
    });
}

#[test]
fn dials_fail_or_hang_and_connections_that_are_open_do_not_care() {
    simulation().run(|network| async move {
        let (alice, bob) = (network.provider("alice"), network.provider("bob"));
        let listener = bob.listen(&protocol()).await.unwrap();
        let ours = alice.connect(bob.local_peer_id(), &protocol()).await.unwrap();
        let theirs = listener.accept().await.unwrap();
        let dial = || async { alice.connect(PeerId::from_name("bob"), &protocol()).await };
        let failing = network.inject(Fault::DialFailure(Probability::ALWAYS), Place::from_to("alice", "bob"));
        assert!(matches!(dial().await, Err(P2PError::ConnectionFailed { .. })));
        drop(failing);
        let hanging = network.inject(Fault::DialHang, Place::everywhere());
        assert!(matches!(dial().await, Err(P2PError::Timeout { .. })));
        drop(hanging);
        dial().await.unwrap();
        ours.send("still here".into()).await.unwrap();
        assert_eq!(theirs.recv().await.unwrap(), "still here");
    });
}

#[test]
fn a_slow_peer_is_late_for_messages_and_for_timers() {
    simulation().run(|network| async move {
        let (ours, theirs) = connected(&network).await;
        let slow = network.inject(Fault::Slow(Duration::from_millis(700)), Place::peer("bob"));
        let start = network.now();
        ours.send("hello".into()).await.unwrap();
        theirs.recv().await.unwrap();
        assert_eq!(network.now() - start, Duration::from_millis(750));
        let bob = network.provider("bob").runtime().clone();
        bob.sleep(SECOND).await;
        assert_eq!(network.now() - start, Duration::from_millis(750 + 1700));
        drop(slow);
        bob.sleep(SECOND).await;
        assert_eq!(network.now() - start, Duration::from_millis(750 + 1700 + 1000));
    });
}

#[test]
fn clocks_are_off_on_the_wall_and_drift_with_their_timers() {
    simulation().run(|network| async move {
        let [alice, bob] = ["alice", "bob"].map(|name| network.provider(name).runtime().clone());
        let ahead_by = |time: SystemTime| time.duration_since(bob.wall_time());
        let ahead = network.inject(Fault::ClockAhead(9 * SECOND), Place::peer("alice"));
        assert_eq!(ahead_by(alice.wall_time()).unwrap(), 9 * SECOND);
        assert_eq!(alice.now(), bob.now(), "the clock for timers does not jump");
        drop(ahead);
        let behind = network.inject(Fault::ClockBehind(SECOND), Place::peer("alice"));
        assert!(ahead_by(alice.wall_time()).is_err());
        drop(behind);

        // A clock that gains half as much again, while a timer runs that was set before.
        let (start, shown) = (network.now(), alice.now());
        let sleep = alice.sleep(30 * SECOND);
        let mut sleep = std::pin::pin!(sleep);
        assert!(poll_once(sleep.as_mut()).await.is_none());
        let _fast = network.inject(Fault::ClockDriftPpm(500_000), Place::peer("alice"));
        sleep.await;
        assert_eq!(network.now() - start, 20 * SECOND, "30 s of its own time are 20 s of the network's");
        assert_eq!(alice.now() - shown, 30 * SECOND);
    });
}

/// Polls a future once.
async fn poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

#[test]
fn a_link_is_otherwise_for_a_time_and_then_as_it_was() {
    simulation().run(|network| async move {
        let (ours, theirs) = connected(&network).await;
        let change = LinkChange {
            latency: Some(Duration::from_millis(300).into()),
            mtu_bytes: Some(600),
            ..LinkChange::default()
        };
        let before = ours.limits().datagram_bytes_max;
        let slow = network.inject(Fault::Link(change), Place::from_to("alice", "bob"));
        assert!(ours.limits().datagram_bytes_max < before, "the limit is the one of now");
        let start = network.now();
        ours.send("hello".into()).await.unwrap();
        theirs.recv().await.unwrap();
        assert_eq!(network.now() - start, Duration::from_millis(300));
        drop(slow);
        assert_eq!(network.link("alice", "bob"), ideal());
        assert_eq!(ours.limits().datagram_bytes_max, before);
    });
}

#[test]
fn a_crash_lasts_as_long_as_its_guard() {
    simulation().run(|network| async move {
        let lives = Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = lives.clone();
        network.node("bob", move |node| {
            lives.lock().unwrap().push((node.incarnation(), node.network().now()));
            std::future::pending()
        });
        let crash = network.inject(Fault::Crash, Place::peer("bob"));
        sleep(&network, 7 * SECOND).await;
        drop(crash);
        sleep(&network, SECOND).await;
        let seen: Vec<_> = seen.lock().unwrap().iter().map(|(life, at)| (*life, at.as_nanos())).collect();
        assert_eq!(seen, [(1, 0), (2, 7_000_000_000)]);
    });
}

#[test]
fn a_guard_that_is_kept_leaves_its_fault_and_a_later_peer_meets_it() {
    simulation().run(|network| async move {
        network.inject(Fault::Partition, Place::everywhere()).keep();
        let alice = network.provider("alice");
        let _bob = network.provider("bob");
        let error = alice.connect(PeerId::from_name("bob"), &protocol()).await.unwrap_err();
        assert!(matches!(error, P2PError::Timeout { .. }), "{error}");
    });
}

#[test]
#[should_panic(expected = "the nearest is \"bob\"")]
fn a_misspelt_peer_is_no_fault_that_hits_nobody() {
    simulation().run(|network| async move {
        let _peers = (network.provider("alice"), network.provider("bob"));
        network.inject(Fault::Crash, Place::peer("bbo")).keep();
    });
}

#[test]
#[should_panic(expected = "crash at \"alice -> bob\" is invalid: expected peers")]
fn a_link_cannot_crash() {
    simulation().run(|network| async move {
        let _peers = (network.provider("alice"), network.provider("bob"));
        network.inject(Fault::Crash, Place::from_to("alice", "bob")).keep();
    });
}
