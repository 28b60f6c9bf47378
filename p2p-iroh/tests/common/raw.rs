//! A peer that has iroh and none of our manners.

use iroh::{
    Endpoint, EndpointAddr, EndpointId, TransportAddr, Watcher,
    endpoint::{Builder, Connection, PortmapperConfig, presets},
};
use p2p::{PeerAddr, PeerId};

use super::TestRelay;

/// The ALPN of our wire protocol, spelt out: what it is must not change by accident.
const ALPN: &[u8] = b"p2p/1";

/// A bare iroh endpoint.
pub struct RawPeer(pub Endpoint);

impl RawPeer {
    /// On the loopback interface.
    pub async fn bind() -> Self {
        Self(builder().bind_addr("127.0.0.1:0").unwrap().bind().await.unwrap())
    }

    /// With no path but that relay's, which has admitted it.
    pub async fn bind_through(relay: &TestRelay) -> Self {
        let builder = builder().relay_mode(relay.iroh_mode()).ca_tls_config(relay.iroh_trust());
        let endpoint = builder.bind().await.unwrap();
        super::in_time(endpoint.online()).await;
        Self(endpoint)
    }

    /// With that relay, and a direct path as well if one can be found.
    pub async fn bind_with_paths(relay: &TestRelay) -> Self {
        let builder = builder().bind_addr("127.0.0.1:0").unwrap();
        let endpoint = builder.relay_mode(relay.iroh_mode()).ca_tls_config(relay.iroh_trust()).bind().await.unwrap();
        super::in_time(endpoint.online()).await;
        Self(endpoint)
    }

    pub async fn dial(&self, peer: &PeerAddr) -> Connection {
        self.try_dial(peer).await.unwrap()
    }

    pub async fn try_dial(&self, peer: &PeerAddr) -> Result<Connection, String> {
        self.try_dial_as(peer, ALPN).await
    }

    pub async fn try_dial_as(&self, peer: &PeerAddr, alpn: &[u8]) -> Result<Connection, String> {
        let id = EndpointId::from_bytes(peer.peer.as_bytes()).unwrap();
        let direct = peer.direct.iter().copied().map(TransportAddr::Ip);
        let relays = peer.relays.iter().map(|url| TransportAddr::Relay(url.parse().unwrap()));
        let addr = EndpointAddr::from_parts(id, direct.chain(relays));
        self.0.connect(addr, alpn).await.map_err(|error| p2p::chain(&error))
    }

    pub fn addr(&self) -> PeerAddr {
        let addr = self.0.watch_addr().get();
        PeerAddr {
            peer: PeerId::from_bytes(*addr.id.as_bytes()),
            relays: addr.relay_urls().map(ToString::to_string).collect(),
            direct: addr.ip_addrs().copied().collect(),
        }
    }

    /// Takes every connection and keeps it, silently, until the endpoint closes.
    pub fn hold_all(&self) {
        let endpoint = self.0.clone();
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Some(incoming) = endpoint.accept().await {
                held.extend(incoming.await);
            }
        });
    }
}

fn builder() -> Builder {
    Endpoint::builder(presets::Minimal)
        .clear_ip_transports()
        .portmapper_config(PortmapperConfig::Disabled)
        .alpns(vec![ALPN.to_vec()])
}
