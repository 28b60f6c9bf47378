//! Channels over memory: each kind's promise, batches, shares, and what a broken peer gets.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use p2p::{
    BiStream, CloseReason, P2PConnection, P2PError, P2PProvider, P2PProviderExt, RuntimeExt, TokioRuntime,
    channel::{
        Batching, CHANNEL_VIOLATION, CarriedBy, ChannelConfig, ChannelError,
        ChannelKind::{self, ReliableOrdered, ReliableUnordered, Unreliable, UnreliableSequenced},
        Channels, Difference,
    },
    memory::MemoryNetwork,
};

type Connection = Arc<dyn P2PConnection>;

async fn connections(network: MemoryNetwork) -> (Connection, Connection) {
    let (alice, bob) = (network.provider("alice"), network.provider("bob"));
    let protocol = "channels/1".parse().unwrap();
    let listener = bob.listen(&protocol).await.unwrap();
    tokio::try_join!(alice.connect(bob.local_peer_id(), &protocol), listener.accept()).unwrap()
}

async fn open(connection: Connection, set: &[ChannelConfig]) -> Result<Channels, ChannelError> {
    Channels::open(connection, Arc::new(TokioRuntime), set).await
}

async fn pair_on(network: MemoryNetwork, set: &[ChannelConfig]) -> (Channels, Channels) {
    let (ours, theirs) = connections(network).await;
    tokio::try_join!(open(ours, set), open(theirs, set)).unwrap()
}

async fn pair(set: &[ChannelConfig]) -> (Channels, Channels) {
    pair_on(MemoryNetwork::new(), set).await
}

fn channel(kind: ChannelKind) -> ChannelConfig {
    ChannelConfig::new("it", kind)
}

fn number(message: &Bytes) -> u32 {
    u32::from_le_bytes(message[..4].try_into().unwrap())
}

fn message(number: u32, len: usize) -> Bytes {
    let mut bytes = vec![7; len.max(4)];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    bytes.into()
}

#[tokio::test]
async fn reliable_channels_deliver_everything_once_and_the_ordered_one_in_order() {
    for kind in [ReliableOrdered, ReliableUnordered] {
        let (ours, theirs) = pair(&[channel(kind)]).await;
        let receiving = theirs.bytes("it").unwrap();
        let sending = tokio::spawn(async move {
            let it = ours.bytes("it").unwrap();
            for n in 0..5000 {
                it.send(message(n, n as usize % 700)).await.unwrap();
            }
            ours.finish().await.unwrap();
        });
        let mut got = Vec::new();
        while let Ok(message) = receiving.recv().await {
            got.push(number(&message));
        }
        sending.await.unwrap();
        if kind == ReliableUnordered {
            got.sort_unstable();
        }
        assert_eq!(got, (0..5000).collect::<Vec<_>>(), "{kind:?}");
        assert_eq!(receiving.stats().messages_received, 5000);
    }
}

#[tokio::test]
async fn a_channel_that_nobody_reads_blocks_itself_and_no_other() {
    let set = [channel(ReliableOrdered).with_queue_bytes_max(4096), ChannelConfig::new("other", ReliableOrdered)];
    let (ours, theirs) = pair(&set).await;
    let unread = ours.bytes("it").unwrap();
    let stuck = tokio::spawn(async move {
        for n in 0..1000 {
            unread.send(message(n, 1000)).await.unwrap();
        }
    });
    let (sending, receiving) = (ours.bytes("other").unwrap(), theirs.bytes("other").unwrap());
    for n in 0..500 {
        sending.send(message(n, 1000)).await.unwrap();
        assert_eq!(number(&receiving.recv().await.unwrap()), n);
    }
    assert!(!stuck.is_finished(), "a megabyte does not fit into two queues of 4 KiB");
    assert!(matches!(ours.bytes("it").unwrap().try_send(message(0, 9)), Err(ChannelError::Full { .. })));
    // Read at last, all of it comes.
    let late = theirs.bytes("it").unwrap();
    for n in 0..1000 {
        assert_eq!(number(&late.recv().await.unwrap()), n);
    }
    stuck.await.unwrap();
}

