//! What a connection measures of itself, beside what the network is known to be.

use std::time::Duration;

use p2p::{
    ConnectionConfig, P2PConnection, P2PProvider, P2PProviderExt, ProtocolId, Quality, RuntimeExt,
    layer::{LayerExt, ReconnectConfig},
};
use p2p_simulator::{LinkConfig, Probability, Simulation};

#[path = "reconnect/killable.rs"]
#[expect(dead_code, reason = "no dial is broken here")]
mod killable;

use self::killable::Killable;

const SECOND: Duration = Duration::from_secs(1);
const ONE_WAY: Duration = Duration::from_millis(30);

fn protocol() -> ProtocolId {
    "stats/1".parse().unwrap()
}

fn config() -> ConnectionConfig {
    ConnectionConfig::new(protocol()).with_liveness(SECOND, 10 * SECOND)
}

fn within(measured: f64, expected: f64, tolerance: f64) -> bool {
    (measured - expected).abs() <= expected * tolerance
}

#[test]
fn round_trips_bandwidth_and_time_are_those_of_the_network() {
    Simulation::new(1).with_link(LinkConfig::ideal(ONE_WAY)).run(|network| async move {
        let (alice, bob) = (network.provider("alice"), network.provider("bob"));
        let listener = bob.listen(&protocol()).await.unwrap();
        let ours = alice.connect_with(bob.local_peer_id().into(), config()).await.unwrap();
        let theirs = listener.accept().await.unwrap();

        // 50 messages of 1,000 bytes a second, for ten seconds.
        for _ in 0..500 {
            ours.send(vec![0; 1_000].into()).await.unwrap();
            assert_eq!(theirs.recv().await.unwrap().len(), 1_000);
            ours.stats();
            // The one-way trip is part of the 20 ms only on the receiver's clock, so wait for the rest of 50 ms.
            alice.runtime().sleep(Duration::from_millis(20)).await;
        }
        let stats = ours.stats();
        let per_sec = 1_000.0 / 0.05;
        assert!(within(stats.bandwidth.sent_bytes_per_sec as f64, per_sec, 0.05), "{stats:?}");
        assert_eq!(stats.bandwidth.received_bytes_per_sec, 0);
        assert!((SECOND..3 * SECOND).contains(&stats.bandwidth.over), "{stats:?}");
        assert!(within(stats.duration.as_secs_f64(), 25.0, 0.02), "{stats:?}");

        // A keepalive a second.
        assert!((23..=25).contains(&stats.round_trips.count()), "{stats:?}");
        for round_trip in [stats.rtt, stats.round_trips.latest(), stats.round_trips.min()] {
            assert!(within(round_trip.unwrap().as_secs_f64(), 0.06, 0.02), "{stats:?}");
        }
        let around: Vec<_> = stats.round_trips.histogram().filter(|(_, count)| *count > 0).collect();
        assert_eq!(around, [(Some(Duration::from_millis(100)), stats.round_trips.count())], "all above 50 ms");
        assert_eq!(stats.quality(), Some(Quality::Good));

        // Silence shows, and so does the end.
        alice.runtime().sleep(3 * SECOND).await;
        assert_eq!(ours.stats().bandwidth.sent_bytes_per_sec, 0);
        let before = ours.stats().duration;
        ours.finish().await.unwrap();
        alice.runtime().sleep(60 * SECOND).await;
        assert!(ours.stats().duration - before < SECOND);
    });
}

#[test]
fn loss_is_the_links_and_its_ratio_is_live() {
    let link = LinkConfig::ideal(ONE_WAY).with_loss(Probability::percent(5));
    Simulation::new(2).with_link(link).run(|network| async move {
        let (alice, bob) = (network.provider("alice"), network.provider("bob"));
        let listener = bob.listen(&protocol()).await.unwrap();
        let ours = alice.connect_with(bob.local_peer_id().into(), config()).await.unwrap();
        let theirs = listener.accept().await.unwrap();
        let mut ratios = Vec::new();
        for _ in 0..4 {
            for _ in 0..500 {
                ours.send(vec![0; 1_000].into()).await.unwrap();
                theirs.recv().await.unwrap();
            }
            ratios.push(ours.stats().loss_ratio().unwrap());
        }
        assert!(ratios.iter().all(|ratio| within(*ratio, 0.05, 0.5)), "{ratios:?}");
        assert!(within(ratios[3], 0.05, 0.25), "{ratios:?}");
        assert_eq!(ours.stats().quality(), Some(Quality::Poor), "more than 3 % are lost");
    });
}

#[test]
fn a_session_keeps_what_its_earlier_transports_measured() {
    Simulation::new(3).with_link(LinkConfig::ideal(ONE_WAY)).run(|network| async move {
        let links = Killable::new(network.provider("alice"));
        let alice = links.clone().with_reconnect(ReconnectConfig::default()).unwrap();
        let bob = Killable::new(network.provider("bob")).with_reconnect(ReconnectConfig::default()).unwrap();
        let listener = bob.listen(&protocol()).await.unwrap();
        let ours = alice.connect_with(bob.local_peer_id().into(), config()).await.unwrap();
        let theirs = listener.accept().await.unwrap();
        let mut seen = 0;
        for transport in 1..=3_u32 {
            alice.runtime().sleep(5 * SECOND).await;
            ours.send(vec![0; 1_000].into()).await.unwrap();
            theirs.recv().await.unwrap();
            let stats = ours.stats();
            assert!(stats.round_trips.count() >= seen + 3, "transport {transport}: {stats:?}");
            assert!(within(stats.round_trips.min().unwrap().as_secs_f64(), 0.06, 0.02), "{stats:?}");
            assert_eq!(stats.bytes_sent, u64::from(transport) * 1_000);
            assert!(stats.duration >= transport * 5 * SECOND, "a session is as old as its first transport");
            seen = stats.round_trips.count();
            assert_eq!(links.kill(), 1);
        }
    });
}
