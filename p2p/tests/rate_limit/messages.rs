//! Messages and datagrams.

use std::time::Duration;

use bytes::Bytes;
use p2p::{
    CloseCode, P2PError, TrySendError,
    layer::{Rate, Rates, Traffic},
};

use crate::{Party, SECOND, pair, received, sent, timed, total};

const TEN_A_SECOND: Traffic = Traffic::NONE.with_messages(Rate::per_second(10).with_burst(1));

// The first passes at once and the twenty after it wait 100 ms each: 2 s and not a tick less.
#[tokio::test(start_paused = true)]
async fn send_waits_for_its_turn() {
    let (ours, theirs) = pair(sent(TEN_A_SECOND)).await;
    let send = async {
        for number in 0..=20u8 {
            ours.send(vec![number].into()).await.unwrap();
        }
    };
    let ((), took) = timed(send).await;
    assert!((2 * SECOND..2 * SECOND + SECOND / 20).contains(&took), "{took:?}");
    for number in 0..=20u8 {
        assert_eq!(theirs.recv().await.unwrap()[..], [number]);
    }
}

#[tokio::test(start_paused = true)]
async fn try_send_is_full_and_gives_the_message_back() {
    let (ours, theirs) = pair(sent(TEN_A_SECOND)).await;
    ours.try_send("one".into()).unwrap();
    let Err(TrySendError::Full(message)) = ours.try_send("two".into()) else { panic!("two at once") };
    ours.send(message).await.unwrap();
    assert_eq!((theirs.recv().await.unwrap(), theirs.recv().await.unwrap()), ("one".into(), "two".into()));
}

#[tokio::test(start_paused = true)]
async fn many_senders_together_keep_to_the_rate_and_each_gets_through() {
    let (ours, theirs) = pair(sent(TEN_A_SECOND)).await;
    let tasks: Vec<_> = (0..31)
        .map(|_| {
            let ours = ours.clone();
            tokio::spawn(async move { ours.send("hello".into()).await })
        })
        .collect();
    let all = async {
        for task in tasks {
            task.await.unwrap().unwrap();
        }
    };
    let ((), took) = timed(all).await;
    assert!((3 * SECOND..3 * SECOND + SECOND / 10).contains(&took), "{took:?}");
    drop(theirs);
}

// Whether the budget is spent decides when a call waits, not what is wrong with it.
#[tokio::test(start_paused = true)]
async fn what_can_never_be_sent_says_so_at_once() {
    let (ours, _theirs) = pair(sent(Traffic::NONE.with_messages(Rate::new(1, 3600 * SECOND)))).await;
    ours.send("one".into()).await.unwrap();
    let large = Bytes::from(vec![0; ours.limits().message_bytes_max + 1]);
    assert!(matches!(ours.send(large).await, Err(P2PError::MessageTooLarge { .. })));
    ours.close(CloseCode::OK, "");
    assert!(matches!(ours.try_send("two".into()), Err(TrySendError::Failed(P2PError::Closed { .. }))));
}

