//! Listeners: one per protocol, bounded, and gone when dropped.

use std::{future::poll_fn, task::Poll, time::Duration};

use super::{
    Harness, Outcome,
    pair::{Patience, config, connected_pair, message, protocol},
};
use crate::{ListenConfig, P2PError, P2PProvider, P2PProviderExt, RefusalCode, RuntimeExt};

/// A listener says where it can be dialled, and for what.
pub async fn a_listener_says_where_it_can_be_dialled(harness: &dyn Harness) -> Outcome {
    // The connection of the pair was dialled by what the listener said; here it is compared with who listens.
    let pair = connected_pair(harness).await?;
    assert_eq!(pair.listener.local_addr().peer, pair.their_provider.local_peer_id());
    assert_eq!(pair.listener.protocol(), &protocol());
    Ok(())
}

/// A second listener for the same protocol is an error.
pub async fn a_second_listener_for_one_protocol_is_an_error(harness: &dyn Harness) -> Outcome {
    // The first one is unharmed by the attempt: it still accepts.
    let (ours, theirs) = harness.providers().await;
    let listener = theirs.listen(&protocol()).await?;
    let second = theirs.listen(&protocol()).await.map(drop);
    assert!(
        matches!(&second, Err(P2PError::AlreadyListening { protocol: taken }) if *taken == protocol()),
        "{second:?}"
    );
    let dial = ours.connect_with(harness.addr_of(&*listener), config());
    tokio::try_join!(dial, listener.accept())?;
    Ok(())
}

/// A dropped listener frees its protocol.
pub async fn a_dropped_listener_frees_its_protocol(harness: &dyn Harness) -> Outcome {
    // Diallers are told that nobody listens, and somebody may listen again, at once.
    let (ours, theirs) = harness.providers().await;
    let listener = theirs.listen(&protocol()).await?;
    let addr = harness.addr_of(&*listener);
    drop(listener);
    let dialled = ours.connect(addr, &protocol()).await.map(drop);
    match &dialled {
        Err(P2PError::Refused { refusal, .. }) => assert_eq!(refusal.code, RefusalCode::UnknownProtocol),
        // A provider with no listener at all may not answer.
        Err(error) => assert!(error.is_retryable(), "{error:?}"),
        Ok(_) => panic!("a dropped listener took a connection"),
    }
    let listener = theirs.listen(&protocol()).await?;
    let dial = ours.connect_with(harness.addr_of(&*listener), config());
    tokio::try_join!(dial, listener.accept())?;
    Ok(())
}

/// A call of `listen_with` that is dropped leaves no listener behind.
pub async fn a_dropped_listen_frees_its_protocol(harness: &dyn Harness) -> Outcome {
    // However far it came in the time it got, listening again succeeds, and yields a listener that peers reach.
    let (ours, theirs) = harness.providers().await;
    for polls in 1..=3 {
        let mut listen = theirs.listen_with(ListenConfig::from(config()));
        for _ in 0..polls {
            let listened = poll_fn(|cx| Poll::Ready(listen.as_mut().poll(cx))).await;
            if let Poll::Ready(listener) = listened {
                drop(listener?);
                break;
            }
        }
    }
    let listener = theirs.listen(&protocol()).await?;
    let dial = ours.connect_with(harness.addr_of(&*listener), config());
    tokio::try_join!(dial, listener.accept())?;
    Ok(())
}

/// Connections outlive the listener that accepted them.
pub async fn connections_outlive_their_listener(harness: &dyn Harness) -> Outcome {
    // Messages still go both ways after the listener is gone.
    let pair = connected_pair(harness).await?;
    drop(pair.listener);
    pair.patience.settle().await;
    pair.ours.send("there".into()).await?;
    assert_eq!(pair.theirs.recv().await?, "there");
    pair.theirs.send("and back".into()).await?;
    assert_eq!(pair.ours.recv().await?, "and back");
    Ok(())
}

/// A full backlog refuses diallers as busy, until there is room.
pub async fn a_full_backlog_refuses_as_busy(harness: &dyn Harness) -> Outcome {
    // Nobody accepts, so the second dialler finds the one place taken. It is told to come back, and then it may.
    let (ours, theirs) = harness.providers().await;
    let listener = theirs.listen_with(ListenConfig::from(config()).with_backlog_max(1)).await?;
    let addr = harness.addr_of(&*listener);
    let first = ours.connect_with(addr.clone(), config()).await?;
    let second = ours.connect_with(addr.clone(), config()).await.map(drop);
    let Err(P2PError::Refused { refusal, .. }) = &second else {
        panic!("{second:?}");
    };
    assert_eq!(refusal.code, RefusalCode::Busy);
    assert!(refusal.is_retryable());
    let accepted = listener.accept().await?;
    first.send(message(1)).await?;
    assert!(accepted.recv().await? == message(1));
    // The refused dialler's own place may take a moment longer to be free: until then the answer is the same, and as true.
    let patience = Patience::new(harness, &*ours);
    let again = async {
        loop {
            match ours.connect_with(addr.clone(), config()).await {
                Err(P2PError::Refused { refusal, .. }) if refusal.code == RefusalCode::Busy => {
                    ours.runtime().sleep(Duration::from_millis(1)).await;
                }
                dialled => return dialled,
            }
        }
    };
    patience.ends("a dial once there is room", async { tokio::try_join!(again, listener.accept()) }).await?;
    Ok(())
}

/// Several callers of `accept` get different connections.
pub async fn each_connection_goes_to_exactly_one_accept(harness: &dyn Harness) -> Outcome {
    // Three callers wait, three peers dial, and each connection's own message is read exactly once.
    let (ours, theirs) = harness.providers().await;
    let patience = Patience::new(harness, &*ours);
    let listener = theirs.listen(&protocol()).await?;
    let addr = harness.addr_of(&*listener);
    let dial = async |number: usize| {
        let connection = ours.connect_with(addr.clone(), config()).await?;
        connection.send(message(number)).await?;
        Outcome::Ok(connection)
    };
    let take = async || {
        let connection = listener.accept().await?;
        let message = patience.ends("recv on an accepted connection", connection.recv()).await?;
        Outcome::Ok((connection, message))
    };
    let (a, b, c, _d, _e, _f) = tokio::try_join!(take(), take(), take(), dial(0), dial(1), dial(2))?;
    let mut taken = [a.1, b.1, c.1];
    taken.sort();
    let mut expected = [message(0), message(1), message(2)];
    expected.sort();
    assert!(taken == expected, "a connection went to two callers, or to none");
    let surplus = patience.within_settle(listener.accept()).await;
    assert!(surplus.is_none(), "nobody else has dialled");
    Ok(())
}
