//! `Reconnect` against peers that lie: they claim sessions, numbers and offsets that are not theirs. What is theirs is
//! played on a plain connection, by the bytes of the capability and the control stream.

mod parts;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use p2p::{
    Answer, BiStream, Capability, CloseReason, ConnectionConfig, ListenConfig, P2PConnection, P2PConnectionExt,
    P2PError, P2PListener, P2PProvider, P2PProviderExt, PeerId, ProtocolId, Refusal, RefusalCode, Result, TrySendError,
    layer::{LayerExt, Reconnect, ReconnectConfig},
    memory::{MemoryNetwork, MemoryP2P},
    protocol::{codec, varint},
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Hello {
    New { session: [u8; 16], budget_bytes: u64 },
    Resume { session: [u8; 16], attempt: u32, progress: Progress },
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Progress {
    messages: u64,
    part: Part,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Part {
    streams: Vec<(u64, u64, Option<u32>)>,
    seen: Vec<(u64, u64)>,
    until: Option<u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Welcome {
    session: [u8; 16],
    attempt: u32,
    budget_bytes: u64,
    progress: Progress,
}

#[derive(Debug, Serialize)]
enum Frame {
    Ack { messages: u64, streams: Vec<(u64, u64)>, done: Vec<u64> },
    Reset { stream: u64, code: u32 },
    Stop { stream: u64, code: u32 },
    Progress(Part),
}

const SESSION: [u8; 16] = *b"a session's name";

const BUDGET_BYTES: usize = 256 * 1024;

fn protocol() -> ProtocolId {
    "chat/1".parse().unwrap()
}

fn resume(attempt: u32, progress: Progress) -> Hello {
    Hello::Resume { session: SESSION, attempt, progress }
}

/// A server with the layer, and peers without it who know what to say.
struct Scene {
    network: MemoryNetwork,
    alice: MemoryP2P,
    bob: Reconnect<MemoryP2P>,
    listener: Box<dyn P2PListener>,
}

impl Scene {
    async fn new() -> Self {
        let network = MemoryNetwork::new();
        let config = ReconnectConfig::default().with_replay_bytes_max(BUDGET_BYTES);
        let bob = network.provider("bob").with_reconnect(config).unwrap();
        let listener = bob.listen(&protocol()).await.unwrap();
        Self { alice: network.provider("alice"), network, bob, listener }
    }

    async fn dial(&self, from: &MemoryP2P, hello: &Hello) -> Result<Arc<dyn P2PConnection>> {
        let capability = Capability::new("resume2").with_data(codec::encode(hello));
        let config = ConnectionConfig::new(protocol()).with_capability(capability);
        from.connect_with(self.bob.local_peer_id().into(), config).await
    }

    /// Alice's session: the plain connection that she plays it on, and bob's end.
    async fn session(&self) -> (Arc<dyn P2PConnection>, Arc<dyn P2PConnection>) {
        let hello = Hello::New { session: SESSION, budget_bytes: 1 << 20 };
        let ours = self.dial(&self.alice, &hello).await.unwrap();
        (ours, self.listener.accept().await.unwrap())
    }
}

/// The control stream, as alice opens it.
async fn control(ours: &Arc<dyn P2PConnection>) -> BiStream {
    let mut stream = ours.open_stream().await.unwrap();
    stream.send.write_all(&[0]).await.unwrap();
    stream
}

async fn say(control: &mut BiStream, frame: &Frame) {
    let bytes = codec::encode(frame);
    let mut wire = Vec::new();
    varint::put(bytes.len() as u64, &mut wire);
    wire.extend_from_slice(&bytes);
    control.send.write_all(&wire).await.unwrap();
}

fn assert_rejected(dialled: Result<Arc<dyn P2PConnection>>, why: &str) {
    match dialled {
        Err(P2PError::Refused { refusal, .. }) => {
            assert_eq!(refusal.code, RefusalCode::Rejected);
            assert!(refusal.reason.contains(why), "{refusal}");
        }
        other => panic!("{other:?}"),
    }
}

async fn assert_works(ours: &Arc<dyn P2PConnection>, theirs: &Arc<dyn P2PConnection>) {
    ours.send("still here".into()).await.unwrap();
    assert_eq!(theirs.recv().await.unwrap(), "still here");
    theirs.send("so am I".into()).await.unwrap();
    assert_eq!(ours.recv().await.unwrap(), "so am I");
}

async fn assert_violation(theirs: &Arc<dyn P2PConnection>, what: &str) {
    let reason = theirs.closed().await;
    let CloseReason::Protocol { violation } = &reason else { panic!("{reason:?}") };
    assert!(violation.contains(what), "{violation}");
}

#[tokio::test(start_paused = true)]
async fn a_resume_for_an_unknown_session_is_refused() {
    let scene = Scene::new().await;
    assert_rejected(scene.dial(&scene.alice, &resume(1, Progress::default())).await, "no such session");
    assert_eq!(scene.bob.totals().refused, 1);
}

// The stranger knows the session's name and says everything right, and is not alice.
#[tokio::test(start_paused = true)]
async fn a_stranger_cannot_resume_a_session_and_does_it_no_harm() {
    let scene = Scene::new().await;
    let (ours, theirs) = scene.session().await;
    let eve = scene.network.provider("eve");
    assert_rejected(scene.dial(&eve, &resume(1, Progress::default())).await, "no such session");
    assert_works(&ours, &theirs).await;
    assert!(theirs.is_connected());
}

#[tokio::test(start_paused = true)]
async fn a_session_is_begun_once() {
    let scene = Scene::new().await;
    let (ours, theirs) = scene.session().await;
    let again = Hello::New { session: SESSION, budget_bytes: 1 };
    assert_rejected(scene.dial(&scene.alice, &again).await, "begun before");
    assert_works(&ours, &theirs).await;
}

#[tokio::test(start_paused = true)]
async fn a_resume_that_does_not_decode_is_refused() {
    let scene = Scene::new().await;
    let capability = Capability::new("resume2").with_data([0xff; 40]);
    let config = ConnectionConfig::new(protocol()).with_capability(capability);
    let dialled = scene.alice.connect_with(scene.bob.local_peer_id().into(), config).await;
    assert_rejected(dialled, "does not decode");
}

// What was never sent can't have been received. The old transport is not given up for such a claim.
#[tokio::test(start_paused = true)]
async fn numbers_and_offsets_from_the_future_are_refused() {
    let scene = Scene::new().await;
    let (ours, theirs) = scene.session().await;
    theirs.send("one".into()).await.unwrap();
    let mut stream = theirs.open_stream().await.unwrap();
    stream.send.write_all(b"four").await.unwrap();
    let messages = Progress { messages: 2, ..Progress::default() };
    assert_rejected(scene.dial(&scene.alice, &resume(1, messages)).await, "2 messages received");
    let part = Part { streams: vec![(1, 5, None)], ..Part::default() };
    let stream = Progress { part, ..Progress::default() };
    assert_rejected(scene.dial(&scene.alice, &resume(2, stream)).await, "5 bytes of a stream received");
    assert_eq!(ours.recv().await.unwrap(), "one");
    assert_works(&ours, &theirs).await;
}

// A resume that was recorded and is played again does not take the session from the transport it has.
#[tokio::test(start_paused = true)]
async fn an_attempt_is_taken_once() {
    let scene = Scene::new().await;
    let (_first, theirs) = scene.session().await;
    let second = scene.dial(&scene.alice, &resume(5, Progress::default())).await.unwrap();
    assert_works(&second, &theirs).await;
    for attempt in [5, 4, 1, 0] {
        let dialled = scene.dial(&scene.alice, &resume(attempt, Progress { messages: 1, ..Progress::default() })).await;
        assert_rejected(dialled, "was used");
    }
    assert_works(&second, &theirs).await;
}

// Attempt 0 is how a better route is asked for the session. It tells the peer's own and nobody else, counts as no refusal,
// and leaves the session on the transport it has.
#[tokio::test(start_paused = true)]
async fn a_question_for_a_session_changes_nothing() {
    let scene = Scene::new().await;
    let (ours, theirs) = scene.session().await;
    let eve = scene.network.provider("eve");
    assert_rejected(scene.dial(&eve, &resume(0, Progress::default())).await, "no such session");
    let refused = scene.bob.totals().refused;
    for messages in [0, u64::MAX] {
        let question = resume(0, Progress { messages, ..Progress::default() });
        assert_rejected(scene.dial(&scene.alice, &question).await, "attempt 0 was used when the session began");
    }
    assert_eq!(scene.bob.totals().refused, refused);
    assert_works(&ours, &theirs).await;
    let first = scene.dial(&scene.alice, &resume(1, Progress { messages: 1, ..Progress::default() })).await.unwrap();
    assert_works(&first, &theirs).await;
}

#[tokio::test(start_paused = true)]
async fn of_two_equal_attempts_at_once_one_is_taken() {
    let scene = Scene::new().await;
    let (_first, theirs) = scene.session().await;
    let hello = resume(1, Progress::default());
    let (one, other) = tokio::join!(scene.dial(&scene.alice, &hello), scene.dial(&scene.alice, &hello));
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    assert_works(&one.or(other).unwrap(), &theirs).await;
}

// The peer comes back while this side still believes in the old transport, with a message on it that nobody has read.
#[tokio::test(start_paused = true)]
async fn a_higher_attempt_replaces_a_half_open_transport_and_drains_it_first() {
    let scene = Scene::new().await;
    let (first, theirs) = scene.session().await;
    first.send("on the old transport".into()).await.unwrap();
    theirs.send("not read".into()).await.unwrap();
    let second = scene.dial(&scene.alice, &resume(1, Progress::default())).await.unwrap();
    let answer: Welcome = codec::decode(&second.negotiated().capability("resume2").unwrap().data).unwrap();
    assert_eq!((answer.attempt, answer.progress.messages), (1, 1), "what had arrived counts as received");
    assert!(first.closed().await.is_deliberate(), "the old transport is closed");
    assert_eq!(second.recv().await.unwrap(), "not read", "what alice did not acknowledge comes again");
    assert_eq!(theirs.recv().await.unwrap(), "on the old transport");
    assert_works(&second, &theirs).await;
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_that_make_no_sense_end_the_connection() {
    let ack = |messages| Frame::Ack { messages, streams: vec![], done: vec![] };
    let stream = |id, offset| Frame::Ack { messages: 0, streams: vec![(id, offset)], done: vec![] };
    let cases: [(&[Frame], &str); 4] = [
        (&[ack(2), ack(1)], "1 messages received, when between 2"),
        (&[ack(3)], "3 messages received"),
        (&[stream(1, 5)], "5 bytes of a stream received"),
        (&[Frame::Ack { messages: 0, streams: vec![], done: vec![1] }], "to its end, which it has not"),
    ];
    for (frames, what) in cases {
        let scene = Scene::new().await;
        let (ours, theirs) = scene.session().await;
        theirs.send("one".into()).await.unwrap();
        theirs.send("two".into()).await.unwrap();
        let mut stream = theirs.open_stream().await.unwrap();
        stream.send.write_all(b"four").await.unwrap();
        let mut control = control(&ours).await;
        for frame in frames {
            say(&mut control, frame).await;
        }
        assert_violation(&theirs, what).await;
    }
}

#[tokio::test(start_paused = true)]
async fn streams_that_make_no_sense_end_the_connection() {
    // Number plus one, then offset plus one: a number of bob's, a beginning in the middle, the same stream twice.
    let cases: [(&[&[u8]], &str); 3] = [
        (&[&[2, 1, 7]], "a number of this side's"),
        (&[&[1, 4, 7]], "goes on at 3, when 0 bytes"),
        (&[&[1, 1, 7], &[1, 1, 7]], "opened twice"),
    ];
    for (headers, what) in cases {
        let scene = Scene::new().await;
        let (ours, theirs) = scene.session().await;
        let _control = control(&ours).await;
        let mut streams = Vec::new();
        for header in headers {
            let mut stream = ours.open_stream().await.unwrap();
            stream.send.write_all(header).await.unwrap();
            streams.push(stream);
        }
        assert_violation(&theirs, what).await;
    }
    for frame in [Frame::Reset { stream: 1 << 40, code: 1 }, Frame::Stop { stream: 1 << 40, code: 1 }] {
        let scene = Scene::new().await;
        let (ours, theirs) = scene.session().await;
        say(&mut control(&ours).await, &frame).await;
        // One that was skipped over is not wrong, only strange.
        assert_works(&ours, &theirs).await;
    }
}

// Its number is not seen until it is used, and those of all others are.
#[tokio::test(start_paused = true)]
async fn a_stream_that_is_kept_for_later_outlasts_thousands_of_others() {
    let network = MemoryNetwork::new();
    let [alice, bob] =
        ["alice", "bob"].map(|name| network.provider(name).with_reconnect(ReconnectConfig::default()).unwrap());
    let chat = protocol();
    let listener = bob.listen(&chat).await.unwrap();
    let (ours, theirs) = tokio::try_join!(alice.connect(listener.local_addr(), &chat), listener.accept()).unwrap();
    let mut later = ours.open_stream().await.unwrap();
    for number in 0..3000_u32 {
        let mut stream = ours.open_stream().await.unwrap();
        stream.send.write_all(&number.to_be_bytes()).await.unwrap();
        stream.send.finish().unwrap();
        let mut stream_there = theirs.accept_stream().await.unwrap();
        assert_eq!(stream_there.recv.read_to_end(4).await.unwrap(), number.to_be_bytes());
        stream_there.send.finish().unwrap();
        assert!(stream.recv.read_to_end(0).await.unwrap().is_empty());
    }
    later.send.write_all(b"now").await.unwrap();
    later.send.finish().unwrap();
    assert_eq!(theirs.accept_stream().await.unwrap().recv.read_to_end(3).await.unwrap(), b"now"[..]);
}

#[tokio::test(start_paused = true)]
async fn streams_without_end_are_bounded() {
    let scene = Scene::new().await;
    let (ours, theirs) = scene.session().await;
    let mut control = control(&ours).await;
    for number in 0..1000 {
        say(&mut control, &Frame::Stop { stream: number * 2, code: 1 }).await;
        tokio::task::yield_now().await;
        if theirs.close_reason().is_some() {
            break;
        }
    }
    assert_violation(&theirs, "over the bound").await;
}

// Each of these frames asks for an answer, and alice reads none.
#[tokio::test(start_paused = true)]
async fn answers_that_nobody_reads_are_bounded() {
    let scene = Scene::new().await;
    let (ours, theirs) = scene.session().await;
    let mut control = control(&ours).await;
    let stop = codec::encode(&Frame::Stop { stream: 0, code: 1 });
    let flood = [&[stop.len() as u8], &stop[..]].concat().repeat(10_000);
    let said = control.send.write_all(&flood).await;
    assert_violation(&theirs, "none of whose answers are read").await;
    drop(said);
}

// Alice reads everything and acknowledges nothing. What bob keeps for her is bounded, then he waits; when she is gone
// for good the grace ends it, and he is told what he does not know to have arrived.
#[tokio::test(start_paused = true)]
async fn a_peer_that_never_acknowledges_fills_the_window_and_no_more() {
    let scene = Scene::new().await;
    let (ours, theirs) = scene.session().await;
    let _control = control(&ours).await;
    let mut accepted = 0;
    loop {
        match theirs.try_send(Bytes::from_static(&[7; 1000])) {
            Ok(()) => accepted += 1,
            Err(TrySendError::Full(_)) => break,
            Err(failed) => panic!("{failed}"),
        }
        ours.recv().await.unwrap();
    }
    assert!((50..=BUDGET_BYTES / 1000).contains(&accepted), "{accepted} messages of 1,000 bytes");
    let waiting = tokio::time::timeout(Duration::from_secs(60), theirs.send("more".into())).await;
    assert!(waiting.is_err(), "there is no room");
    ours.close(u32::MAX.into(), "this transport is replaced by another");
    drop(ours);
    let reason = theirs.closed().await;
    assert!(matches!(&reason, CloseReason::Lost { source } if source.to_string().contains("did not come back")));
    let state = theirs.state().get();
    assert!(
        matches!(state, p2p::ConnectionState::Closed { unacknowledged, .. } if unacknowledged == accepted as u64),
        "{state:?}"
    );
}

// A peer that opens sessions only to leave them: bob keeps so many, and the oldest makes way for the next.
#[tokio::test(start_paused = true)]
async fn suspended_sessions_are_capped_in_total_and_per_peer() {
    let network = MemoryNetwork::new();
    let config = ReconnectConfig::default().with_suspended_max(3, 2, 1 << 20);
    let bob = network.provider("bob").with_reconnect(config).unwrap();
    let listener = bob.listen(&protocol()).await.unwrap();
    let mut sessions = Vec::new();
    for (number, name) in ["alice", "alice", "alice", "carol", "dave"].into_iter().enumerate() {
        let dialler = network.provider(name);
        let hello = Hello::New { session: [number as u8; 16], budget_bytes: 1 };
        let capability = Capability::new("resume2").with_data(codec::encode(&hello));
        let config = ConnectionConfig::new(protocol()).with_capability(capability);
        let connection = dialler.connect_with(bob.local_peer_id().into(), config).await.unwrap();
        sessions.push(listener.accept().await.unwrap());
        connection.close(u32::MAX.into(), "this transport is replaced by another");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The first of alice's made way for her third, the second for dave's, when three waited.
    let ended: Vec<bool> = sessions.iter().map(|session| session.close_reason().is_some()).collect();
    assert_eq!(ended, [true, true, false, false, false]);
}

/// Answers for some other session.
#[derive(Debug)]
struct Confused;

impl Answer for Confused {
    fn answer(&self, _: PeerId, _: &[Capability]) -> Result<Vec<Capability>, Refusal> {
        let welcome = Welcome { session: SESSION, attempt: 0, budget_bytes: 1, progress: Progress::default() };
        Ok(vec![Capability::new("resume2").with_data(codec::encode(&welcome))])
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_for_another_session_is_not_believed() {
    let network = MemoryNetwork::new();
    let alice = network.provider("alice").with_reconnect(ReconnectConfig::default()).unwrap();
    let bob = network.provider("bob");
    let _listener = bob.listen_with(ListenConfig::new(protocol()).with_answer(Arc::new(Confused))).await.unwrap();
    let dialled = alice.connect(bob.local_peer_id(), &protocol()).await;
    assert!(matches!(dialled, Err(P2PError::Protocol { .. })), "{dialled:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_with_a_peer_without_the_layer_is_plain_and_counted() {
    let network = MemoryNetwork::new();
    let alice = network.provider("alice").with_reconnect(ReconnectConfig::default()).unwrap();
    let bob = network.provider("bob");
    let listener = bob.listen(&protocol()).await.unwrap();
    let chat = protocol();
    let (ours, theirs) = tokio::try_join!(alice.connect(bob.local_peer_id(), &chat), listener.accept()).unwrap();
    assert_works(&ours, &theirs).await;
    assert_eq!(alice.totals().plain, 1);
}

#[tokio::test(start_paused = true)]
async fn unusable_settings_are_invalid() {
    let provider = MemoryNetwork::new().provider("alice");
    let error = provider.with_reconnect(ReconnectConfig::default().with_replay_bytes_max(0)).unwrap_err();
    assert!(error.to_string().contains("replay_bytes_max = 0"), "{error}");
}
