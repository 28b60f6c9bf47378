//! A connection that follows a script.

use std::{collections::VecDeque, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use crate::{
    BiStream, CloseCode, CloseReason, ConnectionLimits, ConnectionState, ConnectionStats, Negotiated, P2PConnection,
    P2PError, PeerId, ProtocolId, Result, TrySendError, Watch, WatchSender,
};

/// A connection that receives what a script says and remembers what was sent. Clones are the same connection.
///
/// It has room for every message and carries no streams: `open_stream` fails, `accept_stream` waits for the end. When the
/// script is at its end the connection ends as it says, or else waits to be closed.
#[derive(Debug, Clone)]
pub struct ScriptedConnection(Arc<Part>);

#[derive(Debug)]
struct Part {
    peer: PeerId,
    negotiated: Negotiated,
    /// Changes whenever something comes to be received, and at the end.
    state: WatchSender<ConnectionState>,
    played: Mutex<Played>,
}

#[derive(Debug, Default)]
struct Played {
    messages: VecDeque<Bytes>,
    datagrams: VecDeque<Bytes>,
    end: Option<CloseReason>,
    sent: Vec<Bytes>,
    datagrams_sent: Vec<Bytes>,
    stats: ConnectionStats,
}

impl ScriptedConnection {
    /// A connection to that peer, with an empty script.
    pub fn new(peer: PeerId) -> Self {
        Self(Arc::new(Part {
            peer,
            negotiated: Negotiated { protocol: ProtocolId::default(), version: 1, capabilities: Vec::new() },
            state: WatchSender::new(ConnectionState::Connected { path: None }),
            played: Mutex::default(),
        }))
    }

    /// `recv` returns that message next. May also be called while the test runs.
    pub fn receives(self, message: impl Into<Bytes>) -> Self {
        self.0.played.lock().messages.push_back(message.into());
        self.wake();
        self
    }

    /// `recv_datagram` returns that datagram next. May also be called while the test runs.
    pub fn receives_datagram(self, datagram: impl Into<Bytes>) -> Self {
        self.0.played.lock().datagrams.push_back(datagram.into());
        self.wake();
        self
    }

    /// When every scripted message was received and `recv` is called again, the connection ends like that; at once if no
    /// message is scripted.
    pub fn ends(self, reason: CloseReason) -> Self {
        let is_played = {
            let mut played = self.0.played.lock();
            played.end = Some(reason.clone());
            played.messages.is_empty()
        };
        if is_played {
            self.end(reason);
        }
        self
    }

    /// The messages that were sent, in order.
    pub fn sent(&self) -> Vec<Bytes> {
        self.0.played.lock().sent.clone()
    }

    /// The datagrams that were sent, in order.
    pub fn datagrams_sent(&self) -> Vec<Bytes> {
        self.0.played.lock().datagrams_sent.clone()
    }

    fn wake(&self) {
        self.0.state.modify(|_| true);
    }

    fn end(&self, reason: CloseReason) {
        self.0.state.modify(|state| {
            let ends = !state.is_closed();
            if ends {
                *state = ConnectionState::Closed { reason, unacknowledged: 0 };
            }
            ends
        });
    }

    fn check_open(&self) -> Result<()> {
        match self.close_reason() {
            Some(reason) => Err(P2PError::Closed { reason }),
            None => Ok(()),
        }
    }

    /// The next of what `take` finds, now or when it is there.
    async fn next(&self, take: impl Fn(&Self) -> Result<Option<Bytes>> + Send) -> Result<Bytes> {
        let mut state = self.0.state.subscribe();
        loop {
            if let Some(next) = take(self)? {
                return Ok(next);
            }
            // The writing end is in this connection.
            let _ = state.changed().await;
        }
    }

    fn try_recv_datagram(&self) -> Result<Option<Bytes>> {
        let mut played = self.0.played.lock();
        if let Some(datagram) = played.datagrams.pop_front() {
            played.stats.datagrams_received += 1;
            played.stats.bytes_received += datagram.len() as u64;
            return Ok(Some(datagram));
        }
        drop(played);
        self.check_open().map(|()| None)
    }
}

#[async_trait]
impl P2PConnection for ScriptedConnection {
    fn peer_id(&self) -> PeerId {
        self.0.peer
    }

    fn negotiated(&self) -> &Negotiated {
        &self.0.negotiated
    }

    fn limits(&self) -> ConnectionLimits {
        ConnectionLimits {
            message_bytes_max: MESSAGE_BYTES_MAX,
            datagram_bytes_max: Some(DATAGRAM_BYTES_MAX),
            streams_max: 0,
        }
    }

    fn stats(&self) -> ConnectionStats {
        self.0.played.lock().stats
    }

    fn state(&self) -> Watch<ConnectionState> {
        self.0.state.subscribe()
    }

    fn try_send(&self, message: Bytes) -> Result<(), TrySendError> {
        self.check_open()?;
        if message.len() > MESSAGE_BYTES_MAX {
            let (size, limit) = (message.len(), MESSAGE_BYTES_MAX);
            return Err(P2PError::MessageTooLarge { size, limit }.into());
        }
        let mut played = self.0.played.lock();
        played.stats.messages_sent += 1;
        played.stats.bytes_sent += message.len() as u64;
        played.sent.push(message);
        Ok(())
    }

    async fn send(&self, message: Bytes) -> Result<()> {
        match self.try_send(message) {
            Ok(()) => Ok(()),
            Err(TrySendError::Failed(error)) => Err(error),
            Err(TrySendError::Full(_)) => unreachable!("there is room for every message"),
        }
    }

    fn try_recv(&self) -> Result<Option<Bytes>> {
        let mut played = self.0.played.lock();
        if let Some(message) = played.messages.pop_front() {
            played.stats.messages_received += 1;
            played.stats.bytes_received += message.len() as u64;
            return Ok(Some(message));
        }
        let end = played.end.clone();
        drop(played);
        if let Some(reason) = end {
            self.end(reason);
        }
        self.check_open().map(|()| None)
    }

    async fn recv(&self) -> Result<Bytes> {
        self.next(Self::try_recv).await
    }

    async fn open_stream(&self) -> Result<BiStream> {
        self.check_open()?;
        Err(P2PError::LimitReached { what: "streams of a scripted connection", limit: 0 })
    }

    async fn accept_stream(&self) -> Result<BiStream> {
        let reason = self.closed().await;
        Err(P2PError::Closed { reason })
    }

    fn send_datagram(&self, datagram: Bytes) -> Result<()> {
        self.check_open()?;
        if datagram.len() > DATAGRAM_BYTES_MAX {
            let (size, limit) = (datagram.len(), DATAGRAM_BYTES_MAX);
            return Err(P2PError::DatagramTooLarge { size, limit });
        }
        let mut played = self.0.played.lock();
        played.stats.datagrams_sent += 1;
        played.stats.bytes_sent += datagram.len() as u64;
        played.datagrams_sent.push(datagram);
        Ok(())
    }

    async fn recv_datagram(&self) -> Result<Bytes> {
        self.next(Self::try_recv_datagram).await
    }

    async fn finish(&self) -> Result<()> {
        self.close(CloseCode::OK, "");
        match self.closed().await {
            CloseReason::Local { code: CloseCode::OK, .. } => Ok(()),
            reason => Err(P2PError::Closed { reason }),
        }
    }

    fn close(&self, code: CloseCode, reason: &str) {
        self.end(CloseReason::Local { code, reason: reason.into() });
    }

    fn close_reason(&self) -> Option<CloseReason> {
        self.0.state.read(|state| match state {
            ConnectionState::Closed { reason, .. } => Some(reason.clone()),
            _ => None,
        })
    }

    async fn closed(&self) -> CloseReason {
        let closed = self.state().wait_for(ConnectionState::is_closed).await;
        match closed {
            Ok(ConnectionState::Closed { reason, .. }) => reason,
            other => unreachable!("it was waited for, and its writing end is here: {other:?}"),
        }
    }
}

/// The contract's default.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// What a QUIC packet of 1,200 bytes holds.
const DATAGRAM_BYTES_MAX: usize = 1162;
