//! A plan's faults on any provider: over iroh as over the simulator.
//!
//! [`Weather`] is a plan by the clock on the wall, [`Faulty`] a provider that lives in it. `transport` is where what arrives
//! is held up; `arrivals` holds it.

mod arrivals;
mod transport;
mod weather;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use p2p::{
    ConnectionConfig, ListenConfig, P2PConnection, P2PError, P2PListener, P2PProvider, P2PProviderExt, PeerAddr,
    PeerId, PeerInfo, ProtocolId, ProviderStatus, Result, Runtime, RuntimeExt, TaskHandle, Watch, engine::Hub,
};

use self::transport::FaultyTransport;
pub use self::weather::Weather;
use crate::world::fault::Found;

/// A provider that suffers the faults of a plan, whatever it is made of.
///
/// Each of its transports is a connection of the provider below, and what arrives there is held up, delayed or dropped as
/// the [`Weather`] says; so handshakes, timeouts and keepalives meet the fault as they would meet it on the network. Both
/// peers of a connection have to be in the same weather.
///
/// ```
/// use p2p::{P2PConnection, P2PProvider, P2PProviderExt, memory::MemoryNetwork};
/// use p2p_simulator::{Faulty, Plan, Weather};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> p2p::Result<()> {
/// let network = MemoryNetwork::new();
/// let (alice, bob) = (network.provider("alice"), network.provider("bob"));
/// let plan: Plan = "
///     [[fault]]
///     id = 'storm'
///     at = '0s'
///     until = '3s'
///     what = 'partition'
///     where = 'alice <-> bob'
/// ".parse()?;
/// let peers = [("alice", alice.local_peer_id()), ("bob", bob.local_peer_id())];
/// let weather = Weather::new(7, &plan, peers, alice.runtime().clone())?;
/// let (alice, bob) = (Faulty::new(alice, &weather).await?, Faulty::new(bob, &weather).await?);
///
/// let listener = bob.listen(&"chat/1".parse()?).await?;
/// let start = alice.runtime().now();
/// let connection = alice.connect(bob.local_peer_id(), &"chat/1".parse()?).await?;
/// assert!(alice.runtime().now() - start >= std::time::Duration::from_secs(3), "nothing passed until the storm was over");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Faulty<P> {
    below: P,
    hub: Arc<Hub>,
    weather: Weather,
    /// Takes connections from below; it ends with the provider.
    _accepting: TaskHandle,
}

impl<P: P2PProvider> Faulty<P> {
    /// A provider over `below`, which others can dial at the same address.
    ///
    /// # Errors
    /// As [`listen_with`](P2PProvider::listen_with) of the provider below, which can carry one of these.
    pub async fn new(below: P, weather: &Weather) -> Result<Self> {
        let local = below.local_peer_id();
        let hub = Hub::new(local, below.runtime().clone());
        let listener = below.listen(&transports()).await?;
        let accepting = {
            let (hub, weather, runtime) = (hub.clone(), weather.clone(), below.runtime().clone());
            async move {
                while let Ok(connection) = listener.accept().await {
                    while let Some(until) = weather.without_files(local) {
                        runtime.sleep_until(until).await;
                    }
                    hub.incoming(FaultyTransport::new(connection, local, weather.clone()));
                }
            }
        };
        let accepting = below.runtime().spawn("faulty", Box::pin(accepting));
        Ok(Self { below, hub, weather: weather.clone(), _accepting: accepting })
    }

    async fn dial(&self, addr: PeerAddr) -> Result<FaultyTransport> {
        let (local, peer) = (self.local_peer_id(), addr.peer);
        let failed = |why: &'static str| P2PError::ConnectionFailed { peer, source: why.into() };
        if self.weather.without_files(local).is_some() {
            return Err(failed("no file descriptor is left at this peer"));
        }
        let dial = self.weather.dial(local, peer);
        self.runtime().sleep(dial.takes).await;
        match dial.found {
            Found::ThePeer if !dial.hangs => {}
            Found::Another(()) => {
                let source = "another peer is at the address that was found".into();
                return Err(P2PError::AuthenticationFailed { expected: peer, source });
            }
            // Ends at the handshake's own deadline.
            Found::ThePeer | Found::Nobody => std::future::pending().await,
        }
        if dial.fails {
            return Err(failed("the plan failed the dial"));
        }
        let connection = self.below.connect(addr, &transports()).await?;
        Ok(FaultyTransport::new(connection, local, self.weather.clone()))
    }
}

/// What these speak with each other, below.
fn transports() -> ProtocolId {
    "faulty/1".parse().expect("it is visible ASCII")
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<P: P2PProvider> P2PProvider for Faulty<P> {
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
        self.hub.connect(peer.peer, config, self.dial(peer)).await
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

impl<P: fmt::Display> fmt::Display for Faulty<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faulty({})", self.below)
    }
}
