//! More of everything than anybody needs, against a real endpoint, and an honest peer that is served meanwhile.

mod common;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use common::{RawPeer, TestRelay, bind, connect, exchange, hostile, impatient, in_time, listen, loopback, protocol};
use iroh::endpoint::{Connection, ConnectionError};
use p2p::{ConnectionConfig, P2PError, P2PListener, P2PProvider, PeerAddr, PeerId, RefusalCode, protocol::close};
use p2p_iroh::{AccessList, Identity, IrohConfig, IrohLimits, IrohP2P};
use tokio::net::UdpSocket;

fn limited(limits: IrohLimits) -> IrohConfig {
    loopback().with_limits(limits)
}

fn limits() -> IrohLimits {
    IrohLimits::default()
}

async fn is_served(victim: &IrohP2P, listener: &dyn P2PListener) {
    let honest = bind(loopback()).await;
    let served = async {
        let (ours, theirs) = connect(&honest, listener).await;
        exchange(&*ours, &*theirs).await;
    };
    // Less than the 10 s that a handshake may take: nobody waited for a hostile one.
    tokio::time::timeout(Duration::from_secs(8), served).await.expect("an honest peer is served");
    drop(victim.status());
}

fn refusal(result: p2p::Result<impl Sized>) -> RefusalCode {
    match result.map(drop).unwrap_err() {
        P2PError::Refused { refusal, .. } => refusal.code,
        other => panic!("{other:?}"),
    }
}

/// First packets of that many handshakes, as iroh sends them to `to`, and never anything more. What answers, goes to the
/// sockets that are returned.
async fn half_open(count: usize, from: Ipv4Addr, to: SocketAddr) -> Vec<UdpSocket> {
    let sink = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let nobody = PeerAddr::new(Identity::generate().peer_id()).with_direct(sink.local_addr().unwrap());
    let raw = Arc::new(RawPeer::bind().await);
    let dials: Vec<_> = (0..count)
        .map(|_| {
            let (raw, nobody) = (raw.clone(), nobody.clone());
            tokio::spawn(async move { raw.try_dial(&nobody).await.is_ok() })
        })
        .collect();
    let mut packets = std::collections::BTreeMap::new();
    let mut buffer = [0; 2048];
    while packets.len() < count {
        let length = in_time(sink.recv(&mut buffer)).await.unwrap();
        let packet = &buffer[..length];
        // A long header, and in it the connection's id as the dialler made it up (RFC 9000 §17.2): one for each dial.
        if packet[0] & 0xf0 == 0xc0 {
            let id = packet[6..6 + usize::from(packet[5])].to_vec();
            packets.entry(id).or_insert_with(|| packet.to_vec());
        }
    }
    dials.iter().for_each(|dial| dial.abort());
    let mut sockets = Vec::new();
    for packet in packets.values() {
        let socket = UdpSocket::bind((from, 0)).await.unwrap();
        socket.send_to(packet, to).await.unwrap();
        sockets.push(socket);
    }
    sockets
}

/// The one address that a provider on loopback has.
fn direct(addr: &PeerAddr) -> SocketAddr {
    *addr.direct.first().unwrap()
}

// One address has an eighth of the places, as many as it may try; whoever comes from another one finds the rest.
#[tokio::test]
#[cfg(target_os = "linux")]
async fn handshakes_that_never_go_on_take_no_more_than_their_address_may() {
    let victim = bind(limited(limits().with_handshakes_max(64, 8))).await;
    let listener = listen(&victim).await;
    let sockets = half_open(40, Ipv4Addr::new(127, 0, 0, 2), direct(&listener.local_addr())).await;
    // Each got an answer: eight the server's half of a handshake, the others a word that it is full.
    let mut answers = Vec::new();
    for socket in &sockets {
        let mut buffer = [0; 2048];
        answers.push(in_time(socket.recv(&mut buffer)).await.unwrap());
    }
    let refused = answers.iter().filter(|length| **length < 1200).count();
    assert_eq!(refused, 32, "{answers:?}");
    is_served(&victim, &*listener).await;
}

// From many addresses. At half of the places whoever comes has to prove its address, which these cannot: they do not read
// what they are sent. So half of the places stay free for those who do.
#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_flood_from_forged_addresses_leaves_half_of_the_places() {
    let victim = bind(limited(limits().with_handshakes_max(16, 4))).await;
    let listener = listen(&victim).await;
    let to = direct(&listener.local_addr());
    let mut sockets = Vec::new();
    for last in 2..10 {
        sockets.extend(half_open(4, Ipv4Addr::new(127, 0, 0, last), to).await);
    }
    let mut retries = 0;
    for socket in &sockets {
        let mut buffer = [0; 2048];
        let length = in_time(socket.recv(&mut buffer)).await.unwrap();
        // A Retry packet (RFC 9000 §17.2.5).
        retries += usize::from(length > 0 && buffer[0] & 0xf0 == 0xf0);
    }
    assert_eq!(retries, 24, "of 32, 8 were taken at once");
    is_served(&victim, &*listener).await;
}

