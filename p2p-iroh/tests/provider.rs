//! The provider on a real machine: identities, ports, relays, discovery.
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

mod common;

use std::{net::Ipv4Addr, time::Duration};

use common::{TestRelay, bind, connect, exchange, impatient, in_time, listen, loopback, raw::RawPeer, status_where};
use p2p::{P2PError, P2PProvider, Path, PeerAddr};
use p2p_iroh::{Identity, IrohConfig, IrohP2P, RelayServer, TrustRoots};

#[tokio::test]
async fn a_listener_without_relays_is_dialable_at_once_and_directly() {
    let (alice, bob) = (bind(loopback()).await, bind(loopback()).await);
    let listener = listen(&bob).await;
    assert_eq!(listener.local_addr().direct.len(), 1);
    assert!(bob.status().get().is_ready());

    let (ours, theirs) = connect(&alice, &*listener).await;
    exchange(&*ours, &*theirs).await;
    let path = ours.state().get().path().cloned();
    assert!(matches!(path, Some(Path::Direct { .. })), "{path:?}");
    let stats = ours.stats();
    assert!(stats.rtt.is_some() && stats.packets_sent > Some(0), "{stats:?}");
}

#[tokio::test]
async fn an_identity_from_a_file_is_the_one_that_peers_see() {
    let home = tempfile::tempdir().unwrap();
    let identity = Identity::load_or_create(home.path().join("key")).unwrap();
    let (alice, bob) = (bind(loopback().with_identity(identity.clone())).await, bind(loopback()).await);
    let listener = listen(&bob).await;
    let (_ours, theirs) = connect(&alice, &*listener).await;
    assert_eq!(alice.local_peer_id(), identity.peer_id());
    assert_eq!(theirs.peer_id(), identity.peer_id());
}

#[tokio::test]
async fn somebody_else_at_the_address_is_not_the_peer() {
    let (alice, bob) = (bind(loopback()).await, bind(loopback()).await);
    let listener = listen(&bob).await;
    let mallory = Identity::generate().peer_id();
    let wrong = PeerAddr { peer: mallory, ..listener.local_addr() };
    let error = in_time(alice.connect_with(wrong, impatient())).await.unwrap_err();
    assert!(matches!(error, P2PError::AuthenticationFailed { expected, .. } if expected == mallory), "{error:?}");
}

#[tokio::test]
async fn a_peer_of_whom_nothing_is_known_is_not_found() {
    let alice = bind(loopback()).await;
    for nobody in [Identity::generate().peer_id(), p2p::PeerId::from_bytes([2; 32])] {
        let error = in_time(alice.connect_with(nobody.into(), impatient())).await.unwrap_err();
        assert!(matches!(error, P2PError::PeerNotFound { .. }), "{error:?}");
        assert_eq!(alice.peer_info(nobody), None);
    }
}