#[tokio::test]
async fn batches_save_frames_and_a_lone_message_does_not_wait_for_one() {
    let batching = Batching { max_wait_time: Duration::from_secs(3600), ..Batching::default() };
    let (ours, theirs) = pair(&[channel(ReliableOrdered).with_batching(batching)]).await;
    let (sending, receiving) = (ours.bytes("it").unwrap(), theirs.bytes("it").unwrap());
    // An hour is the wait, so an answer within the test's time proves that there was none.
    let runtime = TokioRuntime;
    sending.send(message(0, 4)).await.unwrap();
    let lone = runtime.timeout(Duration::from_secs(30), receiving.recv()).await;
    assert_eq!(number(&lone.expect("a lone message leaves at once").unwrap()), 0);
    for n in 1..=2560 {
        sending.send(message(n, 4)).await.unwrap();
    }
    for n in 1..=2560 {
        assert_eq!(number(&receiving.recv().await.unwrap()), n);
    }
    let stats = sending.stats();
    assert!(stats.frames_sent <= 21, "2,561 messages left in {} frames", stats.frames_sent);
    assert_eq!(receiving.stats().frames_received, stats.frames_sent);
}

#[tokio::test]
async fn unreliable_messages_are_bounded_by_a_datagram_and_without_datagrams_by_the_channel() {
    for kind in [Unreliable, UnreliableSequenced] {
        let (ours, _theirs) = pair(&[channel(kind)]).await;
        let it = ours.bytes("it").unwrap();
        assert_eq!(it.carried_by(), CarriedBy::Datagrams);
        let error = it.try_send(message(0, 1500)).unwrap_err();
        assert!(matches!(error, ChannelError::TooLargeForDatagram { size: 1500, limit: 1000..1500, .. }), "{error}");
        assert!(matches!(it.try_send(message(0, 70_000)), Err(ChannelError::TooLarge { size: 70_000, .. })));

        let (ours, theirs) = pair_on(MemoryNetwork::new().without_datagrams(), &[channel(kind)]).await;
        let it = ours.bytes("it").unwrap();
        assert_eq!(it.carried_by(), CarriedBy::Streams);
        it.send(message(5, 1500)).await.unwrap();
        assert_eq!(number(&theirs.bytes("it").unwrap().recv().await.unwrap()), 5);
    }
}

// Nobody runs between the sends, so all of them meet in the queue.
#[tokio::test]
async fn a_full_unreliable_queue_drops_its_oldest_and_counts_them() {
    let set = [channel(UnreliableSequenced).with_queue_bytes_max(10 * (100 + 16))];
    let (ours, theirs) = pair_on(MemoryNetwork::new().without_datagrams(), &set).await;
    let it = ours.bytes("it").unwrap();
    for n in 0..1000 {
        it.try_send(message(n, 100)).unwrap();
    }
    assert_eq!(it.stats().dropped_congested, 990);
    let receiving = theirs.bytes("it").unwrap();
    for n in 990..1000 {
        assert_eq!(number(&receiving.recv().await.unwrap()), n);
    }
}

#[tokio::test]
async fn different_sets_are_an_error_on_both_sides_that_names_the_difference() {
    let base = channel(ReliableOrdered);
    let cases = [
        (vec![base.clone(), ChannelConfig::new("more", Unreliable)], "count"),
        (vec![ChannelConfig::new("that", ReliableOrdered)], "name"),
        (vec![channel(Unreliable)], "kind"),
        (vec![base.clone().with_message_bytes_max(9)], "message_bytes_max"),
    ];
    for (other, expected) in cases {
        let (ours, theirs) = connections(MemoryNetwork::new()).await;
        let (ours, theirs) = tokio::join!(open(ours, std::slice::from_ref(&base)), open(theirs, &other));
        for error in [ours.unwrap_err(), theirs.unwrap_err()] {
            match error {
                ChannelError::Mismatch(Difference::Count { .. }) => assert_eq!(expected, "count"),
                ChannelError::Mismatch(Difference::Setting { setting, .. }) => assert_eq!(setting, expected),
                error => panic!("{expected}: {error}"),
            }
        }
    }
}

