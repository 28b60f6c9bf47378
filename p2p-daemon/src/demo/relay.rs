//! The relay that the demonstration runs inside its own process, as strict as one on the internet: TLS that is verified,
//! and a token.

use std::{
    error::Error as StdError,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use iroh_relay::server::{
    Access, AccessControl, CertConfig, ClientRequest, QuicConfig, RelayConfig, Server, ServerConfig, TlsConfig,
};
use p2p_iroh::{IrohConfig, IrohP2P, RelayServer, TrustRoots};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::time::timeout;

use crate::{Error, stack::Stack};

/// A running relay, and what peers need to use it.
pub(super) struct Relay {
    server: Server,
    relay: RelayServer,
    trust: TrustRoots,
}

impl Relay {
    /// Starts a relay on loopback, at any free ports, with a certificate authority and a token made up for it.
    pub(super) async fn start() -> Result<Self, Box<dyn StdError + Send + Sync>> {
        let authority = Authority::new()?;
        // As unguessable as any secret key, because it is made like one.
        let token = p2p_iroh::Identity::generate().peer_id().to_string();

        let mut relay = RelayConfig::new(LOOPBACK);
        relay.tls = Some(TlsConfig::new(LOOPBACK, CertConfig::Manual { server_config: authority.server_config()? }));
        relay.access = Arc::new(TokenOnly(token.clone()));
        let mut config = ServerConfig::default();
        config.relay = Some(relay);
        // Where peers learn the address that others see of them, without which there is no direct path.
        config.quic = Some(QuicConfig::new(LOOPBACK));
        let server = Server::spawn(config).await?;

        let https = server.https_addr().ok_or("the relay has no HTTPS address")?;
        let quic = server.quic_addr().map(|addr| addr.port());
        let relay = RelayServer::new(&format!("https://{https}"))?.with_token(token).with_quic_port(quic);
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
        Ok(Stack::new(Arc::new(IrohP2P::bind(config).await?)))
    }

    pub(super) async fn end(self) {
        timeout(END_TIMEOUT, self.server.shutdown()).await.ok();
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Relay").field(&self.url()).finish()
    }
}

/// Admits whoever has the token.
#[derive(Debug)]
struct TokenOnly(String);

impl AccessControl for TokenOnly {
    async fn on_connect(&self, request: &ClientRequest) -> Access {
        match request.auth_token() {
            Some(token) if token == self.0 => Access::Allow,
            _ => Access::Deny { reason: Some("wrong token".to_owned()) },
        }
    }
}

/// A certificate authority that nobody else trusts, and that ends with the process.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages.push(KeyUsagePurpose::KeyCertSign);
        params.distinguished_name.push(DnType::CommonName, "p2pd demo authority");
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    fn root(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// A TLS server that proves to be 127.0.0.1.
    fn server_config(&self) -> Result<rustls::ServerConfig, Box<dyn StdError + Send + Sync>> {
        let mut params = CertificateParams::new(vec![Ipv4Addr::LOCALHOST.to_string()])?;
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.0)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Ok(rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?)
    }
}

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Its clients have left by then.
const END_TIMEOUT: Duration = Duration::from_secs(1);
