//! A tunnel server, and peers that reach each other by it: over pipes, or over a simulated network.

use std::{any::Any, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Uri};
use p2p::{
    ListenConfig, P2PListener, P2PProvider, PeerAddr, PeerId, Runtime, TokioRuntime,
    conformance::{Capabilities, Harness, Silence, SilentPeer},
};
use p2p_simulator::{Network, SimulatorP2P};
use tokio::sync::OnceCell;
use tunnel_compat::{
    connector::{Connector, PipeConnector},
    legacy::{LegacyConfig, LegacyRoute},
    peer::{Allowed, PeerAcceptor, PeerConnector, bridge_protocol},
    route::ClientId,
    server::{Server, ServerConfig, TokenKind, TokenStore},
    socket::{self, BoxSocket, OpenError},
    tunnel_p2p::{Identity, PeerBounds, PeerEndpoint, Rendezvous, ServerRendezvous, ServerRendezvousConfig, TunnelP2P},
};

use crate::{
    common::{start, start_piped},
    memory::identity,
};

pub(crate) const ACCESS: &str = "the-servers-access-token";

/// A tunnel server and the way to it.
pub(crate) struct Town {
    pub(crate) tokens: Arc<TokenStore>,
    way: Way,
}

enum Way {
    Pipes(PipeConnector),
    Simulated { network: Network, server: PeerAddr, _peer: SimulatorP2P },
}

impl Town {
    /// On tokio's clock, over pipes.
    pub(crate) fn new(bounds: PeerBounds) -> Self {
        let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime);
        let (tokens, server) = server(bounds, &runtime);
        Self { tokens, way: Way::Pipes(start_piped(server, &runtime)) }
    }

    /// On a peer of a simulated network.
    pub(crate) async fn simulated(network: &Network) -> Self {
        let peer = network.provider("server");
        let runtime = peer.runtime().clone();
        let (tokens, server) = server(PeerBounds::default(), &runtime);
        let listener = peer.listen_with(ListenConfig::from(p2p::ConnectionConfig::new(bridge_protocol()))).await;
        let listener = listener.expect("nobody listens yet");
        let addr = listener.local_addr();
        start(PeerAcceptor::new(&runtime, listener, Allowed::Everyone), server, &runtime);
        Self { tokens, way: Way::Simulated { network: network.clone(), server: addr, _peer: peer } }
    }

    /// The clock and tasks of the peer of that name, and its way to the server.
    fn of(&self, name: &str) -> (Arc<dyn Runtime>, Arc<dyn Connector>) {
        match &self.way {
            Way::Pipes(connector) => (Arc::new(TokioRuntime), Arc::new(connector.clone())),
            Way::Simulated { network, server, .. } => {
                let peer = network.provider(name);
                (peer.runtime().clone(), Arc::new(PeerConnector::new(peer, server.clone())))
            }
        }
    }

    pub(crate) fn token(&self, client: &str) -> String {
        self.tokens.issue(TokenKind::Access, &client.parse().unwrap()).unwrap()
    }

    pub(crate) fn rendezvous(&self, client: &str, name: &str) -> (ServerRendezvous, Identity, Arc<dyn Runtime>) {
        let (runtime, connector) = self.of(name);
        let client_id: ClientId = client.parse().unwrap();
        let config = ServerRendezvousConfig::new(client_id, self.token(client), "tunnel.example".parse().unwrap());
        let identity = identity(name);
        let rendezvous = ServerRendezvous::new(config, identity.clone(), connector, runtime.clone());
        (rendezvous.unwrap(), identity, runtime)
    }

    /// The peer of that name, of that client.
    pub(crate) fn peer_of(&self, client: &str, name: &str) -> TunnelP2P {
        let (rendezvous, identity, runtime) = self.rendezvous(client, name);
        TunnelP2P::new(&identity, Arc::new(rendezvous), runtime)
    }

    pub(crate) fn peer(&self, name: &str) -> TunnelP2P {
        self.peer_of("home", name)
    }

    /// A socket at the peers' path, as anybody may ask for it.
    pub(crate) async fn socket(&self, query: &str, token: &str) -> Result<BoxSocket, OpenError> {
        let (_, connector) = self.of("anybody");
        let uri: Uri = format!("ws://tunnel.example/p2p/1?{query}").parse().unwrap();
        let authorization = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, authorization)]);
        socket::open(connector.connect().await.unwrap(), uri, headers, 64 * 1024).await
    }
}

fn server(bounds: PeerBounds, runtime: &Arc<dyn Runtime>) -> (Arc<TokenStore>, Arc<Server>) {
    let tokens = Arc::new(TokenStore::in_memory(runtime.clone()).unwrap());
    let legacy = LegacyRoute::new(LegacyConfig::default(), runtime.clone());
    let endpoint = Arc::new(PeerEndpoint::new(tokens.clone(), bounds, runtime.clone()));
    let config = ServerConfig::new(ACCESS).unwrap().with_endpoint(endpoint);
    let server = Server::new(config, tokens.clone(), legacy.clone(), legacy, runtime.clone());
    (tokens, server)
}

/// What the contract is tried on: a town of its own for each property.
#[derive(Default)]
pub(crate) struct InTown {
    /// The network of a simulated one.
    pub(crate) network: Option<Network>,
    town: OnceCell<Town>,
}

impl InTown {
    pub(crate) fn simulated(network: Network) -> Self {
        Self { network: Some(network), town: OnceCell::new() }
    }

    async fn town(&self) -> &Town {
        let found = async {
            match &self.network {
                Some(network) => Town::simulated(network).await,
                None => Town::new(PeerBounds::default()),
            }
        };
        self.town.get_or_init(|| found).await
    }
}

#[async_trait::async_trait]
impl Harness for InTown {
    async fn providers(&self) -> (Arc<dyn P2PProvider>, Arc<dyn P2PProvider>) {
        let town = self.town().await;
        (Arc::new(town.peer("alice")), Arc::new(town.peer("bob")))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default().without_datagrams()
    }

    async fn silence(&self) -> Option<Silence> {
        let town = self.town().await;
        let (rendezvous, identity, runtime) = town.rendezvous("home", "carol");
        let rendezvous = Arc::new(rendezvous);
        let held = rendezvous.clone();
        let holding = async move {
            let mut streams = Vec::new();
            while let Ok(stream) = held.accept().await {
                streams.push(stream);
            }
        };
        runtime.spawn("silent peer", Box::pin(holding)).detach();
        let _ = rendezvous.problem().wait_for(Option::is_none).await;
        let (ours, theirs) = self.providers().await;
        Some(Silence { ours, theirs, silent: Box::new(Silent { rendezvous, peer: identity.peer_id() }) })
    }

    fn settle(&self) -> Duration {
        if self.network.is_some() { Duration::from_secs(12) } else { Duration::from_millis(500) }
    }

    fn deadline(&self) -> Duration {
        if self.network.is_some() { Duration::from_secs(600) } else { Duration::from_secs(120) }
    }
}

struct Silent {
    rendezvous: Arc<ServerRendezvous>,
    peer: PeerId,
}

#[async_trait::async_trait]
impl SilentPeer for Silent {
    fn addr(&self) -> PeerAddr {
        self.peer.into()
    }

    async fn dial(&self, peer: PeerAddr) -> Box<dyn Any + Send> {
        Box::new(self.rendezvous.dial(&peer).await.expect("the peer listens"))
    }
}

/// The address of a listener.
pub(crate) fn at(listener: &dyn P2PListener) -> PeerAddr {
    listener.local_addr()
}
