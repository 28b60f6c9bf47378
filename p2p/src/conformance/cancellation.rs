//! Dropped futures: a send is all or nothing, everything else loses nothing.

use std::time::Duration;

use super::{
    Harness, Outcome,
    datagrams::needs_datagrams,
    pair::{Patience, config, connected_pair, connected_pair_with, message, narrow, numbered, poll_once, protocol},
};
use crate::{P2PProviderExt, RuntimeExt};

/// A dropped send is all or nothing.
pub async fn a_dropped_send_is_all_or_nothing(harness: &dyn Harness) -> Outcome {
    // Sends are dropped while they wait for room, each with a message of its own. What arrives is compared with exactly
    // the messages whose send returned `Ok`, so half a message or one of a dropped send shows.
    let pair = connected_pair_with(harness, narrow(), narrow()).await?;
    let mut accepted = pair.fill().await?;
    let mut expected = Vec::new();
    for attempt in 0..10 {
        let message = numbered(1_000_000 + attempt, 5_000);
        let mut send = pair.ours.send(message.clone());
        if let Some(sent) = poll_once(&mut send).await {
            sent?;
            expected.push(message);
        }
        drop(send);
        // Reading one makes room at some point between the attempts.
        if attempt % 3 == 2 && accepted > 0 {
            pair.theirs.recv().await?;
            accepted -= 1;
        }
    }
    let last = async {
        pair.ours.send("last".into()).await?;
        Outcome::Ok(())
    };
    let receive = async {
        for _ in 0..accepted {
            pair.theirs.recv().await?;
        }
        for message in &expected {
            assert!(pair.theirs.recv().await? == message, "of a dropped send");
        }
        assert!(pair.theirs.recv().await? == "last", "of a dropped send");
        Outcome::Ok(())
    };
    tokio::try_join!(last, receive)?;
    Ok(())
}

/// A dropped recv loses no message.
pub async fn a_dropped_recv_loses_no_message(harness: &dyn Harness) -> Outcome {
    // Most recv futures are dropped while they wait, some just as a message comes. Every message is still read, in order.
    let pair = connected_pair(harness).await?;
    let send = async {
        for number in 0..20 {
            pair.ours.send(message(number)).await?;
            if number % 4 == 0 {
                pair.patience.settle().await;
            }
        }
        Outcome::Ok(())
    };
    let receive = async {
        for number in 0..20 {
            let received = pair.patience.impatiently(|| pair.theirs.recv()).await?;
            assert!(received == message(number), "message {number} is not next");
        }
        Outcome::Ok(())
    };
    tokio::try_join!(send, receive)?;
    Ok(())
}

/// A dropped recv passes its turn on.
pub async fn a_dropped_recv_passes_its_turn_on(harness: &dyn Harness) -> Outcome {
    // Two callers wait, a message comes, and the first is dropped without having looked. If the message had woken only
    // the first, the second would wait for ever.
    let pair = connected_pair(harness).await?;
    let (mut first, mut second) = (pair.theirs.recv(), pair.theirs.recv());
    assert!(poll_once(&mut first).await.is_none(), "nothing was sent");
    assert!(poll_once(&mut second).await.is_none(), "nothing was sent");
    pair.ours.send(message(1)).await?;
    pair.patience.settle().await;
    drop(first);
    assert!(second.await? == message(1));
    Ok(())
}

/// A dropped accept loses no connection.
pub async fn a_dropped_accept_loses_no_connection(harness: &dyn Harness) -> Outcome {
    // Accepts are dropped all the time while peers dial. Each connection carries a message of its own, and every message
    // is read, in whatever order the connections come.
    let (ours, theirs) = harness.providers().await;
    let patience = Patience::new(harness, &*ours);
    let listener = theirs.listen(&protocol()).await?;
    let addr = harness.addr_of(&*listener);
    let dial = async {
        let mut connections = Vec::new();
        for number in 0..5 {
            let connection = ours.connect_with(addr.clone(), config()).await?;
            connection.send(message(number)).await?;
            connections.push(connection);
        }
        Outcome::Ok(connections)
    };
    let accept = async {
        let mut messages = Vec::new();
        for _ in 0..5 {
            let connection = patience.impatiently(|| listener.accept()).await?;
            messages.push(connection.recv().await?);
        }
        Outcome::Ok(messages)
    };
    let (_connections, mut messages) = tokio::try_join!(dial, accept)?;
    let mut expected: Vec<_> = (0..5).map(message).collect();
    messages.sort();
    expected.sort();
    assert!(messages == expected, "a connection was lost or came twice");
    Ok(())
}

/// A dropped `accept_stream` loses no stream.
pub async fn a_dropped_accept_stream_loses_no_stream(harness: &dyn Harness) -> Outcome {
    // As many streams come out as went in, though most calls that wait for them are dropped.
    let pair = connected_pair(harness).await?;
    let open = async {
        for _ in 0..5 {
            let mut stream = pair.ours.open_stream().await?;
            stream.send.write_all(b"whole").await?;
            stream.send.finish()?;
            pair.patience.settle().await;
        }
        Outcome::Ok(())
    };
    let accept = async {
        for _ in 0..5 {
            let mut stream = pair.patience.impatiently(|| pair.theirs.accept_stream()).await?;
            assert_eq!(stream.recv.read_to_end(100).await?, b"whole");
        }
        Outcome::Ok(())
    };
    tokio::try_join!(open, accept)?;
    Ok(())
}

/// A dropped `recv_datagram` loses no datagram.
pub async fn a_dropped_recv_datagram_loses_no_datagram(harness: &dyn Harness) -> Outcome {
    // The network may lose any datagram, so one after the other is sent until one is read. Each waits for a call that is
    // not patient at first: whoever takes a datagram and then lets go of it never delivers one.
    let pair = connected_pair(harness).await?;
    needs_datagrams(harness, &pair)?;
    loop {
        pair.ours.send_datagram("anybody there?".into())?;
        pair.patience.settle().await;
        if let Some(datagram) = poll_once(&mut pair.theirs.recv_datagram()).await {
            assert_eq!(datagram?, "anybody there?");
            return Ok(());
        }
    }
}

/// A dropped dial leaves the listener and its peers unharmed.
pub async fn a_dropped_dial_harms_nobody(harness: &dyn Harness) -> Outcome {
    // Dials are given up at several moments. What comes of them closes at once, if the listener sees it at all, and the
    // one that is not dropped works.
    let (ours, theirs) = harness.providers().await;
    let patience = Patience::new(harness, &*ours);
    let listener = theirs.listen(&protocol()).await?;
    let addr = harness.addr_of(&*listener);
    for millis in [0, 1, 30, 100] {
        let dial = ours.connect_with(addr.clone(), config());
        let after = Duration::from_millis(millis);
        let _ = patience.runtime().timeout(after, dial).await;
    }
    let connection = ours.connect_with(addr, config()).await?;
    connection.send("the last one".into()).await?;
    loop {
        let accepted = listener.accept().await?;
        match patience.ends("recv on a connection whose dial was dropped", accepted.recv()).await {
            Ok(message) => {
                assert_eq!(message, "the last one");
                return Ok(());
            }
            Err(_) => continue,
        }
    }
}
