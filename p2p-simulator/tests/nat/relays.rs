//! Relays: which one it is, what it takes, and what happens when it is gone.

use std::time::Duration;

use p2p::{P2PConnection, P2PError, P2PProvider, P2PProviderExt, Path, RuntimeExt};
use p2p_simulator::{Fault, LinkConfig, Nat, Network, Place, Probability, Relay, Router, Simulation, Topology};

use crate::pair::{DIRECT_MAX, LATENCY, Pair, homes, path_of, protocol, simulation};

fn two_relays() -> Topology {
    homes(Nat::STRICT, Nat::STRICT).with_relay(Relay::new("near"))
}

fn bring_near(network: &Network) {
    for peer in ["dialler", "acceptor"] {
        let _ = network.provider(peer);
        network.set_link(peer, "near", LinkConfig::ideal(LATENCY / 2));
    }
}

#[test]
fn a_peer_is_at_home_at_the_nearest_relay() {
    simulation(two_relays()).run(|network| async move {
        bring_near(&network);
        let pair = Pair::connect(network).await;
        assert_eq!(pair.paths(), ["relayed by sim:near"; 2]);
    });
}

#[test]
fn without_its_relay_a_relayed_connection_waits_and_a_direct_one_does_not_notice() {
    for (nat, waits) in [(Nat::STRICT, true), (Nat::MODERATE, false)] {
        simulation(homes(nat, nat)).run(move |network| async move {
            let pair = Pair::connect(network).await;
            pair.sleep(DIRECT_MAX).await;
            let down = pair.network.inject(Fault::RelayDown, Place::peer("relay"));
            let back = async {
                pair.sleep(Duration::from_secs(12)).await;
                drop(down);
            };
            let (took, ()) = tokio::join!(pair.echo(), back);
            assert_eq!(took >= Duration::from_secs(12), waits, "{took:?}");
            assert!(took < Duration::from_secs(16));
        });
    }
}

#[test]
fn a_relay_that_stays_away_is_left_for_the_next_after_thirty_seconds() {
    simulation(two_relays()).run(|network| async move {
        bring_near(&network);
        let pair = Pair::connect(network.clone()).await;
        network.inject(Fault::RelayDown, Place::peer("near")).keep();
        let error = pair.dialler.connect(pair.ours.peer_id(), &protocol()).await.unwrap_err();
        assert!(matches!(error, P2PError::Timeout { .. }), "{error}");
        pair.sleep(Duration::from_secs(30)).await;
        assert!(pair.ours.close_reason().is_some(), "a connection does not change its relay");
        let second = Pair::connect(network).await;
        assert_eq!(second.paths(), ["relayed by sim:relay"; 2]);
    });
}

#[test]
fn a_relay_turns_away_the_client_that_is_one_too_many_and_takes_it_when_another_is_gone() {
    let relay = Relay { clients_max: 2, ..Relay::new("relay") };
    let homes = ["dialler", "acceptor", "third"].into_iter().fold(Topology::new().with_relay(relay), |all, peer| {
        all.with_router(Router::new(format!("home-{peer}"), Nat::STRICT).with_peer(peer))
    });
    simulation(homes).run(|network| async move {
        let pair = Pair::connect(network.clone()).await;
        let third = network.provider("third");
        let error = third.connect(pair.ours.peer_id(), &protocol()).await.unwrap_err();
        assert!(matches!(error, P2PError::Timeout { .. }), "{error}");
        network.crash("dialler");
        pair.theirs.close(0.into(), "");
        drop(pair);
        third.runtime().sleep(Duration::from_secs(5)).await;
        let acceptor = network.provider("acceptor");
        let _listener = acceptor.listen(&protocol()).await.unwrap();
        let connection = third.connect(acceptor.local_peer_id(), &protocol()).await.unwrap();
        assert_eq!(path_of(&connection), "relayed by sim:relay");
    });
}

