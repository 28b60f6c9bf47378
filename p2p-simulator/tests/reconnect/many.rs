//! Thousands of streams on one connection whose transport is lost: more than a handshake can tell of.

use std::{sync::Arc, time::Duration};

use p2p::{
    BiStream, ConnectionConfig, ConnectionState, ListenConfig, P2PConnection, P2PProvider, ProtocolId, RecvStream,
    RuntimeExt,
    layer::{LayerExt, ReconnectConfig},
};
use p2p_simulator::{LinkConfig, Simulation};
use tokio::io::AsyncReadExt;

use crate::killable::Killable;

const SECOND: Duration = Duration::from_secs(1);

/// Streams that each side opens.
const STREAMS: u64 = 1800;

/// Streams that each side may open at once: more wait.
const STREAMS_MAX: usize = 2048;

fn terms() -> ConnectionConfig {
    let protocol: ProtocolId = "many/1".parse().unwrap();
    ConnectionConfig::new(protocol).with_streams_max(STREAMS_MAX).with_liveness(SECOND, 10 * SECOND)
}

/// Opens that many, each of which says which one it is.
async fn open(connection: Arc<dyn P2PConnection>, streams: u64) -> Vec<BiStream> {
    let mut open = Vec::new();
    for number in 0..streams {
        let mut stream = connection.open_stream().await.unwrap();
        stream.send.write_all(&number.to_le_bytes()).await.unwrap();
        open.push(stream);
    }
    open
}

async fn accept(connection: Arc<dyn P2PConnection>, streams: u64) -> Vec<BiStream> {
    let mut accepted = Vec::new();
    for number in 0..streams {
        let mut stream = connection.accept_stream().await.unwrap();
        assert_eq!(read(&mut stream.recv).await, number, "streams come one after the other");
        accepted.push(stream);
    }
    accepted
}

async fn read(recv: &mut RecvStream) -> u64 {
    let mut bytes = [0; 8];
    recv.read_exact(&mut bytes).await.unwrap();
    u64::from_le_bytes(bytes)
}

/// Writes a second number to each, for the transport that is about to be lost. Every third ends with it.
async fn write(streams: &mut [BiStream], numbers: impl Fn(u64) -> u64) {
    for (number, stream) in (0..).zip(streams) {
        stream.send.write_all(&numbers(number).to_le_bytes()).await.unwrap();
        if number % 3 == 0 {
            stream.send.finish().unwrap();
        }
    }
}

/// Reads what [`write`] wrote, and that nothing follows where it ended.
async fn check(streams: &mut [BiStream], numbers: impl Fn(u64) -> u64) {
    for (number, stream) in (0..).zip(streams) {
        assert_eq!(read(&mut stream.recv).await, numbers(number), "stream {number}");
        if number % 3 == 0 {
            assert_eq!(stream.recv.read_chunk(1).await.unwrap(), None, "stream {number}");
        }
    }
}

async fn both<T>(one: impl Future<Output = T>, other: impl Future<Output = T>) -> [T; 2] {
    let (one, other) = tokio::join!(one, other);
    [one, other]
}

// All numbers that were under way arrive once, on every stream, and both sides told in several parts how far they were:
// 3,600 streams are listed by each, a handshake has room for 600.
#[test]
fn thousands_of_streams_go_on_where_they_were() {
    let link = LinkConfig::ideal(Duration::from_millis(20));
    Simulation::new(1).with_link(link).with_time_limit(600 * SECOND).run(|network| async move {
        let links = Killable::new(network.provider("alice"));
        let alice = links.clone().with_reconnect(ReconnectConfig::default()).unwrap();
        let bob = Killable::new(network.provider("bob")).with_reconnect(ReconnectConfig::default()).unwrap();
        let listener = bob.listen_with(ListenConfig::from(terms())).await.unwrap();
        let ours = alice.connect_with(bob.local_peer_id().into(), terms()).await.unwrap();
        let theirs = listener.accept().await.unwrap();
        assert_eq!((ours.limits().streams_max, theirs.limits().streams_max), (STREAMS_MAX, STREAMS_MAX));
        let [mut ours_out, mut theirs_out] = both(open(ours.clone(), STREAMS), open(theirs.clone(), STREAMS)).await;
        let [mut ours_in, mut theirs_in] = both(accept(ours.clone(), STREAMS), accept(theirs.clone(), STREAMS)).await;
        for loss in 0..2 {
            let there = move |number| number + 1000 * loss;
            let back = move |number| 7 * number + loss;
            // What a side opened and what it accepted are written to where the other direction is not over.
            if loss == 0 {
                both(write(&mut ours_out, there), write(&mut theirs_out, there)).await;
            } else {
                both(write(&mut theirs_in, back), write(&mut ours_in, back)).await;
            }
            // What is under way is lost, and bob does not learn of it before alice is back.
            network.partition("alice", "bob");
            assert_eq!(links.kill(), 1);
            alice.runtime().sleep(SECOND).await;
            network.heal("alice", "bob");
            for connection in [&ours, &theirs] {
                connection.state().wait_for(ConnectionState::is_connected).await.unwrap();
            }
            if loss == 0 {
                both(check(&mut theirs_in, there), check(&mut ours_in, there)).await;
            } else {
                both(check(&mut ours_out, back), check(&mut theirs_out, back)).await;
            }
        }
        for totals in [alice.totals(), bob.totals()] {
            assert_eq!(totals.resumed, 2);
            // 3,600 streams are told of at the first loss, and 2,400 at the second: some 6 and 4 parts behind a handshake's.
            assert!((9..13).contains(&totals.progress_parts), "{totals:?}");
            assert!(totals.bytes_replayed >= 8 * STREAMS, "{totals:?}");
        }
        // There is still room, as every third is over, and for no more than that: one more waits.
        let more = open(ours.clone(), STREAMS_MAX as u64 - (STREAMS - STREAMS / 3)).await;
        let mut last = ours.open_stream();
        let waits = std::future::poll_fn(|cx| std::task::Poll::Ready(last.as_mut().poll(cx).is_pending())).await;
        assert!(waits, "one over the bound is open");
        drop(more);
        last.await.unwrap();
    });
}
