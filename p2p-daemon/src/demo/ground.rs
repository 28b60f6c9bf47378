//! What lies between Alice and Bob, and where they come from.

use std::{sync::Arc, time::Duration};

use p2p::{P2PProvider, PeerAddr, TokioRuntime};
use p2p_providers::{Implementation, ProviderConfig};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tunnel_compat::{
    route::ClientId,
    tunnel_p2p::{Identity, LocalServer},
};

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
    #[cfg(feature = "p2p-simulator")]
    Simulated {
        network: p2p_simulator::Network,
        /// What is to be said of it.
        description: String,
    },
    Tunnel(LocalServer),
}

impl Ground {
    /// Starts whatever is to carry the peers: a relay or a tunnel server on loopback, or a simulated network.
    pub(super) async fn prepare(config: ProviderConfig) -> Result<Self, Error> {
        config.implementation.require_built_in()?;
        let kind = match config.implementation {
            #[cfg(feature = "p2p-iroh")]
            Implementation::Iroh => {
                let relay = super::relay::Relay::start().await;
                Kind::Relay(Box::new(relay.map_err(|error| Error::demo("starting a relay", error))?))
            }
            #[cfg(feature = "p2p-simulator")]
            Implementation::Simulator => {
                let description = describe_simulated(&config.simulator);
                Kind::Simulated { network: p2p_simulator::Network::on_tokio(config.simulator), description }
            }
            _ => Kind::Tunnel(LocalServer::start(Arc::new(TokioRuntime)).await?),
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
            #[cfg(feature = "p2p-simulator")]
            Kind::Simulated { description, .. } => ("network", description.clone()),
            Kind::Tunnel(_) => ("server", "a tunnel server on loopback, which joins what it cannot read".to_owned()),
        }
    }

    /// A new peer there.
    pub(super) async fn peer(&mut self, name: &str) -> Result<Stack, Error> {
        let stack = match &self.kind {
            #[cfg(feature = "p2p-iroh")]
            Kind::Relay(relay) => relay.peer().await?,
            #[cfg(feature = "p2p-simulator")]
            Kind::Simulated { network, .. } => Stack::new(Arc::new(network.provider(name)), stack::GRACE)?,
            Kind::Tunnel(server) => {
                let client: ClientId = "local".parse().map_err(|error| Error::demo(format!("naming {name}"), error))?;
                let (identity, runtime) = (Identity::generate(&TokioRuntime), Arc::new(TokioRuntime));
                Stack::new(Arc::new(server.config(&client)?.provider(&identity, runtime)?), stack::GRACE)?
            }
        };
        self.peers.push(stack.provider.clone());
        Ok(stack)
    }

    /// A new peer that nothing but what [`cut`](Self::cut) cuts connects with others; none where that is true of every peer.
    pub(super) async fn firewalled_peer(&mut self) -> Result<Option<Stack>, Error> {
        match &self.kind {
            #[cfg(feature = "p2p-iroh")]
            Kind::Relay(relay) => {
                let stack = relay.firewalled_peer().await?;
                self.peers.push(stack.provider.clone());
                Ok(Some(stack))
            }
            _ => Ok(None),
        }
    }

    /// Takes away what carries the peers, without a word to anybody. Says what was done.
    pub(super) async fn cut(&mut self) -> &'static str {
        match &mut self.kind {
            #[cfg(feature = "p2p-iroh")]
            Kind::Relay(relay) => {
                relay.kill().await;
                "the relay is killed"
            }
            #[cfg(feature = "p2p-simulator")]
            Kind::Simulated { network, .. } => {
                network.partition("alice", "bob");
                "the network is cut: no packet passes between Alice and Bob any more"
            }
            Kind::Tunnel(server) => {
                server.kill();
                "the tunnel server is killed"
            }
        }
    }

    /// Gives it back. Says what was done.
    pub(super) async fn mend(&mut self) -> Result<&'static str, Error> {
        let since = Instant::now();
        loop {
            match self.try_mend().await {
                // The system gives the port back once it has closed what was killed.
                Err(_) if since.elapsed() < PORT_PATIENCE => sleep(PORT_PAUSE).await,
                result => return result,
            }
        }
    }

    async fn try_mend(&mut self) -> Result<&'static str, Error> {
        match &mut self.kind {
            #[cfg(feature = "p2p-iroh")]
            Kind::Relay(relay) => {
                relay.start_again().await?;
                Ok("the relay runs again, and remembers nothing")
            }
            #[cfg(feature = "p2p-simulator")]
            Kind::Simulated { network, .. } => {
                network.heal("alice", "bob");
                Ok("packets pass again")
            }
            Kind::Tunnel(server) => {
                server.start_again().await?;
                Ok("the tunnel server runs again, and remembers no connection")
            }
        }
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
            // It ends with them.
            #[cfg(feature = "p2p-simulator")]
            Kind::Simulated { .. } => {}
            Kind::Tunnel(_) => {}
        }
    }
}

#[cfg(feature = "p2p-simulator")]
fn describe_simulated(config: &p2p_simulator::SimulatorConfig) -> String {
    let p2p_simulator::SimulatorConfig { seed, link, .. } = config;
    let bandwidth = link.bandwidth.map(|bytes| format!(", {} Mbit/s", bytes * 8 / 1_000_000)).unwrap_or_default();
    format!("simulated: {:?} each way{bandwidth}, loss {}, seed {seed}", link.latency, link.loss)
}

/// How long a port that was just in use may take to be free again.
const PORT_PATIENCE: Duration = Duration::from_secs(10);

const PORT_PAUSE: Duration = Duration::from_millis(20);
