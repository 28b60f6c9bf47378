//! `Limits`: who finds a place, who is refused and how, and when a place is free again.

use std::{sync::Arc, time::Duration};

use p2p::{
    Answer, Capability, CloseCode, CloseReason, ConnectionConfig, ListenConfig, P2PConnection, P2PError, P2PListener,
    P2PProvider, PeerAddr, PeerId, Refusal, RefusalCode, Result,
    layer::{Bounds, LayerExt, Limits, limits::OVERTAKEN},
    memory::{MemoryNetwork, MemoryP2P},
    mock::Overlay,
};

const SECOND: Duration = Duration::from_secs(1);

async fn dial(provider: &dyn P2PProvider, addr: PeerAddr) -> Result<Arc<dyn P2PConnection>> {
    provider.connect_with(addr, ConnectionConfig::default()).await
}

async fn listen(provider: &dyn P2PProvider) -> Box<dyn P2PListener> {
    provider.listen_with(ListenConfig::default()).await.unwrap()
}

#[track_caller]
fn limit_reached<T>(result: Result<T>) -> (&'static str, usize) {
    match result.err() {
        Some(P2PError::LimitReached { what, limit }) => (what, limit),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused<T>(result: Result<T>) -> Refusal {
    match result.err() {
        Some(P2PError::Refused { refusal, .. }) => refusal,
        other => panic!("{other:?}"),
    }
}

/// Alice within bounds, and others without.
fn alice(bounds: Bounds) -> (MemoryNetwork, Limits<MemoryP2P>) {
    let network = MemoryNetwork::new();
    let alice = network.provider("alice").with_limits(bounds);
    (network, alice)
}

// Nothing is awaited between the close and the next dial, so it is the close that frees the place.
#[tokio::test(start_paused = true)]
async fn one_connection_too_many_is_an_error_until_another_closes() {
    let (network, alice) = alice(Bounds::NONE.with_connections(3).with_connections_per_peer(2));
    let [bob, carol, dave] = ["bob", "carol", "dave"].map(|name| network.provider(name));
    let (bob, carol, dave) = (listen(&bob).await, listen(&carol).await, listen(&dave).await);
    let one = dial(&alice, bob.local_addr()).await.unwrap();
    let _two = dial(&alice, bob.local_addr()).await.unwrap();
    assert_eq!(limit_reached(dial(&alice, bob.local_addr()).await), ("connections with one peer", 2));
    let three = dial(&alice, carol.local_addr()).await.unwrap();
    assert_eq!(limit_reached(dial(&alice, dave.local_addr()).await), ("connections", 3));
    three.close(CloseCode::OK, "");
    let _four = dial(&alice, dave.local_addr()).await.unwrap();
    one.close(CloseCode::OK, "");
    let _five = dial(&alice, bob.local_addr()).await.unwrap();
    assert!(dial(&alice, carol.local_addr()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_dial_in_flight_takes_a_place_and_gives_it_back_whatever_comes_of_it() {
    let network = MemoryNetwork::new();
    let overlay = Overlay::new(network.provider("alice")).await.unwrap();
    let silent = Overlay::silent(network.provider("carol")).await.unwrap();
    let alice = Arc::new(overlay.with_limits(Bounds::NONE.with_dials(2).with_connections(2)));
    let dials: Vec<_> = (0..2)
        .map(|_| {
            let (alice, addr) = (alice.clone(), silent.addr());
            tokio::spawn(async move { dial(&*alice, addr).await.map(drop) })
        })
        .collect();
    tokio::time::sleep(SECOND).await;
    assert_eq!(limit_reached(dial(&*alice, silent.addr()).await), ("dials in flight", 2));
    // One is dropped, one runs into its deadline.
    let [dropped, timed_out] = dials.try_into().unwrap();
    dropped.abort();
    assert!(dropped.await.is_err());
    let one = async { tokio::time::timeout(SECOND, dial(&*alice, silent.addr())).await };
    assert!(one.await.is_err(), "it found a place, and nobody answers");
    assert!(matches!(timed_out.await.unwrap(), Err(P2PError::Timeout { .. })));
    for _ in 0..3 {
        assert!(tokio::time::timeout(SECOND, dial(&*alice, silent.addr())).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_dialler_too_many_is_told_that_this_side_is_busy_until_a_connection_ends() {
    let (network, alice) = alice(Bounds::NONE.with_connections(2).with_connections_per_peer(1));
    let [bob, carol, dave] = ["bob", "carol", "dave"].map(|name| network.provider(name));
    let listener = listen(&alice).await;
    let come = async |who: &MemoryP2P| tokio::try_join!(dial(who, listener.local_addr()), listener.accept()).unwrap();
    let (from_bob, _to_bob) = come(&bob).await;
    let refusal = refused(dial(&bob, listener.local_addr()).await);
    assert_eq!((refusal.code, refusal.retry_after), (RefusalCode::Busy, Some(SECOND)));
    assert_eq!(refusal.reason, "limit reached: at most 1 connections with one peer");
    let _carols = come(&carol).await;
    assert_eq!(refused(dial(&dave, listener.local_addr()).await).code, RefusalCode::Busy);
    drop(from_bob);
    tokio::time::sleep(SECOND).await;
    come(&dave).await;
}

#[tokio::test(start_paused = true)]
async fn dialled_and_accepted_connections_share_the_places() {
    let (network, alice) = alice(Bounds::NONE.with_connections_per_peer(1));
    let bob = network.provider("bob");
    let (listener, bobs) = (listen(&alice).await, listen(&bob).await);
    let dialled = dial(&alice.clone(), bobs.local_addr()).await.unwrap();
    assert_eq!(refused(dial(&bob, listener.local_addr()).await).code, RefusalCode::Busy);
    dialled.close(CloseCode::OK, "");
    let _accepted = tokio::try_join!(dial(&bob, listener.local_addr()), listener.accept()).unwrap();
    assert_eq!(limit_reached(dial(&alice, bobs.local_addr()).await), ("connections with one peer", 1));
}

#[derive(Debug)]
struct Nobody;

impl Answer for Nobody {
    fn answer(&self, _: PeerId, _: &[Capability]) -> Result<Vec<Capability>, Refusal> {
        Err(Refusal::new(RefusalCode::Rejected, "nobody is welcome"))
    }
}

#[tokio::test(start_paused = true)]
async fn whom_the_listener_refuses_takes_no_place() {
    let (network, alice) = alice(Bounds::NONE.with_connections(1));
    let config = ListenConfig::default().with_answer(Arc::new(Nobody));
    let listener = alice.listen_with(config).await.unwrap();
    let bob = network.provider("bob");
    for _ in 0..3 {
        assert_eq!(refused(dial(&bob, listener.local_addr()).await).code, RefusalCode::Rejected);
    }
    let bobs = listen(&bob).await;
    dial(&alice, bobs.local_addr()).await.unwrap();
}

// Bob is welcomed and nobody accepts him. When his place is no longer kept, carol gets it; bob is told so, and the next
// to be accepted is carol.
#[tokio::test(start_paused = true)]
async fn who_waits_too_long_to_be_accepted_may_be_overtaken() {
    let (network, alice) = alice(Bounds::NONE.with_connections(1));
    let (bob, carol) = (network.provider("bob"), network.provider("carol"));
    let listener = listen(&alice).await;
    let from_bob = dial(&bob, listener.local_addr()).await.unwrap();
    tokio::time::sleep(10 * SECOND - SECOND / 100).await;
    assert_eq!(refused(dial(&carol, listener.local_addr()).await).code, RefusalCode::Busy);
    tokio::time::sleep(SECOND / 100).await;
    let _from_carol = dial(&carol, listener.local_addr()).await.unwrap();
    assert_eq!(listener.accept().await.unwrap().peer_id(), carol.local_peer_id());
    let CloseReason::Peer { code, reason } = from_bob.closed().await else { panic!("{:?}", from_bob.close_reason()) };
    assert_eq!((code, &*reason), (OVERTAKEN, "limit reached: at most 1 connections"));
}

/// A connection of one whose streams are bounded, and its other end.
async fn pair(streams: usize) -> (Arc<dyn P2PConnection>, Arc<dyn P2PConnection>) {
    let (network, alice) = alice(Bounds::NONE.with_streams(streams));
    let bob = network.provider("bob");
    let listener = listen(&bob).await;
    tokio::try_join!(dial(&alice, listener.local_addr()), listener.accept()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn one_stream_too_many_is_an_error_until_another_has_ended() {
    let (ours, _theirs) = pair(2).await;
    let mut one = ours.open_stream().await.unwrap();
    let _two = ours.open_stream().await.unwrap();
    assert_eq!(limit_reached(ours.open_stream().await), ("open streams of a connection", 2));
    one.send.finish().unwrap();
    assert!(ours.open_stream().await.is_err(), "half of it is still open");
    one.recv.stop(0);
    let _three = ours.open_stream().await.unwrap();
    ours.close(CloseCode::OK, "");
    assert!(matches!(ours.open_stream().await, Err(P2PError::Closed { .. })));
}

#[tokio::test(start_paused = true)]
async fn the_peer_is_told_the_bound_and_waits() {
    let (ours, theirs) = pair(2).await;
    assert_eq!(theirs.limits().streams_max, 2);
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = theirs.open_stream().await.unwrap();
        stream.send.write_all(b"!").await.unwrap();
        held.push((stream, ours.accept_stream().await.unwrap()));
    }
    assert!(tokio::time::timeout(SECOND, theirs.open_stream()).await.is_err());
    drop(held.pop());
    theirs.open_stream().await.unwrap();
}

// The peer's side of both streams has ended, so it may open others, while this side still holds its own.
#[tokio::test(start_paused = true)]
async fn no_more_streams_are_accepted_than_the_bound_while_they_are_held() {
    let (ours, theirs) = pair(2).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        drop(begin(&*theirs).await);
        held.push(ours.accept_stream().await.unwrap());
    }
    let _third = begin(&*theirs).await;
    assert!(tokio::time::timeout(SECOND, ours.accept_stream()).await.is_err());
    held.pop();
    let mut accepted = ours.accept_stream().await.unwrap();
    assert_eq!(accepted.recv.read_chunk(10).await.unwrap().unwrap(), "!");
    // Who waits for a place learns of the end of the connection.
    let close = async {
        tokio::time::sleep(SECOND).await;
        theirs.close(CloseCode(3), "");
    };
    let (accepted, ()) = tokio::join!(ours.accept_stream(), close);
    assert!(matches!(accepted, Err(P2PError::Closed { .. })), "{accepted:?}");
}

async fn begin(connection: &dyn P2PConnection) -> p2p::BiStream {
    let mut stream = connection.open_stream().await.unwrap();
    stream.send.write_all(b"!").await.unwrap();
    stream
}

#[tokio::test]
async fn the_layer_is_in_the_stacks_name() {
    let (_network, alice) = alice(Bounds::default());
    assert!(alice.to_string().starts_with("Limits(memory"), "{alice}");
}
