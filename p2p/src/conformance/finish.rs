//! `finish`: everything that was accepted has reached the peer's provider, then the connection closes.

use super::{
    Harness, Outcome,
    close::peer_said,
    pair::{connected_pair, connected_pair_with, is_closed, message, narrow, poll_once},
    stream_ends::end_of,
};
use crate::{CloseCode, CloseReason, P2PError, TrySendError};

/// `finish` delivers every message and then closes; the peer can read them after the close.
pub async fn finish_delivers_every_message_then_closes(harness: &dyn Harness) -> Outcome {
    // The messages are accepted in one go and the peer looks only when the connection has ended, so `finish` alone
    // brought them there. After the last one, and not before, reading says `Closed`.
    let pair = connected_pair(harness).await?;
    for number in 0..20 {
        pair.ours.try_send(message(number))?;
    }
    pair.patience.ends("finish", pair.ours.finish()).await?;
    let local = CloseReason::Local { code: CloseCode::OK, reason: String::new() };
    assert_eq!(pair.ours.close_reason(), Some(local));
    let reason = pair.patience.ends("closed at the peer", pair.theirs.closed()).await;
    assert_eq!(reason, peer_said(0, ""));
    for number in 0..20 {
        assert!(pair.theirs.recv().await? == message(number), "message {number}");
    }
    assert!(is_closed(&pair.theirs.recv().await));
    Ok(())
}

/// `finish` waits for a peer that does not read.
pub async fn finish_waits_for_a_peer_that_does_not_read(harness: &dyn Harness) -> Outcome {
    // More was accepted than the peer's provider takes, so `finish` cannot be done; once the peer reads, it is.
    let pair = connected_pair_with(harness, narrow(), narrow()).await?;
    let accepted = pair.fill().await?;
    let mut finish = pair.ours.finish();
    let early = pair.patience.within_settle(&mut finish).await;
    assert!(early.is_none(), "{early:?}, and the peer has read nothing");
    let finish = async { Ok(finish.await?) };
    tokio::try_join!(finish, pair.read_filler(accepted))?;
    assert!(is_closed(&pair.theirs.recv().await));
    Ok(())
}

/// `finish` delivers streams that were finished.
pub async fn finish_delivers_finished_streams(harness: &dyn Harness) -> Outcome {
    // The stream is larger than a packet and is finished just before, so its end is still under way when `finish` begins.
    // The reader looks only after the connection has closed, and gets all of it.
    let pair = connected_pair(harness).await?;
    let (mut ours, mut theirs) = pair.stream().await?;
    ours.send.write_all(&[3; 20_000]).await?;
    ours.send.finish()?;
    pair.patience.ends("finish", pair.ours.finish()).await?;
    pair.patience.ends("closed at the peer", pair.theirs.closed()).await;
    let read = theirs.recv.read_to_end(100_000).await?;
    assert_eq!(read.len(), 20_000);
    Ok(())
}

/// `finish` resets streams that are still open.
pub async fn finish_resets_open_streams(harness: &dyn Harness) -> Outcome {
    // It does not wait for a writer that may never end, and the reader does not take the break for an ordinary end.
    let pair = connected_pair(harness).await?;
    let (mut ours, mut theirs) = pair.stream().await?;
    ours.send.write_all(b"half of").await?;
    pair.patience.ends("finish", pair.ours.finish()).await?;
    let end = pair.patience.ends("a read", end_of(&mut theirs.recv)).await;
    assert!(end.is_err(), "an open stream ended as if it were whole");
    assert!(ours.send.write_all(b"a whole").await.is_err());
    Ok(())
}

/// Both sides may finish at once.
pub async fn both_sides_may_finish_at_once(harness: &dyn Harness) -> Outcome {
    // Each has messages under way when both begin; both succeed, and both can read what the other sent.
    let pair = connected_pair(harness).await?;
    for number in 0..10 {
        pair.ours.try_send(message(number))?;
        pair.theirs.try_send(message(100 + number))?;
    }
    let both = async { tokio::try_join!(pair.ours.finish(), pair.theirs.finish()) };
    pair.patience.ends("finish on both sides", both).await?;
    for number in 0..10 {
        assert!(pair.theirs.recv().await? == message(number));
        assert!(pair.ours.recv().await? == message(100 + number));
    }
    assert!(is_closed(&pair.ours.recv().await) && is_closed(&pair.theirs.recv().await));
    Ok(())
}

