//! A tunnel server on loopback, for demos and tests.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::SystemTime,
};

use p2p::{BoxFuture, Instant, P2PError, Result, Rng, Runtime, SharedError, TaskHandle, Timer, Watch, WatchSender};

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
    runtime: Arc<dyn Runtime>,
    /// None while it is killed.
    serving: Option<Serving>,
}

impl LocalServer {
    /// Starts one.
    ///
    /// # Errors
    /// [`Network`](P2PError::Network) if no port can be had.
    pub async fn start(runtime: Arc<dyn Runtime>) -> Result<Self> {
        let (acceptor, addr) = bind((Ipv4Addr::LOCALHOST, 0).into()).await?;
        let tokens = Arc::new(TokenStore::in_memory(runtime.clone()).map_err(failed)?);
        let mut server = Self { addr, tokens, runtime, serving: None };
        server.serve(acceptor)?;
        Ok(server)
    }

    /// Ends it as a crash does: its port closes and every connection breaks off, unannounced.
    pub fn kill(&mut self) {
        self.serving = None;
    }

    /// Starts it once more after [`kill`](Self::kill), at the same port and with the tokens it gave out, as a server does that
    /// keeps them on disk. One that runs is killed first.
    ///
    /// # Errors
    /// [`Network`](P2PError::Network) if somebody has taken the port, or the system has not given it back yet.
    pub async fn start_again(&mut self) -> Result<()> {
        self.kill();
        let (acceptor, _) = bind(self.addr).await?;
        self.serve(acceptor)
    }

    fn serve(&mut self, acceptor: TcpAcceptor) -> Result<()> {
        let life = WatchSender::new(());
        let runtime: Arc<dyn Runtime> = Arc::new(Mortal { runtime: self.runtime.clone(), life: life.subscribe() });
        let endpoint = Arc::new(PeerEndpoint::new(self.tokens.clone(), PeerBounds::default(), runtime.clone()));
        // Nobody is told the secret, so nobody registers.
        let mut secret = [0; 16];
        runtime.rng("a local tunnel server's secret").fill_bytes(&mut secret);
        let config = ServerConfig::new(data_encoding::HEXLOWER.encode(&secret))?.with_endpoint(endpoint);
        let legacy = LegacyRoute::new(LegacyConfig::default(), runtime.clone());
        let server = Server::new(config, self.tokens.clone(), legacy.clone(), legacy, runtime.clone());
        let serving = serve(acceptor, server, ServeConfig::default(), runtime.clone(), Watch::constant(false));
        let serving = async move {
            let _ = serving.await;
        };
        let task = runtime.spawn("a local tunnel server", Box::pin(serving));
        self.serving = Some(Serving { _task: task, _life: life });
        Ok(())
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

/// A server at work, until this is dropped.
#[derive(Debug)]
struct Serving {
    _task: TaskHandle,
    _life: WatchSender<()>,
}

/// A runtime whose tasks end with a server, also those that were detached: connections that became WebSockets.
struct Mortal {
    runtime: Arc<dyn Runtime>,
    /// Closes with it.
    life: Watch<()>,
}

impl Runtime for Mortal {
    fn now(&self) -> Instant {
        self.runtime.now()
    }

    fn wall_time(&self) -> SystemTime {
        self.runtime.wall_time()
    }

    fn timer(&self) -> Box<dyn Timer> {
        self.runtime.timer()
    }

    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) -> TaskHandle {
        let mut life = self.life.clone();
        let task = async move {
            p2p::select! {
                _ = life.wait_for(|()| false) => {}
                () = task => {}
            }
        };
        self.runtime.spawn(name, Box::pin(task))
    }

    fn rng(&self, label: &str) -> Rng {
        self.runtime.rng(label)
    }
}

impl fmt::Debug for Mortal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.runtime.fmt(f)
    }
}

async fn bind(addr: SocketAddr) -> Result<(TcpAcceptor, SocketAddr)> {
    let bound = async {
        let acceptor = TcpAcceptor::bind(addr).await?;
        let addr = acceptor.local_addr()?;
        io::Result::Ok((acceptor, addr))
    };
    bound.await.map_err(failed)
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> P2PError {
    P2PError::Network { during: "starting a tunnel server", source: SharedError::new(error.into()) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use p2p::{P2PConnection, P2PListener, P2PProvider, P2PProviderExt, ProtocolId, TokioRuntime};

    use super::*;
    use crate::tunnel_p2p::{Identity, TunnelP2P};

    fn peer(server: &LocalServer) -> TunnelP2P {
        let config = server.config(&"home".parse().unwrap()).unwrap();
        config.provider(&Identity::generate(&TokioRuntime), Arc::new(TokioRuntime)).unwrap()
    }

    // A connection that outlived the server would go on: its tasks are detached, and only the server's end ends them.
    #[tokio::test]
    async fn a_killed_server_takes_connections_with_it_and_serves_the_same_peers_afterwards() {
        let mut server = LocalServer::start(Arc::new(TokioRuntime)).await.unwrap();
        let (alice, bob) = (peer(&server), peer(&server));
        let chat: ProtocolId = "chat/1".parse().unwrap();
        let listener = bob.listen(&chat).await.unwrap();
        let (connection, accepted) =
            tokio::try_join!(alice.connect(listener.local_addr(), &chat), listener.accept()).unwrap();
        let both = async { tokio::join!(connection.closed(), accepted.closed()) };
        server.kill();
        tokio::time::timeout(PATIENCE, both).await.expect("both sides lose the connection");

        let again = async {
            while server.start_again().await.is_err() {
                tokio::task::yield_now().await;
            }
            loop {
                let connect =
                    async { tokio::try_join!(alice.connect(listener.local_addr(), &chat), listener.accept()) };
                if let Ok((connection, accepted)) = connect.await {
                    connection.send("again".into()).await.unwrap();
                    break accepted.recv().await.unwrap();
                }
            }
        };
        assert_eq!(tokio::time::timeout(PATIENCE, again).await.expect("peers come back"), "again");
        alice.shutdown(Duration::ZERO).await;
        bob.shutdown(Duration::ZERO).await;
    }

    const PATIENCE: Duration = Duration::from_secs(60);
}
