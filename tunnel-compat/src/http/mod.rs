//! HTTP/1.1 on any byte streams, and with it the bridge.
//!
//! ```text
//! app ──► serve(TCP) ─► Forward ─► HttpRoute ──streams between peers──► serve(peers) ─► Forward ─► HttpRoute ──TCP──► the home's server
//!         └───────────── gateway ──────────┘                            └──────────────── home ──────────┘
//! ```
//!
//! - [`serve`]: answers the requests that come in on an [`Acceptor`](crate::connector::Acceptor).
//! - [`HttpRoute`]: sends requests out on a [`Connector`](crate::connector::Connector), on kept connections.
//! - [`Forward`]: puts a route behind a server: what a proxy must do, and no more.
//!
//! Between peers each request has a stream to itself while it lasts, so a stalled one stalls no other, and what ends one end of
//! it ends the other: an app that leaves closes its connection, which resets the stream, which closes the connection to the home's
//! server. Streams are kept for the next request, as connections are. Trailers are dropped on the way, as HTTP/1.1 proxies do.
//!
//! ```
//! use std::sync::Arc;
//! use p2p::{P2PListener, P2PProvider, P2PProviderExt, Watch};
//! use tunnel_compat::{http::{Forward, HttpRoute, HttpRouteConfig, ServeConfig, serve}, peer::*, tcp::*};
//!
//! /// Beside the home's server: answers the requests of allowed peers.
//! async fn home(provider: impl P2PProvider, allowed: Allowed) -> Result<(), Box<dyn std::error::Error>> {
//!     let runtime = provider.runtime();
//!     let config = HttpRouteConfig::to_server("127.0.0.1:8080".parse()?);
//!     let server = HttpRoute::new(config, TcpConnector::new("127.0.0.1:8080"), runtime.clone());
//!     let listener = provider.listen(&bridge_protocol()).await?;
//!     let forward = Forward::new("home".parse()?, Arc::new(server), runtime.clone());
//!     let streams = PeerAcceptor::new(runtime, listener, allowed);
//!     Ok(serve(streams, Arc::new(forward), ServeConfig::default(), runtime.clone(), Watch::constant(false)).await?)
//! }
//!
//! /// Beside the app: the home's API, on loopback.
//! async fn gateway(provider: Arc<dyn P2PProvider>, home: p2p::PeerAddr) -> Result<(), Box<dyn std::error::Error>> {
//!     let runtime = provider.runtime().clone();
//!     let route = HttpRoute::new(HttpRouteConfig::to_home(), PeerConnector::new(provider, home), runtime.clone());
//!     let forward = Forward::new("home".parse()?, Arc::new(route), runtime.clone());
//!     let apps = TcpAcceptor::bind("127.0.0.1:9000".parse()?).await?;
//!     Ok(serve(apps, Arc::new(forward), ServeConfig::default(), runtime, Watch::constant(false)).await?)
//! }
//! ```

mod forward;
mod headers;
mod pool;
mod route;
mod serve;
mod timer;
mod upgrade;

pub use self::{
    forward::Forward,
    route::{HttpRoute, HttpRouteConfig},
    serve::{Handler, ServeConfig, serve},
};
pub(crate) use self::{
    forward::{answer, open_websocket},
    headers::strip_connection_headers,
    route::repeatable,
    upgrade::Upgrade,
};

/// The largest WebSocket message that is carried, in bytes. A larger one closes the socket with code 1009.
pub const WEBSOCKET_MESSAGE_BYTES_MAX: usize = 1024 * 1024;
