//! How two peers' byte streams come together.

use std::{fmt::Debug, io, sync::Arc};

use async_trait::async_trait;
use p2p::{PeerAddr, Watch};

use crate::connector::BoxIo;

/// Joins byte streams of peers. Nothing it says of who a peer is counts: the peers prove that to each other.
#[async_trait]
pub trait Rendezvous: Debug + Send + Sync + 'static {
    /// What joins them, for people: it stands in a connection's [`Path`](p2p::Path).
    fn name(&self) -> Arc<str>;

    /// Opens a byte stream to that peer. The caller's deadline ends the wait.
    ///
    /// # Errors
    /// [`PeerNotFound`](p2p::P2PError::PeerNotFound) if nobody waits under that identity, or why there is no way to ask.
    ///
    /// # Cancel safety
    /// Dropping the future opens nothing that stays.
    async fn dial(&self, peer: &PeerAddr) -> p2p::Result<BoxIo>;

    /// Waits for the next byte stream that a peer opened to this one. Peers can open some from the first call on.
    ///
    /// # Errors
    /// None will come any more. What can pass is no error: it is in [`problem`](Self::problem).
    ///
    /// # Cancel safety
    /// Dropping the future loses no stream.
    async fn accept(&self) -> io::Result<BoxIo>;

    /// Ends it: peers can open no streams to this one any more.
    fn shutdown(&self);

    /// Why peers cannot open streams to this one now; nothing when they can.
    fn problem(&self) -> Watch<Option<String>>;
}
