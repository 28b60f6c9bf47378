//! Requests as HTTP/1.1 on any byte stream.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header, uri::Authority};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::client::conn::http1::SendRequest;
use p2p::{Runtime, RuntimeExt};

use super::{
    WEBSOCKET_MESSAGE_BYTES_MAX,
    pool::{Pool, PooledBody},
    strip_connection_headers,
};
use crate::{
    connector::Connector,
    route::{Body, ClientId, Failure, Route, RouteError, empty},
    socket::{self, BoxSocket, Heartbeat},
};

/// Sends requests as HTTP/1.1 on a connector's byte streams, and keeps those for the next one.
///
/// Over a [`PeerConnector`](crate::peer::PeerConnector) it is the bridge's way to a home; over a
/// [`TcpConnector`](crate::tcp::TcpConnector) the home's to its server.
#[derive(Debug)]
pub struct HttpRoute {
    config: HttpRouteConfig,
    pool: Arc<Pool>,
}

/// Settings of an [`HttpRoute`].
#[derive(Debug, Clone)]
pub struct HttpRouteConfig {
    /// Its name in logs and metrics.
    pub name: &'static str,
    /// What `host` says.
    pub host: Authority,
    /// What `user-agent` says, whatever the app said.
    pub user_agent: Option<HeaderValue>,
    /// How long a connection may take to open. Defaults to 10 s.
    pub connect_timeout: Duration,
    /// How long the answer's head may take, from when the request is sent. Defaults to 60 s; the body may take as long as it likes.
    pub answer_timeout: Duration,
    /// How long an unused connection is kept. Defaults to 4 s: many servers close theirs after 5.
    pub idle_timeout: Duration,
    /// How the life of WebSockets is watched.
    pub heartbeat: Heartbeat,
}

impl HttpRouteConfig {
    /// To a home, over streams between peers.
    ///
    /// A stream costs nothing while it is idle, so it is kept for 30 s, which is less than the
    /// [`head_timeout`](super::ServeConfig::head_timeout) of the other end.
    pub fn to_home() -> Self {
        let host = Authority::from_static("home");
        Self { idle_timeout: Duration::from_secs(30), user_agent: None, ..Self::to_server(host) }.named("p2p")
    }

    /// From the home to its server, with the mark by which that knows that a request came from afar: `user-agent:
    /// MOOSICBOX_TUNNEL`.
    ///
    /// MoosicBox's refuses to scan, download or create credentials for a request that has it. A way to it without the mark opens
    /// these endpoints to remote users.
    pub fn to_server(host: Authority) -> Self {
        Self {
            name: "server",
            host,
            user_agent: Some(HeaderValue::from_static("MOOSICBOX_TUNNEL")),
            connect_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(4),
            heartbeat: Heartbeat::default(),
        }
    }

    /// By another name.
    #[must_use]
    pub const fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }
}

impl HttpRoute {
    /// Over that connector. Opens nothing yet.
    pub fn new(config: HttpRouteConfig, connector: impl Connector, runtime: Arc<dyn Runtime>) -> Self {
        let pool = Pool::new(Arc::new(connector), runtime, config.idle_timeout);
        Self { config, pool }
    }

    fn address(&self, headers: &mut http::HeaderMap) {
        let host = HeaderValue::from_str(self.config.host.as_str()).expect("an authority is visible ASCII");
        headers.insert(header::HOST, host);
        if let Some(agent) = &self.config.user_agent {
            headers.insert(header::USER_AGENT, agent.clone());
        }
    }

    async fn open(&self, request: Request<Body>) -> Result<(SendRequest<Body>, Request<Body>), RouteError> {
        let opening = self.pool.runtime().timeout(self.config.connect_timeout, self.pool.open()).await;
        let failure = match opening {
            Ok(Ok(sender)) => return Ok((sender, request)),
            Ok(Err(error)) => Failure::NotConnected(error.to_string()),
            Err(elapsed) => Failure::NotConnected(format!("a connection was {elapsed}")),
        };
        Err(RouteError::unsent(failure, request))
    }

