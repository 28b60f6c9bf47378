//! The trait that yields incoming connections.

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;

use crate::{P2PConnection, PeerAddr, ProtocolId, Result};

/// Yields the connections that peers open for one protocol. Dropping it stops the listening.
///
/// Handshakes run side by side and bounded inside the provider, so a peer that stalls in one delays nobody else.
///
/// ```
/// use p2p::{P2PProvider, P2PProviderExt, memory::MemoryNetwork};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> p2p::Result<()> {
/// let network = MemoryNetwork::new();
/// let (client, server) = (network.provider("client"), network.provider("server"));
/// let echo: p2p::ProtocolId = "echo/1".parse()?;
///
/// let listener = server.listen(&echo).await?;
/// tokio::spawn(async move {
///     while let Ok(connection) = listener.accept().await {
///         tokio::spawn(async move {
///             while let Ok(message) = connection.recv().await {
///                 let _ = connection.send(message).await;
///             }
///         });
///     }
/// });
///
/// let connection = client.connect(server.local_peer_id(), &echo).await?;
/// connection.send("anybody there?".into()).await?;
/// assert_eq!(connection.recv().await?, "anybody there?");
/// # Ok(()) }
/// ```
#[async_trait]
pub trait P2PListener: Debug + Send + Sync + 'static {
    /// What is listened for.
    fn protocol(&self) -> &ProtocolId;

    /// An address that peers can dial, with all hints known now.
    fn local_addr(&self) -> PeerAddr;

    /// Waits for the next connection.
    ///
    /// # Errors
    /// [`ShutDown`](crate::P2PError::ShutDown) once the provider is; no other error ends a listener.
    ///
    /// # Cancel safety
    /// Dropping the future loses no connection. Several callers each get different ones.
    async fn accept(&self) -> Result<Arc<dyn P2PConnection>>;
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<L: P2PListener + ?Sized> P2PListener for Box<L> {
    fn protocol(&self) -> &ProtocolId {
        (**self).protocol()
    }

    fn local_addr(&self) -> PeerAddr {
        (**self).local_addr()
    }

    async fn accept(&self) -> Result<Arc<dyn P2PConnection>> {
        (**self).accept().await
    }
}
