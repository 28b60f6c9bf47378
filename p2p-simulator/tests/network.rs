//! What peers meet on the simulated network, through the provider they hold.

use std::time::Duration;

use p2p::{
    CloseReason, ConnectionConfig, P2PConnection, P2PConnectionExt, P2PError, P2PProvider, P2PProviderExt, PeerId,
    ProtocolId, RuntimeExt, Transport,
};
use p2p_simulator::{LinkConfig, Network, Probability, Simulation, SimulatorConfig};

fn protocol() -> ProtocolId {
    "test/1".parse().unwrap()
}

fn ideal() -> LinkConfig {
    LinkConfig::ideal(Duration::from_millis(50))
}

type Pair = (std::sync::Arc<dyn P2PConnection>, std::sync::Arc<dyn P2PConnection>);

async fn connected(network: &Network) -> Pair {
    let (alice, bob) = (network.provider("alice"), network.provider("bob"));
    let listener = bob.listen(&protocol()).await.unwrap();
    let ours = alice.connect(bob.local_peer_id(), &protocol()).await.unwrap();
    (ours, listener.accept().await.unwrap())
}

#[test]
fn a_message_takes_one_latency_and_send_takes_none() {
    Simulation::new(1).with_link(ideal()).run(|network| async move {
        let (ours, theirs) = connected(&network).await;
        let start = network.now();
        for _ in 0..100 {
            ours.send("hello".into()).await.unwrap();
        }
        assert_eq!(network.now(), start, "send waits for nothing");
        for _ in 0..100 {
            theirs.recv().await.unwrap();
        }
        assert_eq!(network.now() - start, Duration::from_millis(50));
    });
}

#[test]
fn the_state_and_stats_tell_path_round_trip_and_loss() {
    Simulation::new(1).with_link(ideal().with_loss(Probability::percent(20))).run(|network| async move {
        let (ours, theirs) = connected(&network).await;
        for _ in 0..100 {
            ours.send(vec![0; 2000].into()).await.unwrap();
            theirs.recv().await.unwrap();
        }
        assert_eq!(ours.state().get().path().unwrap().to_string(), "direct to sim:bob");
        let stats = ours.stats();
        assert_eq!(stats.rtt, Some(Duration::from_millis(100)));
        let loss = stats.loss_ratio().unwrap();
        assert!((0.1..0.3).contains(&loss), "{stats:?}");
    });
}

#[test]
fn a_partition_is_silence_until_the_idle_timeout_of_both_sides() {
    Simulation::new(1).with_link(ideal()).run(|network| async move {
        let (ours, theirs) = connected(&network).await;
        let start = network.now();
        network.partition("alice", "bob");
        ours.send("into the void".into()).await.unwrap();
        assert_eq!(ours.closed().await, CloseReason::TimedOut);
        assert_eq!(theirs.closed().await, CloseReason::TimedOut);
        let silent = network.now() - start;
        // The default idle timeout is 30 s, counted from the last sign of life, at most one keepalive of 5 s old.
        assert!((24..=31).contains(&silent.as_secs()), "{silent:?}");
    });
}

#[test]
fn what_was_sent_during_a_partition_arrives_when_it_heals_in_time() {
    Simulation::new(1).with_link(ideal()).run(|network| async move {
        let (ours, theirs) = connected(&network).await;
        let runtime = network.provider("clock").runtime().clone();
        network.partition("alice", "bob");
        ours.send("patience".into()).await.unwrap();
        runtime.sleep(Duration::from_secs(15)).await;
        assert_eq!(theirs.try_recv().unwrap(), None);
        network.heal("alice", "bob");
        let healed = network.now();
        assert_eq!(theirs.recv().await.unwrap(), "patience");
        assert!(network.now() - healed < Duration::from_secs(3));
    });
}

#[test]
fn a_dial_into_a_partition_ends_at_its_deadline_and_not_before() {
    Simulation::new(1).with_link(ideal()).run(|network| async move {
        let (alice, bob) = (network.provider("alice"), network.provider("bob"));
        let _listener = bob.listen(&protocol()).await.unwrap();
        network.partition_one_way("bob", "alice");
        let start = network.now();
        let error = alice.connect(bob.local_peer_id(), &protocol()).await.unwrap_err();
        assert!(matches!(error, P2PError::Timeout { .. }), "{error}");
        assert_eq!(network.now() - start, ConnectionConfig::default().handshake_timeout);
    });
}

#[test]
fn unknown_peers_failed_dials_and_departed_peers_are_told_apart() {
    Simulation::new(1).with_link(ideal()).run(|network| async move {
        let alice = network.provider("alice");
        let unknown = alice.connect(PeerId::from_name("nobody"), &protocol()).await.unwrap_err();
        assert!(matches!(&unknown, P2PError::PeerNotFound { .. }), "{unknown}");
        let bob = network.provider("bob");
        network.set_link("alice", "bob", ideal().with_dial_failure(Probability::ALWAYS));
        let failed = alice.connect(bob.local_peer_id(), &protocol()).await.unwrap_err();
        assert!(matches!(&failed, P2PError::ConnectionFailed { .. }), "{failed}");
        network.set_link("alice", "bob", ideal());
        bob.shutdown(Duration::ZERO).await;
        let departed = alice.connect(bob.local_peer_id(), &protocol()).await.unwrap_err();
        assert!(departed.chain().contains("nobody answers"), "{}", departed.chain());
    });
}