    /// One try. What was not sent comes back in the error.
    async fn exchange(
        &self,
        mut sender: SendRequest<Body>,
        request: Request<Body>,
    ) -> Result<Response<Body>, RouteError> {
        let answer = self.pool.runtime().timeout(self.config.answer_timeout, sender.try_send_request(request)).await;
        match answer {
            Ok(Ok(answer)) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => {
                Err(RouteError::sent(Failure::Broken("it switched protocols, and was not asked to".into())))
            }
            Ok(Ok(answer)) => Ok(answer.map(|body| PooledBody::new(body, sender, &self.pool).boxed_unsync())),
            Ok(Err(mut error)) => {
                let unsent = error.take_message().map(Box::new);
                Err(RouteError { failure: Failure::Broken(p2p::chain(&error.into_error())), unsent })
            }
            Err(_) => Err(RouteError::sent(Failure::TimedOut(self.config.answer_timeout))),
        }
    }
}

#[async_trait]
impl Route for HttpRoute {
    fn name(&self) -> &'static str {
        self.config.name
    }

    async fn http(&self, _client: &ClientId, mut request: Request<Body>) -> Result<Response<Body>, RouteError> {
        strip_connection_headers(request.headers_mut());
        self.address(request.headers_mut());
        // A kept connection may just be closing, at the server's end: what it did not take, or may take twice, is sent again.
        while let Some(sender) = self.pool.take() {
            let again = repeatable(&request);
            match self.exchange(sender, request).await {
                Err(RouteError { failure: Failure::Broken(_), unsent: Some(unsent) }) => request = *unsent,
                Err(RouteError { failure: Failure::Broken(_), unsent: None }) if again.is_some() => {
                    request = again.expect("it is one that can be repeated");
                    break;
                }
                outcome => return outcome,
            }
        }
        let (sender, request) = self.open(request).await?;
        self.exchange(sender, request).await
    }

    async fn websocket(&self, _client: &ClientId, request: Request<()>) -> Result<BoxSocket, RouteError> {
        let (mut parts, ()) = request.into_parts();
        let runtime = self.pool.runtime();
        let path = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let uri = Uri::builder().scheme("ws").authority(self.config.host.clone()).path_and_query(path).build();
        let uri = uri.expect("the parts of a URI make one");
        parts.headers.remove(header::HOST);
        if let Some(agent) = &self.config.user_agent {
            parts.headers.insert(header::USER_AGENT, agent.clone());
        }
        let opening = async {
            let io = self.pool.connector().connect().await.map_err(|error| Failure::NotConnected(error.to_string()))?;
            socket::open(io, uri, parts.headers, WEBSOCKET_MESSAGE_BYTES_MAX).await.map_err(|error| match error {
                socket::OpenError::Status(status) => Failure::Refused {
                    status: StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY),
                    reason: error.to_string(),
                },
                socket::OpenError::Broken(_) => Failure::Broken(p2p::chain(&error)),
            })
        };
        match runtime.timeout(self.config.connect_timeout, opening).await {
            Ok(Ok(socket)) => Ok(socket::watched(socket, self.config.heartbeat, runtime)),
            Ok(Err(failure)) => Err(RouteError::sent(failure)),
            Err(_) => Err(RouteError::sent(Failure::TimedOut(self.config.connect_timeout))),
        }
    }
}

/// The request once more, if nothing changes when a server sees it twice: a method that is safe (RFC 9110 §9.2.1), and no body.
pub(crate) fn repeatable(request: &Request<Body>) -> Option<Request<Body>> {
    let is_safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    if !is_safe || !request.body().is_end_stream() {
        return None;
    }
    let mut again = Request::new(empty());
    again.method_mut().clone_from(request.method());
    again.uri_mut().clone_from(request.uri());
    again.headers_mut().clone_from(request.headers());
    Some(again)
}
