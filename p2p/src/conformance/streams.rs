//! Streams: their bytes, when the peer sees them, and how many there may be.

use super::{
    Harness, Outcome,
    pair::{config, connected_pair, connected_pair_with, narrow, numbered, poll_once},
};

/// A stream's bytes arrive whole and in order.
pub async fn stream_bytes_arrive_whole_and_in_order(harness: &dyn Harness) -> Outcome {
    // A byte depends on its place and no two parts are alike; the stream is larger than windows are, so it also has to
    // be stopped and let go on. Equality rules out loss, repetition, exchange and damage.
    const LEN: usize = 1024 * 1024 + 7;
    let pair = connected_pair(harness).await?;
    let sent = numbered(5, LEN);
    let write = async {
        let mut stream = pair.ours.open_stream().await?;
        stream.send.write_all(&sent).await?;
        stream.send.finish()?;
        Outcome::Ok(())
    };
    let read = async {
        let mut stream = pair.theirs.accept_stream().await?;
        let received = stream.recv.read_to_end(LEN).await?;
        assert!(received == sent, "{} bytes, not as written", received.len());
        Outcome::Ok(())
    };
    // The reading half of the writer stays until the end: dropping it early would stop the other direction.
    tokio::try_join!(write, read)?;
    Ok(())
}

/// Streams do not mix, and the two directions of each belong together.
pub async fn streams_do_not_mix(harness: &dyn Harness) -> Outcome {
    // All are open at once and each writes bytes of its own in turns. The peer answers each stream with what it read
    // there, so an answer that differs came from another stream.
    const STREAMS: usize = 4;
    let pair = connected_pair(harness).await?;
    let ask = async {
        let mut streams = Vec::new();
        for _ in 0..STREAMS {
            streams.push(pair.ours.open_stream().await?);
        }
        for part in 0..5 {
            for (number, stream) in streams.iter_mut().enumerate() {
                stream.send.write_all(&numbered(number * 10 + part, 700)).await?;
            }
        }
        for (number, stream) in streams.iter_mut().enumerate() {
            stream.send.finish()?;
            let answer = stream.recv.read_to_end(10_000).await?;
            let asked: Vec<u8> = (0..5).flat_map(|part| numbered(number * 10 + part, 700)).collect();
            assert!(answer == asked, "stream {number} was answered with {} bytes", answer.len());
        }
        Outcome::Ok(())
    };
    let answer = async {
        let mut streams = Vec::new();
        for _ in 0..STREAMS {
            streams.push(pair.theirs.accept_stream().await?);
        }
        for stream in &mut streams {
            let asked = stream.recv.read_to_end(10_000).await?;
            stream.send.write_all(&asked).await?;
            stream.send.finish()?;
        }
        Outcome::Ok(())
    };
    tokio::try_join!(ask, answer)?;
    Ok(())
}

/// A stream is visible to the peer at its first write.
pub async fn a_stream_is_visible_at_its_first_write(harness: &dyn Harness) -> Outcome {
    // One byte is written and nothing else happens on that side, so what the peer reads was not waiting for more.
    let pair = connected_pair(harness).await?;
    for (from, to) in [(&pair.ours, &pair.theirs), (&pair.theirs, &pair.ours)] {
        let mut opened = from.open_stream().await?;
        opened.send.write_all(b"?").await?;
        let mut accepted = pair.patience.ends("accept_stream", to.accept_stream()).await?;
        let read = pair.patience.ends("read_chunk", accepted.recv.read_chunk(10)).await?;
        assert_eq!(read.as_deref(), Some(&b"?"[..]));
    }
    Ok(())
}

/// A stream that is finished without a write is visible, and empty.
pub async fn a_stream_finished_without_a_write_is_visible_and_empty(harness: &dyn Harness) -> Outcome {
    // The end is all there is to see; it has to be seen, and as an end.
    let pair = connected_pair(harness).await?;
    let mut opened = pair.ours.open_stream().await?;
    opened.send.finish()?;
    let mut accepted = pair.patience.ends("accept_stream", pair.theirs.accept_stream()).await?;
    assert_eq!(accepted.recv.read_to_end(10).await?, b"");
    Ok(())
}

