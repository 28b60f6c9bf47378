//! How streams end: finished, reset, stopped, dropped; each direction alone.

use super::{Harness, Outcome, pair::connected_pair};
use crate::{RecvStream, StreamError};

/// Each direction of a stream ends alone.
pub async fn each_direction_of_a_stream_ends_alone(harness: &dyn Harness) -> Outcome {
    // The peer answers after it has read our end, so our end cannot have ended its direction.
    let pair = connected_pair(harness).await?;
    let (mut ours, mut theirs) = pair.stream().await?;
    ours.send.write_all(b"question").await?;
    ours.send.finish()?;
    assert_eq!(theirs.recv.read_to_end(100).await?, b"question");
    pair.patience.settle().await;
    theirs.send.write_all(b"answer").await?;
    theirs.send.finish()?;
    assert_eq!(ours.recv.read_to_end(100).await?, b"answer");
    Ok(())
}

/// A reset reaches the reader with its code.
pub async fn a_reset_reaches_the_reader_with_its_code(harness: &dyn Harness) -> Outcome {
    // The reader waits for bytes when the reset comes, and learns the very number that the writer gave.
    let pair = connected_pair(harness).await?;
    let (mut ours, mut theirs) = pair.stream().await?;
    ours.send.reset(4_000_000_007);
    let end = pair.patience.ends("a read of a reset stream", end_of(&mut theirs.recv)).await;
    assert!(matches!(end, Err(StreamError::Reset { code: 4_000_000_007 })), "{end:?}");
    Ok(())
}

/// A stop reaches the writer with its code.
pub async fn a_stop_reaches_the_writer_with_its_code(harness: &dyn Harness) -> Outcome {
    // `delivered` on an unfinished stream ends only with an error, so it waits for the stop; writes fail from then on.
    let pair = connected_pair(harness).await?;
    let (mut ours, mut theirs) = pair.stream().await?;
    theirs.recv.stop(4_000_000_009);
    let end = pair.patience.ends("delivered on a stopped stream", ours.send.delivered()).await;
    assert!(matches!(end, Err(StreamError::Stopped { code: 4_000_000_009 })), "{end:?}");
    let write = ours.send.write_all(b"more").await;
    assert!(matches!(write, Err(StreamError::Stopped { code: 4_000_000_009 })), "{write:?}");
    Ok(())
}

/// A stop reaches a writer that is waiting.
pub async fn a_stop_wakes_a_waiting_writer(harness: &dyn Harness) -> Outcome {
    // The writer is stuck because nobody reads. The stop is the only thing that can end its write.
    let pair = connected_pair(harness).await?;
    let (mut ours, mut theirs) = pair.stream().await?;
    pair.fill_stream(&mut ours.send).await?;
    let write = async {
        loop {
            if let Err(error) = ours.send.write_all(&[0; 1024]).await {
                break error;
            }
        }
    };
    let stop = async {
        pair.patience.settle().await;
        theirs.recv.stop(9);
    };
    let (error, ()) =
        pair.patience.ends("a waiting write on a stopped stream", async { tokio::join!(write, stop) }).await;
    assert!(matches!(error, StreamError::Stopped { code: 9 }), "{error:?}");
    Ok(())
}

/// A stream that is dropped unfinished is reset with code 0, so a torn-off end is never taken for a whole one.
pub async fn a_stream_dropped_unfinished_is_reset(harness: &dyn Harness) -> Outcome {
    // The reader must see a reset: an ordinary end would say that these bytes were all.
    let pair = connected_pair(harness).await?;
    let (mut ours, mut theirs) = pair.stream().await?;
    ours.send.write_all(b"half of").await?;
    drop(ours);
    let end = pair.patience.ends("a read of a dropped stream", end_of(&mut theirs.recv)).await;
    assert!(matches!(end, Err(StreamError::Reset { code: 0 })), "{end:?}");
    Ok(())
}

/// A reader that is dropped before the end stops the writer with code 0.
pub async fn a_dropped_reader_stops_the_writer(harness: &dyn Harness) -> Outcome {
    // Nobody will ever read, and the writer learns it instead of filling a window and waiting.
    let pair = connected_pair(harness).await?;
    let (mut ours, theirs) = pair.stream().await?;
    drop(theirs.recv);
    let end = pair.patience.ends("delivered without a reader", ours.send.delivered()).await;
    assert!(matches!(end, Err(StreamError::Stopped { code: 0 })), "{end:?}");
    Ok(())
}

/// `delivered` ends once the stream was finished and all of it has reached the peer's provider, and not before.
pub async fn delivered_waits_for_the_end_of_the_stream(harness: &dyn Harness) -> Outcome {
    // Before `finish` it has nothing to report. Afterwards it ends although the peer's application has read nothing,
    // and what it vouched for can be read.
    let pair = connected_pair(harness).await?;
    let (mut ours, mut theirs) = pair.stream().await?;
    ours.send.write_all(b"all there is").await?;
    let early = pair.patience.within_settle(ours.send.delivered()).await;
    assert!(early.is_none(), "{early:?}, and the stream may still grow");
    ours.send.finish()?;
    pair.patience.ends("delivered", ours.send.delivered()).await?;
    assert_eq!(theirs.recv.read_to_end(100).await?, b"all there is");
    Ok(())
}

/// Nothing is written to a stream after its end.
pub async fn writes_after_the_end_of_a_stream_fail(harness: &dyn Harness) -> Outcome {
    // After `finish` and after `reset` a write says `Done`, and so does a second `finish`.
    let pair = connected_pair(harness).await?;
    let (mut finished, mut theirs) = pair.stream().await?;
    finished.send.finish()?;
    assert!(matches!(finished.send.write_all(b"more").await, Err(StreamError::Done)));
    assert!(matches!(finished.send.finish(), Err(StreamError::Done)));
    assert_eq!(theirs.recv.read_to_end(100).await?, b"");
    let (mut reset, _theirs) = pair.stream().await?;
    reset.send.reset(1);
    assert!(matches!(reset.send.write_all(b"more").await, Err(StreamError::Done)));
    assert!(matches!(reset.send.finish(), Err(StreamError::Done)));
    Ok(())
}

/// Nothing is read from a stream after it was stopped here.
pub async fn reads_after_a_stop_fail(harness: &dyn Harness) -> Outcome {
    // Bytes are there to be read, and the reader has said that it does not want them.
    let pair = connected_pair(harness).await?;
    let (mut ours, mut theirs) = pair.stream().await?;
    ours.send.write_all(b"unwanted").await?;
    pair.patience.settle().await;
    theirs.recv.stop(1);
    let read = pair.patience.ends("a read after a stop", theirs.recv.read_chunk(10)).await;
    assert!(matches!(read, Err(StreamError::Done)), "{read:?}");
    Ok(())
}

/// A reset after the finish does nothing.
pub async fn a_reset_after_the_finish_does_nothing(harness: &dyn Harness) -> Outcome {
    // The reader gets every byte and an ordinary end, as the finish promised.
    let pair = connected_pair(harness).await?;
    let (mut ours, mut theirs) = pair.stream().await?;
    ours.send.write_all(b"all there is").await?;
    ours.send.finish()?;
    ours.send.reset(5);
    assert_eq!(theirs.recv.read_to_end(100).await?, b"all there is");
    Ok(())
}

/// Reads on until the stream ends, one way or the other.
pub(super) async fn end_of(stream: &mut RecvStream) -> Result<(), StreamError> {
    while stream.read_chunk(1024).await?.is_some() {}
    Ok(())
}