#[tokio::test]
async fn connections_beyond_the_bound_are_refused_and_room_comes_back() {
    let victim = bind(limited(limits().with_connections_max(2))).await;
    let listener = listen(&victim).await;
    let (alice, bob, carol) = tokio::join!(bind(loopback()), bind(loopback()), bind(loopback()));
    let (ours, _theirs) = connect(&alice, &*listener).await;
    let _second = connect(&bob, &*listener).await;
    let config = || ConnectionConfig::new(protocol());
    let third = in_time(carol.connect_with(listener.local_addr(), config())).await;
    assert_eq!(refusal(third), RefusalCode::Busy);
    let limit = in_time(victim.connect_with(carol.status().get().addr, config())).await.unwrap_err();
    assert!(matches!(limit, P2PError::LimitReached { what: "connections", limit: 2 }), "{limit:?}");

    ours.close(0.into(), "");
    in_time(_theirs.closed()).await;
    drop((ours, _theirs));
    in_time(async {
        // The place is free when the engine has let go of the connection as well, a moment later.
        loop {
            let dial = carol.connect_with(listener.local_addr(), config());
            if let Ok((ours, theirs)) = tokio::try_join!(dial, listener.accept()) {
                return exchange(&*ours, &*theirs).await;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn one_peer_has_no_more_connections_than_its_share() {
    let victim = bind(limited(limits().with_connections_per_peer_max(2))).await;
    let listener = listen(&victim).await;
    let alice = bind(loopback()).await;
    let _two = [connect(&alice, &*listener).await, connect(&alice, &*listener).await];
    let third = in_time(alice.connect_with(listener.local_addr(), ConnectionConfig::new(protocol()))).await;
    let error = third.map(drop).unwrap_err();
    assert!(error.to_string().contains("too many connections with one peer"), "{error}");
    assert_eq!(refusal(Err::<(), _>(error)), RefusalCode::Busy);
    is_served(&victim, &*listener).await;
}

// TLS is through, and then nothing comes. What the configuration allows is the bound, whichever half they hang in.
#[tokio::test]
async fn as_many_handshakes_as_configured_may_hang_after_tls() {
    let victim = bind(limited(limits().with_handshakes_max(256, 256))).await;
    let listener = listen(&victim).await;
    let raw = RawPeer::bind().await;
    let addr = listener.local_addr();
    let hanging = futures_util::future::join_all((0..100).map(|_| raw.try_dial(&addr))).await;
    assert!(hanging.iter().all(Result::is_ok), "all knocked");
    is_served(&victim, &*listener).await;
}

// The first 26 begin with the most that there is, the next with half of it, and so on: QUIC forbids that to a session that is
// resumed, which a dialler would try by itself.
#[tokio::test]
async fn connections_that_begin_with_less_than_those_before_connect_all_the_same() {
    let (alice, bob) = (bind(loopback()).await, bind(loopback()).await);
    let listener = listen(&bob).await;
    let mut held = Vec::new();
    for _ in 0..70 {
        let (ours, theirs) = connect(&alice, &*listener).await;
        exchange(&*ours, &*theirs).await;
        held.push((ours, theirs));
    }
}

#[tokio::test]
async fn a_denied_peer_is_turned_away_and_told_so() {
    let access = AccessList::everybody();
    let victim = bind(loopback().with_access(access.clone())).await;
    let listener = listen(&victim).await;
    let mallory = bind(loopback()).await;
    let (ours, theirs) = connect(&mallory, &*listener).await;
    exchange(&*ours, &*theirs).await;

    access.deny(mallory.local_peer_id());
    let reason = in_time(ours.closed()).await;
    assert!(reason.to_string().contains("does not admit"), "{reason}");
    let again = in_time(mallory.connect_with(listener.local_addr(), impatient())).await;
    assert_eq!(refusal(again), RefusalCode::Rejected);
    let dialled = victim.connect_with(mallory.status().get().addr, impatient()).await.unwrap_err();
    assert!(dialled.to_string().contains("deny-list"), "{dialled}");
    is_served(&victim, &*listener).await;
}

#[tokio::test]
async fn an_allow_list_admits_those_on_it_and_nobody_else() {
    let friend = Identity::generate();
    let victim = bind(loopback().with_access(AccessList::only([friend.peer_id()]))).await;
    let listener = listen(&victim).await;
    let stranger = bind(loopback()).await;
    let refused = in_time(stranger.connect_with(listener.local_addr(), impatient())).await;
    assert_eq!(refusal(refused), RefusalCode::Rejected);

    let friend = bind(loopback().with_identity(friend)).await;
    let (ours, theirs) = connect(&friend, &*listener).await;
    exchange(&*ours, &*theirs).await;
    // Whom this side dials is its own affair.
    let theirs = listen(&stranger).await;
    let (ours, theirs) = connect(&victim, &*theirs).await;
    exchange(&*ours, &*theirs).await;
}

// By way of a relay the identity is known before TLS: the first packet is refused, and no handshake is begun.
#[tokio::test]
async fn a_denied_peer_does_not_even_shake_hands_by_way_of_a_relay() {
    let relay = TestRelay::start().await;
    let mallory = RawPeer::bind_through(&relay).await;
    let access = AccessList::everybody();
    access.deny(PeerId::from_bytes(*mallory.0.id().as_bytes()));
    let victim = bind(relay.config().with_relay_only(true).with_access(access)).await;
    let listener = listen(&victim).await;
    let error = in_time(mallory.try_dial(&listener.local_addr())).await.unwrap_err();
    assert!(error.contains("refused"), "{error}");
}

#[tokio::test]
async fn a_flood_of_streams_stops_at_the_bound_and_closes_nothing() {
    let victim = bind(loopback().with_streams_max(20)).await;
    let listener = listen(&victim).await;
    let raw = RawPeer::bind().await;
    let connection = hostile(&raw, &listener.local_addr()).await;
    let accepted = in_time(listener.accept()).await.unwrap();
    let mut streams = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_secs(1), connection.open_bi()).await {
        let (mut send, recv) = stream.unwrap();
        send.write_all(b"x").await.unwrap();
        streams.push((send, recv));
        assert!(streams.len() <= 20, "more than the bound");
    }
    assert_eq!(streams.len(), 20);
    // Opened and reset at once, over and over: what was given up makes no room until the application has seen it.
    streams.iter_mut().for_each(|(send, _)| send.reset(0u32.into()).unwrap());
    assert!(tokio::time::timeout(Duration::from_secs(1), connection.open_bi()).await.is_err());
    assert!(accepted.close_reason().is_none());
    is_served(&victim, &*listener).await;
}

#[tokio::test]
async fn a_flood_of_datagrams_keeps_no_more_than_the_bound_and_delays_nobody() {
    let victim = bind(loopback()).await;
    let listener = listen(&victim).await;
    let raw = RawPeer::bind().await;
    let connection = hostile(&raw, &listener.local_addr()).await;
    let accepted = in_time(listener.accept()).await.unwrap();
    for number in 0..100_000_u32 {
        connection.send_datagram_wait(bytes::Bytes::copy_from_slice(&number.to_le_bytes())).await.unwrap();
    }
    is_served(&victim, &*listener).await;
    connection.close(0u32.into(), b"");
    in_time(accepted.closed()).await;
    let mut kept = 0;
    while in_time(accepted.recv_datagram()).await.is_ok() {
        kept += 1;
    }
    // 128 KiB, of which each takes the 4 bytes it has and 64 to be kept.
    assert!(kept <= 128 * 1024 / 68, "{kept} are kept");
}

#[tokio::test]
async fn a_relay_only_endpoint_shows_no_address_and_goes_to_none() {
    let relay = TestRelay::start().await;
    let shy = bind(relay.config().with_relay_only(true)).await;
    let listener = listen(&shy).await;
    assert!(listener.local_addr().direct.is_empty());

    // Whoever comes has all of iroh, and tries to find a direct path.
    let curious = RawPeer::bind_with_paths(&relay).await;
    let connection = hostile(&curious, &listener.local_addr()).await;
    let accepted = in_time(listener.accept()).await.unwrap();

    // Where a UDP packet would arrive that it sends to a peer's address.
    let sink = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let lure = curious.addr().with_direct(sink.local_addr().unwrap());
    curious.hold_all();
    let dial = shy.connect_with(lure, impatient());
    // It holds the connection and says nothing.
    assert!(matches!(in_time(dial).await, Err(P2PError::Timeout { .. })));
    let direct = |connection: &Connection| connection.paths().iter().any(|path| path.is_ip());
    assert!(!direct(&connection), "{:?}", connection.paths());
    assert!(accepted.state().get().path().is_some_and(|path| !path.is_direct()));
    assert!(sink.try_recv(&mut [0; 2048]).is_err(), "a packet came from its address");
}

#[tokio::test]
async fn a_peer_that_was_turned_away_finds_the_code_of_the_protocol() {
    let victim = bind(loopback().with_access(AccessList::only([]))).await;
    let listener = listen(&victim).await;
    let raw = RawPeer::bind().await;
    let connection = in_time(raw.dial(&listener.local_addr())).await;
    match in_time(connection.closed()).await {
        ConnectionError::ApplicationClosed(closed) => assert_eq!(closed.error_code.into_inner(), close::REJECTED),
        other => panic!("{other}"),
    }
}
