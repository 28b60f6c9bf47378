//! Paths in the course of a connection: double NAT, hairpins, moves, expiry, and what the data sees of it.

use std::time::Duration;

use p2p::{P2PConnection, P2PError, P2PProvider, P2PProviderExt, Path, PeerId, RuntimeExt};
use p2p_simulator::{Fault, Filtering, LinkChange, Nat, Place, Relay, Router, Topology};

use crate::pair::{DIRECT_MAX, LATENCY, Pair, homes, is_relayed, protocol, simulation};

/// Two homes behind operators of their own.
fn double(dialler: [Nat; 2], acceptor: [Nat; 2]) -> Topology {
    Topology::new()
        .with_relay(Relay::new("relay"))
        .with_router(Router::new("operator-1", dialler[1]))
        .with_router(Router::new("home-1", dialler[0]).behind("operator-1").with_peer("dialler"))
        .with_router(Router::new("operator-2", acceptor[1]))
        .with_router(Router::new("home-2", acceptor[0]).behind("operator-2").with_peer("acceptor"))
}

#[test]
fn behind_two_nats_the_stricter_counts() {
    for (dialler, acceptor, direct) in [
        ([Nat::MODERATE, Nat::CGNAT], [Nat::MODERATE, Nat::CGNAT], true),
        ([Nat::MODERATE, Nat::STRICT], [Nat::MODERATE, Nat::CGNAT], false),
        ([Nat::STRICT, Nat::CGNAT], [Nat::MODERATE, Nat::NONE], false),
        ([Nat::OPEN, Nat::STRICT], [Nat::OPEN, Nat::OPEN], true),
    ] {
        simulation(double(dialler, acceptor)).run(move |network| async move {
            let pair = Pair::connect(network).await;
            if direct {
                pair.until(Path::is_direct, DIRECT_MAX).await;
            } else {
                pair.sleep(Duration::from_secs(100)).await;
                assert_eq!(pair.paths(), ["relayed by sim:relay"; 2]);
            }
            pair.echo().await;
        });
    }
}

#[test]
fn peers_of_one_home_meet_inside_it_and_those_of_one_operator_by_its_hairpin() {
    let one_home = Topology::new()
        .with_relay(Relay::new("relay"))
        .with_router(Router::new("home", Nat::STRICT).with_peer("dialler").with_peer("acceptor"));
    let one_operator = |operator| {
        Topology::new()
            .with_relay(Relay::new("relay"))
            .with_router(Router::new("operator", operator))
            .with_router(Router::new("home-1", Nat::MODERATE).behind("operator").with_peer("dialler"))
            .with_router(Router::new("home-2", Nat::MODERATE).behind("operator").with_peer("acceptor"))
    };
    for (topology, direct) in [(one_home, true), (one_operator(Nat::CGNAT), true), (one_operator(Nat::MODERATE), false)]
    {
        simulation(topology).run(move |network| async move {
            let pair = Pair::connect(network).await;
            pair.sleep(DIRECT_MAX).await;
            assert_eq!(pair.ours.state().get().path().unwrap().is_direct(), direct);
        });
    }
}

// A stream runs across both changes of path: every byte arrives once and in order.
#[test]
fn a_stream_survives_the_upgrade_and_the_fallback() {
    simulation(homes(Nat::MODERATE, Nat::MODERATE)).run(|network| async move {
        let pair = Pair::connect(network).await;
        let sent: Vec<u8> = (0..400_000u32).map(|i| (i % 253) as u8).collect();
        let write = async {
            let mut stream = pair.ours.open_stream().await.unwrap();
            for part in sent.chunks(4_000) {
                stream.send.write_all(part).await.unwrap();
                pair.sleep(Duration::from_millis(500)).await;
            }
            stream.send.finish().unwrap();
        };
        let read = async {
            let mut stream = pair.theirs.accept_stream().await.unwrap();
            stream.recv.read_to_end(sent.len()).await.unwrap()
        };
        let faults = async {
            pair.sleep(Duration::from_secs(10)).await;
            assert!(pair.ours.state().get().path().unwrap().is_direct());
            let cut = pair.network.inject(Fault::NatExpiry(Duration::ZERO), Place::peer("dialler"));
            pair.until(is_relayed, Duration::from_secs(25)).await;
            drop(cut);
            pair.until(Path::is_direct, Duration::from_secs(10)).await;
        };
        let ((), received, ()) = tokio::join!(write, read, faults);
        assert!(received == sent);
    });
}

#[test]
fn a_direct_path_is_kept_while_it_is_idle_and_lost_when_its_mapping_is_too_short_lived() {
    let forgetful =
        Nat { udp_timeout: Duration::from_secs(3), udp_stream_timeout: Duration::from_secs(3), ..Nat::MODERATE };
    for (nat, lasts) in [(Nat::MODERATE, true), (forgetful, false)] {
        simulation(homes(nat, Nat::MODERATE)).run(move |network| async move {
            let pair = Pair::connect(network).await;
            pair.until(Path::is_direct, DIRECT_MAX).await;
            // The engine's own signs of life take the same path, so they keep it as well; a mapping of 3 s needs more.
            let mut changes = 0;
            let mut state = pair.ours.state();
            let watching = async {
                loop {
                    state.changed().await.unwrap();
                    changes += 1;
                }
            };
            let _ = pair.dialler.runtime().timeout(Duration::from_secs(300), watching).await;
            assert_eq!(changes == 0, lasts, "{changes} changes");
            pair.echo().await;
        });
    }
}

