//! What a peer that does not speak the protocol can do: nothing but fail, alone, in time and by name.
//!
//! A raw transport plays the hostile peer against a hub; an honest peer connects beside it, as the measure of no harm done.

use std::{future::poll_fn, sync::Arc, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};

use super::{HANDSHAKES_MAX, Hub};
use crate::{
    ConnectionConfig, ListenConfig, P2PConnection, P2PError, P2PListener, P2PProvider, PeerId, RecvHalf, RefusalCode,
    Runtime, SendHalf, TokioRuntime, Transport, TransportClosed,
    memory::transport::{MemoryRecv, MemorySend, MemoryTransport, pair},
    protocol::{
        close,
        control::{self, Control, ControlReader, Preface},
        handshake::{self, MESSAGE_STREAM_PREFACE},
        varint,
    },
};

/// A hub with one listener, and peers that dial it over raw transports.
struct Server {
    hub: Arc<Hub>,
    peer: PeerId,
    listener: Box<dyn P2PListener>,
}

impl Server {
    fn new() -> Self {
        Self::of(Hub::new(PeerId::from_name("server"), Arc::new(TokioRuntime)))
    }

    fn of(hub: Arc<Hub>) -> Self {
        let peer = PeerId::from_name("server");
        let listener = hub.listen(ListenConfig::default(), move || peer.into()).unwrap();
        Self { hub, peer, listener }
    }

    fn dial(&self, name: &str) -> MemoryTransport {
        let (ours, theirs) = pair(PeerId::from_name(name), self.peer, true);
        self.hub.incoming(theirs);
        ours
    }

    /// Both ends of a connection by an honest peer.
    async fn honest(&self) -> (Arc<dyn P2PConnection>, Arc<dyn P2PConnection>) {
        let hub = Hub::new(PeerId::from_name("honest"), Arc::new(TokioRuntime));
        let transport = self.dial("honest");
        let dialling = hub.connect(self.peer, ConnectionConfig::default(), async { Ok(transport) });
        let (ours, theirs) = tokio::join!(dialling, self.listener.accept());
        (ours.unwrap(), theirs.unwrap())
    }

    async fn still_serves(&self) {
        let (ours, theirs) = self.honest().await;
        ours.send("all is well".into()).await.unwrap();
        assert_eq!(theirs.recv().await.unwrap(), "all is well");
    }
}

async fn write(send: &mut MemorySend, bytes: impl Into<Bytes>) {
    let mut chunks = [bytes.into()];
    while !chunks[0].is_empty() {
        poll_fn(|cx| send.poll_write(cx, &mut chunks)).await.unwrap();
    }
}

async fn closed_by_peer(transport: &MemoryTransport) -> (u64, String) {
    match transport.closed().await {
        TransportClosed::Peer { code, reason } => (code, String::from_utf8(reason.into()).unwrap()),
        other => panic!("the server should have closed, not {other:?}"),
    }
}

/// Sends these bytes as the first of the control stream, and returns how the server ends it.
async fn first_bytes(server: &Server, bytes: impl Into<Bytes>) -> (u64, String) {
    let transport = server.dial("hostile");
    let (mut send, _recv) = transport.open().await.unwrap();
    write(&mut send, bytes).await;
    closed_by_peer(&transport).await
}

