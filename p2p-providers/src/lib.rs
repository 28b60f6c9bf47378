//! Chooses a provider: at build time by feature, at run time by configuration.
//!
//! A service says [`provider`] and gets an `Arc<dyn P2PProvider>`. Whether that is iroh, the simulator or a tunnel is a cargo
//! feature (`p2p-iroh`, `p2p-simulator`, `p2p-tunnel`, or all, which is the default) and the variable `P2P_IMPLEMENTATION`; the
//! service's source stays as it is.
//!
//! ```no_run
//! use p2p::P2PProviderExt;
//! use p2p_providers::{ProviderConfig, Role, provider};
//!
//! # #[tokio::main] async fn main() -> p2p::Result<()> {
//! let provider = provider(ProviderConfig::from_env(Role::Listener)?).await?;
//! let listener = provider.listen(&"chat/1".parse()?).await?;
//! println!("{}", p2p::Ticket::new(listener.local_addr()));
//! # Ok(()) }
//! ```
//!
//! # What leaves the machine
//! In [development](Profile::Development), packets to dialled peers and configured relays, announcements on the local
//! network, and a request to the router for a port. In [production](Profile::Production) the last two only if told so.
//! `p2p_iroh` says more. A tunnel opens TCP connections to its server, and none to anybody else. The simulator opens no socket.
//!
//! # Map
//! - [`provider`]: one peer. [`Network`]: several in one process that reach each other.
//! - [`ProviderConfig`], with its [`Profile`] and [`Role`]: the settings, whichever implementation it is.
//! - `env`: [`ProviderConfig::from_env`] and [`ProviderConfig::from_vars`], the one place that reads `P2P_*`.
//! - [`Implementation`]: those there are. `iroh`, `tunnel`: the settings in their terms.

mod config;
mod env;
mod implementation;
#[cfg(feature = "p2p-iroh")]
mod iroh;
mod network;
#[cfg(feature = "p2p-tunnel")]
mod tunnel;

use std::sync::Arc;

use p2p::{P2PProvider, Result};

pub use self::{
    config::{LISTEN_PORT, Profile, ProviderConfig, Role, Secret},
    env::{UnknownVariable, process_vars},
    implementation::Implementation,
    network::Network,
};

/// The provider that `config` asks for. Needs tokio's runtime.
///
/// Over the simulator it is alone on a network of its own: peers that are to meet come from one [`Network`], and a
/// program that hands out tickets asks [`Implementation::require_other_processes`] first.
///
/// # Errors
/// - [`InvalidInput`](p2p::P2PError::InvalidInput): an implementation that is not built in, with the feature to turn on;
///   a setting that cannot be used; a production listener without a key file.
/// - [`Network`](p2p::P2PError::Network): a socket cannot be bound, for example as its port is in use.
pub async fn provider(config: ProviderConfig) -> Result<Arc<dyn P2PProvider>> {
    config.validate()?;
    if config.lacks_relays() {
        tracing::warn!("P2P_RELAY_SERVERS names no relay: only peers with a direct way here can connect.");
    }
    match config.implementation {
        #[cfg(feature = "p2p-iroh")]
        Implementation::Iroh => Ok(Arc::new(p2p_iroh::IrohP2P::bind(config.to_iroh()?).await?)),
        #[cfg(feature = "p2p-tunnel")]
        Implementation::Tunnel => Ok(Arc::new(config.to_tunnel()?)),
        _ => Network::new(&config)?.provider("peer").await,
    }
}
