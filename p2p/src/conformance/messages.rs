//! Messages: whole, in order, at most once, up to the limit.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{
    Harness, Outcome,
    pair::{FILLER_BYTES, config, connected_pair, connected_pair_with, filler, message, narrow, numbered},
};
use crate::{P2PError, TrySendError};

/// Messages arrive whole, in order and at most once.
pub async fn messages_arrive_whole_in_order_and_at_most_once(harness: &dyn Harness) -> Outcome {
    // Every message differs from every other. So one that equals what was sent at its place was neither lost before it,
    // repeated, exchanged, cut nor damaged; and what follows the last would be a repetition.
    let pair = connected_pair(harness).await?;
    let lens = [0, 1, 70_000, 200_000];
    let sent: Vec<Bytes> = (0..100).map(message).chain(lens.map(|len| numbered(len + 7, len))).collect();
    let send = async {
        for message in &sent {
            pair.ours.send(message.clone()).await?;
        }
        Outcome::Ok(())
    };
    let receive = async {
        for (number, message) in sent.iter().enumerate() {
            let received = pair.theirs.recv().await?;
            assert!(received == message, "message {number} is not as sent");
        }
        Outcome::Ok(())
    };
    tokio::try_join!(send, receive)?;
    let surplus = pair.patience.within_settle(pair.theirs.recv()).await;
    assert!(!matches!(surplus, Some(Ok(_))), "a message was not sent");
    Ok(())
}

/// An empty message is a message.
pub async fn empty_messages_arrive(harness: &dyn Harness) -> Outcome {
    // The empty ones stand between others, so a missing one puts its neighbour in its place.
    let pair = connected_pair(harness).await?;
    let sent = ["", "a", "", "", "b", ""];
    for text in sent {
        pair.ours.send(text.into()).await?;
    }
    for text in sent {
        assert_eq!(pair.theirs.recv().await?, text);
    }
    Ok(())
}

/// A message of exactly the limit arrives.
pub async fn a_message_of_exactly_the_limit_arrives(harness: &dyn Harness) -> Outcome {
    // Nothing longer is allowed, so if this one arrives the limit is what it says.
    let limited = config().with_message_bytes_max(10_000);
    let pair = connected_pair_with(harness, limited.clone(), limited).await?;
    let limit = pair.ours.limits().message_bytes_max;
    assert_eq!(limit, 10_000);
    pair.ours.send(numbered(1, limit)).await?;
    pair.ours.try_send(numbered(2, limit))?;
    assert!(pair.theirs.recv().await? == numbered(1, limit));
    assert!(pair.theirs.recv().await? == numbered(2, limit));
    Ok(())
}

/// A message over the limit is refused, naming size and limit, and the connection survives.
pub async fn a_message_over_the_limit_is_refused_and_the_connection_survives(harness: &dyn Harness) -> Outcome {
    // A message in each direction afterwards shows that neither side closed, and that no part of the large one was sent.
    let limited = config().with_message_bytes_max(10_000);
    let pair = connected_pair_with(harness, limited.clone(), limited).await?;
    let large = numbered(1, 10_001);
    let by_send = pair.ours.send(large.clone()).await.unwrap_err();
    let TrySendError::Failed(by_try_send) = pair.ours.try_send(large).unwrap_err() else {
        panic!("a message that can never be sent is not for another try");
    };
    for error in [by_send, by_try_send] {
        assert!(matches!(error, P2PError::MessageTooLarge { size: 10_001, limit: 10_000 }), "{error:?}");
    }
    pair.ours.send("there".into()).await?;
    assert_eq!(pair.theirs.recv().await?, "there");
    pair.theirs.send("and back".into()).await?;
    assert_eq!(pair.ours.recv().await?, "and back");
    Ok(())
}

/// Both sides keep the smaller of their limits.
pub async fn the_smaller_message_limit_holds_on_both_sides(harness: &dyn Harness) -> Outcome {
    // Each side has the smaller limit once, and the other has to know it without asking.
    for (ours, theirs) in [(5_000, 9_000), (9_000, 5_000)] {
        let pair = connected_pair_with(
            harness,
            config().with_message_bytes_max(ours),
            config().with_message_bytes_max(theirs),
        )
        .await?;
        for connection in [&pair.ours, &pair.theirs] {
            assert_eq!(connection.limits().message_bytes_max, 5_000);
            assert!(matches!(
                connection.send(numbered(1, 5_001)).await,
                Err(P2PError::MessageTooLarge { size: 5_001, limit: 5_000 })
            ));
        }
    }
    Ok(())
}

