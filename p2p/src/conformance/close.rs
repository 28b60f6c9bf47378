//! `close`: now, once, with a reason that reaches the peer and resolves every pending call.

use super::{
    Harness, Outcome, Pair,
    pair::{config, connected_pair, connected_pair_with, is_closed, message, narrow},
};
use crate::{BiStream, CLOSE_REASON_BYTES_MAX, CloseCode, CloseReason, P2PError, StreamError, TrySendError};

/// `close` takes effect at once on this side.
pub async fn close_takes_effect_at_once(harness: &dyn Harness) -> Outcome {
    // Nothing is awaited between the close and the look at its effect.
    let pair = connected_pair(harness).await?;
    assert_eq!(pair.ours.close_reason(), None);
    pair.ours.close(CloseCode(7), "enough");
    let local = CloseReason::Local { code: CloseCode(7), reason: "enough".into() };
    assert_eq!(pair.ours.close_reason(), Some(local.clone()));
    assert!(matches!(
        pair.ours.try_send("too late".into()),
        Err(TrySendError::Failed(P2PError::Closed { reason })) if reason == local
    ));
    Ok(())
}

/// Code and reason of a close reach the peer.
pub async fn the_peer_learns_code_and_reason_of_a_close(harness: &dyn Harness) -> Outcome {
    // The peer's own account of the end has the number and the words that were given here, in either direction.
    for answering in [false, true] {
        let pair = connected_pair(harness).await?;
        let (closer, peer) = match answering {
            false => (&pair.ours, &pair.theirs),
            true => (&pair.theirs, &pair.ours),
        };
        closer.close(CloseCode(4_000_000_007), "genug für heute");
        let reason = pair.patience.ends("closed at the peer", peer.closed()).await;
        assert_eq!(reason, peer_said(4_000_000_007, "genug für heute"));
        assert_eq!(peer.close_reason(), Some(reason));
    }
    Ok(())
}

/// The first close wins, here and at the peer; later ones do nothing.
pub async fn the_first_close_wins(harness: &dyn Harness) -> Outcome {
    // Both sides close again, with other words, and both still tell of the first time.
    let pair = connected_pair(harness).await?;
    pair.ours.close(CloseCode(1), "first");
    pair.ours.close(CloseCode(2), "second");
    let theirs = pair.patience.ends("closed at the peer", pair.theirs.closed()).await;
    pair.theirs.close(CloseCode(3), "third");
    pair.patience.settle().await;
    let ours = CloseReason::Local { code: CloseCode(1), reason: "first".into() };
    assert_eq!(pair.ours.closed().await, ours);
    assert_eq!(pair.ours.close_reason(), Some(ours));
    assert_eq!(theirs, peer_said(1, "first"));
    assert_eq!(pair.theirs.close_reason(), Some(theirs));
    Ok(())
}

/// A long reason is cut at the end of a character, and the rest travels.
pub async fn a_long_close_reason_is_cut_at_a_characters_end(harness: &dyn Harness) -> Outcome {
    // One byte and then characters of two put the limit in the middle of one, so a cut at bytes would tear it.
    let long = format!("!{}", "é".repeat(CLOSE_REASON_BYTES_MAX));
    let cut = &long[..CLOSE_REASON_BYTES_MAX - 1];
    let pair = connected_pair(harness).await?;
    pair.ours.close(CloseCode(5), &long);
    let theirs = pair.patience.ends("closed at the peer", pair.theirs.closed()).await;
    assert_eq!(theirs, peer_said(5, cut));
    let local = CloseReason::Local { code: CloseCode(5), reason: cut.into() };
    assert_eq!(pair.ours.close_reason(), Some(local));
    Ok(())
}

/// `close` resolves every call that is pending on this side.
pub async fn close_resolves_every_pending_call(harness: &dyn Harness) -> Outcome {
    // Each call is one that cannot end otherwise, and each is waited for by name.
    let mut busy = Busy::new(harness).await?;
    busy.all_calls_end_once(|pair| pair.ours.close(CloseCode(7), "enough")).await;
    Ok(())
}

/// A close by the peer resolves every call that is pending here.
pub async fn a_close_by_the_peer_resolves_every_pending_call(harness: &dyn Harness) -> Outcome {
    // As above; in addition the close has to overtake all the data that nobody reads.
    let mut busy = Busy::new(harness).await?;
    busy.all_calls_end_once(|pair| pair.theirs.close(CloseCode(7), "enough")).await;
    Ok(())
}