/// A stream that is open and unused hides no later one.
pub async fn an_unused_stream_hides_no_later_one(harness: &dyn Harness) -> Outcome {
    // The first stream is never written to. Whether the peer sees it or not, the bytes on the second have to come.
    let pair = connected_pair(harness).await?;
    let _unused = pair.ours.open_stream().await?;
    let mut used = pair.ours.open_stream().await?;
    used.send.write_all(b"here").await?;
    let read = async {
        let mut first = pair.theirs.accept_stream().await?;
        let second = async {
            let mut second = pair.theirs.accept_stream().await?;
            Ok(second.recv.read_chunk(10).await?)
        };
        crate::select! {
            read = first.recv.read_chunk(10) => Ok(read?),
            read = second => read,
        }
    };
    let read: Outcome<_> = pair.patience.ends("a read of the second stream", read).await;
    assert_eq!(read?.as_deref(), Some(&b"here"[..]));
    Ok(())
}

/// A stalled stream stalls no other, and no message.
pub async fn a_stalled_stream_stalls_no_other_and_no_message(harness: &dyn Harness) -> Outcome {
    // The first stream is filled until its writer has to wait, and stays so. Everything else still goes through.
    let pair = connected_pair_with(harness, narrow(), narrow()).await?;
    let (mut stalled, _unread) = pair.stream().await?;
    pair.fill_stream(&mut stalled.send).await?;
    let others = async {
        let (mut opened, mut accepted) = pair.stream().await?;
        opened.send.write_all(b"another stream").await?;
        opened.send.finish()?;
        assert_eq!(accepted.recv.read_to_end(100).await?, b"another stream");
        pair.ours.send("a message".into()).await?;
        assert_eq!(pair.theirs.recv().await?, "a message");
        Outcome::Ok(())
    };
    pair.patience.ends("traffic beside a stalled stream", others).await
}

/// Messages that nobody reads stall no stream.
pub async fn unread_messages_stall_no_stream(harness: &dyn Harness) -> Outcome {
    // The message queue is full from end to end, and a stream still carries bytes there and back.
    let pair = connected_pair_with(harness, narrow(), narrow()).await?;
    pair.fill().await?;
    let stream = async {
        let (mut opened, mut accepted) = pair.stream().await?;
        accepted.send.write_all(b"back").await?;
        accepted.send.finish()?;
        assert_eq!(opened.recv.read_to_end(100).await?, b"back");
        Outcome::Ok(())
    };
    pair.patience.ends("a stream beside unread messages", stream).await
}

/// `read_chunk` returns at least one byte and no more than asked for.
pub async fn read_chunk_returns_no_more_than_asked_for(harness: &dyn Harness) -> Outcome {
    // 1,000 bytes in one write arrive in chunks that are larger than 7 bytes, so only a reader that cuts them obeys.
    let pair = connected_pair(harness).await?;
    let (mut ours, mut theirs) = pair.stream().await?;
    ours.send.write_all(&[7; 1_000]).await?;
    ours.send.finish()?;
    let mut total = 0;
    while let Some(chunk) = theirs.recv.read_chunk(7).await? {
        assert!((1..=7).contains(&chunk.len()), "{} bytes", chunk.len());
        total += chunk.len();
    }
    assert_eq!(total, 1_000);
    Ok(())
}

/// `open_stream` waits while as many are open as the peer allows, and goes on when one ends.
pub async fn open_stream_waits_at_the_peers_bound_and_goes_on(harness: &dyn Harness) -> Outcome {
    // The peer allows two. The third has to wait while both are open, and to be there once one has ended on both sides.
    let theirs = config().with_streams_max(2);
    let pair = connected_pair_with(harness, config().with_streams_max(3), theirs).await?;
    assert_eq!(pair.ours.limits().streams_max, 2);
    assert_eq!(pair.theirs.limits().streams_max, 3);
    let (first, _second) = (pair.stream().await?, pair.stream().await?);
    let mut third = pair.ours.open_stream();
    let early = pair.patience.within_settle(&mut third).await;
    assert!(early.is_none(), "a third stream is open, and the peer allows two");
    let (mut ours, mut theirs) = first;
    for side in [&mut ours, &mut theirs] {
        side.send.finish()?;
    }
    assert_eq!(theirs.recv.read_to_end(10).await?, b"");
    assert_eq!(ours.recv.read_to_end(10).await?, b"");
    drop((ours, theirs));
    pair.patience.ends("open_stream after another ended", third).await?;
    Ok(())
}

/// A stream that was opened and dropped unused gives its place back.
pub async fn unused_streams_give_their_place_back(harness: &dyn Harness) -> Outcome {
    // The peer allows two streams and accepts none; ten are opened, one after the other, some by a call that is dropped.
    let theirs = config().with_streams_max(2);
    let pair = connected_pair_with(harness, config(), theirs).await?;
    for _ in 0..10 {
        drop(poll_once(&mut pair.ours.open_stream()).await);
        drop(pair.patience.ends("open_stream", pair.ours.open_stream()).await?);
    }
    Ok(())
}