/// A lone message arrives without another behind it.
pub async fn a_lone_message_needs_no_successor(harness: &dyn Harness) -> Outcome {
    // Nothing is sent until the message before was read, so whoever keeps one back to fill a packet never lets it go.
    let pair = connected_pair(harness).await?;
    for number in 0..3 {
        pair.ours.send(message(number)).await?;
        assert!(pair.theirs.recv().await? == message(number));
        pair.theirs.try_send(message(number))?;
        assert!(pair.ours.recv().await? == message(number));
    }
    Ok(())
}

/// Messages flow both ways at once, even when each side has more under way than fits.
pub async fn messages_flow_both_ways_at_once(harness: &dyn Harness) -> Outcome {
    // Neither side reads unless it can send too, beyond all buffers: if one direction waited for the other, both would.
    const COUNT: usize = 150;
    let pair = connected_pair_with(harness, narrow(), narrow()).await?;
    let (ours, theirs) = (&pair.ours, &pair.theirs);
    let send = async |from: &Arc<dyn crate::P2PConnection>| {
        for number in 0..COUNT {
            from.send(filler(number)).await?;
        }
        Outcome::Ok(())
    };
    let receive = async |at: &Arc<dyn crate::P2PConnection>| {
        for number in 0..COUNT {
            assert!(at.recv().await? == filler(number), "message {number}");
        }
        Outcome::Ok(())
    };
    tokio::try_join!(send(ours), send(theirs), receive(ours), receive(theirs))?;
    Ok(())
}

/// Several callers of `recv` share the messages: each goes to exactly one.
pub async fn each_message_goes_to_exactly_one_of_several_receivers(harness: &dyn Harness) -> Outcome {
    // What all receivers took together, sorted, is compared with what was sent: a repetition shows in any case, a gap
    // whenever `finish` says that everything has arrived.
    const COUNT: usize = 100;
    let pair = connected_pair(harness).await?;
    let taken = Mutex::new(Vec::new());
    let receiver = async || {
        while let Ok(message) = pair.theirs.recv().await {
            taken.lock().push(message);
        }
    };
    let send = async {
        for number in 0..COUNT {
            pair.ours.send(message(number)).await?;
        }
        pair.ours.finish().await
    };
    let (sent, (), (), ()) = tokio::join!(send, receiver(), receiver(), receiver());
    let mut taken = taken.into_inner();
    taken.sort();
    let repeated = taken.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert_eq!(repeated, 0, "messages went to two receivers");
    sent?;
    let mut expected: Vec<Bytes> = (0..COUNT).map(message).collect();
    expected.sort();
    assert!(taken == expected, "{} of {COUNT} messages arrived as sent", taken.len());
    Ok(())
}

/// Several callers of `send` each keep their order.
pub async fn each_of_several_senders_keeps_its_order(harness: &dyn Harness) -> Outcome {
    // A message names its sender and its place. Each sender's messages, picked out of what arrived, have to be all of
    // them, in order.
    const COUNT: usize = 25;
    let pair = connected_pair_with(harness, narrow(), narrow()).await?;
    let sender = async |sender: usize| {
        for number in 0..COUNT {
            pair.ours.send(numbered(sender * COUNT + number, FILLER_BYTES)).await?;
        }
        Outcome::Ok(())
    };
    let receive = async {
        let mut next = [0, COUNT, 2 * COUNT];
        for _ in 0..next.len() * COUNT {
            let received = pair.theirs.recv().await?;
            let expected = next.iter_mut().find(|next| received == numbered(**next, FILLER_BYTES));
            *expected.expect("a message is whole, and the next of its sender") += 1;
        }
        Outcome::Ok(())
    };
    tokio::try_join!(sender(0), sender(1), sender(2), receive)?;
    Ok(())
}

/// `try_recv` returns what has arrived, and never waits.
pub async fn try_recv_returns_what_has_arrived(harness: &dyn Harness) -> Outcome {
    // Before anything was sent there is nothing to return. Once `recv` has returned the first message, the others are
    // on their way or there, and asking again and again must bring them, in order.
    let pair = connected_pair(harness).await?;
    assert!(pair.theirs.try_recv()?.is_none(), "nothing was sent");
    for number in 0..5 {
        pair.ours.send(message(number)).await?;
    }
    assert!(pair.theirs.recv().await? == message(0));
    for number in 1..5 {
        let received = loop {
            match pair.theirs.try_recv()? {
                Some(received) => break received,
                None => pair.patience.settle().await,
            }
        };
        assert!(received == message(number), "message {number}");
    }
    Ok(())
}
