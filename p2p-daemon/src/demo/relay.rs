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

/// A relay, running or killed, and what peers need to use it.
pub(super) struct Relay {
    /// None while it is killed.
    server: Option<relay::Relay>,
    authority: Authority,
    token: String,
    https: SocketAddr,
    quic: SocketAddr,
    relay: RelayServer,
    trust: TrustRoots,
}

impl Relay {
    /// Starts a relay on loopback, at any free ports, with a certificate authority and a token made up for it.
    pub(super) async fn start() -> Result<Self, Box<dyn StdError + Send + Sync>> {
        let authority = Authority::new("p2pd demo authority")?;
        // As unguessable as any secret key, because it is made like one.
        let token = p2p_iroh::Identity::generate().peer_id().to_string();
        let server = serve(&authority, &token, LOOPBACK, LOOPBACK).await?;
        let (https, quic) = (server.https_addr(), server.quic_addr());
        let relay = RelayServer::new(&format!("https://{https}"))?;
        let relay = relay.with_token(token.clone()).with_quic_port(Some(quic.port()));
        let trust = TrustRoots::none().with_der(&authority.root())?;
        Ok(Self { server: Some(server), authority, token, https, quic, relay, trust })
    }

    /// Takes it away with every connection to it. No peer is told, and what it was carrying is lost.
    pub(super) async fn kill(&mut self) {
        if let Some(server) = self.server.take() {
            server.end().await;
        }
    }

    /// Starts it once more at the same address.
    pub(super) async fn start_again(&mut self) -> Result<(), Error> {
        self.server = Some(serve(&self.authority, &self.token, self.https, self.quic).await?);
        Ok(())
    }

    pub(super) fn url(&self) -> String {
        self.relay.url()
    }

    /// A new peer that uses this relay and nothing beyond this machine.
    pub(super) async fn peer(&self) -> Result<Stack, Error> {
        self.bind(self.config().with_bind([LOOPBACK])).await
    }

    /// A new peer that reaches nothing but this relay.
    pub(super) async fn firewalled_peer(&self) -> Result<Stack, Error> {
        self.bind(self.config().with_relay_only(true)).await
    }

    fn config(&self) -> IrohConfig {
        IrohConfig::default().with_relays([self.relay.clone()]).with_trust(self.trust.clone())
    }

    async fn bind(&self, config: IrohConfig) -> Result<Stack, Error> {
        Stack::new(Arc::new(IrohP2P::bind(config).await?), GRACE)
    }

    pub(super) async fn end(mut self) {
        self.kill().await;
    }
}

async fn serve(authority: &Authority, token: &str, https: SocketAddr, quic: SocketAddr) -> Result<relay::Relay, Error> {
    relay::Relay::start(RelayOptions {
        https,
        http: LOOPBACK,
        quic,
        certificate: Certificate::issued(&LOOPBACK.ip().to_string(), authority)?,
        access: RelayAccess::default().with_tokens(token),
        client_bytes_per_second: None,
    })
    .await
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Relay").field(&self.url()).finish()
    }
}

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
