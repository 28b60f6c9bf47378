//! The last drop: as `close(0)`, once the last handle **and** the last stream are gone.

use super::{Harness, Outcome, close::peer_said, pair::connected_pair};
use crate::CloseCode;

/// Dropping the last handle closes with code 0.
pub async fn the_last_drop_closes_with_code_0(harness: &dyn Harness) -> Outcome {
    // A clone is still there after the first drop, and the connection works; after the second the peer sees an end.
    let pair = connected_pair(harness).await?;
    let clone = pair.ours.clone();
    drop(pair.ours);
    clone.send("alive".into()).await?;
    assert_eq!(pair.theirs.recv().await?, "alive");
    drop(clone);
    let reason = pair.patience.ends("closed at the peer", pair.theirs.closed()).await;
    assert_eq!(reason.code(), Some(CloseCode::OK), "{reason}");
    assert_eq!(reason, peer_said(0, ""));
    Ok(())
}

/// A stream keeps its connection alive when the last handle is dropped.
pub async fn a_stream_outlives_the_last_handle(harness: &dyn Harness) -> Outcome {
    // Bytes flow both ways on the stream after the handle is gone. Only the stream's own end is the connection's.
    let pair = connected_pair(harness).await?;
    let (mut ours, mut theirs) = pair.stream().await?;
    drop(pair.ours);
    pair.patience.settle().await;
    assert_eq!(pair.theirs.close_reason(), None, "a stream is still open");
    ours.send.write_all(b"still here").await?;
    ours.send.finish()?;
    assert_eq!(theirs.recv.read_to_end(100).await?, b"still here");
    theirs.send.write_all(b"so am I").await?;
    theirs.send.finish()?;
    assert_eq!(ours.recv.read_to_end(100).await?, b"so am I");
    drop(ours);
    let reason = pair.patience.ends("closed at the peer", pair.theirs.closed()).await;
    assert_eq!(reason, peer_said(0, ""));
    Ok(())
}

/// A half of a stream is enough to keep the connection alive.
pub async fn half_a_stream_outlives_the_last_handle(harness: &dyn Harness) -> Outcome {
    // Handle and reading half are gone; the writing half still delivers, and its drop is the end.
    let pair = connected_pair(harness).await?;
    let (ours, mut theirs) = pair.stream().await?;
    let mut send = ours.send;
    drop((pair.ours, ours.recv));
    pair.patience.settle().await;
    send.write_all(b"still here").await?;
    send.finish()?;
    send.delivered().await?;
    assert_eq!(theirs.recv.read_to_end(100).await?, b"still here");
    drop(send);
    let reason = pair.patience.ends("closed at the peer", pair.theirs.closed()).await;
    assert_eq!(reason, peer_said(0, ""));
    Ok(())
}