/// Finishing a connection that was finished is fine.
pub async fn finishing_twice_is_fine(harness: &dyn Harness) -> Outcome {
    // Once side by side and once more afterwards.
    let pair = connected_pair(harness).await?;
    pair.ours.try_send(message(1))?;
    let both = async { tokio::try_join!(pair.ours.finish(), pair.ours.finish()) };
    pair.patience.ends("finish, twice", both).await?;
    pair.patience.ends("finish, once more", pair.ours.finish()).await?;
    assert!(pair.theirs.recv().await? == message(1));
    Ok(())
}

/// Nothing is accepted once `finish` has begun.
pub async fn nothing_is_accepted_once_finish_began(harness: &dyn Harness) -> Outcome {
    // `finish` is kept waiting by a peer that does not read. A message that was accepted now would arrive after the
    // last one, where the peer finds the end instead.
    let pair = connected_pair_with(harness, narrow(), narrow()).await?;
    let accepted = pair.fill().await?;
    let mut finish = pair.ours.finish();
    assert!(poll_once(&mut finish).await.is_none(), "the peer has read nothing");
    let tried = pair.ours.try_send("late".into());
    assert!(matches!(tried, Err(TrySendError::Failed(P2PError::Closed { .. }))), "{tried:?}");
    let sent = pair.patience.ends("send", pair.ours.send("later".into())).await;
    assert!(is_closed(&sent), "{sent:?}");
    let finish = async { Ok(finish.await?) };
    tokio::try_join!(finish, pair.read_filler(accepted))?;
    assert!(is_closed(&pair.theirs.recv().await));
    Ok(())
}

/// A dropped `finish` goes on.
pub async fn a_dropped_finish_goes_on(harness: &dyn Harness) -> Outcome {
    // It is polled once, so it has begun, and dropped. Everything arrives all the same, and then the end.
    let pair = connected_pair(harness).await?;
    for number in 0..10 {
        pair.ours.try_send(message(number))?;
    }
    let mut finish = pair.ours.finish();
    if let Some(finished) = poll_once(&mut finish).await {
        finished?;
    }
    drop(finish);
    let reason = pair.patience.ends("closed at the peer", pair.theirs.closed()).await;
    assert_eq!(reason, peer_said(0, ""));
    for number in 0..10 {
        assert!(pair.theirs.recv().await? == message(number), "message {number}");
    }
    Ok(())
}

/// `finish` fails if the connection ends before everything has arrived.
pub async fn finish_fails_if_the_peer_closes_first(harness: &dyn Harness) -> Outcome {
    // The peer reads nothing and closes, so what was accepted never arrives and `finish` must not say that it did.
    let pair = connected_pair_with(harness, narrow(), narrow()).await?;
    pair.fill().await?;
    let close = async {
        pair.patience.settle().await;
        pair.theirs.close(CloseCode(7), "no time");
    };
    let both = async { tokio::join!(pair.ours.finish(), close) };
    let (finished, ()) = pair.patience.ends("finish", both).await;
    assert!(
        matches!(&finished, Err(P2PError::Closed { reason }) if *reason == peer_said(7, "no time")),
        "{finished:?}"
    );
    Ok(())
}

/// `close` ends a `finish` that waits.
pub async fn close_ends_a_finish_that_waits(harness: &dyn Harness) -> Outcome {
    // The peer does not read, so `finish` would wait for ever; what it says then is the reason of the close.
    let pair = connected_pair_with(harness, narrow(), narrow()).await?;
    pair.fill().await?;
    let close = async {
        pair.patience.settle().await;
        pair.ours.close(CloseCode(7), "that took too long");
    };
    let both = async { tokio::join!(pair.ours.finish(), close) };
    let (finished, ()) = pair.patience.ends("finish", both).await;
    let Err(P2PError::Closed { reason }) = &finished else {
        panic!("{finished:?}");
    };
    assert_eq!(reason.code(), Some(CloseCode(7)));
    Ok(())
}
