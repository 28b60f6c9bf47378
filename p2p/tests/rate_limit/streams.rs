//! Streams and their bytes.

use p2p::{
    P2PConnection, StreamError,
    layer::{Rate, RateLimits, Rates, Traffic},
};

use crate::{SECOND, pair, received, sent, timed};

#[tokio::test(start_paused = true)]
async fn opening_and_accepting_streams_waits_for_its_turn() {
    let traffic = Traffic::NONE.with_streams(Rate::per_second(10).with_burst(1));
    let (ours, theirs) =
        pair(RateLimits::NONE.with_per_peer(Rates::NONE.with_sent(traffic).with_received(traffic))).await;
    // In either direction the one who is limited makes the other wait.
    for (opener, acceptor) in [(&ours, &theirs), (&theirs, &ours)] {
        let open = async {
            for _ in 0..=20 {
                let mut stream = opener.open_stream().await.unwrap();
                stream.send.write_all(b"!").await.unwrap();
                stream.send.finish().unwrap();
            }
        };
        let accept = async {
            for _ in 0..=20 {
                acceptor.accept_stream().await.unwrap();
            }
        };
        let (_, took) = timed(async { tokio::join!(open, accept) }).await;
        assert!((2 * SECOND..2 * SECOND + SECOND / 10).contains(&took), "{took:?}");
    }
}

async fn move_bytes(from: &dyn P2PConnection, to: &dyn P2PConnection, len: usize) {
    let write = async {
        let mut stream = from.open_stream().await.unwrap();
        stream.send.write_all(&vec![7; len]).await.unwrap();
        stream.send.finish().unwrap();
        stream
    };
    let read = async { to.accept_stream().await.unwrap().recv.read_to_end(len).await.unwrap() };
    let (_stream, read) = tokio::join!(write, read);
    assert_eq!(read.len(), len);
}

// Ten million bytes at a million a second. What passes at once at the start, a burst and one chunk of up to 64 KiB, is
// what it may be faster; a wait of up to a millisecond per chunk, as timers go, what it may be slower.
#[tokio::test(start_paused = true)]
async fn the_bytes_of_a_stream_keep_to_the_rate() {
    let million = Traffic::NONE.with_bytes(Rate::per_second(1_000_000).with_burst(1000));
    for (limits, is_sending) in [(sent(million), true), (received(million), false)] {
        let (ours, theirs) = pair(limits).await;
        let (from, to) = if is_sending { (&ours, &theirs) } else { (&theirs, &ours) };
        let ((), took) = timed(move_bytes(&**from, &**to, 10_000_000)).await;
        assert!((SECOND * 98 / 10..SECOND * 103 / 10).contains(&took), "{took:?}");
    }
}

// All that goes to the peer is one account: two streams and the messages share a rate, and none is left out.
#[tokio::test(start_paused = true)]
async fn streams_and_messages_share_their_bytes() {
    let million = Traffic::NONE.with_bytes(Rate::per_second(1_000_000).with_burst(1000));
    let (ours, theirs) = pair(sent(million)).await;
    let messages = async {
        for _ in 0..100 {
            ours.send(vec![0; 10_000].into()).await.unwrap();
        }
    };
    let read = async {
        for _ in 0..100 {
            theirs.recv().await.unwrap();
        }
    };
    let all = async {
        tokio::join!(messages, read, move_bytes(&*ours, &*theirs, 1_000_000), move_bytes(&*ours, &*theirs, 1_000_000))
    };
    let (_, took) = timed(all).await;
    assert!((SECOND * 28 / 10..SECOND * 33 / 10).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_waits_for_its_turn_learns_that_nobody_reads() {
    let (ours, theirs) = pair(sent(Traffic::NONE.with_bytes(Rate::new(1, 3600 * SECOND)))).await;
    let mut stream = ours.open_stream().await.unwrap();
    stream.send.write_all(b"!!").await.unwrap();
    let stop = async {
        let mut stream = theirs.accept_stream().await.unwrap();
        tokio::time::sleep(SECOND).await;
        stream.recv.stop(7);
        stream
    };
    let (_stream, (written, took)) = tokio::join!(stop, timed(stream.send.write_all(b"?")));
    assert!(matches!(written, Err(StreamError::Stopped { code: 7 })), "{written:?}");
    assert!(took < 2 * SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_waits_for_its_turn_learns_of_the_end() {
    let (ours, theirs) = pair(received(Traffic::NONE.with_bytes(Rate::new(1, 3600 * SECOND)))).await;
    let mut stream = theirs.open_stream().await.unwrap();
    stream.send.write_all(b"!!").await.unwrap();
    let mut accepted = ours.accept_stream().await.unwrap();
    accepted.recv.read_chunk(2).await.unwrap();
    let close = async {
        tokio::time::sleep(SECOND).await;
        theirs.close(p2p::CloseCode(3), "");
    };
    let ((), (read, took)) = tokio::join!(close, timed(accepted.recv.read_chunk(1)));
    assert!(matches!(read, Err(StreamError::Connection(_))), "{read:?}");
    assert!(took < 2 * SECOND, "{took:?}");
}
