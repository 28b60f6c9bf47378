//! A provider on top of another: each of its transports is a connection of the provider below.
//!
//! So a test holds the transports themselves, on any provider: it can open one and be silent, or write bytes that no
//! honest peer would.

use std::{any::Any, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;

use super::OverlayTransport;
use crate::{
    ConnectionConfig, ListenConfig, P2PConnection, P2PListener, P2PProvider, P2PProviderExt, PeerAddr, PeerId,
    PeerInfo, ProtocolId, ProviderStatus, Result, Runtime, TaskHandle, Watch, conformance::SilentPeer, engine::Hub,
};

/// A provider whose transports are connections of the provider below.
///
/// ```
/// use p2p::{P2PProvider, P2PProviderExt, memory::MemoryNetwork, mock::Overlay};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> p2p::Result<()> {
/// let network = MemoryNetwork::new();
/// let alice = Overlay::new(network.provider("alice")).await?;
/// let bob = Overlay::new(network.provider("bob")).await?;
/// let chat: p2p::ProtocolId = "chat/1".parse()?;
/// let listener = bob.listen(&chat).await?;
/// let (ours, theirs) = tokio::try_join!(alice.connect(listener.local_addr(), &chat), listener.accept())?;
/// ours.send("hello".into()).await?;
/// assert_eq!(theirs.recv().await?, "hello");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Overlay<P> {
    below: P,
    hub: Arc<Hub>,
    /// Takes connections from below; it ends with the provider.
    _accepting: TaskHandle,
}

impl<P: P2PProvider> Overlay<P> {
    /// A provider over `below`, which others can dial at the same address.
    ///
    /// # Errors
    /// As [`listen_with`](P2PProvider::listen_with) of the provider below, which can carry one overlay.
    pub async fn new(below: P) -> Result<Self> {
        let hub = Hub::new(below.local_peer_id(), below.runtime().clone());
        let listener = below.listen(&transports()).await?;
        let accepting = {
            let hub = hub.clone();
            async move {
                while let Ok(connection) = listener.accept().await {
                    hub.incoming(OverlayTransport::new(connection));
                }
            }
        };
        let accepting = below.runtime().spawn("overlay", Box::pin(accepting));
        Ok(Self { below, hub, _accepting: accepting })
    }

    /// A peer for overlays to talk to that is silent: it takes transports and says nothing.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub async fn silent(below: P) -> Result<Box<dyn SilentPeer>> {
        let listener = below.listen(&transports()).await?;
        let addr = listener.local_addr();
        let holding = async move {
            let mut held = Vec::new();
            while let Ok(connection) = listener.accept().await {
                held.push(connection);
            }
        };
        let holding = below.runtime().spawn("silent peer", Box::pin(holding));
        Ok(Box::new(Silent { below, addr, _holding: holding }))
    }
}

/// What overlays speak with each other, below.
fn transports() -> ProtocolId {
    "overlay/1".parse().expect("it is visible ASCII")
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<P: P2PProvider> P2PProvider for Overlay<P> {
    fn local_peer_id(&self) -> PeerId {
        self.below.local_peer_id()
    }

    fn runtime(&self) -> &Arc<dyn Runtime> {
        self.below.runtime()
    }

    fn status(&self) -> Watch<ProviderStatus> {
        self.below.status()
    }

    fn peer_info(&self, peer: PeerId) -> Option<PeerInfo> {
        let below = self.below.peer_info(peer)?;
        Some(PeerInfo { connections: self.hub.connections(peer), ..below })
    }

    async fn connect_with(&self, peer: PeerAddr, config: ConnectionConfig) -> Result<Arc<dyn P2PConnection>> {
        let identity = peer.peer;
        let dialing = async {
            let connection = self.below.connect(peer, &transports()).await?;
            Ok(OverlayTransport::new(connection))
        };
        self.hub.connect(identity, config, dialing).await
    }

    async fn listen_with(&self, config: ListenConfig) -> Result<Box<dyn P2PListener>> {
        let status = self.below.status();
        self.hub.listen(config, move || status.read(|status| status.addr.clone()))
    }

    async fn shutdown(&self, deadline: Duration) {
        self.hub.shutdown(deadline).await;
        // Its connections are closed; the one below only has to say so.
        self.below.shutdown(deadline).await;
    }
}

impl<P: fmt::Display> fmt::Display for Overlay<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Overlay({})", self.below)
    }
}

struct Silent<P> {
    below: P,
    addr: PeerAddr,
    _holding: TaskHandle,
}

#[async_trait]
impl<P: P2PProvider> SilentPeer for Silent<P> {
    fn addr(&self) -> PeerAddr {
        self.addr.clone()
    }

    async fn dial(&self, peer: PeerAddr) -> Box<dyn Any + Send> {
        let connection = self.below.connect(peer, &transports()).await;
        Box::new(connection.expect("the transport comes about; only the handshake over it does not"))
    }
}
