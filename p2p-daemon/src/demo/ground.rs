//! What lies between Alice and Bob, and where they come from.

use std::sync::Arc;

use p2p::{P2PProvider, PeerAddr};
use p2p_providers::{Implementation, Network, ProviderConfig};

use tokio::task::JoinSet;

use crate::{
    Error,
    stack::{self, Stack},
};

/// Where peers meet, and the peers that came.
#[derive(Debug)]
pub(super) struct Ground {
    kind: Kind,
    /// Kept so that they are ended, whatever happens in between.
    peers: Vec<Arc<dyn P2PProvider>>,
}

#[derive(Debug)]
enum Kind {
    #[cfg(feature = "p2p-iroh")]
    Relay(Box<super::relay::Relay>),
    Network {
        network: Network,
        /// What is to be said of it.
        description: String,
    },
}

impl Ground {
    /// Starts whatever is to carry the peers: a relay or a tunnel server on loopback, or a simulated network.
    pub(super) async fn prepare(config: ProviderConfig) -> Result<Self, Error> {
        let kind = match config.implementation {
            #[cfg(feature = "p2p-iroh")]
            Implementation::Iroh => {
                let relay = super::relay::Relay::start().await;
                Kind::Relay(Box::new(relay.map_err(|error| Error::demo("starting a relay", error))?))
            }
            _ => Kind::Network { network: Network::new(&config)?, description: describe(&config) },
        };
        Ok(Self { kind, peers: Vec::new() })
    }

    /// What it is called, and what is to be said of it.
    pub(super) fn description(&self) -> (&'static str, String) {
        match &self.kind {
            #[cfg(feature = "p2p-iroh")]
            Kind::Relay(relay) => {
                ("relay", format!("{}, certified by an authority of its own; asks for a token", relay.url()))
            }
            Kind::Network { description, .. } => ("network", description.clone()),
        }
    }

    /// A new peer there.
    pub(super) async fn peer(&mut self, name: &str) -> Result<Stack, Error> {
        let stack = match &self.kind {
            #[cfg(feature = "p2p-iroh")]
            Kind::Relay(relay) => relay.peer().await?,
            Kind::Network { network, .. } => Stack::new(network.provider(name).await?, stack::GRACE)?,
        };
        self.peers.push(stack.provider.clone());
        Ok(stack)
    }

    /// The part of a peer's address that another is given. Over iroh that is the relay alone, so that the way from there
    /// to a direct path can be seen; peers behind NATs know no more of each other.
    pub(super) fn hints(&self, mut addr: PeerAddr) -> PeerAddr {
        if !addr.relays.is_empty() {
            addr.direct.clear();
        }
        addr
    }

    /// Ends the peers, and then what carried them.
    pub(super) async fn end(self) {
        let mut ends: JoinSet<()> =
            self.peers.into_iter().map(|peer| async move { stack::end(&*peer).await }).collect();
        while ends.join_next().await.is_some() {}
        match self.kind {
            #[cfg(feature = "p2p-iroh")]
            Kind::Relay(relay) => relay.end().await,
            // It ended with them.
            Kind::Network { .. } => {}
        }
    }
}

fn describe(config: &ProviderConfig) -> String {
    match config.implementation {
        #[cfg(feature = "p2p-simulator")]
        Implementation::Simulator => describe_simulated(config),
        Implementation::Tunnel => "a tunnel server on loopback, which joins what it cannot read".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(feature = "p2p-simulator")]
fn describe_simulated(config: &ProviderConfig) -> String {
    let p2p_simulator::SimulatorConfig { seed, link, .. } = &config.simulator;
    let bandwidth = link.bandwidth.map(|bytes| format!(", {} Mbit/s", bytes * 8 / 1_000_000)).unwrap_or_default();
    format!("simulated: {:?} each way{bandwidth}, loss {}, seed {seed}", link.latency, link.loss)
}