#[test]
fn a_relay_takes_no_more_than_its_bound_and_the_sender_waits() {
    let relay = Relay { bytes_per_second: Some(100_000), ..Relay::new("relay") };
    let topology = Topology { relays: vec![relay], ..homes(Nat::STRICT, Nat::STRICT) };
    simulation(topology).run(|network| async move {
        let pair = Pair::connect(network).await;
        let len = 1_000_000;
        let start = pair.network.now();
        let write = async {
            let mut stream = pair.ours.open_stream().await.unwrap();
            stream.send.write_all(&vec![7; len]).await.unwrap();
            stream.send.finish().unwrap();
        };
        let read = async { pair.theirs.accept_stream().await.unwrap().recv.read_to_end(len).await.unwrap().len() };
        assert_eq!(tokio::join!(write, read).1, len);
        let took = (pair.network.now() - start).as_secs_f64();
        assert!((10.0..10.5).contains(&took), "{took} s");
    });
}

// The way to a relay is one TCP connection: it loses nothing, so even datagrams arrive; and all of them in order.
#[test]
fn on_the_way_by_a_relay_loss_is_delay_for_everything() {
    let link = LinkConfig::ideal(LATENCY).with_loss(Probability::percent(20));
    Simulation::new(3).with_link(link).with_topology(homes(Nat::STRICT, Nat::STRICT)).run(|network| async move {
        let pair = Pair::connect(network).await;
        for number in 0..200u32 {
            pair.ours.send_datagram(number.to_le_bytes().to_vec().into()).unwrap();
        }
        for number in 0..200u32 {
            assert_eq!(*pair.theirs.recv_datagram().await.unwrap(), number.to_le_bytes());
        }
        assert!(pair.ours.stats().loss_ratio().unwrap() > 0.1);
    });
}

#[test]
fn what_does_not_fit_in_front_of_the_receiver_the_relay_drops_and_streams_recover() {
    simulation(homes(Nat::STRICT, Nat::STRICT)).run(|network| async move {
        let pair = Pair::connect(network.clone()).await;
        network.set_link("relay", "acceptor", LinkConfig::ideal(LATENCY).with_bandwidth(50_000, 8_000));
        for number in 0..100u8 {
            pair.ours.send_datagram(vec![number; 1000].into()).unwrap();
        }
        pair.ours.send(vec![9; 60_000].into()).await.unwrap();
        assert_eq!(pair.theirs.recv().await.unwrap().len(), 60_000);
        let mut arrived = 0;
        let wait = Duration::from_secs(5);
        while pair.dialler.runtime().timeout(wait, pair.theirs.recv_datagram()).await.is_ok() {
            arrived += 1;
        }
        assert!((1..50).contains(&arrived), "{arrived} of 100 datagrams");
    });
}

#[test]
fn many_peers_meet_at_one_relay_and_all_become_direct() {
    let peers: Vec<String> = (0..20).map(|number| format!("peer-{number}")).collect();
    let topology = peers.iter().fold(Topology::new().with_relay(Relay::new("relay")), |all, peer| {
        all.with_router(Router::new(format!("home-{peer}"), Nat::MODERATE).with_peer(peer))
    });
    simulation(topology).run(|network| async move {
        let providers: Vec<_> = peers.iter().map(|peer| network.provider(peer)).collect();
        let mut held = Vec::new();
        for (number, dialler) in providers.iter().enumerate() {
            for acceptor in &providers[number + 1..] {
                let listener = acceptor.listen(&protocol()).await.unwrap();
                let ours = dialler.connect(acceptor.local_peer_id(), &protocol()).await.unwrap();
                held.push((ours, listener.accept().await.unwrap()));
            }
        }
        providers[0].runtime().sleep(DIRECT_MAX).await;
        for (ours, theirs) in &held {
            assert!([ours, theirs].iter().all(|end| end.state().get().path().is_some_and(Path::is_direct)));
        }
        assert_eq!(held.len(), 190);
    });
}
