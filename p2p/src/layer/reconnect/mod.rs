//! A connection that outlives its transport.
//!
//! [`Reconnect`] is the layer, [`ReconnectConfig`] its settings, [`ReconnectTotals`] what it did. Inside, a *session* is
//! what the user sees as one connection, and a *link* the provider's connection that carries it now:
//!
//! - `state` is all that has to be consistent, under one lock, and nothing in it waits. Its parts know no connection:
//!   `replay` keeps what is not acknowledged, within a `budget`; `acks` says when to acknowledge; `direction` is one
//!   direction of one stream; `seen` tells the peer's old streams from new ones; `progress` is how far one side has come;
//!   `wakes` says which of thousands of streams to look at.
//! - `session` waits for the state to change. `connection` and `stream` are what users hold of it.
//! - `driver` is its one task: control stream, replay, the next link. `dial` and `listener` are the two ways to get one.
//! - `replace` is for a layer below that knows a better transport.
//! - `wire` is what the two sides say. `shared` is what all sessions of a provider have in common.
//!
//! # On the wire
//! Messages are numbered by their order and carry nothing. Each stream begins, on each link, with its number and the
//! place of its first byte. Acknowledgements, resets and stops travel on a stream of the layer's own, the first that the
//! dialling side opens. A handshake that resumes says in the capability `resume2` which session it is, the how manieth
//! attempt, and how far the side has come with messages and each stream; the answer says the same. Before a side says how
//! far it has come it closes the old link and takes everything that had arrived there, so the number is final. Streams for
//! which the capability has no room are told of on the control stream, and wait until they were.
//!
//! # What was weighed
//! Whether a stream was reset or stopped is said on the control stream and not by the link's own reset, which can't be
//! told from that of a link that falls apart; only the ordinary end is the link's own. A stream's end is remembered by
//! its writer until the reader has acknowledged it; the reader forgets at once, because a stream that was seen and is not
//! in its list is one it has read to the end.
//!
//! Keepalives carry no number of what was sent. A link keeps order and loses nothing while it lives, so the tail of a line
//! that then says nothing can only be missing with the link, which the link's own keepalives find out; and every tail that
//! arrives is acknowledged within 25 ms.
//!
//! The replay holds messages that the peer's provider has and its application has not taken, so a resume is right even
//! if the peer's provider loses its queue with the link. Only `finish` and `delivered` ask less: the peer's provider.

mod acks;
mod backoff;
mod budget;
mod config;
mod connection;
mod dial;
mod direction;
mod driver;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
mod listener;
mod progress;
pub(super) mod replace;
mod replay;
mod seen;
mod session;
mod shared;
mod state;
mod stream;
mod totals;
mod wakes;
mod wire;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;

use self::{
    connection::ReconnectConnection,
    listener::{Accepting, Gate, Queue, ReconnectListener},
    shared::{Phase, Shared},
};
use crate::{
    CloseCode, CloseReason, ConnectionConfig, ListenConfig, P2PConnection, P2PError, P2PListener, P2PProvider,
    PeerAddr, Result, RuntimeExt,
};

#[doc(hidden)]
pub use self::config::Mutant;
pub use self::{backoff::Backoff, config::ReconnectConfig, totals::ReconnectTotals};

/// Makes connections outlive their transports, for messages **and** streams.
///
/// When a transport is lost, the side that dialled dials again and both go on where they were. As long as both processes
/// live and the peer is back within [`grace`](ReconnectConfig::grace), whatever was accepted before
/// [`close`](P2PConnection::close) is delivered **exactly once, in order**. Otherwise the connection closes as
/// [`Lost`](CloseReason::Lost), and its [state](P2PConnection::state) says how many messages were not acknowledged.
///
/// | while there is no transport | |
/// |---|---|
/// | `state` | [`Reconnecting`](crate::ConnectionState::Reconnecting) |
/// | `send`, `try_send` | accept up to `send_buffer_bytes`, then wait, or say `Full` |
/// | stream writes, `open_stream` | wait |
/// | `recv`, stream reads | return what had arrived, then wait |
/// | datagrams | dropped, and counted |
/// | `finish` | waits for the next transport |
/// | `close` | closes at once; the peer learns of it if it comes back in time, and else of the loss |
///
/// Both sides need the layer. With a peer that has none, the connection is the provider's own, as if the layer were not
/// there; [`ReconnectTotals::plain`] counts those. What belongs to a session is bound to the peer's key: nobody else can
/// resume it, and no attempt can be made twice. An application's [`Answer`](crate::Answer) is asked once, when the session
/// begins. A peer that resumes while this side still believes in the old transport replaces it.
///
/// What was sent is kept until the peer acknowledges it, within [`replay_bytes_max`](ReconnectConfig::replay_bytes_max)
/// for messages and streams together. Acknowledgements come after at most 25 ms, so on an idle line nothing waits for one.
///
/// A listener takes resumes while nobody is in `accept`, and after it was dropped as long as a session it accepted lives.
///
/// Belongs outside of [`Timeout`](crate::layer::Timeout), whose deadline then holds for each attempt; see
/// [the order](crate::layer#order). Streams in each direction are as many as the provider allows, up to 16,384. The session
/// keeps its provider alive on the side that dialled.
///
/// ```
/// use p2p::{
///     P2PConnection, P2PProvider, P2PProviderExt,
///     layer::{LayerExt, ReconnectConfig}, memory::MemoryNetwork,
/// };
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> p2p::Result<()> {
/// let network = MemoryNetwork::new();
/// let alice = network.provider("alice").with_reconnect(ReconnectConfig::default())?;
/// let bob = network.provider("bob").with_reconnect(ReconnectConfig::default())?;
///
/// let chat = "chat/1".parse()?;
/// let listener = bob.listen(&chat).await?;
/// let (ours, theirs) = tokio::try_join!(alice.connect(bob.local_peer_id(), &chat), listener.accept())?;
/// ours.send("whatever happens to the transport".into()).await?;
/// assert_eq!(theirs.recv().await?, "whatever happens to the transport");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Reconnect<P> {
    inner: Arc<P>,
    shared: Arc<Shared>,
}