/// What had arrived can be read after this side closed; then comes the close.
pub async fn what_had_arrived_can_be_read_after_a_local_close(harness: &dyn Harness) -> Outcome {
    // The last message was read before the close, so the others, which were sent before it, had arrived by then.
    let pair = connected_pair(harness).await?;
    for number in 0..3 {
        pair.theirs.send(message(number)).await?;
    }
    pair.patience.settle().await;
    assert!(pair.patience.ends("the first message", pair.ours.recv()).await? == message(0));
    pair.patience.settle().await;
    pair.ours.close(CloseCode(7), "enough");
    for number in 1..3 {
        let received = pair.patience.ends("recv after the close", pair.ours.recv()).await;
        assert!(received.is_ok_and(|received| received == message(number)), "message {number} had arrived");
    }
    let end = pair.patience.ends("recv after the last message", pair.ours.recv()).await;
    assert!(is_closed(&end), "{end:?}");
    Ok(())
}

/// Every call fails once the connection is closed.
pub async fn calls_on_a_closed_connection_fail(harness: &dyn Harness) -> Outcome {
    // The connection was idle, so there is nothing left to return and each call has to say `Closed`.
    let pair = connected_pair(harness).await?;
    let ours = &pair.ours;
    ours.close(CloseCode(7), "enough");
    let calls = async {
        assert!(is_closed(&ours.send(message(1)).await), "send");
        assert!(matches!(ours.try_send(message(1)), Err(TrySendError::Failed(P2PError::Closed { .. }))), "try_send");
        assert!(is_closed(&ours.recv().await), "recv");
        assert!(is_closed(&ours.try_recv()), "try_recv");
        assert!(is_closed(&ours.open_stream().await), "open_stream");
        assert!(is_closed(&ours.accept_stream().await), "accept_stream");
        assert!(is_closed(&ours.finish().await), "finish");
        if harness.capabilities().datagrams {
            assert!(is_closed(&ours.send_datagram("x".into())), "send_datagram");
            assert!(is_closed(&ours.recv_datagram().await), "recv_datagram");
        }
        assert_eq!(ours.closed().await.code(), Some(CloseCode(7)), "closed");
    };
    pair.patience.ends("a call on a closed connection", calls).await;
    Ok(())
}

/// What a peer says who closed.
pub(super) fn peer_said(code: u32, reason: &str) -> CloseReason {
    CloseReason::Peer { code: CloseCode(code), reason: reason.into() }
}

/// A connection on which every call of our side has to wait.
struct Busy {
    pair: Pair,
    reading: BiStream,
    writing: BiStream,
    _peers: [BiStream; 2],
    datagrams: bool,
}

impl Busy {
    async fn new(harness: &dyn Harness) -> Outcome<Self> {
        // Two streams are all the peer allows, no message and no byte more fits, and nothing was sent to us.
        let pair = connected_pair_with(harness, narrow(), config().with_buffer_bytes(4096).with_streams_max(2)).await?;
        let (reading, peer_of_reading) = pair.stream().await?;
        let (mut writing, peer_of_writing) = pair.stream().await?;
        pair.fill_stream(&mut writing.send).await?;
        pair.fill().await?;
        Ok(Self {
            pair,
            reading,
            writing,
            _peers: [peer_of_reading, peer_of_writing],
            datagrams: harness.capabilities().datagrams,
        })
    }

    async fn all_calls_end_once(&mut self, close: impl FnOnce(&Pair)) {
        let Self { pair, reading, writing, datagrams, .. } = self;
        let (ours, patience) = (&pair.ours, &pair.patience);
        let broken =
            |result: &Result<(), StreamError>| matches!(result, Err(StreamError::Connection(P2PError::Closed { .. })));
        tokio::join!(
            biased;
            async {
                let sends = async {
                    while ours.send(message(1)).await.is_ok() {}
                };
                patience.ends("send", sends).await;
            },
            async { assert!(is_closed(&patience.ends("recv", ours.recv()).await), "recv") },
            async {
                let accepted = patience.ends("accept_stream", ours.accept_stream()).await;
                assert!(is_closed(&accepted), "accept_stream");
            },
            async {
                let opened = patience.ends("open_stream", ours.open_stream()).await;
                assert!(is_closed(&opened), "open_stream");
            },
            async {
                if *datagrams {
                    let received = patience.ends("recv_datagram", ours.recv_datagram()).await;
                    assert!(is_closed(&received), "recv_datagram");
                }
            },
            async { assert_eq!(patience.ends("closed", ours.closed()).await.code(), Some(CloseCode(7))) },
            async {
                let read = async { reading.recv.read_chunk(1).await.map(drop) };
                assert!(broken(&patience.ends("a stream's read", read).await), "read");
            },
            async {
                let delivered = patience.ends("delivered", reading.send.delivered()).await;
                assert!(broken(&delivered), "delivered");
            },
            async {
                let writes = async {
                    loop {
                        let written = writing.send.write_all(&[0; 1024]).await;
                        if written.is_err() {
                            break written;
                        }
                    }
                };
                assert!(broken(&patience.ends("a stream's write", writes).await), "write");
            },
            async {
                patience.settle().await;
                close(pair);
            },
        );
    }
}
