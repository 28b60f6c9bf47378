//! The way a request takes to the home: one trait, called by the tunnel server and by the gateway.
//!
//! | route | carries requests |
//! |---|---|
//! | `HttpRoute` | as HTTP/1.1 on any [`Connector`](crate::connector::Connector): between peers that is the bridge; on the home's own machine, the last step |
//! | `LegacyRoute` | on the WebSocket that the home side opened to the tunnel server |
//!
//! | [`Homes`](crate::homes::Homes) | by the route of the client's own home |
//!
//! What chooses between routes is a route.

use std::{error::Error, fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};

use crate::socket::BoxSocket;

/// A body on its way: read as it comes. Dropping one that has not ended aborts the exchange, on both sides.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Why a body broke off.
pub type BodyError = Box<dyn Error + Send + Sync>;

/// No bytes.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// These bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Carries requests to a home.
///
/// A request's URI is its path and query, without what is the tunnel's own (`clientId`, `signature`). Its headers are those from
/// end to end, `host` apart.
///
/// # Cancel safety
/// Dropping a future aborts the request: the home is told, or sees its connection end.
#[async_trait]
pub trait Route: fmt::Debug + Send + Sync + 'static {
    /// Its name in logs and metrics, like `legacy` or `p2p`.
    fn name(&self) -> &'static str;

    /// Whether there is a way to that client's home at all, as far as is configured. Says nothing about whether it works now.
    fn knows(&self, client: &ClientId) -> bool {
        let _ = client;
        true
    }

    /// Carries a request to `client`'s home and returns when the answer's head is here; its body follows as it is read.
    ///
    /// # Errors
    /// A [`RouteError`], which has the request in it as long as nothing of it was sent. What the home answers is no error,
    /// whatever its status.
    async fn http(&self, client: &ClientId, request: Request<Body>) -> Result<Response<Body>, RouteError>;

    /// Opens a WebSocket to `client`'s home. `request` is the head of the app's own, without the headers that only concern its
    /// handshake.
    ///
    /// # Errors
    /// A [`RouteError`]. No message was lost: the app's are read once this is open.
    async fn websocket(&self, client: &ClientId, request: Request<()>) -> Result<BoxSocket, RouteError>;
}

/// A home and its apps, by the name that the tunnel knows them by: `clientId`. 1 to 64 characters of visible ASCII.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(Arc<str>);

/// A name that cannot be a [`ClientId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a clientId has 1 to {CLIENT_ID_CHARS_MAX} characters of visible ASCII")]
pub struct InvalidClientId;

impl ClientId {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for ClientId {
    type Err = InvalidClientId;

    fn from_str(text: &str) -> Result<Self, InvalidClientId> {
        let is_valid =
            (1..=CLIENT_ID_CHARS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_valid.then(|| Self(text.into())).ok_or(InvalidClientId)
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the legacy server's tables have room for.
const CLIENT_ID_CHARS_MAX: usize = 64;

/// A request that got no answer.
#[derive(Debug)]
pub struct RouteError {
    /// What happened.
    pub failure: Failure,
    /// The request, if nothing of it was sent and it is whole: it can go another way. Without it, the home may have seen it.
    pub unsent: Option<Box<Request<Body>>>,
}

/// Why a request got no answer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// There is no way to the home now.
    #[error("the home is not connected: {0}")]
    NotConnected(String),
    /// The way broke before the answer.
    #[error("the home's answer did not come: {0}")]
    Broken(String),
    /// No answer came in time.
    #[error("the home did not answer within {0:?}")]
    TimedOut(std::time::Duration),
    /// The request cannot take this route, and would fail again.
    #[error("{reason}")]
    Refused {
        /// The status that says so: 413, 415, …
        status: StatusCode,
        /// What was wrong, and what was expected.
        reason: String,
    },
}

impl Failure {
    /// The status that tells an app.
    pub const fn status(&self) -> StatusCode {
        match self {
            // The legacy server's own answer.
            Self::NotConnected(_) => StatusCode::FAILED_DEPENDENCY,
            Self::Broken(_) => StatusCode::BAD_GATEWAY,
            Self::TimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::Refused { status, .. } => *status,
        }
    }
}

impl RouteError {
    /// Nothing of the request was sent.
    pub fn unsent(failure: Failure, request: Request<Body>) -> Self {
        Self { failure, unsent: Some(Box::new(request)) }
    }

    /// The home may have seen the request.
    pub const fn sent(failure: Failure) -> Self {
        Self { failure, unsent: None }
    }

    /// The answer for an app that has no other way: the status, and the reason as text.
    pub fn into_response(self) -> Response<Body> {
        text(self.failure.status(), self.failure.to_string())
    }
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(f)
    }
}

/// A response of a status and a line of text.
pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    let mut response = Response::new(full(text.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
