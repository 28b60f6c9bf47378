//! What the contract must bear: a session that outlives its connections, built from nothing but the public traits.
//!
//! A prototype of resumption, small enough to read at once: messages are numbered by their order, streams by a first
//! few bytes, and a capability of the handshake says how far each side has come. It proves that a layer can do this over
//! any provider: the handshake can carry the resume and its answer, the accepting side can stop the old connection and
//! drain it before it answers, and nothing needs to be put in front of a message.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use p2p::{
    Answer, Capability, ConnectionConfig, ListenConfig, P2PConnection, P2PListener, P2PProvider, PeerId, ProtocolId,
    RecvStream, Refusal, RefusalCode, Result, SendStream, memory::MemoryNetwork, protocol::codec,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// How far one side has come, as the handshake says it.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
struct Progress {
    messages: u64,
    /// Bytes received of each stream, by its number.
    streams: BTreeMap<u64, u64>,
}

impl Progress {
    fn capability(&self) -> Capability {
        Capability::new(RESUME).with_data(codec::encode(self))
    }

    fn of(connection: &dyn P2PConnection) -> Self {
        codec::decode(&connection.negotiated().capability(RESUME).expect("both sides resume").data).unwrap()
    }
}

const RESUME: &str = "resume";

/// One side of a session: what it sent and what it received, whatever the connection.
#[derive(Debug, Default)]
struct Side {
    sent: VecDeque<Bytes>,
    written: BTreeMap<u64, Vec<u8>>,
    received: Vec<Bytes>,
    read: BTreeMap<u64, Vec<u8>>,
    connection: Option<Arc<dyn P2PConnection>>,
}

impl Side {
    fn progress(&self) -> Progress {
        Progress {
            messages: self.received.len() as u64,
            streams: self.read.iter().map(|(&number, bytes)| (number, bytes.len() as u64)).collect(),
        }
    }

    /// Ends the old connection, if any, and takes what had arrived on it. From here on `progress` is final.
    fn stop(&mut self) {
        if let Some(old) = self.connection.take() {
            old.close(1.into(), "replaced");
            while let Ok(Some(message)) = old.try_recv() {
                self.received.push(message);
            }
        }
    }

    /// Sends again what the other side has not received.
    async fn replay(&self, theirs: &Progress) -> Result<()> {
        let connection = self.connection.as_ref().unwrap();
        for message in self.sent.iter().skip(theirs.messages as usize) {
            connection.send(message.clone()).await?;
        }
        for (&number, bytes) in &self.written {
            let offset = theirs.streams.get(&number).copied().unwrap_or(0);
            let rest = bytes[offset as usize..].to_vec();
            let mut stream = connection.open_stream().await?;
            // In a task of its own: nobody may be reading yet.
            tokio::spawn(async move {
                write_stream(&mut stream.send, number, offset, &rest).await.unwrap();
                stream.send.finish().unwrap();
            });
        }
        Ok(())
    }
}

async fn write_stream(send: &mut SendStream, number: u64, offset: u64, bytes: &[u8]) -> Result<()> {
    send.write_all(&number.to_be_bytes()).await?;
    send.write_all(&offset.to_be_bytes()).await?;
    Ok(send.write_all(bytes).await?)
}

async fn read_number(recv: &mut RecvStream) -> u64 {
    use tokio::io::AsyncReadExt;
    recv.read_u64().await.unwrap()
}

/// The accepting side's part in the handshake: it stops the old connection before it says how far it came.
#[derive(Debug)]
struct Resumes {
    side: Arc<Mutex<Side>>,
    /// Whose session this is; nobody else may resume it.
    owner: PeerId,
}

impl Answer for Resumes {
    fn answer(&self, peer: PeerId, offered: &[Capability]) -> Result<Vec<Capability>, Refusal> {
        if peer != self.owner {
            return Err(Refusal::new(RefusalCode::Rejected, "this session belongs to another peer"));
        }
        assert!(offered.iter().any(|capability| capability.name == RESUME));
        let mut side = self.side.lock();
        side.stop();
        Ok(vec![side.progress().capability()])
    }
}

/// Two sides, and the providers over which they connect in turn.
struct Session {
    dialler: Side,
    accepter: Arc<Mutex<Side>>,
    protocol: ProtocolId,
}

impl Session {
    fn new() -> Self {
        Self { dialler: Side::default(), accepter: Arc::default(), protocol: "resume/1".parse().unwrap() }
    }

    /// Connects, or connects again, over these providers.
    async fn connect(&mut self, from: &dyn P2PProvider, to: &dyn P2PProvider) -> Box<dyn P2PListener> {
        let answer = Resumes { side: self.accepter.clone(), owner: from.local_peer_id() };
        let listener =
            to.listen_with(ListenConfig::new(self.protocol.clone()).with_answer(Arc::new(answer))).await.unwrap();
        self.dialler.stop();
        let config = ConnectionConfig::new(self.protocol.clone()).with_capability(self.dialler.progress().capability());
        let (ours, theirs) =
            tokio::try_join!(from.connect_with(listener.local_addr(), config), listener.accept()).unwrap();
        let theirs_came_to = Progress::of(&*ours);
        self.dialler.connection = Some(ours);
        self.accepter.lock().connection = Some(theirs);
        self.dialler.replay(&theirs_came_to).await.unwrap();
        listener
    }

