//! Backpressure: what is accepted and not yet read is bounded.

use super::{
    Harness, Outcome,
    pair::{FILLER_BYTES, UNREAD_BYTES_MAX, connected_pair_with, filler, narrow},
};
use crate::TrySendError;

/// A peer that does not read stops the sender.
pub async fn a_peer_that_does_not_read_stops_the_sender(harness: &dyn Harness) -> Outcome {
    // Nobody reads, and only so much fits into queues and windows. `fill` returns when a send waits, and panics far
    // beyond what any sensible window holds; `try_send` must come to its `Full` within the same bound.
    let pair = connected_pair_with(harness, narrow(), narrow()).await?;
    let mut accepted = pair.fill().await?;
    while pair.ours.try_send(filler(accepted)).is_ok() {
        accepted += 1;
        assert!(
            accepted * FILLER_BYTES <= UNREAD_BYTES_MAX,
            "try_send accepted {accepted} messages, and nobody read one"
        );
    }
    Ok(())
}

/// A full send queue gives the message back.
pub async fn a_full_send_queue_gives_the_message_back(harness: &dyn Harness) -> Outcome {
    // The message is unlike all others, so getting it back whole means that it was not sent; and it never arrives.
    let pair = connected_pair_with(harness, narrow(), narrow()).await?;
    let mut accepted = pair.fill().await?;
    loop {
        match pair.ours.try_send(filler(accepted)) {
            Ok(()) => accepted += 1,
            Err(TrySendError::Full(message)) => {
                assert!(message == filler(accepted), "it came back changed");
                break;
            }
            Err(failed) => return Err(failed.into()),
        }
    }
    pair.read_filler(accepted).await?;
    let surplus = pair.patience.within_settle(pair.theirs.recv()).await;
    assert!(!matches!(surplus, Some(Ok(_))), "a message arrived that was given back");
    Ok(())
}

/// A stopped sender goes on when the peer reads.
pub async fn a_stopped_sender_goes_on_when_the_peer_reads(harness: &dyn Harness) -> Outcome {
    // The sends begin while there is no room, so they end only if reading makes room and wakes them.
    let pair = connected_pair_with(harness, narrow(), narrow()).await?;
    let accepted = pair.fill().await?;
    let more = async {
        for number in accepted..accepted + 20 {
            pair.ours.send(filler(number)).await?;
        }
        Outcome::Ok(())
    };
    tokio::try_join!(more, pair.read_filler(accepted + 20))?;
    Ok(())
}

/// A stream that nobody reads stops its writer, who goes on when somebody does.
pub async fn a_stream_nobody_reads_stops_its_writer(harness: &dyn Harness) -> Outcome {
    // `fill_stream` panics if the writer is never stopped. Reading exactly what went in lets the end through.
    let pair = connected_pair_with(harness, narrow(), narrow()).await?;
    let (mut ours, mut theirs) = pair.stream().await?;
    let written = pair.fill_stream(&mut ours.send).await?;
    let write = async {
        ours.send.write_all(&[b'.'; FILLER_BYTES]).await?;
        ours.send.finish()?;
        Outcome::Ok(())
    };
    let read = async { Ok(theirs.recv.read_to_end(2 * UNREAD_BYTES_MAX).await?) };
    let ((), read) = tokio::try_join!(write, read)?;
    assert_eq!(read.len(), written + FILLER_BYTES);
    Ok(())
}
