//! Limits how much there is at once: connections, dials in flight, streams.
//!
//! [`Bounds`] says how much, [`Limits`] is the layer. Inside: `places` knows who takes up a place; `listener` and
//! `connection` are the wrappers.

mod bounds;
mod connection;
mod listener;
mod places;

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use self::{
    connection::LimitsConnection,
    listener::{LimitsAnswer, LimitsListener},
    places::Places,
};
use super::answer;
use crate::{ConnectionConfig, ListenConfig, P2PConnection, P2PListener, P2PProvider, PeerAddr, Result};

pub use self::{bounds::Bounds, listener::OVERTAKEN};

/// Limits how much there is at once.
///
/// | what there is too much of | what happens |
/// |---|---|
/// | dials in flight, connections on a dial, streams opened here | [`P2PError::LimitReached`](crate::P2PError::LimitReached) |
/// | connections, on being dialled | the dialler is refused as [`Busy`](crate::RefusalCode::Busy) and told when to come again |
/// | streams opened by the peer | the peer waits: it is told the bound in the handshake |
///
/// A place is taken from the beginning of a dial, or of the answer to a dialler, and free again as soon as the connection
/// has closed. A connection that waits longer than 10 s to be accepted may lose its place to another; it is closed with
/// [`OVERTAKEN`] then, and `accept` returns the next. Handshakes that are being answered are bounded by the
/// [engine](crate::engine::HANDSHAKES_MAX).
///
/// The state is in the layer: clones of it share their places. Belongs where [`RateLimit`](super::RateLimit) does.
///
/// ```
/// use p2p::{P2PConnection, P2PError, P2PProvider, P2PProviderExt, RefusalCode, memory::MemoryNetwork};
/// use p2p::layer::{Bounds, LayerExt};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> p2p::Result<()> {
/// let network = MemoryNetwork::new();
/// let chat: p2p::ProtocolId = "chat/1".parse()?;
/// let bob = network.provider("bob").with_limits(Bounds::default().with_connections_per_peer(1));
/// let listener = bob.listen(&chat).await?;
///
/// let alice = network.provider("alice");
/// let first = alice.connect(listener.local_addr(), &chat).await?;
/// let accepted = listener.accept().await?;
/// let Err(P2PError::Refused { refusal, .. }) = alice.connect(listener.local_addr(), &chat).await else {
///     panic!("two at once");
/// };
/// assert_eq!(refusal.code, RefusalCode::Busy);
///
/// first.finish().await?;
/// accepted.closed().await;
/// alice.connect(listener.local_addr(), &chat).await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Limits<P> {
    inner: P,
    places: Arc<Places>,
}

impl<P: P2PProvider> Limits<P> {
    /// `inner` within these bounds.
    pub fn new(inner: P, bounds: Bounds) -> Self {
        let places = Arc::new(Places::new(bounds, inner.runtime().clone()));
        Self { inner, places }
    }

    /// The terms for a connection, on which the peer may open no more streams than the bound.
    fn bounded(&self, mut config: ConnectionConfig) -> ConnectionConfig {
        if let Some(most) = self.places.bounds.streams {
            config.streams_max = config.streams_max.min(most);
        }
        config
    }
}

impl<P: fmt::Display> fmt::Display for Limits<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Limits({})", self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<P: P2PProvider> P2PProvider for Limits<P> {
    forward_provider!(local_peer_id runtime status peer_info shutdown);

    async fn connect_with(&self, peer: PeerAddr, config: ConnectionConfig) -> Result<Arc<dyn P2PConnection>> {
        let dial = self.places.dial(peer.peer)?;
        let connection = self.inner.connect_with(peer, self.bounded(config)).await?;
        dial.connected(connection.state());
        Ok(LimitsConnection::wrap(connection, &self.places.bounds))
    }

    async fn listen_with(&self, mut config: ListenConfig) -> Result<Box<dyn P2PListener>> {
        let places = self.places.clone();
        config.answer = Some(Arc::new(LimitsAnswer { behind: answer::behind(&config), places: places.clone() }));
        config.connection = self.bounded(config.connection);
        let inner = self.inner.listen_with(config).await?;
        Ok(Box::new(LimitsListener { inner, places }))
    }
}
