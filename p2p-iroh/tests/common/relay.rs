//! A real relay within the test's process: TLS under an authority of its own, and a token.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, SystemTime},
};

use iroh_relay::server::{
    Access, AccessControl, AllowAll, CertConfig, ClientRequest, DynAccessControl, QuicConfig, RelayConfig, Server,
    ServerConfig, TlsConfig,
};
use p2p_iroh::{IrohConfig, RelayServer, TrustRoots};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};

const TOKEN: &str = "a-token-that-only-this-test-knows";

/// A relay, running until it is dropped.
pub struct TestRelay {
    server: Server,
    authority: String,
}

impl TestRelay {
    /// Starts a relay, on free ports of this machine, that admits only those with the token.
    pub async fn start() -> Self {
        Self::start_with(Arc::new(TokenOnly), Duration::ZERO).await
    }

    /// Starts one whose certificate is not valid before so much time has passed.
    pub async fn start_valid_in(from_now: Duration) -> Self {
        Self::start_with(Arc::new(TokenOnly), from_now).await
    }

    /// Starts a relay that admits everybody.
    pub async fn start_open() -> Self {
        Self::start_with(Arc::new(AllowAll), Duration::ZERO).await
    }

    async fn start_with(access: Arc<dyn DynAccessControl>, valid_in: Duration) -> Self {
        let localhost = Ipv4Addr::LOCALHOST;
        let (authority, server_config) = certificates(localhost.into(), valid_in);
        let mut relay = RelayConfig::new((localhost, 0));
        relay.tls = Some(TlsConfig::new((localhost, 0), CertConfig::Manual { server_config }));
        relay.access = access;
        let mut config = ServerConfig::default();
        config.relay = Some(relay);
        config.quic = Some(QuicConfig::new((localhost, 0)));
        let server = Server::spawn(config).await.expect("free ports are left");
        Self { server, authority }
    }

    /// The relay as a peer configures it, token included.
    pub fn relay(&self) -> RelayServer {
        let https = self.server.https_addr().expect("it serves TLS");
        let quic = self.server.quic_addr().expect("it tells addresses");
        let relay = RelayServer::new(&format!("https://{https}")).expect("it is a URL");
        relay.with_quic_port(Some(quic.port())).with_token(TOKEN)
    }

    /// Trust in the relay's authority and in no other.
    pub fn trust(&self) -> TrustRoots {
        TrustRoots::none().with_pem(self.authority.as_bytes()).expect("it is PEM")
    }

    /// The relay for an iroh endpoint without our provider.
    pub fn iroh_mode(&self) -> iroh::RelayMode {
        let url = self.relay().url().parse().expect("it is a URL");
        let relay = iroh::RelayConfig::new(url, None).with_auth_token(TOKEN);
        iroh::RelayMode::Custom(iroh::RelayMap::from(relay))
    }

    /// Trust for an iroh endpoint without our provider.
    pub fn iroh_trust(&self) -> iroh::tls::CaTlsConfig {
        let root = CertificateDer::from_pem_slice(self.authority.as_bytes()).expect("it is PEM");
        iroh::tls::CaTlsConfig::custom_roots([root])
    }

    /// A peer of this relay, with every path open to it.
    pub fn config(&self) -> IrohConfig {
        super::loopback().with_relays([self.relay()]).with_trust(self.trust())
    }
}

/// An authority's certificate, and a server under it that proves to be `ip`.
fn certificates(ip: IpAddr, valid_in: Duration) -> (String, rustls::ServerConfig) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages.push(KeyUsagePurpose::KeyCertSign);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();

    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![ip.to_string()]).unwrap();
    if !valid_in.is_zero() {
        params.not_before = (SystemTime::now() + valid_in).into();
    }
    let certificate = params.signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    (authority.pem(), config)
}

/// Admits whoever has the token.
#[derive(Debug)]
struct TokenOnly;

impl AccessControl for TokenOnly {
    async fn on_connect(&self, request: &ClientRequest) -> Access {
        match request.auth_token().as_deref() {
            Some(TOKEN) => Access::Allow,
            _ => Access::Deny { reason: Some("unknown token".into()) },
        }
    }
}
