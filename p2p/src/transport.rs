//! What a provider supplies for each connection; everything else is the same for all and lives in [`engine`].
//!
//! A transport is a connection to a peer whose identity is already proved. It carries byte streams, perhaps datagrams,
//! and ends with a code and a reason. Messages, the handshake, limits, `finish` and liveness are added by the engine,
//! which speaks the [wire protocol](crate::protocol) over it.
//!
//! [`engine`]: crate::engine

use std::{fmt, future::Future, time::Duration};

use bytes::Bytes;

use crate::{Path, PeerId, RecvHalf, Result, SendHalf, SharedError, StreamError, Watch};

/// An authenticated connection that carries streams.
///
/// A provider hands it to its [`Hub`](crate::engine::Hub), which makes a connection of it:
///
/// ```
/// use p2p::{ConnectionConfig, P2PConnection, PeerId, Result, Transport, engine::Hub};
/// use std::{future::Future, sync::Arc};
///
/// /// What a provider's `connect_with` comes down to, once it knows how to dial.
/// async fn connect<T: Transport>(
///     hub: &Hub, peer: PeerId, dialling: impl Future<Output = Result<T>> + Send,
/// ) -> Result<Arc<dyn P2PConnection>> {
///     hub.connect(peer, ConnectionConfig::default(), dialling).await
/// }
///
/// /// And its accept loop.
/// fn accepted<T: Transport>(hub: &Hub, transport: T) {
///     hub.incoming(transport);
/// }
/// ```
///
/// Once it is closed, by whichever side, every pending and later call fails with
/// [`StreamError::Connection`]; bytes that had already arrived can still be read. Dropping it closes it, if nobody has.
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// The writing half of its streams.
    type Send: SendHalf;
    /// The reading half of its streams.
    type Recv: RecvHalf;

    /// The peer's identity, as its key proved it.
    fn peer_id(&self) -> PeerId;

    /// Opens a stream in both directions, waiting while the transport's own bound is reached. The peer need not see it
    /// before the first byte is written.
    ///
    /// # Cancel safety
    /// Dropping the future opens nothing that the peer would see.
    fn open(&self) -> impl Future<Output = Result<(Self::Send, Self::Recv), StreamError>> + Send;

    /// Waits for the next stream that the peer opened, in the order the peer opened them.
    ///
    /// # Cancel safety
    /// Dropping the future loses no stream.
    fn accept(&self) -> impl Future<Output = Result<(Self::Send, Self::Recv), StreamError>> + Send;

    /// Bytes of the largest datagram the path carries now; `None` if datagrams cannot be sent.
    fn datagram_bytes_max(&self) -> Option<usize>;

    /// Sends a datagram of at most [`datagram_bytes_max`](Self::datagram_bytes_max) bytes, or drops it.
    ///
    /// # Errors
    /// As [`send_datagram`](crate::P2PConnection::send_datagram).
    fn send_datagram(&self, datagram: Bytes) -> Result<()>;

    /// Waits for the next datagram. Keeps a bounded number, dropping the oldest.
    ///
    /// # Cancel safety
    /// Dropping the future loses no datagram.
    fn recv_datagram(&self) -> impl Future<Output = Result<Bytes, StreamError>> + Send;

    /// The path in use and its changes.
    fn path(&self) -> Watch<Option<Path>>;

    /// What the transport measures.
    fn stats(&self) -> TransportStats;

    /// Closes now, telling the peer code and reason. Only the first close counts.
    ///
    /// `reason` has at most [`CLOSE_REASON_BYTES_MAX`](crate::CLOSE_REASON_BYTES_MAX) bytes.
    fn close(&self, code: u64, reason: &str);

    /// Waits for the end and says how it came.
    fn closed(&self) -> impl Future<Output = TransportClosed> + Send;
}

/// How a transport ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransportClosed {
    /// This side called [`Transport::close`].
    Local,
    /// The peer did.
    Peer {
        /// Its code.
        code: u64,
        /// Its reason, as it came.
        reason: Bytes,
    },
    /// Nothing was heard for the transport's own idle timeout.
    TimedOut,
    /// Anything else.
    Lost(SharedError),
}

/// What a transport measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransportStats {
    /// The smoothed round trip on the path in use.
    pub rtt: Option<Duration>,
    /// Packets found to be lost since the start.
    pub packets_lost: Option<u64>,
    /// Packets sent since the start.
    pub packets_sent: Option<u64>,
}