impl<P: P2PProvider> Reconnect<P> {
    /// `inner`, whose connections outlive their transports.
    ///
    /// # Errors
    /// [`InvalidInput`](P2PError::InvalidInput) names a setting that cannot be used.
    pub fn new(inner: P, config: ReconnectConfig) -> Result<Self> {
        config.validate()?;
        let shared = Shared::new(config, inner.runtime().clone());
        Ok(Self { inner: Arc::new(inner), shared })
    }

    /// What the layer did so far.
    pub fn totals(&self) -> ReconnectTotals {
        self.shared.totals.get()
    }

    fn check_running(&self) -> Result<()> {
        if self.shared.is_shut_down() { Err(P2PError::ShutDown) } else { Ok(()) }
    }
}

/// The same peer, with the same sessions.
impl<P> Clone for Reconnect<P> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: self.shared.clone() }
    }
}

impl<P: fmt::Display> fmt::Display for Reconnect<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reconnect({})", self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<P: P2PProvider> P2PProvider for Reconnect<P> {
    forward_provider!(local_peer_id runtime status peer_info);

    async fn connect_with(&self, peer: PeerAddr, config: ConnectionConfig) -> Result<Arc<dyn P2PConnection>> {
        self.check_running()?;
        let mut phase = self.shared.phase.subscribe();
        let dialled = crate::select! {
            _ = phase.wait_for(|phase| *phase != Phase::Running) => return Err(P2PError::ShutDown),
            dialled = dial::first(&self.shared, self.inner.clone(), peer, config) => dialled?,
        };
        Ok(dialled.map_or_else(|plain| plain, ReconnectConnection::handle))
    }

    async fn listen_with(&self, mut config: ListenConfig) -> Result<Box<dyn P2PListener>> {
        self.check_running()?;
        let mut terms = config.connection.clone();
        terms.streams_max = terms.streams_max.min(wire::STREAMS_MAX);
        let queue = Queue::new(config.backlog_max);
        let gate = Gate {
            shared: self.shared.clone(),
            queue: queue.clone(),
            protocol: terms.protocol.clone(),
            answer: config.answer.take(),
            known: terms.capabilities.clone(),
        };
        config.answer = Some(Arc::new(gate));
        // One more for the control stream.
        config.connection.streams_max = terms.streams_max + 1;
        // A listener that only takes resumes makes way.
        self.shared.release(&terms.protocol);
        let inner: Arc<dyn P2PListener> = Arc::from(self.inner.listen_with(config).await?);
        self.shared.add_queue(&queue);
        let accepting = Accepting::start(inner.clone(), queue.clone(), self.shared.clone(), terms);
        Ok(Box::new(ReconnectListener { queue, shared: self.shared.clone(), inner, accepting: Some(accepting) }))
    }

    async fn shutdown(&self, deadline: Duration) {
        let mut first = false;
        self.shared.phase.modify(|phase| {
            first = *phase == Phase::Running;
            if first {
                *phase = Phase::ShuttingDown;
            }
            first
        });
        if first {
            let down = shut_down(self.inner.clone(), self.shared.clone(), deadline);
            self.runtime().spawn("shutdown", Box::pin(down)).detach();
        }
        let _ = self.shared.phase.subscribe().wait_for(|phase| *phase == Phase::Down).await;
    }
}

/// Lets sessions finish until the deadline, which is more than the provider below can do: it knows of what it was given.
async fn shut_down<P: P2PProvider>(inner: Arc<P>, shared: Arc<Shared>, deadline: Duration) {
    let began = shared.runtime.now();
    shared.close_queues();
    let sessions = shared.all();
    sessions.iter().for_each(|session| session.start_finish());
    let finishing = async {
        for session in &sessions {
            session.closed().await;
        }
    };
    let _ = shared.runtime.timeout(deadline, finishing).await;
    for session in &sessions {
        session.end(CloseReason::ShutDown, (CloseCode::OK, "the peer's provider was shut down"));
    }
    inner.shutdown(deadline.saturating_sub(shared.runtime.now() - began)).await;
    shared.phase.set(Phase::Down);
}