#[tokio::test]
async fn an_invalid_set_is_an_error_that_names_the_setting() {
    let (ours, _theirs) = connections(MemoryNetwork::new()).await;
    let it = channel(ReliableOrdered);
    let many: Vec<_> = (0..65).map(|n| ChannelConfig::new(format!("{n}"), Unreliable)).collect();
    let streams: Vec<_> = (0..25).map(|n| ChannelConfig::new(format!("{n}"), ReliableUnordered)).collect();
    for (set, named) in [
        (vec![], "0 channels"),
        (many, "65 channels"),
        (streams, "101 streams"),
        (vec![it.clone(), it.clone()], "second channel"),
        (vec![it.clone().with_priority(0)], "priority = 0"),
        (vec![it.clone().with_message_bytes_max(2 << 20)], "message_bytes_max"),
        (vec![ChannelConfig::new("", Unreliable)], "name"),
    ] {
        let error = open(ours.clone(), &set).await.unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
    }
}

#[tokio::test]
async fn values_and_envelopes_arrive_as_what_they_are() {
    let (ours, theirs) = pair(&[channel(ReliableOrdered), ChannelConfig::new("mail", ReliableOrdered)]).await;
    ours.channel("it").unwrap().send(&("up".to_owned(), 3_u8)).await.unwrap();
    let value = theirs.channel::<(String, u8)>("it").unwrap().recv().await.unwrap();
    assert_eq!(value, ("up".to_owned(), 3));
    ours.bytes("it").unwrap().send("nonsense".into()).await.unwrap();
    let error = theirs.channel::<(String, String)>("it").unwrap().recv().await.unwrap_err();
    assert!(matches!(error, ChannelError::NotAValue { .. }), "{error}");

    let (sending, receiving) = (ours.envelopes::<u8>("mail").unwrap(), theirs.envelopes::<u8>("mail").unwrap());
    for id in 1..=3 {
        assert_eq!(sending.send(9).await.unwrap(), id);
        let mail = receiving.recv().await.unwrap();
        assert_eq!((mail.message_id, mail.payload, mail.peer_id), (id, 9, theirs.connection().peer_id()));
        assert!(mail.timestamp.elapsed().unwrap() < Duration::from_secs(600));
    }
    assert!(matches!(ours.bytes("none"), Err(ChannelError::Unknown { .. })));
}

// A dropped `recv` lost nothing if the next one has the next message; a dropped `send` sent nothing, or all.
#[tokio::test]
async fn dropped_calls_lose_and_double_nothing() {
    let (ours, theirs) = pair(&[channel(ReliableOrdered).with_queue_bytes_max(64)]).await;
    let (sending, receiving) = (ours.bytes("it").unwrap(), theirs.bytes("it").unwrap());
    let reader = tokio::spawn(async move {
        let mut got = Vec::new();
        loop {
            let next = receiving.recv();
            p2p::select! {
                message = next => match message {
                    Ok(message) => got.push(number(&message)),
                    Err(_) => return got,
                },
                () = tokio::task::yield_now() => {}
            }
        }
    });
    let mut accepted = Vec::new();
    for n in 0..2000 {
        p2p::select! {
            outcome = sending.send(message(n, 20)) => {
                outcome.unwrap();
                accepted.push(n);
            }
            // A send that has to wait is dropped at once.
            () = std::future::ready(()) => tokio::task::yield_now().await,
        }
    }
    ours.finish().await.unwrap();
    assert!(accepted.len() < 2000, "no send was dropped");
    assert_eq!(reader.await.unwrap(), accepted);
}

