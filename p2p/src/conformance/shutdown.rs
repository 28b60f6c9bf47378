//! Shutdown: finishes what it can, then every pending call resolves.

use std::time::Duration;

use super::{
    Harness, Outcome,
    pair::{connected_pair, connected_pair_with, is_closed, message, narrow, poll_once, protocol},
};
use crate::{CloseReason, P2PError, P2PProviderExt};

/// Shutdown resolves pending calls, and the peer sees an end.
pub async fn shutdown_resolves_pending_calls(harness: &dyn Harness) -> Outcome {
    // Each call waits for something that will not come, and is named if it goes on waiting.
    let pair = connected_pair(harness).await?;
    let patience = &pair.patience;
    tokio::join!(
        biased;
        async {
            let accepted = patience.ends("accept", pair.listener.accept()).await;
            assert!(matches!(accepted, Err(P2PError::ShutDown)), "{accepted:?}");
        },
        async { assert!(is_closed(&patience.ends("recv", pair.theirs.recv()).await)) },
        async {
            let accepted = patience.ends("accept_stream", pair.theirs.accept_stream()).await;
            assert!(is_closed(&accepted), "{accepted:?}");
        },
        async {
            assert_eq!(patience.ends("closed", pair.theirs.closed()).await, CloseReason::ShutDown);
        },
        async {
            patience.ends("closed at the peer", pair.ours.closed()).await;
        },
        async {
            patience.settle().await;
            patience.ends("shutdown", pair.their_provider.shutdown(Duration::from_secs(1))).await;
        },
    );
    Ok(())
}

/// After a shutdown, calls fail as shut down.
pub async fn calls_after_a_shutdown_fail(harness: &dyn Harness) -> Outcome {
    // The other provider is well, so dialling it could have worked.
    let (ours, theirs) = harness.providers().await;
    let listener = theirs.listen(&protocol()).await?;
    ours.shutdown(Duration::from_secs(1)).await;
    let dialled = ours.connect(harness.addr_of(&*listener), &protocol()).await.map(drop);
    assert!(matches!(dialled, Err(P2PError::ShutDown)), "{dialled:?}");
    let listened = ours.listen(&protocol()).await;
    assert!(matches!(listened, Err(P2PError::ShutDown)), "{listened:?}");
    Ok(())
}

/// Shutdown delivers what was accepted.
pub async fn shutdown_delivers_what_was_accepted(harness: &dyn Harness) -> Outcome {
    // The messages are accepted in one go and nothing else is awaited before the shutdown, so it has to bring them there.
    let pair = connected_pair(harness).await?;
    for number in 0..20 {
        pair.ours.try_send(message(number))?;
    }
    pair.our_provider.shutdown(harness.deadline() / 4).await;
    for number in 0..20 {
        assert!(pair.theirs.recv().await? == message(number), "message {number}");
    }
    assert!(is_closed(&pair.theirs.recv().await));
    Ok(())
}

/// Shutdown ends at its deadline, even if a peer does not read.
pub async fn shutdown_ends_at_its_deadline(harness: &dyn Harness) -> Outcome {
    // More was accepted than the peer takes, so nothing but the deadline can end the wait; the connection is closed then.
    let pair = connected_pair_with(harness, narrow(), narrow()).await?;
    pair.fill().await?;
    let shutdown = pair.our_provider.shutdown(Duration::from_secs(2));
    pair.patience.ends("shutdown", shutdown).await;
    assert!(pair.ours.close_reason().is_some());
    Ok(())
}

/// A second shutdown waits for the first.
pub async fn a_second_shutdown_waits_for_the_first(harness: &dyn Harness) -> Outcome {
    // A peer that does not read holds the first one up. If the second returns while the connection is still open, it
    // did not wait.
    let pair = connected_pair_with(harness, narrow(), narrow()).await?;
    pair.fill().await?;
    let first = pair.our_provider.shutdown(harness.settle() * 4);
    let second = async {
        pair.patience.settle().await;
        pair.our_provider.shutdown(Duration::ZERO).await;
        assert!(pair.ours.close_reason().is_some(), "the first is not done");
    };
    let both = async { tokio::join!(biased; first, second) };
    pair.patience.ends("shutdown, twice", both).await;
    Ok(())
}

/// A dropped shutdown goes on.
pub async fn a_dropped_shutdown_goes_on(harness: &dyn Harness) -> Outcome {
    // It is polled once, so it has begun, and dropped. The connection ends all the same.
    let pair = connected_pair(harness).await?;
    let mut shutdown = pair.our_provider.shutdown(Duration::from_secs(1));
    let _ = poll_once(&mut shutdown).await;
    drop(shutdown);
    pair.patience.ends("closed", pair.ours.closed()).await;
    pair.patience.ends("closed at the peer", pair.theirs.closed()).await;
    let dialled = pair.our_provider.connect(harness.addr_of(&*pair.listener), &protocol()).await;
    assert!(matches!(dialled, Err(P2PError::ShutDown)), "{dialled:?}");
    Ok(())
}
