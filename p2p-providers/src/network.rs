//! Several peers in one process that can reach each other, whichever implementation it is.

use std::sync::Arc;

use p2p::{P2PProvider, Result};

use crate::{Implementation, ProviderConfig};

/// Makes providers that can reach each other, for demos, examples and tests with both ends in one process.
///
/// Over the simulator they are the peers of one simulated network, which runs in real time on tokio. Over iroh each is
/// an endpoint on loopback with a throwaway identity and any free port: of the configuration, relays and bootstrap peers
/// count, the rest is left out. Over a tunnel they have a server of their own on loopback and throwaway identities.
///
/// ```
/// use p2p::{P2PConnectionExt, P2PProviderExt};
/// use p2p_providers::{Network, Profile, ProviderConfig, Role};
///
/// # #[tokio::main] async fn main() -> p2p::Result<()> {
/// let network = Network::new(&ProviderConfig::new(Profile::Development, Role::Listener))?;
/// let (alice, bob) = (network.provider("alice").await?, network.provider("bob").await?);
///
/// let chat: p2p::ProtocolId = "chat/1".parse()?;
/// let listener = bob.listen(&chat).await?;
/// let (ours, theirs) = tokio::try_join!(alice.connect(listener.local_addr(), &chat), listener.accept())?;
/// ours.send("hello".into()).await?;
/// assert_eq!(theirs.recv().await?, "hello");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Network(Kind);

#[derive(Debug)]
enum Kind {
    #[cfg(feature = "p2p-iroh")]
    Iroh(Box<p2p_iroh::IrohConfig>),
    #[cfg(feature = "p2p-simulator")]
    Simulator(p2p_simulator::Network),
    #[cfg(feature = "p2p-tunnel")]
    Tunnel(crate::tunnel::LocalTunnel),
}

impl Network {
    /// A network without peers, of `config.implementation`.
    ///
    /// # Errors
    /// [`InvalidInput`](p2p::P2PError::InvalidInput): an implementation that is not built in, or a setting that cannot
    /// be used.
    ///
    /// # Panics
    /// Outside a tokio runtime, over the simulator.
    pub fn new(config: &ProviderConfig) -> Result<Self> {
        config.implementation.require_built_in()?;
        match config.implementation {
            #[cfg(feature = "p2p-iroh")]
            Implementation::Iroh => Ok(Self(Kind::Iroh(Box::new(config.to_local_iroh()?)))),
            #[cfg(feature = "p2p-simulator")]
            Implementation::Simulator => {
                Ok(Self(Kind::Simulator(p2p_simulator::Network::on_tokio(config.simulator.clone()))))
            }
            #[cfg(feature = "p2p-tunnel")]
            Implementation::Tunnel => Ok(Self(Kind::Tunnel(crate::tunnel::LocalTunnel::default()))),
            #[cfg(not(all(feature = "p2p-iroh", feature = "p2p-simulator", feature = "p2p-tunnel")))]
            _ => unreachable!("it is built in"),
        }
    }

    /// Which implementation its peers use.
    pub fn implementation(&self) -> Implementation {
        match self.0 {
            #[cfg(feature = "p2p-iroh")]
            Kind::Iroh(_) => Implementation::Iroh,
            #[cfg(feature = "p2p-simulator")]
            Kind::Simulator(_) => Implementation::Simulator,
            #[cfg(feature = "p2p-tunnel")]
            Kind::Tunnel(_) => Implementation::Tunnel,
        }
    }

    /// A new peer. The simulator makes its identity of `name`, where it takes an earlier one's place; the others make one up.
    ///
    /// # Errors
    /// [`Network`](p2p::P2PError::Network): no socket could be bound.
    pub async fn provider(&self, name: &str) -> Result<Arc<dyn P2PProvider>> {
        tracing::debug!(name, implementation = %self.implementation(), "A peer joins the network.");
        match self.0 {
            #[cfg(feature = "p2p-iroh")]
            Kind::Iroh(ref config) => Ok(Arc::new(p2p_iroh::IrohP2P::bind((**config).clone()).await?)),
            #[cfg(feature = "p2p-simulator")]
            Kind::Simulator(ref network) => Ok(Arc::new(network.provider(name))),
            #[cfg(feature = "p2p-tunnel")]
            Kind::Tunnel(ref tunnel) => tunnel.provider().await,
        }
    }
}