/// A peer made by hand, past the greeting: its control stream, and ours as it sees it.
async fn by_hand(set: &[ChannelConfig]) -> (Channels, Connection, BiStream, BiStream) {
    let (ours, theirs) = connections(MemoryNetwork::new()).await;
    let hand = async {
        let mut control = theirs.open_stream().await.unwrap();
        let mut seen = theirs.accept_stream().await.unwrap();
        // The same set makes the same table, so ours is an answer to itself.
        let table = seen.recv.read_chunk(4096).await.unwrap().unwrap();
        control.send.write_all(&table).await.unwrap();
        control.send.write_all(&[1]).await.unwrap();
        (control, seen)
    };
    let (ours, (control, seen)) = tokio::join!(open(ours, set), hand);
    (ours.unwrap(), theirs, control, seen)
}

#[tokio::test]
async fn a_peer_that_breaks_the_rules_ends_the_connection_with_what_it_did() {
    let frames: &[(&[u8], &str)] = &[
        (&[1, 9], "channel 9"),
        (&[5], "kind 5"),
        (&[1, 1, 0x7f, 0xff], "batch of 16383"),
        (&[1, 1, 0], "batch of 0"),
        (&[1, 1, 1, 0xc0, 0, 0, 1, 0, 0, 0, 0], "4294967296 bytes"),
        (&[1, 1, 2, 1, 7], "within a batch"),
    ];
    for (bytes, expected) in frames {
        let (ours, theirs, _control, _seen) =
            by_hand(&[channel(Unreliable), ChannelConfig::new("b", ReliableOrdered)]).await;
        let mut stream = theirs.open_stream().await.unwrap();
        stream.send.write_all(bytes).await.unwrap();
        stream.send.finish().unwrap();
        check_violation(&ours, &theirs, expected).await;
    }
    for (ack, expected) in [([7, 0, 0], "channel 7"), ([0, 9, 0], "0 sent"), ([0, 0, 1], "and 1 bytes")] {
        let (ours, theirs, mut control, _seen) = by_hand(&[channel(ReliableOrdered)]).await;
        control.send.write_all(&ack).await.unwrap();
        check_violation(&ours, &theirs, expected).await;
    }
    for (datagram, expected) in [(&[9, 0][..], "channel 9"), (&[0], "within a number"), (&[0, 0, 63, 1], "63 bytes")] {
        let (ours, theirs, _control, _seen) = by_hand(&[channel(Unreliable)]).await;
        theirs.send_datagram(Bytes::copy_from_slice(datagram)).unwrap();
        check_violation(&ours, &theirs, expected).await;
    }
    // More than was granted: 100 bytes, and a batch.
    let (ours, theirs, _control, _seen) = by_hand(&[channel(ReliableOrdered).with_queue_bytes_max(100)]).await;
    let mut stream = theirs.open_stream().await.unwrap();
    _ = stream.send.write_all(&[1, 0]).await;
    let flood = [&[1, 0x7f, 0xff][..], &[0; 16383]].concat();
    while stream.send.write_all(&flood).await.is_ok() {}
    check_violation(&ours, &theirs, "more than was granted").await;
}

async fn check_violation(ours: &Channels, theirs: &Connection, expected: &str) {
    match theirs.closed().await {
        CloseReason::Peer { code, reason } => {
            assert_eq!(code, CHANNEL_VIOLATION);
            assert!(reason.contains(expected), "{reason:?} does not say {expected:?}");
        }
        other => panic!("{expected}: {other}"),
    }
    let it = ours.bytes("it").unwrap();
    let error = loop {
        // What had arrived before can still be read.
        if let Err(error) = it.recv().await {
            break error;
        }
    };
    assert!(matches!(&error, ChannelError::Connection(P2PError::Protocol { .. })), "{error}");
}

// Sequence numbers 5, 3, 6: the 3 is late.
#[tokio::test]
async fn a_late_sequenced_message_is_dropped_and_counted() {
    let (ours, theirs, _control, _seen) = by_hand(&[channel(UnreliableSequenced)]).await;
    for sequence in [5, 3, 5, 6] {
        theirs.send_datagram(vec![0, sequence, 1, sequence].into()).unwrap();
    }
    let it = ours.bytes("it").unwrap();
    assert_eq!((it.recv().await.unwrap()[0], it.recv().await.unwrap()[0]), (5, 6));
    assert_eq!(it.stats().dropped_late, 2);
}
