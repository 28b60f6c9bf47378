//! An app's way over a tunnel server.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header, uri::Authority};
use p2p::Runtime;

use crate::{
    connector::Connector,
    http::{HttpRoute, HttpRouteConfig, repeatable},
    legacy, query,
    route::{Body, ClientId, Failure, Route, RouteError},
    sender::Signatures,
    socket::BoxSocket,
};

/// Settings of a [`TunnelRoute`].
#[derive(Clone)]
pub struct TunnelRouteConfig {
    /// The home's name at the tunnel server.
    pub client: ClientId,
    /// An access token of that client.
    pub access_token: String,
    /// The tunnel server's host and port, for `host`.
    pub host: Authority,
    /// How long opening a connection, or getting a signature, may take. Defaults to 10 s.
    pub connect_timeout: Duration,
    /// How long the answer's head may take. Defaults to 75 s: a server of ours gives up after 60, and says why.
    pub answer_timeout: Duration,
}

impl TunnelRouteConfig {
    /// To that home, at that server.
    pub fn new(client: ClientId, access_token: impl Into<String>, host: Authority) -> Self {
        Self {
            client,
            access_token: access_token.into(),
            host,
            connect_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(75),
        }
    }
}

impl std::fmt::Debug for TunnelRouteConfig {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (client, host) = (&self.client, &self.host);
        f.debug_struct("TunnelRouteConfig").field("client", client).field("host", host).finish_non_exhaustive()
    }
}

/// Requests as an app sends them to a tunnel server, the legacy one or ours.
///
/// What the legacy tunnel would lose on the way, it refuses: bodies that are not JSON (415) or have more than 256 KiB (413). A
/// WebSocket is opened with a signature, which is got when it is needed, and again after a 401.
#[derive(Debug)]
pub struct TunnelRoute {
    http: HttpRoute,
    client: ClientId,
    authorization: HeaderValue,
    signatures: Signatures,
}

impl TunnelRoute {
    /// Over that connector. Opens nothing yet.
    ///
    /// # Errors
    /// [`InvalidInput`](p2p::P2PError::InvalidInput) if the token cannot stand in a header.
    pub fn new(
        config: TunnelRouteConfig,
        connector: impl Connector,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Self, p2p::P2PError> {
        let connector: Arc<dyn Connector> = Arc::new(connector);
        let TunnelRouteConfig { client, access_token, host, connect_timeout, answer_timeout } = config;
        let mut authorization = HeaderValue::from_str(&format!("Bearer {access_token}"))
            .map_err(|_| p2p::P2PError::invalid_input("the access token", "visible ASCII, on one line"))?;
        authorization.set_sensitive(true);
        let signatures = Signatures::new(
            host.clone(),
            client.clone(),
            access_token,
            (connect_timeout, SIGNATURE_AGE_MAX),
            connector.clone(),
            runtime.clone(),
        );
        let http = HttpRouteConfig {
            user_agent: None,
            connect_timeout,
            answer_timeout,
            ..HttpRouteConfig::to_server(host).named("legacy")
        };
        Ok(Self { http: HttpRoute::new(http, connector, runtime), client, authorization, signatures })
    }

    async fn open(&self, request: &Request<()>, signature: &str) -> Result<BoxSocket, RouteError> {
        let mut signed = Request::new(());
        *signed.headers_mut() = request.headers().clone();
        *signed.uri_mut() = with_query(request.uri(), &[("clientId", self.client.as_str()), ("signature", signature)])?;
        self.http.websocket(&self.client, signed).await
    }

    async fn signature(&self) -> Result<String, RouteError> {
        let signature = self.signatures.get().await;
        signature.map_err(|error| RouteError::sent(Failure::NotConnected(p2p::chain(&error).to_string())))
    }
}

#[async_trait]
impl Route for TunnelRoute {
    fn name(&self) -> &'static str {
        "legacy"
    }

    async fn http(&self, _: &ClientId, request: Request<Body>) -> Result<Response<Body>, RouteError> {
        let mut request = legacy::for_wire(request).await?.original;
        let uri = with_query(request.uri(), &[("clientId", self.client.as_str())])?;
        let spare = repeatable(&request);
        let original_uri = std::mem::replace(request.uri_mut(), uri);
        let original_headers = request.headers().clone();
        request.headers_mut().insert(header::AUTHORIZATION, self.authorization.clone());
        request.headers_mut().remove(header::ORIGIN);
        request.headers_mut().remove(HeaderName::from_static(crate::wire::FLOW_HEADER));
        let answer = self.http.http(&self.client, request).await;
        match (answer, spare) {
            // The server's word that the home is not there. A request that is safe to repeat may go another way.
            (Ok(answer), Some(spare)) if answer.status() == StatusCode::FAILED_DEPENDENCY => {
                let failure = Failure::NotConnected("the tunnel server says that the home is not connected".into());
                Err(RouteError::unsent(failure, spare))
            }
            (Ok(answer), _) => Ok(answer),
            (Err(mut error), _) => {
                if let Some(unsent) = &mut error.unsent {
                    *unsent.uri_mut() = original_uri;
                    *unsent.headers_mut() = original_headers;
                }
                Err(error)
            }
        }
    }

    async fn websocket(&self, _: &ClientId, request: Request<()>) -> Result<BoxSocket, RouteError> {
        let signature = self.signature().await?;
        match self.open(&request, &signature).await {
            Err(RouteError { failure: Failure::Refused { status: StatusCode::UNAUTHORIZED, .. }, .. }) => {
                self.signatures.forget(&signature);
                let signature = self.signature().await?;
                self.open(&request, &signature).await
            }
            Err(RouteError { failure: Failure::Refused { status: StatusCode::FAILED_DEPENDENCY, reason }, .. }) => {
                Err(RouteError::sent(Failure::NotConnected(reason)))
            }
            outcome => outcome,
        }
    }
}

/// The URI with these pairs in front of its query.
fn with_query(uri: &Uri, pairs: &[(&str, &str)]) -> Result<Uri, RouteError> {
    let mut text = format!("{}?{}", uri.path(), query::encode(pairs.iter().copied()));
    if let Some(rest) = uri.query() {
        text.push('&');
        text.push_str(rest);
    }
    text.parse().map_err(|error| {
        let reason = format!("the path and query make no URI: {error}");
        RouteError::sent(Failure::Refused { status: StatusCode::URI_TOO_LONG, reason })
    })
}

/// Signatures end after 14 days.
const SIGNATURE_AGE_MAX: Duration = Duration::from_secs(12 * 24 * 60 * 60);
