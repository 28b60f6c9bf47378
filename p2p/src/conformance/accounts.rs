//! What connections and providers say of themselves: state, counters, peers, readiness.

use std::time::Duration;

use super::{
    Harness, Outcome,
    close::peer_said,
    datagrams::needs_datagrams,
    pair::{connected_pair, message, numbered, protocol},
};
use crate::{CloseCode, CloseReason, ConnectionState, P2PConnectionExt, P2PProviderExt};

/// The state tells the end, to whoever watches.
pub async fn the_state_tells_the_end_to_whoever_watches(harness: &dyn Harness) -> Outcome {
    // Both watches were taken while the connection worked, and learn of the close from the change alone.
    let pair = connected_pair(harness).await?;
    let (mut ours, mut theirs) = (pair.ours.state(), pair.theirs.state());
    assert!(pair.ours.is_connected() && pair.theirs.is_connected());
    pair.ours.close(CloseCode(7), "enough");
    let local = CloseReason::Local { code: CloseCode(7), reason: "enough".into() };
    for (watch, expected) in [(&mut ours, local), (&mut theirs, peer_said(7, "enough"))] {
        let closed = watch.wait_for(ConnectionState::is_closed);
        let state = pair.patience.ends("a change of state", closed).await;
        let Ok(ConnectionState::Closed { reason, .. }) = state else {
            panic!("{state:?}");
        };
        assert_eq!(reason, expected);
    }
    assert!(!pair.ours.is_connected() && !pair.theirs.is_connected());
    Ok(())
}

/// The state of a connection on which data flows tells the path, on both sides.
pub async fn the_state_tells_the_path(harness: &dyn Harness) -> Outcome {
    // A transport may be between paths for a moment, so the path is waited for, while a message shows that data flows.
    let pair = connected_pair(harness).await?;
    pair.ours.send(message(1)).await?;
    pair.theirs.recv().await?;
    for connection in [&pair.ours, &pair.theirs] {
        let mut state = connection.state();
        let told = state.wait_for(|state| state.path().is_some());
        let told = pair.patience.ends("a path", told).await.map(|state| state.path().map(ToString::to_string));
        assert!(told.is_ok_and(|path| path.is_some_and(|path| !path.is_empty())));
    }
    Ok(())
}

/// Counters count what moves, while it moves.
pub async fn stats_count_what_moves(harness: &dyn Harness) -> Outcome {
    // Messages and stream bytes of known sizes are moved, and both sides' numbers are compared with the sums.
    let pair = connected_pair(harness).await?;
    let mut bytes = 0;
    for number in 1..=3 {
        let message = message(number);
        bytes += message.len() as u64;
        pair.ours.send(message).await?;
        pair.theirs.recv().await?;
        assert_eq!(pair.ours.stats().messages_sent, number as u64);
        assert_eq!(pair.theirs.stats().messages_received, number as u64);
    }
    let (mut ours, mut theirs) = pair.stream().await?;
    ours.send.write_all(&numbered(1, 5_000)).await?;
    ours.send.finish()?;
    theirs.recv.read_to_end(5_000).await?;
    bytes += 1 + 5_000;
    assert_eq!(pair.ours.stats().bytes_sent, bytes, "the messages' and the stream's");
    assert_eq!(pair.theirs.stats().bytes_received, bytes, "the messages' and the stream's");
    assert_eq!(pair.theirs.stats().messages_sent, 0);
    Ok(())
}

/// Counters count datagrams.
pub async fn stats_count_datagrams(harness: &dyn Harness) -> Outcome {
    // Some may be lost, so what arrived is counted here too.
    let pair = connected_pair(harness).await?;
    needs_datagrams(harness, &pair)?;
    for _ in 0..5 {
        pair.ours.send_datagram("five!".into())?;
    }
    let mut arrived = 0;
    while let Some(datagram) = pair.patience.within_settle(pair.theirs.recv_datagram()).await {
        datagram?;
        arrived += 1;
    }
    let (ours, theirs) = (pair.ours.stats(), pair.theirs.stats());
    assert_eq!((ours.datagrams_sent, ours.bytes_sent), (5, 25));
    assert_eq!((theirs.datagrams_received, theirs.bytes_received), (arrived, 5 * arrived));
    Ok(())
}

/// A provider knows a peer it is connected to, and when it no longer is.
pub async fn a_provider_knows_its_connected_peers(harness: &dyn Harness) -> Outcome {
    // The count is 1 while there is one connection; after it was closed, it comes down in the end.
    let pair = connected_pair(harness).await?;
    let sides = [(&pair.our_provider, &pair.ours), (&pair.their_provider, &pair.theirs)];
    for (provider, connection) in sides {
        let info = provider.peer_info(connection.peer_id()).expect("it is connected");
        assert_eq!((info.addr.peer, info.connections), (connection.peer_id(), 1));
    }
    pair.ours.close(CloseCode::OK, "");
    for (provider, connection) in sides {
        let forgotten = async {
            while provider.peer_info(connection.peer_id()).is_some_and(|info| info.connections > 0) {
                pair.patience.settle().await;
            }
        };
        pair.patience.ends("the count of a closed connection", forgotten).await;
    }
    Ok(())
}

/// A provider's status names it, and tells of its shutdown to whoever watches.
pub async fn the_status_tells_of_the_shutdown(harness: &dyn Harness) -> Outcome {
    // The watch was taken before, so the change has to reach it.
    let (ours, _theirs) = harness.providers().await;
    let _listener = ours.listen(&protocol()).await?;
    let mut status = ours.status();
    assert_eq!(status.get().addr.peer, ours.local_peer_id());
    assert!(!status.get().shut_down);
    ours.shutdown(Duration::from_secs(1)).await;
    let patience = super::Patience::new(harness, &*ours);
    let told = patience.ends("a change of status", status.wait_for(|status| status.shut_down)).await;
    assert!(told.is_ok_and(|status| !status.is_ready()));
    Ok(())
}