#[tokio::test(start_paused = true)]
async fn a_send_that_was_dropped_or_failed_has_used_up_nothing() {
    let (ours, _theirs) = pair(sent(Traffic::NONE.with_messages(Rate::new(1, 100 * SECOND).with_burst(2)))).await;
    let large = Bytes::from(vec![0; ours.limits().message_bytes_max + 1]);
    for _ in 0..10 {
        assert!(ours.try_send(large.clone()).is_err());
    }
    ours.try_send("one".into()).unwrap();
    ours.try_send("two".into()).unwrap();
    for _ in 0..10 {
        assert!(tokio::time::timeout(SECOND, ours.send("dropped".into())).await.is_err());
    }
    let (sent, took) = timed(ours.send("three".into())).await;
    sent.unwrap();
    assert!(took <= 90 * SECOND, "ten that were dropped after a second each would make it a thousand: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_ends_when_the_connection_does() {
    let hourly = Traffic::NONE.with_messages(Rate::new(1, 3600 * SECOND)).with_streams(Rate::new(1, 3600 * SECOND));
    let (ours, theirs) = pair(p2p::layer::RateLimits::NONE.with_total(Rates::NONE.with_sent(hourly))).await;
    ours.send("one".into()).await.unwrap();
    let _stream = ours.open_stream().await.unwrap();
    let close = async {
        tokio::time::sleep(SECOND).await;
        theirs.close(CloseCode(3), "enough");
    };
    let calls = async { tokio::join!(ours.send("two".into()), ours.open_stream(), close) };
    let ((sent, opened, ()), took) = timed(calls).await;
    assert!(matches!(sent, Err(P2PError::Closed { .. })) && matches!(opened, Err(P2PError::Closed { .. })));
    assert!(took < 2 * SECOND, "{took:?}");
}

// The peer sends as fast as it can. What is read is read at the rate, and the peer is the one who waits.
#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_too_much_is_read_at_the_rate_and_stopped() {
    let (ours, theirs) = pair(received(Traffic::NONE.with_messages(Rate::per_second(10)))).await;
    let flood = tokio::spawn(async move {
        let mut accepted = 0;
        while theirs.send(vec![0; 100_000].into()).await.is_ok() {
            accepted += 1;
        }
        accepted
    });
    let read = async {
        for _ in 0..110 {
            ours.recv().await.unwrap();
        }
    };
    let ((), took) = timed(read).await;
    assert!((10 * SECOND..10 * SECOND + SECOND / 10).contains(&took), "{took:?}");
    ours.close(CloseCode::OK, "");
    let accepted = flood.await.unwrap();
    assert!(accepted < 110 + 60, "{accepted} messages of 100 kB: nobody stopped it");
}

#[tokio::test(start_paused = true)]
async fn try_recv_finds_nothing_until_it_may() {
    let (ours, theirs) = pair(received(TEN_A_SECOND)).await;
    for message in ["one", "two"] {
        theirs.send(message.into()).await.unwrap();
    }
    tokio::time::sleep(SECOND / 100).await;
    assert_eq!(ours.try_recv().unwrap().unwrap(), "one");
    assert_eq!(ours.try_recv().unwrap(), None);
    tokio::time::sleep(SECOND / 10).await;
    assert_eq!(ours.try_recv().unwrap().unwrap(), "two");
    // Looking for one that is not there costs nothing, or the third would have to wait.
    tokio::time::sleep(SECOND).await;
    for _ in 0..100 {
        assert_eq!(ours.try_recv().unwrap(), None);
    }
    theirs.send("three".into()).await.unwrap();
    tokio::time::sleep(SECOND / 100).await;
    assert_eq!(ours.try_recv().unwrap().unwrap(), "three");
}

// Had the idle one taken its unit when it began to wait, the other would have to wait for the next.
#[tokio::test(start_paused = true)]
async fn an_idle_receiver_keeps_nobody_waiting() {
    let party = Party::new(total(Rates::NONE.with_received(Traffic::NONE.with_messages(Rate::new(1, 3600 * SECOND)))));
    let (bob, carol) = (party.friend("bob").await, party.friend("carol").await);
    let ((idle, _bob), (busy, carol)) = (party.connection(&bob).await, party.connection(&carol).await);
    let waiting = tokio::spawn(async move { idle.recv().await });
    tokio::time::sleep(SECOND).await;
    carol.send("hello".into()).await.unwrap();
    let (message, took) = timed(busy.recv()).await;
    assert_eq!(message.unwrap(), "hello");
    assert!(took < SECOND, "{took:?}");
    waiting.abort();
}

