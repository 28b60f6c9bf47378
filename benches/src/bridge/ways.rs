//! A home's server, and the ways to it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::{Request, Response, body::Incoming};
use p2p::{
    P2PListener, P2PProvider, P2PProviderExt, PeerAddr, PeerId, Runtime, TokioRuntime, Watch,
    layer::{Reconnect, ReconnectConfig},
};
use p2p_iroh::{IrohConfig, IrohP2P};
use tunnel_compat::{
    connector::Acceptor,
    http::{Forward, Handler, HttpRoute, HttpRouteConfig, ServeConfig, serve},
    legacy::{LegacyConfig, LegacyRoute},
    peer::{Allowed, PeerAcceptor, PeerConnector, bridge_protocol},
    route::{Body, ClientId, Route, full},
    sender::{Sender, SenderConfig, SenderStatus},
    server::{Server, ServerConfig, TokenKind, TokenStore},
    tcp::{TcpAcceptor, TcpConnector},
};

use super::Result;

/// Where the ways begin.
#[derive(Debug)]
pub(super) struct Ways {
    pub(super) direct: SocketAddr,
    pub(super) bridge: SocketAddr,
    pub(super) tunnel: SocketAddr,
    /// What the tunnel server asks for. The other ways pass it on.
    pub(super) token: String,
    /// What has to live as long.
    pub(super) _parts: Vec<Box<dyn std::any::Any + Send>>,
}

impl Ways {
    /// All of it here.
    pub(super) async fn start() -> Result<Self> {
        let direct = origin().await?;
        let (home, app) = (peer().await?, peer().await?);
        let to_home = bridge_home(&home, app.local_peer_id(), direct).await?;
        let bridge = bridge_gateway(&app, to_home).await?;
        let (tunnel, token) = tunnel_server().await?;
        tunnel_sender(tunnel, &token, direct).await?;
        Ok(Self { direct, bridge, tunnel, token, _parts: vec![Box::new([home, app])] })
    }
}

fn runtime() -> Arc<dyn Runtime> {
    Arc::new(TokioRuntime)
}

fn client() -> Result<ClientId> {
    Ok("home".parse()?)
}

fn to_origin(origin: SocketAddr) -> Result<Arc<dyn Route>> {
    let config = HttpRouteConfig::to_server(origin.to_string().parse()?);
    Ok(Arc::new(HttpRoute::new(config, TcpConnector::new(origin.to_string()), runtime())))
}

/// The home's server.
pub(super) async fn origin() -> Result<SocketAddr> {
    listen(Arc::new(Origin::new())).await
}

/// The bridge's end at the home, for that peer.
pub(super) async fn bridge_home(home: &Arc<dyn P2PProvider>, app: PeerId, origin: SocketAddr) -> Result<PeerAddr> {
    let listener = home.listen(&bridge_protocol()).await?;
    let addr = listener.local_addr();
    let streams = PeerAcceptor::new(&runtime(), listener, Allowed::Only([app].into()));
    spawn(streams, Arc::new(Forward::new(client()?, to_origin(origin)?, runtime())));
    Ok(addr)
}

/// The bridge's end at the app.
pub(super) async fn bridge_gateway(app: &Arc<dyn P2PProvider>, home: PeerAddr) -> Result<SocketAddr> {
    let connector = PeerConnector::new(app.clone(), home);
    let route = Arc::new(HttpRoute::new(HttpRouteConfig::to_home(), connector, runtime()));
    listen(Arc::new(Forward::new(client()?, route, runtime()))).await
}

/// Our tunnel server, and a token of the home's.
pub(super) async fn tunnel_server() -> Result<(SocketAddr, String)> {
    let tokens = Arc::new(TokenStore::in_memory(runtime())?);
    let token = tokens.issue(TokenKind::Access, &client()?)?;
    let legacy = LegacyRoute::new(LegacyConfig::default(), runtime());
    let config = ServerConfig::new("a-secret-for-registering")?;
    let server = Server::new(config, tokens, legacy.clone(), legacy, runtime());
    Ok((listen(server).await?, token))
}

/// Our sender at it; connected when this returns.
pub(super) async fn tunnel_sender(tunnel: SocketAddr, token: &str, origin: SocketAddr) -> Result {
    let config = SenderConfig::new(client()?, token.to_owned(), tunnel.to_string().parse()?);
    let sender = Sender::new(config, TcpConnector::new(tunnel.to_string()), to_origin(origin)?, runtime());
    let mut status = sender.status();
    tokio::spawn(async move { sender.run().await });
    status.wait_for(|status| *status == SenderStatus::Connected).await.map_err(|_| "the sender is gone")?;
    Ok(())
}

/// An iroh endpoint on loopback, under the layer by which connections outlive their transports, as in `p2pd`.
pub(super) async fn peer() -> Result<Arc<dyn P2PProvider>> {
    let iroh = IrohP2P::bind(IrohConfig::default().with_bind([([127, 0, 0, 1], 0).into()])).await?;
    Ok(Arc::new(Reconnect::new(iroh, ReconnectConfig::default())?))
}

async fn listen(handler: Arc<dyn Handler>) -> Result<SocketAddr> {
    let acceptor = TcpAcceptor::bind(([127, 0, 0, 1], 0).into()).await?;
    let addr = acceptor.local_addr()?;
    spawn(acceptor, handler);
    Ok(addr)
}

fn spawn(acceptor: impl Acceptor, handler: Arc<dyn Handler>) {
    tokio::spawn(serve(acceptor, handler, ServeConfig::default(), runtime(), Watch::constant(false)));
}

/// The home's server: answers of 31 B, 200 kB, 5 MiB, and a stream of 16 KiB every 100 ms.
#[derive(Debug)]
struct Origin {
    medium: Bytes,
    bulk: Bytes,
    chunk: Bytes,
}

impl Origin {
    fn new() -> Self {
        let of = |bytes| Bytes::from(vec![b'x'; bytes]);
        Self { medium: of(200_000), bulk: of(5 << 20), chunk: of(16 << 10) }
    }
}

#[async_trait]
impl Handler for Origin {
    async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        match request.uri().path() {
            "/medium" => Response::new(full(self.medium.clone())),
            "/bulk" => Response::new(full(self.bulk.clone())),
            "/stream" => {
                let chunk = self.chunk.clone();
                let chunks = futures_util::stream::unfold(0, move |at| {
                    let chunk = chunk.clone();
                    async move {
                        if at == 3 {
                            return None;
                        }
                        if at > 0 {
                            tokio::time::sleep(Duration::from_millis(100)).await;
                        }
                        Some((Ok(hyper::body::Frame::data(chunk)), at + 1))
                    }
                });
                Response::new(StreamBody::new(chunks).boxed_unsync())
            }
            _ => Response::new(full(&b"an answer of thirty-one bytes.."[..])),
        }
    }
}