// Its NAT gave the dialler another port; the acceptor's lets everybody in, so it hears from there and answers there.
#[test]
fn a_peer_whose_nat_forgot_it_is_followed_to_its_new_address() {
    simulation(homes(Nat::MODERATE, Nat::OPEN)).run(|network| async move {
        let pair = Pair::connect(network).await;
        pair.until(Path::is_direct, DIRECT_MAX).await;
        pair.sleep(Duration::from_secs(1)).await;
        pair.network.inject(Fault::NatExpiry(Duration::ZERO), Place::peer("dialler")).lift();
        for _ in 0..60 {
            assert_eq!(pair.echo().await, 2 * LATENCY);
            assert!(pair.ours.state().get().path().unwrap().is_direct());
            pair.sleep(Duration::from_secs(1)).await;
        }
    });
}

#[test]
fn a_peer_that_moves_goes_by_the_relay_at_once_and_direct_again_soon() {
    simulation(homes(Nat::MODERATE, Nat::MODERATE).with_router(Router::new("cafe", Nat::MODERATE))).run(
        |network| async move {
            let pair = Pair::connect(network).await;
            pair.until(Path::is_direct, DIRECT_MAX).await;
            pair.network.put_behind("dialler", Some("cafe"));
            pair.sleep(Duration::from_millis(1)).await;
            assert!(is_relayed(pair.ours.state().get().path().unwrap()));
            pair.echo().await;
            // The acceptor hears of it by the relay.
            pair.until(Path::is_direct, DIRECT_MAX).await;
            assert_eq!(pair.echo().await, 2 * LATENCY);
        },
    );
}

#[test]
fn a_second_connection_uses_the_path_that_the_first_has_found() {
    simulation(homes(Nat::MODERATE, Nat::MODERATE)).run(|network| async move {
        let pair = Pair::connect(network.clone()).await;
        pair.until(Path::is_direct, DIRECT_MAX).await;
        let acceptor = network.provider("acceptor");
        let listener = acceptor.listen(&protocol()).await.unwrap();
        let start = network.now();
        let second = pair.dialler.connect(PeerId::from_name("acceptor"), &protocol()).await.unwrap();
        let accepted = listener.accept().await.unwrap();
        // Dial and handshake: two round trips at 40 ms.
        assert_eq!(network.now() - start, 4 * LATENCY);
        assert!(second.state().get().path().unwrap().is_direct() && accepted.state().get().path().unwrap().is_direct());
    });
}

#[test]
fn a_public_peer_is_reached_directly_from_behind_any_nat_and_needs_a_relay_to_reach_back() {
    let topology = Topology::new().with_router(Router::new("home", Nat::STRICT).with_peer("dialler"));
    simulation(topology).run(|network| async move {
        let (home, public) = (network.provider("dialler"), network.provider("acceptor"));
        let listener = public.listen(&protocol()).await.unwrap();
        let _at_home = home.listen(&protocol()).await.unwrap();
        let ours = home.connect(public.local_peer_id(), &protocol()).await.unwrap();
        let theirs = listener.accept().await.unwrap();
        assert_eq!(ours.state().get().path().unwrap().to_string(), "direct to sim:acceptor");
        assert_eq!(theirs.state().get().path().unwrap().to_string(), "direct to sim:dialler");
        // It is known by the address that the connection came from, so the way back is open.
        public.connect(home.local_peer_id(), &protocol()).await.unwrap();
        ours.close(0.into(), "");
        theirs.close(0.into(), "");
    });
    let topology = Topology::new().with_router(Router::new("home", Nat::STRICT).with_peer("acceptor"));
    simulation(topology).run(|network| async move {
        let (public, home) = (network.provider("dialler"), network.provider("acceptor"));
        let _listener = home.listen(&protocol()).await.unwrap();
        let error = public.connect(home.local_peer_id(), &protocol()).await.unwrap_err();
        assert!(matches!(error, P2PError::Timeout { .. }), "nobody knows where it is: {error}");
    });
}

#[test]
fn a_partition_of_two_peers_is_one_of_their_direct_path_only() {
    simulation(homes(Nat::MODERATE, Nat::MODERATE)).run(|network| async move {
        let pair = Pair::connect(network).await;
        pair.until(Path::is_direct, DIRECT_MAX).await;
        let _cut = pair.network.inject(Fault::Partition, Place::between("dialler", "acceptor"));
        let start = pair.network.now();
        pair.echo().await;
        let took = pair.network.now() - start;
        // What was held up on the direct path goes by the relay once that is given up, after 15 s of silence.
        assert!((14..=22).contains(&took.as_secs()), "{took:?}");
        assert_eq!(pair.paths(), ["relayed by sim:relay"; 2]);
    });
}

#[test]
fn address_dependent_filtering_lets_a_strict_peer_in() {
    let adf = Nat { filtering: Filtering::AddressDependent, ..Nat::OPEN };
    simulation(homes(adf, Nat::STRICT)).run(|network| async move {
        let pair = Pair::connect(network).await;
        pair.until(Path::is_direct, DIRECT_MAX).await;
    });
}

#[test]
fn the_round_trip_is_that_of_the_path() {
    simulation(homes(Nat::MODERATE, Nat::MODERATE)).run(|network| async move {
        let change = LinkChange { mtu_bytes: Some(600), ..LinkChange::default() };
        let _narrow = network.inject(Fault::Link(change), Place::everywhere());
        let pair = Pair::connect(network).await;
        assert_eq!(pair.ours.stats().rtt, Some(4 * LATENCY));
        pair.until(Path::is_direct, DIRECT_MAX).await;
        assert_eq!(pair.ours.stats().rtt, Some(2 * LATENCY));
        assert!(pair.ours.limits().datagram_bytes_max.is_some_and(|max| max <= 600));
    });
}
