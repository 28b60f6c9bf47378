//! The trait that makes connections, and what users call on it.

use std::{
    fmt::{Debug, Display},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;

use crate::{
    ConnectionConfig, ListenConfig, P2PConnection, P2PListener, PeerAddr, PeerId, PeerInfo, ProtocolId, ProviderStatus,
    Result, Runtime, Watch,
};

/// Makes connections for one identity: dials peers and listens for them.
///
/// Implemented by transports ([`memory`](crate::memory), the simulator, iroh) and by [layers](crate::layer) around
/// them, so code that holds an `Arc<dyn P2PProvider>` runs on any of them. `Display` prints the stack of layers.
///
/// ```
/// use p2p::{P2PProvider, P2PProviderExt, P2PConnectionExt, memory::MemoryNetwork};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> p2p::Result<()> {
/// let network = MemoryNetwork::new();
/// let (alice, bob) = (network.provider("alice"), network.provider("bob"));
///
/// let chat: p2p::ProtocolId = "chat/1".parse()?;
/// let listener = bob.listen(&chat).await?;
/// let (ours, theirs) = tokio::try_join!(alice.connect(listener.local_addr(), &chat), listener.accept())?;
///
/// ours.send("hello".into()).await?;
/// assert_eq!(theirs.recv().await?, "hello");
/// assert_eq!(theirs.peer_id(), alice.local_peer_id());
/// # Ok(()) }
/// ```
#[async_trait]
pub trait P2PProvider: Display + Debug + Send + Sync + 'static {
    /// The identity that peers see.
    fn local_peer_id(&self) -> PeerId;

    /// The time, tasks and randomness that everything above this provider uses.
    fn runtime(&self) -> &Arc<dyn Runtime>;

    /// Addresses, what is ready, what is not and why; and when that changes.
    fn status(&self) -> Watch<ProviderStatus>;

    /// What is known of a peer, if anything is. Costs no network traffic.
    fn peer_info(&self, peer: PeerId) -> Option<PeerInfo>;

    /// Dials a peer.
    ///
    /// Resolves once the peer proved its identity, a listener for `config.protocol` took the connection, and both agreed
    /// on its terms; at the latest after `config.handshake_timeout`.
    ///
    /// # Errors
    /// - [`InvalidInput`](crate::P2PError::InvalidInput): settings that cannot be used, or the provider's own identity.
    /// - [`PeerNotFound`](crate::P2PError::PeerNotFound), [`ConnectionFailed`](crate::P2PError::ConnectionFailed),
    ///   [`Timeout`](crate::P2PError::Timeout): the peer was not reached; dialling again may help.
    /// - [`Refused`](crate::P2PError::Refused): the peer said no, and why.
    /// - [`AuthenticationFailed`](crate::P2PError::AuthenticationFailed): somebody else answered.
    /// - [`Protocol`](crate::P2PError::Protocol): the peer does not speak this wire protocol or no common version.
    /// - [`ShutDown`](crate::P2PError::ShutDown).
    ///
    /// # Cancel safety
    /// Dropping the future gives the attempt up. The peer may see a connection that closes at once.
    async fn connect_with(&self, peer: PeerAddr, config: ConnectionConfig) -> Result<Arc<dyn P2PConnection>>;

    /// Listens for one protocol.
    ///
    /// Resolves when peers can dial, or at `config.ready_timeout`; [`status`](Self::status) tells which. The listener
    /// ends when it is dropped; connections it accepted live on.
    ///
    /// # Errors
    /// - [`AlreadyListening`](crate::P2PError::AlreadyListening): this provider listens for that protocol already.
    /// - [`InvalidInput`](crate::P2PError::InvalidInput): settings that cannot be used.
    /// - [`ShutDown`](crate::P2PError::ShutDown).
    ///
    /// # Cancel safety
    /// Dropping the future ends the listening.
    async fn listen_with(&self, config: ListenConfig) -> Result<Box<dyn P2PListener>>;

    /// Ends everything: listeners stop, connections get until `deadline` to deliver what they accepted and are then
    /// closed, and every pending call resolves. Calls made afterwards fail with
    /// [`ShutDown`](crate::P2PError::ShutDown). A second call waits for the first.
    ///
    /// # Cancel safety
    /// Once called, the shutdown goes on even if the future is dropped; nobody waits for it then.
    async fn shutdown(&self, deadline: Duration);
}

/// What users call on a provider.
///
/// ```
/// use p2p::{P2PConnection, P2PProvider, P2PProviderExt, memory::MemoryNetwork};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> p2p::Result<()> {
/// let network = MemoryNetwork::new();
/// let (client, server) = (network.provider("client"), network.provider("server"));
/// let protocol: p2p::ProtocolId = "time/1".parse()?;
/// let listener = server.listen(&protocol).await?;
/// let (ours, _theirs) = tokio::try_join!(client.connect(listener.local_addr(), &protocol), listener.accept())?;
/// assert_eq!(ours.negotiated().protocol, protocol);
/// # Ok(()) }
/// ```
#[async_trait]
pub trait P2PProviderExt: P2PProvider {
    /// [`connect_with`](P2PProvider::connect_with) the defaults.
    ///
    /// # Errors
    /// As [`connect_with`](P2PProvider::connect_with).
    async fn connect(
        &self,
        peer: impl Into<PeerAddr> + Send + 'async_trait,
        protocol: &ProtocolId,
    ) -> Result<Arc<dyn P2PConnection>> {
        self.connect_with(peer.into(), ConnectionConfig::new(protocol.clone())).await
    }

    /// [`listen_with`](P2PProvider::listen_with) the defaults.
    ///
    /// # Errors
    /// As [`listen_with`](P2PProvider::listen_with).
    async fn listen(&self, protocol: &ProtocolId) -> Result<Box<dyn P2PListener>> {
        self.listen_with(ListenConfig::new(protocol.clone())).await
    }
}

impl<P: P2PProvider + ?Sized> P2PProviderExt for P {}

macro_rules! forward_provider {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<P: P2PProvider + ?Sized> P2PProvider for $pointer<P> {
            fn local_peer_id(&self) -> PeerId {
                (**self).local_peer_id()
            }

            fn runtime(&self) -> &Arc<dyn Runtime> {
                (**self).runtime()
            }

            fn status(&self) -> Watch<ProviderStatus> {
                (**self).status()
            }

            fn peer_info(&self, peer: PeerId) -> Option<PeerInfo> {
                (**self).peer_info(peer)
            }

            async fn connect_with(&self, peer: PeerAddr, config: ConnectionConfig) -> Result<Arc<dyn P2PConnection>> {
                (**self).connect_with(peer, config).await
            }

            async fn listen_with(&self, config: ListenConfig) -> Result<Box<dyn P2PListener>> {
                (**self).listen_with(config).await
            }

            async fn shutdown(&self, deadline: Duration) {
                (**self).shutdown(deadline).await
            }
        }
    };
}

forward_provider!(Arc);
forward_provider!(Box);
