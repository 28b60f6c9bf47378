//! The relay that the demonstration runs inside its own process, as strict as one on the internet: TLS that is verified,
//! and a token.

use std::{
    error::Error as StdError,
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use p2p_iroh::{IrohConfig, IrohP2P, RelayServer, TrustRoots};

use crate::{
    Error,
    relay::{self, Authority, Certificate, RelayAccess, RelayOptions},
    stack::{GRACE, Stack},
};

/// A running relay, and what peers need to use it.
pub(super) struct Relay {
    server: relay::Relay,
    relay: RelayServer,
    trust: TrustRoots,
}

impl Relay {
    /// Starts a relay on loopback, at any free ports, with a certificate authority and a token made up for it.
    pub(super) async fn start() -> Result<Self, Box<dyn StdError + Send + Sync>> {
        let authority = Authority::new("p2pd demo authority")?;
        // As unguessable as any secret key, because it is made like one.
        let token = p2p_iroh::Identity::generate().peer_id().to_string();
        let server = relay::Relay::start(RelayOptions {
            https: LOOPBACK,
            http: LOOPBACK,
            quic: LOOPBACK,
            certificate: Certificate::issued(&LOOPBACK.ip().to_string(), &authority)?,
            access: RelayAccess::default().with_tokens(&token),
            client_bytes_per_second: None,
        })
        .await?;

        let quic = server.quic_addr().port();
        let relay = RelayServer::new(&format!("https://{}", server.https_addr()))?;
        let relay = relay.with_token(token).with_quic_port(Some(quic));
        Ok(Self { server, relay, trust: TrustRoots::none().with_der(&authority.root())? })
    }

    pub(super) fn url(&self) -> String {
        self.relay.url()
    }

    /// A new peer that uses this relay and nothing beyond this machine.
    pub(super) async fn peer(&self) -> Result<Stack, Error> {
        let config = IrohConfig::default()
            .with_bind([LOOPBACK])
            .with_relays([self.relay.clone()])
            .with_trust(self.trust.clone());
        Stack::new(Arc::new(IrohP2P::bind(config).await?), GRACE)
    }

    pub(super) async fn end(self) {
        self.server.end().await;
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Relay").field(&self.url()).finish()
    }
}

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
