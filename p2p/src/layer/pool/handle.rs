//! What a pool hands out.

use super::{Pool, member::Lease};
use crate::{
    BiStream, CloseReason, ConnectionState, ConnectionStats, Negotiated, P2PError, PeerAddr, PeerId, ProtocolId,
    Result, Watch, layer::held::hold,
};

/// A connection that others may be using too. Clones are the same connection.
///
/// It opens streams and nothing else: messages, datagrams and the peer's streams would go to whichever of its users asks
/// first, and closing it is nobody's to decide. It stays open while a handle or a stream of it is there, and for the pool's
/// [`idle_timeout`](super::PoolConfig::idle_timeout) after that.
#[derive(Debug, Clone)]
pub struct PooledConnection {
    lease: Lease,
}

impl PooledConnection {
    pub(super) const fn new(lease: Lease) -> Self {
        Self { lease }
    }

    /// Opens a stream. See [`P2PConnection::open_stream`](crate::P2PConnection::open_stream).
    ///
    /// # Errors
    /// [`Closed`](P2PError::Closed), and what layers below add. Another [`get`](Pool::get) then dials anew.
    ///
    /// # Cancel safety
    /// Dropping the future opens nothing that the peer would see.
    pub async fn open_stream(&self) -> Result<BiStream> {
        let stream = self.lease.connection().open_stream().await?;
        Ok(hold(stream, self.lease.clone()))
    }

    /// The peer's identity.
    pub fn peer_id(&self) -> PeerId {
        self.lease.connection().peer_id()
    }

    /// What both sides agreed on.
    pub fn negotiated(&self) -> &Negotiated {
        self.lease.connection().negotiated()
    }

    /// Counters of all its users together.
    pub fn stats(&self) -> ConnectionStats {
        self.lease.connection().stats()
    }

    /// The state, the path, and their changes.
    pub fn state(&self) -> Watch<ConnectionState> {
        self.lease.connection().state()
    }

    /// Why the connection ended, if it has.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.lease.connection().close_reason()
    }
}

/// A peer that is dialled when the first stream is opened, and again when its connection is gone. Made by [`Pool::lazy`];
/// clones are the same peer.
#[derive(Debug, Clone)]
pub struct LazyPeer {
    pub(super) pool: Pool,
    pub(super) addr: PeerAddr,
    pub(super) protocol: ProtocolId,
}

impl LazyPeer {
    /// Opens a stream on the pool's connection, dialling if there is none. One that turns out to have closed is replaced
    /// once.
    ///
    /// # Errors
    /// As [`Pool::get`] and [`PooledConnection::open_stream`].
    ///
    /// # Cancel safety
    /// Dropping the future opens nothing that the peer would see. A dial it began goes on.
    pub async fn open_stream(&self) -> Result<BiStream> {
        match self.get().await?.open_stream().await {
            Err(P2PError::Closed { .. }) => self.get().await?.open_stream().await,
            opened => opened,
        }
    }

    /// The connection as it is now, dialled if there is none. See [`Pool::get`].
    ///
    /// # Errors
    /// As [`Pool::get`].
    ///
    /// # Cancel safety
    /// As [`Pool::get`].
    pub async fn get(&self) -> Result<PooledConnection> {
        self.pool.get(self.addr.clone(), &self.protocol).await
    }
}