#[tokio::test(start_paused = true)]
async fn what_had_arrived_is_read_without_waiting_once_the_connection_has_ended() {
    let (ours, theirs) = pair(received(Traffic::NONE.with_messages(Rate::new(1, 3600 * SECOND)))).await;
    for number in 0..20u8 {
        theirs.send(vec![number].into()).await.unwrap();
    }
    assert_eq!(ours.recv().await.unwrap()[..], [0]);
    // Some wait for the hour to pass when the end comes.
    let mut waiting = tokio::spawn({
        let ours = ours.clone();
        async move { ours.recv().await }
    });
    assert!(tokio::time::timeout(SECOND, &mut waiting).await.is_err());
    theirs.finish().await.unwrap();
    let rest = async {
        assert_eq!(waiting.await.unwrap().unwrap()[..], [1]);
        for number in 2..20u8 {
            assert_eq!(ours.recv().await.unwrap()[..], [number]);
        }
        assert!(ours.recv().await.is_err());
        assert!(ours.try_recv().is_err() || ours.try_recv().unwrap().is_none());
    };
    let ((), took) = timed(rest).await;
    assert!(took < SECOND, "{took:?}");
}

// 1,000 bytes are there, 3,000 pass whole, and the next byte waits for the 2,000 that are owed and for itself.
#[tokio::test(start_paused = true)]
async fn a_message_larger_than_the_burst_passes_whole_and_those_after_it_wait() {
    for limits in [sent, received] {
        let (ours, theirs) = pair(limits(Traffic::NONE.with_bytes(Rate::per_second(1000)))).await;
        let is_sending = format!("{:?}", limits(Traffic::NONE.with_bytes(Rate::per_second(1000))))
            == format!("{:?}", sent(Traffic::NONE.with_bytes(Rate::per_second(1000))));
        let (from, to) = if is_sending { (&ours, &theirs) } else { (&theirs, &ours) };
        let both = async {
            from.send(vec![0; 3000].into()).await.unwrap();
            assert_eq!(to.recv().await.unwrap().len(), 3000);
        };
        assert!(timed(both).await.1 < SECOND / 10);
        let next = async {
            from.send("x".into()).await.unwrap();
            to.recv().await.unwrap();
        };
        let ((), took) = timed(next).await;
        assert!((2 * SECOND..2 * SECOND + SECOND / 100).contains(&took), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn all_connections_with_a_peer_share_its_budget() {
    let party = Party::new(sent(TEN_A_SECOND));
    let bob = party.friend("bob").await;
    let ((one, _a), (two, _b)) = (party.connection(&bob).await, party.connection(&bob).await);
    one.try_send("one".into()).unwrap();
    assert!(matches!(two.try_send("two".into()), Err(TrySendError::Full(_))));
    let carol = party.friend("carol").await;
    let (three, _c) = party.connection(&carol).await;
    three.try_send("another peer".into()).unwrap();
}

// An accepted connection is limited as a dialled one is.
#[tokio::test(start_paused = true)]
async fn accepted_connections_are_limited_too() {
    let party = Party::new(sent(TEN_A_SECOND));
    let listener = p2p::P2PProvider::listen_with(&party.alice, p2p::ListenConfig::default()).await.unwrap();
    let bob = party.friend("bob").await;
    let dial = p2p::P2PProvider::connect_with(&bob.provider, listener.local_addr(), Default::default());
    let (accepted, _dialled) = tokio::try_join!(listener.accept(), dial).unwrap();
    accepted.try_send("one".into()).unwrap();
    assert!(matches!(accepted.try_send("two".into()), Err(TrySendError::Full(_))));
}

#[tokio::test(start_paused = true)]
async fn a_datagram_too_many_is_not_sent_and_says_when_to_try_again() {
    let (ours, theirs) = pair(sent(TEN_A_SECOND)).await;
    ours.send_datagram("one".into()).unwrap();
    let denied = ours.send_datagram("two".into()).unwrap_err();
    let P2PError::RateLimited { scope: "messages to one peer", retry_after } = denied else { panic!("{denied}") };
    assert_eq!(retry_after, Duration::from_millis(100));
    let most = ours.limits().datagram_bytes_max.unwrap();
    let large = ours.send_datagram(vec![0; most + 1].into()).unwrap_err();
    assert!(matches!(large, P2PError::DatagramTooLarge { .. }), "{large}");
    tokio::time::sleep(retry_after).await;
    ours.send_datagram("three".into()).unwrap();
    assert_eq!(
        (theirs.recv_datagram().await.unwrap(), theirs.recv_datagram().await.unwrap()),
        ("one".into(), "three".into())
    );
}