#[test]
fn bandwidth_bounds_a_bulk_transfer() {
    let link = ideal().with_bandwidth(5_000_000, 256 * 1024);
    Simulation::new(1).with_link(link).run(|network| async move {
        let (ours, theirs) = connected(&network).await;
        let start = network.now();
        let len = 20_000_000;
        let writer = async {
            let mut stream = ours.open_stream().await.unwrap();
            stream.send.write_all(&vec![7; len]).await.unwrap();
            stream.send.finish().unwrap();
            stream.send.delivered().await.unwrap();
        };
        let reader = async { theirs.accept_stream().await.unwrap().recv.read_to_end(len).await.unwrap().len() };
        let ((), read) = tokio::join!(writer, reader);
        assert_eq!(read, len);
        let took = (network.now() - start).as_millis();
        // 4 s of the link's time, and a round trip for the first byte and the last acknowledgement.
        assert!((4000..4400).contains(&took), "{took} ms");
    });
}

#[test]
fn a_hostile_peer_can_be_played_on_a_bare_endpoint() {
    Simulation::new(1).with_link(ideal()).run(|network| async move {
        let bob = network.provider("bob");
        let _listener = bob.listen(&protocol()).await.unwrap();
        let mallory = network.endpoint("mallory");
        let connection = mallory.dial(bob.local_peer_id()).await.unwrap();
        let (mut send, _recv) = connection.open().await.unwrap();
        let mut garbage = [bytes::Bytes::from_static(&[0xff; 64])];
        std::future::poll_fn(|cx| p2p::SendHalf::poll_write(&mut send, cx, &mut garbage)).await.unwrap();
        let closed = connection.closed().await;
        assert!(matches!(closed, p2p::transport::TransportClosed::Peer { .. }), "{closed:?}");
    });
}

#[test]
fn a_new_provider_of_a_name_takes_the_old_ones_place() {
    Simulation::new(1).with_link(ideal()).run(|network| async move {
        let (alice, old) = (network.provider("alice"), network.provider("bob"));
        let _deaf = old.listen(&protocol()).await.unwrap();
        let new = network.provider("bob");
        let listener = new.listen(&protocol()).await.unwrap();
        alice.connect(new.local_peer_id(), &protocol()).await.unwrap();
        assert_eq!(listener.accept().await.unwrap().peer_id(), alice.local_peer_id());
    });
}

#[test]
#[should_panic(expected = "no peer called \"bbo\"")]
fn a_misspelt_name_is_not_a_link_that_nothing_uses() {
    Simulation::new(1).run(|network| async move {
        let _peers = (network.provider("alice"), network.provider("bob"));
        network.partition("alice", "bbo");
    });
}

#[tokio::test(start_paused = true)]
async fn it_works_in_a_test_with_tokios_paused_time() {
    let network = Network::on_tokio(SimulatorConfig::new(1).with_link(ideal()));
    let (ours, theirs) = connected(&network).await;
    let start = tokio::time::Instant::now();
    ours.send("hello".into()).await.unwrap();
    assert_eq!(theirs.recv().await.unwrap(), "hello");
    let took = start.elapsed().as_millis();
    assert!((50..=51).contains(&took), "{took} ms");
    // Tokio's own timers and the network's run on one clock.
    let later = network.provider("alice").runtime().sleep(Duration::from_secs(2));
    tokio::time::sleep(Duration::from_secs(1)).await;
    later.await;
    assert_eq!(start.elapsed().as_secs(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_works_in_real_time_on_several_threads() {
    let link = LinkConfig::ideal(Duration::from_millis(5)).with_loss(Probability::percent(5));
    let network = Network::on_tokio(SimulatorConfig::new(1).with_link(link));
    let (ours, theirs) = connected(&network).await;
    let start = std::time::Instant::now();
    let echo = tokio::spawn(async move {
        while let Ok(message) = theirs.recv().await {
            theirs.send(message).await.unwrap();
        }
    });
    for number in 0..20u32 {
        ours.send_value(&number).await.unwrap();
        assert_eq!(ours.recv_value::<u32>().await.unwrap(), number);
    }
    assert!(start.elapsed() >= 20 * Duration::from_millis(10));
    ours.finish().await.unwrap();
    echo.await.unwrap();
}

// Whoever waits for a timer may be woken by it and yet look at something else first, and then set it anew.
#[test]
fn a_timer_that_fired_unseen_and_is_set_again_wakes_again() {
    Simulation::new(1).run(|network| async move {
        let bob = network.provider("bob");
        let runtime = bob.runtime();
        let second = Duration::from_secs(1);
        let mut timer = runtime.timer();
        timer.reset(Some(runtime.now() + second));
        let mut polls = 0;
        std::future::poll_fn(|cx| {
            polls += 1;
            if polls == 2 {
                timer.reset(Some(runtime.now() + second));
            }
            timer.poll_fired(cx)
        })
        .await;
        assert_eq!((polls, runtime.now() - p2p::Instant::ZERO), (3, 2 * second));
    });
}
