//! A tunnel server on loopback, for demos and tests.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use p2p::{P2PError, Result, Runtime, SharedError, TaskHandle, Watch};

use super::{PeerBounds, PeerEndpoint, TunnelP2PConfig};
use crate::{
    http::{ServeConfig, serve},
    legacy::{LegacyConfig, LegacyRoute},
    route::ClientId,
    server::{Server, ServerConfig, TokenKind, TokenStore},
    tcp::TcpAcceptor,
};

/// A whole tunnel server at a free port of loopback, whose tokens are gone with it. It ends when it is dropped.
#[derive(Debug)]
pub struct LocalServer {
    addr: SocketAddr,
    tokens: Arc<TokenStore>,
    _serving: TaskHandle,
}

impl LocalServer {
    /// Starts one.
    ///
    /// # Errors
    /// [`Network`](P2PError::Network) if no port can be had.
    pub async fn start(runtime: Arc<dyn Runtime>) -> Result<Self> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| P2PError::Network {
            during: "starting a tunnel server",
            source: SharedError::new(error),
        };
        let bound = async {
            let acceptor = TcpAcceptor::bind((Ipv4Addr::LOCALHOST, 0).into()).await?;
            let addr = acceptor.local_addr()?;
            io::Result::Ok((acceptor, addr))
        };
        let (acceptor, addr) = bound.await.map_err(|error| failed(error.into()))?;
        let tokens = Arc::new(TokenStore::in_memory(runtime.clone()).map_err(|error| failed(error.into()))?);
        let endpoint = Arc::new(PeerEndpoint::new(tokens.clone(), PeerBounds::default(), runtime.clone()));
        // Nobody is told the secret, so nobody registers.
        let mut secret = [0; 16];
        runtime.rng("a local tunnel server's secret").fill_bytes(&mut secret);
        let config = ServerConfig::new(data_encoding::HEXLOWER.encode(&secret))?.with_endpoint(endpoint);
        let legacy = LegacyRoute::new(LegacyConfig::default(), runtime.clone());
        let server = Server::new(config, tokens.clone(), legacy.clone(), legacy, runtime.clone());
        let serving = serve(acceptor, server, ServeConfig::default(), runtime.clone(), Watch::constant(false));
        let serving = async move {
            let _ = serving.await;
        };
        Ok(Self { addr, tokens, _serving: runtime.spawn("a local tunnel server", Box::pin(serving)) })
    }

    /// Where it listens.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What a peer of that client is told, with a new access token.
    ///
    /// # Errors
    /// [`Network`](P2PError::Network) if no token can be kept.
    pub fn config(&self, client: &ClientId) -> Result<TunnelP2PConfig> {
        let token = self.tokens.issue(TokenKind::Access, client);
        let token = token.map_err(|error| P2PError::Network {
            during: "issuing an access token",
            source: SharedError::new(error),
        })?;
        Ok(TunnelP2PConfig {
            server: Some(format!("ws://{}", self.addr)),
            client: Some(client.clone()),
            token: Some(token),
            ca: None,
        })
    }
}
