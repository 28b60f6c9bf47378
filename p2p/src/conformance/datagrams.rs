//! Datagrams: perhaps lost or reordered, never duplicated, merged, cut or corrupted.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;

use super::{
    Harness, Interruption, Outcome, Pair,
    pair::{connected_pair, numbered},
};
use crate::{P2PError, RuntimeExt};

/// The largest datagram of now; the property is skipped where the harness says that there are none.
pub(super) fn needs_datagrams(harness: &dyn Harness, pair: &Pair) -> Outcome<usize> {
    if !harness.capabilities().datagrams {
        return Err(Interruption::skipped("this provider carries no datagrams"));
    }
    let limit = pair.ours.limits().datagram_bytes_max;
    Ok(limit.expect("the harness says that this provider carries datagrams"))
}

/// Datagrams are never duplicated, merged, cut or corrupted.
pub async fn datagrams_are_never_duplicated_merged_cut_or_corrupted(harness: &dyn Harness) -> Outcome {
    // Each datagram names its number, and number decides length and content. One that arrives must be exactly one of
    // those sent, and none may come twice.
    let pair = connected_pair(harness).await?;
    let limit = needs_datagrams(harness, &pair)?;
    let datagram = |number: usize| numbered(number, 8 + (number * 97) % (limit.min(1_000) - 8));
    for number in 0..50 {
        pair.ours.send_datagram(datagram(number))?;
    }
    let mut seen = BTreeSet::new();
    while let Some(received) = pair.patience.within_settle(pair.theirs.recv_datagram()).await {
        let received = received?;
        let number = received.first_chunk().map(|head| u64::from_le_bytes(*head) as usize);
        let number = number.filter(|&number| number < 50 && received == datagram(number));
        let number = number.unwrap_or_else(|| panic!("{} bytes that were not sent", received.len()));
        assert!(seen.insert(number), "datagram {number} came twice");
    }
    Ok(())
}

/// Of many datagrams one arrives.
pub async fn datagrams_arrive_in_the_end(harness: &dyn Harness) -> Outcome {
    // Any one may be lost; on a network that is not broken not all are. Both directions have to carry them.
    let pair = connected_pair(harness).await?;
    needs_datagrams(harness, &pair)?;
    for (from, to) in [(&pair.ours, &pair.theirs), (&pair.theirs, &pair.ours)] {
        loop {
            from.send_datagram("anybody there?".into())?;
            if let Some(received) = pair.patience.within_settle(to.recv_datagram()).await {
                assert_eq!(received?, "anybody there?");
                break;
            }
        }
    }
    Ok(())
}

/// A datagram of exactly the limit is carried.
pub async fn a_datagram_of_exactly_the_limit_is_carried(harness: &dyn Harness) -> Outcome {
    // The limit may change with the path, so it is read anew before every try.
    let pair = connected_pair(harness).await?;
    needs_datagrams(harness, &pair)?;
    loop {
        let limit = pair.ours.limits().datagram_bytes_max.unwrap_or_default();
        pair.ours.send_datagram(numbered(3, limit))?;
        if let Some(received) = pair.patience.within_settle(pair.theirs.recv_datagram()).await {
            assert!(received? == numbered(3, limit));
            return Ok(());
        }
    }
}

/// A datagram over the limit is refused, naming its size and the limit.
pub async fn a_datagram_over_the_limit_names_its_size_and_the_limit(harness: &dyn Harness) -> Outcome {
    // The numbers in the error are those the caller can see, and the connection carries on.
    let pair = connected_pair(harness).await?;
    let limit = needs_datagrams(harness, &pair)?;
    let error = pair.ours.send_datagram(Bytes::from(vec![0; limit + 1])).unwrap_err();
    let P2PError::DatagramTooLarge { size, limit: named } = error else {
        panic!("{error:?}");
    };
    assert_eq!((size, Some(named)), (limit + 1, pair.ours.limits().datagram_bytes_max));
    pair.ours.send("still here".into()).await?;
    assert_eq!(pair.theirs.recv().await?, "still here");
    Ok(())
}

/// Datagrams that nobody reads are bounded.
pub async fn unread_datagrams_are_bounded(harness: &dyn Harness) -> Outcome {
    // Five thousand are more than a provider should keep for a reader who may never come: some have to be gone, whether
    // the network lost them or the peer's provider did.
    const COUNT: usize = 5_000;
    let pair = connected_pair(harness).await?;
    let limit = needs_datagrams(harness, &pair)?;
    for number in 0..COUNT {
        pair.ours.send_datagram(numbered(number, limit.min(1_000)))?;
        if number % 100 == 0 {
            pair.patience.runtime().sleep(Duration::from_millis(1)).await;
        }
    }
    pair.patience.settle().await;
    let mut kept = 0;
    while let Some(received) = pair.patience.within_settle(pair.theirs.recv_datagram()).await {
        received?;
        kept += 1;
    }
    assert!(kept < COUNT, "all {COUNT} datagrams were kept");
    Ok(())
}

/// A connection without datagrams says so, and does everything else.
pub async fn a_connection_without_datagrams_says_so(harness: &dyn Harness) -> Outcome {
    // Whoever asks gets an answer, at once, from the limits and from both calls; nobody waits for what can't come.
    if harness.capabilities().datagrams {
        return Err(Interruption::skipped("this provider carries datagrams"));
    }
    let pair = connected_pair(harness).await?;
    assert_eq!(pair.ours.limits().datagram_bytes_max, None);
    let sent = pair.ours.send_datagram("x".into());
    assert!(matches!(sent, Err(P2PError::DatagramsUnsupported)), "{sent:?}");
    let received = pair.patience.ends("recv_datagram", pair.ours.recv_datagram()).await;
    assert!(matches!(received, Err(P2PError::DatagramsUnsupported)), "{received:?}");
    pair.ours.send("by message, then".into()).await?;
    assert_eq!(pair.theirs.recv().await?, "by message, then");
    Ok(())
}