    fn theirs(&self) -> Arc<dyn P2PConnection> {
        self.accepter.lock().connection.clone().unwrap()
    }

    /// The accepting side takes that many messages.
    async fn receive(&self, messages: usize) {
        let connection = self.theirs();
        for _ in 0..messages {
            let message = connection.recv().await.unwrap();
            self.accepter.lock().received.push(message);
        }
    }

    async fn send(&mut self, message: String) {
        self.dialler.sent.push_back(message.clone().into());
        self.dialler.connection.as_ref().unwrap().send(message.into()).await.unwrap();
    }
}

fn numbered(count: usize) -> Vec<Bytes> {
    (0..count).map(|n| n.to_string().into()).collect()
}

// The connection is cut with messages in every place: received, arrived but not taken, and never sent. Each must be there
// once, in order, after the second connection.
#[tokio::test]
async fn messages_survive_their_connection_exactly_once_and_in_order() {
    let network = MemoryNetwork::new();
    let (alice, bob) = (network.provider("alice"), network.provider("bob"));
    let mut session = Session::new();
    let listener = session.connect(&alice, &bob).await;
    for n in 0..100 {
        session.send(n.to_string()).await;
    }
    session.receive(40).await;
    drop(listener);
    session.connect(&alice, &bob).await;
    let left = 100 - session.accepter.lock().received.len();
    session.receive(left).await;
    assert_eq!(session.accepter.lock().received, numbered(100));
    assert_eq!(session.theirs().try_recv().unwrap(), None, "nothing came twice");
}

// The reader had some of the stream when the connection was cut; the rest comes on a new stream from that very byte.
#[tokio::test]
async fn a_stream_goes_on_at_the_byte_where_its_connection_was_cut() {
    let network = MemoryNetwork::new();
    let (alice, bob) = (network.provider("alice"), network.provider("bob"));
    let content: Vec<u8> = (0..300_000u32).map(|at| (at % 251) as u8).collect();
    let mut session = Session::new();
    let listener = session.connect(&alice, &bob).await;

    session.dialler.written.insert(7, content.clone());
    let mut stream = session.dialler.connection.as_ref().unwrap().open_stream().await.unwrap();
    let half = content.clone();
    let writing = tokio::spawn(async move { write_stream(&mut stream.send, 7, 0, &half).await });
    let mut recv = session.theirs().accept_stream().await.unwrap().recv;
    assert_eq!((read_number(&mut recv).await, read_number(&mut recv).await), (7, 0));
    let mut read = Vec::new();
    while read.len() < 100_000 {
        read.extend_from_slice(&recv.read_chunk(10_000).await.unwrap().unwrap());
    }
    let read_before = read.len();
    session.accepter.lock().read.insert(7, read);

    drop(listener);
    let (_, accepted) = tokio::join!(session.connect(&alice, &bob), writing);
    assert!(accepted.unwrap().is_err(), "the first stream was cut");

    let mut recv = session.theirs().accept_stream().await.unwrap().recv;
    assert_eq!((read_number(&mut recv).await, read_number(&mut recv).await), (7, read_before as u64));
    let rest = recv.read_to_end(content.len()).await.unwrap();
    assert_eq!([session.accepter.lock().read[&7].as_slice(), &rest].concat(), content);
}

// Two networks, the same two identities: what began on one goes on over the other, and comes back.
#[tokio::test]
async fn a_session_moves_to_another_provider_of_the_same_peer_and_back() {
    let (first, second) = (MemoryNetwork::new(), MemoryNetwork::new().without_datagrams());
    let mut session = Session::new();
    let mut sent = 0;
    for network in [&first, &second, &first] {
        let (alice, bob) = (network.provider("alice"), network.provider("bob"));
        let _listener = session.connect(&alice, &bob).await;
        for _ in 0..10 {
            session.send(sent.to_string()).await;
            sent += 1;
        }
        session.receive(3).await;
    }
    let left = sent - session.accepter.lock().received.len();
    session.receive(left).await;
    assert_eq!(session.accepter.lock().received, numbered(sent));
}

#[tokio::test]
async fn a_stranger_cannot_resume_a_session() {
    let network = MemoryNetwork::new();
    let (alice, bob, eve) = (network.provider("alice"), network.provider("bob"), network.provider("eve"));
    let mut session = Session::new();
    let listener = session.connect(&alice, &bob).await;
    let config = ConnectionConfig::new(session.protocol.clone()).with_capability(Progress::default().capability());
    let error = eve.connect_with(listener.local_addr(), config).await.unwrap_err();
    assert!(error.to_string().contains("belongs to another peer"), "{error}");
    session.send("still here".into()).await;
    session.receive(1).await;
}