#[tokio::test]
async fn an_address_where_nobody_is_ends_at_the_deadline() {
    let alice = bind(loopback()).await;
    // A port that is bound and never answers.
    let deaf = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = PeerAddr::new(Identity::generate().peer_id()).with_direct(deaf.local_addr().unwrap());
    let error = in_time(alice.connect_with(addr, impatient())).await.unwrap_err();
    assert!(matches!(error, P2PError::Timeout { .. } | P2PError::PeerNotFound { .. }), "{error:?}");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_peer_that_speaks_something_else_over_iroh_is_told_apart() {
    let (alice, raw) = (bind(loopback()).await, RawPeer::bind().await);
    raw.0.set_alpns(vec![b"something/1".to_vec()]);
    raw.hold_all();
    let error = in_time(alice.connect_with(raw.addr(), impatient())).await.unwrap_err();
    assert!(matches!(error, P2PError::Protocol { .. }), "{error:?}");
}

#[tokio::test]
async fn a_port_in_use_is_named_with_what_to_do() {
    let taken = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = IrohP2P::bind(IrohConfig::default().with_port(port)).await.unwrap_err();
    let text = error.chain();
    assert!(matches!(error, P2PError::Network { .. }), "{error:?}");
    assert!(text.contains(&port.to_string()) && text.contains("choose another port"), "{text}");
}

#[tokio::test]
async fn a_port_is_free_again_after_a_shutdown() {
    // Provider and listener are still there. Only a connection's handle would keep the socket.
    let (first, other) = (bind(loopback()).await, bind(loopback()).await);
    let listener = listen(&first).await;
    drop(connect(&other, &*listener).await);
    let addr = *first.status().get().addr.direct.first().unwrap();
    first.shutdown(Duration::from_secs(1)).await;
    assert!(first.status().get().shut_down);
    let again = in_time(async {
        loop {
            // What still runs of the first lets go as soon as it is polled.
            match IrohP2P::bind(loopback().with_bind([addr])).await {
                Ok(again) => return again,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    assert_eq!(again.await.status().get().addr.direct.first(), Some(&addr));
}

#[tokio::test]
async fn a_bootstrap_peer_is_dialled_by_its_identity_alone() {
    let bob = bind(loopback()).await;
    let listener = listen(&bob).await;
    let alice = bind(loopback().with_bootstrap([listener.local_addr()])).await;
    assert_eq!(alice.peer_info(bob.local_peer_id()).unwrap().addr, listener.local_addr());

    let dial = alice.connect_with(bob.local_peer_id().into(), impatient());
    let (ours, _theirs) = in_time(async { tokio::try_join!(dial, listener.accept()) }).await.unwrap();
    let info = alice.peer_info(bob.local_peer_id()).unwrap();
    assert_eq!(info.connections, 1);
    assert!(info.notes["path"].starts_with("direct to"), "{info:?}");
    ours.close(0.into(), "");
}

#[tokio::test]
async fn peers_with_no_path_but_a_relay_meet_there() {
    let relay = TestRelay::start().await;
    let alice = bind(relay.config().with_relay_only(true)).await;
    let bob = bind(relay.config().with_relay_only(true)).await;
    let listener = listen(&bob).await;
    let url = relay.relay().url();
    assert_eq!(listener.local_addr().relays.first(), Some(&url));
    assert!(listener.local_addr().direct.is_empty());

    let (ours, theirs) = connect(&alice, &*listener).await;
    exchange(&*ours, &*theirs).await;
    assert_eq!(ours.state().get().path(), Some(&Path::Relayed { relay: url.into() }));
    assert!(bob.status().get().is_ready());
}

#[tokio::test]
async fn a_peers_relay_is_used_without_being_configured() {
    let relay = TestRelay::start_open().await;
    let bob = bind(relay.config().with_relay_only(true)).await;
    let listener = listen(&bob).await;
    let alice = bind(loopback().with_trust(relay.trust())).await;
    let (ours, theirs) = connect(&alice, &*listener).await;
    exchange(&*ours, &*theirs).await;
    assert!(matches!(ours.state().get().path(), Some(Path::Relayed { .. })));
}

#[tokio::test]
async fn an_external_address_is_told_to_peers() {
    let external = "192.0.2.7:8800".parse().unwrap();
    let bob = bind(loopback().with_external_addr(external)).await;
    assert!(bob.status().get().addr.direct.contains(&external));
}

#[tokio::test]
async fn peers_of_one_relay_find_the_direct_path() {
    let relay = TestRelay::start().await;
    let (alice, bob) = (bind(relay.config()).await, bind(relay.config()).await);
    let listener = listen(&bob).await;
    let relayed = PeerAddr { direct: Default::default(), ..listener.local_addr() };
    let dial = alice.connect_with(relayed, p2p::ConnectionConfig::new(common::protocol()));
    let (ours, theirs) = in_time(async { tokio::try_join!(dial, listener.accept()) }).await.unwrap();
    let direct = |state: &p2p::ConnectionState| state.path().is_some_and(Path::is_direct);
    in_time(ours.state().wait_for(direct)).await.unwrap();
    exchange(&*ours, &*theirs).await;
}

#[tokio::test]
async fn a_relay_that_refuses_the_token_says_so_and_the_listener_is_there_all_the_same() {
    let relay = TestRelay::start().await;
    let bob = bind(relay.config().with_relays([relay.relay().with_token("wrong")])).await;
    let check = status_where(&bob, |status| {
        let mut problems = status.checks.iter().filter_map(|check| check.problem.as_deref());
        problems.any(|problem| problem == "it refused the token: unknown token")
    });
    check.await;
    let listen = p2p::ListenConfig { ready_timeout: Duration::from_millis(10), ..Default::default() };
    let listener = bob.listen_with(listen).await.unwrap();
    assert!(!listener.local_addr().direct.is_empty());
    assert!(!bob.status().get().is_ready());
}

#[tokio::test]
async fn a_relay_under_another_authority_is_not_trusted() {
    let (relay, other) = (TestRelay::start().await, TestRelay::start().await);
    let bob = bind(relay.config().with_trust(other.trust())).await;
    let listener = bob.listen_with(p2p::ListenConfig { ready_timeout: Duration::from_secs(3), ..Default::default() });
    let _listener = listener.await.unwrap();
    let status = bob.status().get();
    assert!(!status.is_ready(), "{status:#?}");
}

#[tokio::test]
async fn a_setting_that_cannot_be_used_is_no_endpoint() {
    let relay = RelayServer::new("relay.example").unwrap();
    let config = loopback().with_relays([relay]).with_trust(TrustRoots::none());
    assert!(matches!(IrohP2P::bind(config).await, Err(P2PError::InvalidInput { .. })));
}

#[tokio::test]
async fn peers_on_one_network_find_each_other_by_identity() {
    if !has_multicast() {
        eprintln!("skipped: no interface of this machine carries multicast, which mDNS stands on");
        return;
    }
    let config = || IrohConfig::default().with_lan_discovery(true);
    let (alice, bob) = (bind(config()).await, bind(config()).await);
    let listener = listen(&bob).await;
    let dial = alice.connect_with(bob.local_peer_id().into(), p2p::ConnectionConfig::new(common::protocol()));
    let (ours, theirs) = in_time(async { tokio::try_join!(dial, listener.accept()) }).await.unwrap();
    exchange(&*ours, &*theirs).await;
}

/// Whether a packet to mDNS's group comes back to this machine.
fn has_multicast() -> bool {
    const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
    let comes_back = || -> std::io::Result<usize> {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.join_multicast_v4(&GROUP, &Ipv4Addr::UNSPECIFIED)?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        socket.send_to(b"?", (GROUP, socket.local_addr()?.port()))?;
        socket.recv(&mut [0])
    };
    comes_back().is_ok()
}

#[tokio::test]
async fn a_dropped_provider_lets_its_peers_know() {
    let (alice, bob) = (bind(loopback()).await, bind(loopback()).await);
    let listener = listen(&bob).await;
    let (ours, theirs) = connect(&alice, &*listener).await;
    exchange(&*ours, &*theirs).await;
    drop(alice);
    // Well before any timeout, which would take 15 s at least.
    tokio::time::timeout(Duration::from_secs(5), theirs.closed()).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), ours.closed()).await.unwrap();
}
