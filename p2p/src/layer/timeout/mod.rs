//! Each attempt has its own deadline.
//!
//! An attempt is something this side does and that ends: a dial, a `send` that found a full queue. Waiting for the peer
//! to begin something (`accept`, `recv`, `accept_stream`) is none, and has no deadline here. [`Deadlines`] says which
//! there are, [`Timeout`] is the layer, `connection` holds what it wraps.

mod connection;
mod deadlines;

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use self::{
    connection::{TimeoutConnection, TimeoutListener},
    deadlines::within,
};
use crate::{ConnectionConfig, ListenConfig, P2PConnection, P2PListener, P2PProvider, PeerAddr, Result};

pub use self::deadlines::Deadlines;

/// Gives each attempt a deadline, after which it fails with [`P2PError::Timeout`](crate::P2PError::Timeout).
///
/// A deadline drops the inner future, which is safe exactly as the contract says under "Cancel safety": a dial is given
/// up, a message was not accepted, no stream was opened, a connection goes on finishing. An attempt that completes as its
/// deadline passes has completed. After an error the connection is as usable as before.
///
/// Belongs innermost, so that what stands above sees each attempt fail by name; see [the order](crate::layer#order).
///
/// ```
/// use std::time::Duration;
/// use p2p::{P2PProvider, P2PProviderExt, layer::{Deadlines, LayerExt}, memory::MemoryNetwork};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> p2p::Result<()> {
/// let network = MemoryNetwork::new();
/// let bob = network.provider("bob");
/// let alice = network
///     .provider("alice")
///     .with_timeout(Deadlines::default().with_send(Duration::from_millis(5)));
///
/// let listener = bob.listen(&"chat/1".parse()?).await?;
/// let chat = alice.connect(bob.local_peer_id(), &"chat/1".parse()?).await?;
///
/// // Bob does not read, so some day everything between the two is full.
/// let error = loop {
///     if let Err(error) = chat.send(vec![0; 100_000].into()).await {
///         break error;
///     }
/// };
/// assert_eq!(error.to_string(), "sending did not finish within 5ms");
/// # drop(listener);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Timeout<P> {
    inner: P,
    deadlines: Deadlines,
}

impl<P: P2PProvider> Timeout<P> {
    /// `inner` with these deadlines.
    pub fn new(inner: P, deadlines: Deadlines) -> Self {
        Self { inner, deadlines }
    }
}

impl<P: fmt::Display> fmt::Display for Timeout<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timeout({})", self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<P: P2PProvider> P2PProvider for Timeout<P> {
    forward_provider!(local_peer_id runtime status peer_info shutdown);

    async fn connect_with(&self, peer: PeerAddr, config: ConnectionConfig) -> Result<Arc<dyn P2PConnection>> {
        let dial = self.inner.connect_with(peer, config);
        let connection = within(self.deadlines.connect, "dialling", self.runtime(), dial).await?;
        Ok(TimeoutConnection::wrap(connection, self.deadlines, self.runtime()))
    }

    async fn listen_with(&self, config: ListenConfig) -> Result<Box<dyn P2PListener>> {
        let listen = self.inner.listen_with(config);
        let inner = within(self.deadlines.listen, "listening", self.runtime(), listen).await?;
        Ok(Box::new(TimeoutListener { inner, deadlines: self.deadlines, runtime: self.runtime().clone() }))
    }
}