#[tokio::test(start_paused = true)]
async fn garbage_instead_of_a_handshake_is_named_and_harms_nobody() {
    let server = Server::new();
    let (code, reason) = first_bytes(&server, "GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(code, close::VIOLATION);
    assert!(reason.contains("expected a p2p handshake"), "{reason}");
    server.still_serves().await;
}

#[tokio::test(start_paused = true)]
async fn a_future_version_is_refused_with_both_ranges_named() {
    let server = Server::new();
    let mut bytes = BytesMut::new();
    Preface { version_min: 7, version_max: 9 }.put(&mut bytes);
    let (code, reason) = first_bytes(&server, bytes).await;
    assert_eq!(code, close::VIOLATION);
    assert!(reason.contains("7 to 9") && reason.contains("1 to 1"), "{reason}");
    server.still_serves().await;
}

#[tokio::test(start_paused = true)]
async fn a_control_frame_of_4_gib_is_refused_by_its_length_alone() {
    let server = Server::new();
    let mut bytes = BytesMut::new();
    Preface::OURS.put(&mut bytes);
    varint::put(4 << 30, &mut bytes);
    let (code, reason) = first_bytes(&server, bytes).await;
    assert_eq!(code, close::VIOLATION);
    assert!(reason.contains("4294967296"), "{reason}");
    server.still_serves().await;
}

#[tokio::test(start_paused = true)]
async fn a_handshake_with_a_length_inside_that_lies_is_refused() {
    let server = Server::new();
    let mut bytes = handshake::offer(&ConnectionConfig::default());
    // The protocol name's length, after preface, frame length and variant.
    let at = Preface::LEN + 2;
    bytes[at] = 250;
    let (code, _) = first_bytes(&server, bytes).await;
    assert_eq!(code, close::VIOLATION);
    server.still_serves().await;
}

// A quiet peer is given up at the deadline; until then it delays nobody.
#[tokio::test(start_paused = true)]
async fn silence_or_half_a_frame_ends_at_the_deadline_and_delays_nobody() {
    let server = Server::new();
    let silent = server.dial("silent");
    let halfway = server.dial("halfway");
    let (mut send, _recv) = halfway.open().await.unwrap();
    let mut offer = handshake::offer(&ConnectionConfig::default());
    let half = offer.len() / 2;
    write(&mut send, offer.split_to(half)).await;

    let start = tokio::time::Instant::now();
    server.still_serves().await;
    assert_eq!(start.elapsed(), Duration::ZERO, "nobody waited for them");
    closed_by_peer(&silent).await;
    closed_by_peer(&halfway).await;
    assert!(start.elapsed() >= Duration::from_secs(10), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn more_handshakes_than_the_bound_are_told_to_come_again() {
    let server = Server::new();
    let quiet: Vec<_> = (0..HANDSHAKES_MAX).map(|n| server.dial(&format!("quiet {n}"))).collect();
    let hub = Hub::new(PeerId::from_name("late"), Arc::new(TokioRuntime));
    let late = server.dial("late");
    let error = hub.connect(server.peer, ConnectionConfig::default(), async { Ok(late) }).await.unwrap_err();
    assert!(matches!(&error, P2PError::Refused { refusal, .. } if refusal.code == RefusalCode::Busy), "{error}");
    assert!(error.is_retryable());
    drop(quiet);
    tokio::task::yield_now().await;
    server.still_serves().await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_may_answer_more_handshakes_at_once() {
    let hub = Hub::with_handshakes_max(PeerId::from_name("server"), Arc::new(TokioRuntime), HANDSHAKES_MAX + 1);
    let server = Server::of(hub);
    let quiet: Vec<_> = (0..HANDSHAKES_MAX).map(|n| server.dial(&format!("quiet {n}"))).collect();
    server.still_serves().await;
    drop(quiet);
}

/// A peer that shook hands honestly and holds the raw streams, beside the server's connection to it.
struct Raw {
    connection: Arc<dyn P2PConnection>,
    transport: MemoryTransport,
    control: (MemorySend, MemoryRecv),
    messages: (MemorySend, MemoryRecv),
}

async fn shake(server: &Server) -> Raw {
    let transport = server.dial("raw");
    let mut control = transport.open().await.unwrap();
    write(&mut control.0, handshake::offer(&ConnectionConfig::default())).await;
    let mut messages = transport.open().await.unwrap();
    write(&mut messages.0, vec![MESSAGE_STREAM_PREFACE]).await;
    let connection = server.listener.accept().await.unwrap();
    let mut reader = ControlReader::default();
    reader.push(&poll_fn(|cx| control.1.poll_read(cx, 4096)).await.unwrap().unwrap());
    assert_eq!(reader.poll_preface(), Ok(Some(Preface::OURS)));
    assert!(matches!(reader.poll_frame(), Ok(Some(Control::Accept(_)))));
    Raw { connection, transport, control, messages }
}

#[tokio::test(start_paused = true)]
async fn a_message_of_4_gib_ends_its_connection_by_its_length_alone_and_no_other() {
    let server = Server::new();
    let mut raw = shake(&server).await;
    let mut frame = BytesMut::new();
    frame.put_slice(&[0, 3, b'o', b'n', b'e', 0]);
    varint::put(4 << 30, &mut frame);
    write(&mut raw.messages.0, frame).await;
    assert_eq!(raw.connection.recv().await.unwrap(), "one", "what came before it is whole");
    let error = raw.connection.recv().await.unwrap_err();
    assert!(error.to_string().contains("4294967296"), "{error}");
    assert_eq!(closed_by_peer(&raw.transport).await.0, close::VIOLATION);
    server.still_serves().await;
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_has_no_place_ends_the_connection() {
    let server = Server::new();
    for frame in [Control::Finished { messages: 3 }, Control::Refuse(handshake::unknown_protocol(&Default::default()))]
    {
        let mut raw = shake(&server).await;
        let mut bytes = BytesMut::new();
        control::put(&frame, &mut bytes);
        write(&mut raw.control.0, bytes).await;
        assert_eq!(closed_by_peer(&raw.transport).await.0, close::VIOLATION, "{frame:?}");
        assert!(raw.connection.recv().await.is_err());
    }
    server.still_serves().await;
}

// The raw peer answers no keepalive: it is as good as dead.
#[tokio::test(start_paused = true)]
async fn a_peer_that_falls_silent_is_given_up_at_the_idle_timeout() {
    let server = Server::new();
    let raw = shake(&server).await;
    let start = tokio::time::Instant::now();
    assert_eq!(raw.connection.closed().await, crate::CloseReason::TimedOut);
    assert_eq!(start.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn disconnect_ends_the_connection_as_a_close_does() {
    let server = Server::new();
    let mut raw = shake(&server).await;
    let mut bytes = BytesMut::new();
    control::put(&Control::Disconnect { code: 7, reason: "tired".into() }, &mut bytes);
    write(&mut raw.control.0, bytes).await;
    let expected = crate::CloseReason::Peer { code: 7.into(), reason: "tired".into() };
    assert_eq!(raw.connection.closed().await, expected);
}

// They would otherwise keep everybody out for ten seconds.
#[tokio::test(start_paused = true)]
async fn diallers_that_say_nothing_lose_their_places_to_those_that_come_after() {
    let server = Server::new();
    let quiet: Vec<_> = (0..HANDSHAKES_MAX).map(|n| server.dial(&format!("quiet {n}"))).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.still_serves().await;
    assert_eq!(closed_by_peer(&quiet[0]).await.0, close::HANDSHAKE_ABANDONED);
}

// 64 KiB of answers, twice, and what the pipe holds, at three bytes each, is far less than what the peer tries.
#[tokio::test(start_paused = true)]
async fn keepalives_whose_answers_are_not_read_end_the_connection() {
    let server = Server::new();
    let mut raw = shake(&server).await;
    let mut bytes = BytesMut::new();
    (0..100).for_each(|sequence| control::put(&Control::Keepalive { sequence }, &mut bytes));
    for _ in 0..1000 {
        let mut chunks = [bytes.clone().freeze()];
        if poll_fn(|cx| raw.control.0.poll_write(cx, &mut chunks)).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(raw.connection.close_reason().is_some(), "100,000 answers wait for a peer that reads none");
    assert_eq!(closed_by_peer(&raw.transport).await.0, close::VIOLATION);
}

// What was announced still holds when the answer is out.
#[tokio::test(start_paused = true)]
async fn more_messages_than_were_announced_are_a_violation_also_after_the_answer() {
    let server = Server::new();
    let mut raw = shake(&server).await;
    let mut bytes = BytesMut::new();
    control::put(&Control::Finish { messages: 0 }, &mut bytes);
    write(&mut raw.control.0, bytes).await;
    let mut reader = ControlReader::default();
    reader.push(&poll_fn(|cx| raw.control.1.poll_read(cx, 4096)).await.unwrap().unwrap());
    assert_eq!(reader.poll_frame(), Ok(Some(Control::Finished { messages: 0 })));
    write(&mut raw.messages.0, vec![0, 1, b'x']).await;
    assert_eq!(closed_by_peer(&raw.transport).await.0, close::VIOLATION);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_both_finished_is_not_believed_by_a_side_that_did_not() {
    let server = Server::new();
    let raw = shake(&server).await;
    raw.transport.close(close::FINISHED_BOTH, "");
    let reason = raw.connection.closed().await;
    assert!(matches!(reason, crate::CloseReason::Peer { .. }), "{reason:?}");
    let refused = raw.connection.send("late".into()).await.unwrap_err();
    assert!(matches!(refused, P2PError::Closed { reason: crate::CloseReason::Peer { .. } }), "{refused}");
    raw.connection.finish().await.unwrap_err();
}

// 60,000 empty capabilities in one frame: refused before the server waits for anything.
#[tokio::test(start_paused = true)]
async fn a_crowd_of_capabilities_is_a_violation_also_for_a_protocol_that_nobody_listens_for() {
    let server = Server::new();
    let config = ConnectionConfig::new("unheard/1".parse().unwrap());
    let offer = handshake::Offer {
        protocol: config.protocol,
        terms: handshake::Terms { message_bytes_max: 1, streams_max: 1 },
        capabilities: vec![crate::Capability { name: String::new(), data: Vec::new() }; 60_000],
    };
    let mut bytes = BytesMut::new();
    Preface::OURS.put(&mut bytes);
    control::put(&Control::Handshake(offer), &mut bytes);
    let (code, reason) = first_bytes(&server, bytes).await;
    assert_eq!(code, close::VIOLATION);
    assert!(reason.contains("60000 capabilities"), "{reason}");
}

// The second receiver takes the wake-up for the last message and finds it gone; the driver must hear of it all the same.
#[tokio::test(start_paused = true)]
async fn a_finish_is_answered_at_once_whoever_of_several_receivers_takes_the_last_message() {
    let server = Server::new();
    let mut raw = shake(&server).await;
    let receivers: Vec<_> = (0..3)
        .map(|_| {
            let connection = raw.connection.clone();
            tokio::spawn(async move { connection.recv().await })
        })
        .collect();
    let mut bytes = BytesMut::new();
    control::put(&Control::Finish { messages: 1 }, &mut bytes);
    write(&mut raw.control.0, bytes).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let start = tokio::time::Instant::now();
    write(&mut raw.messages.0, vec![0, 1, b'x']).await;
    let mut reader = ControlReader::default();
    reader.push(&poll_fn(|cx| raw.control.1.poll_read(cx, 4096)).await.unwrap().unwrap());
    assert_eq!(reader.poll_frame(), Ok(Some(Control::Finished { messages: 1 })));
    assert_eq!(start.elapsed(), Duration::ZERO);
    drop(receivers);
}

// A stream that was finished after the end has nobody to see it delivered; its caller must not wait for that.
#[tokio::test(start_paused = true)]
async fn a_stream_that_is_finished_after_the_end_is_not_waited_for() {
    let server = Server::new();
    let (ours, _theirs) = server.honest().await;
    let mut stream = ours.open_stream().await.unwrap();
    stream.send.write_all(b"half").await.unwrap();
    ours.close(crate::CloseCode(7), "enough");
    ours.closed().await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let _ = stream.send.finish();
    let delivered = tokio::time::timeout(Duration::from_secs(1), stream.send.delivered()).await;
    assert!(delivered.expect("it resolves").is_err());
}

// What waits for room when the connection is finished can never be taken, and is told so, though the peer reads nothing.
#[tokio::test(start_paused = true)]
async fn senders_that_wait_for_room_learn_of_a_finish() {
    let server = Server::new();
    let (ours, _theirs) = server.honest().await;
    let sender = {
        let ours = ours.clone();
        tokio::spawn(async move {
            loop {
                if let Err(error) = ours.send(vec![0; 100_000].into()).await {
                    return error;
                }
            }
        })
    };
    tokio::time::sleep(Duration::from_millis(1)).await;
    let finishing = tokio::time::timeout(Duration::from_secs(1), ours.finish()).await;
    assert!(finishing.is_err(), "the peer reads nothing");
    assert!(sender.is_finished());
}

/// Drops the last of a connection when it is woken, as happens when a transport wakes while the connection's owner goes.
struct LastOwner {
    core: parking_lot::Mutex<Option<Arc<super::core::Core<MemoryTransport>>>>,
    gone_at_once: std::sync::atomic::AtomicBool,
}

impl std::task::Wake for LastOwner {
    fn wake(self: Arc<Self>) {
        let core = self.core.lock().take().unwrap();
        let weak = Arc::downgrade(&core);
        drop(core);
        self.gone_at_once.store(weak.strong_count() == 0, std::sync::atomic::Ordering::SeqCst);
    }
}

// A transport wakes under its own locks. A waker that kept the connection would drop it there, and with it the
// transport's streams, which take those locks.
#[tokio::test]
async fn the_waker_that_a_transport_holds_keeps_nothing_of_the_connection() {
    let (transport, other) = pair(PeerId::from_name("ours"), PeerId::from_name("theirs"), true);
    let mut theirs = other.open().await.unwrap();
    write(&mut theirs.0, vec![0, 0]).await;
    let messages = transport.accept().await.unwrap();
    let config = ConnectionConfig::default();
    let agreement = handshake::Agreement {
        negotiated: crate::Negotiated { protocol: config.protocol.clone(), version: 1, capabilities: Vec::new() },
        message_bytes_max: 100,
        streams_max: 1,
    };
    let parts = super::core::Parts { transport, messages, agreement, config };
    let core = super::core::Core::new(parts, Arc::new(TokioRuntime), std::sync::Weak::new(), 0);
    assert!(core.inbound.lock().next().unwrap().is_some());
    let owner = Arc::new(LastOwner {
        core: parking_lot::Mutex::new(Some(core.clone())),
        gone_at_once: std::sync::atomic::AtomicBool::new(false),
    });
    core.readers.register(&mut None, &owner.clone().into());
    drop(core);
    write(&mut theirs.0, vec![0, 0]).await;
    assert!(owner.gone_at_once.load(std::sync::atomic::Ordering::SeqCst));
}

/// Tokio's, counting how often the drivers of connections run.
#[derive(Debug, Default)]
struct Counting {
    driver_polls: Arc<std::sync::atomic::AtomicUsize>,
}

impl Runtime for Counting {
    fn now(&self) -> crate::Instant {
        TokioRuntime.now()
    }
    fn wall_time(&self) -> std::time::SystemTime {
        TokioRuntime.wall_time()
    }
    fn timer(&self) -> Box<dyn crate::Timer> {
        TokioRuntime.timer()
    }
    fn spawn(&self, name: &'static str, mut task: crate::BoxFuture<'static, ()>) -> crate::TaskHandle {
        let polls = self.driver_polls.clone();
        let counted = poll_fn(move |cx| {
            polls.fetch_add(usize::from(name == "connection"), std::sync::atomic::Ordering::Relaxed);
            task.as_mut().poll(cx)
        });
        TokioRuntime.spawn(name, Box::pin(counted))
    }
    fn rng(&self, label: &str) -> crate::Rng {
        TokioRuntime.rng(label)
    }
}

// Sender and receiver each do their part themselves, so the drivers have nothing to do for messages that come one by one.
#[tokio::test(start_paused = true)]
async fn a_lone_message_crosses_no_task_but_its_senders_and_its_receivers() {
    let runtime = Counting::default();
    let polls = runtime.driver_polls.clone();
    let network = crate::memory::MemoryNetwork::with_runtime(Arc::new(runtime));
    let (alice, bob) = (network.provider("alice"), network.provider("bob"));
    let listener = bob.listen_with(ListenConfig::default()).await.unwrap();
    let dialling = alice.connect_with(bob.local_peer_id().into(), ConnectionConfig::default());
    let (ours, theirs) = tokio::try_join!(dialling, listener.accept()).unwrap();
    let echo = tokio::spawn(async move {
        while let Ok(message) = theirs.recv().await {
            theirs.send(message).await.unwrap();
        }
    });
    let before = polls.load(std::sync::atomic::Ordering::Relaxed);
    for _ in 0..100 {
        ours.send("ping".into()).await.unwrap();
        assert_eq!(ours.recv().await.unwrap(), "ping");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let polled = polls.load(std::sync::atomic::Ordering::Relaxed) - before;
    assert!(polled < 20, "the drivers ran {polled} times for 200 messages");
    echo.abort();
}

/// Both ends of a connection between two hubs over memory.
async fn finish_both(first: Arc<dyn P2PConnection>, second: Arc<dyn P2PConnection>) -> crate::Result<()> {
    for connection in [&first, &second] {
        connection.send("one".into()).await?;
    }
    first.finish().await?;
    // The other side comes just too late to be asked: the connection has ended, and all it sent had arrived.
    second.closed().await;
    second.finish().await
}

#[tokio::test(start_paused = true)]
async fn a_finish_that_comes_just_after_the_peers_succeeds_if_all_had_arrived() {
    let server = Server::new();
    let (ours, theirs) = server.honest().await;
    finish_both(ours, theirs).await.unwrap();
    let (ours, theirs) = server.honest().await;
    finish_both(theirs, ours).await.unwrap();
}

// The honest peer finishes while 2 MiB of ours cannot have reached it, as it reads nothing.
#[tokio::test(start_paused = true)]
async fn a_finish_that_comes_after_the_peers_fails_if_something_had_not_arrived() {
    let server = Server::new();
    let (ours, theirs) = server.honest().await;
    while theirs.try_send(vec![0; 100_000].into()).is_ok() {
        tokio::task::yield_now().await;
    }
    ours.finish().await.unwrap();
    theirs.closed().await;
    theirs.finish().await.unwrap_err();
}
