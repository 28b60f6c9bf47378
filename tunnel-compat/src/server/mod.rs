//! A tunnel server, at the legacy one's URL, for its home sides and its apps.
//!
//! - `guard`: who asks, and for whom. `auth`: the server's own paths. [`TokenStore`]: who may.
//! - `pass`: what is open under a token. `cors`: what pages of other origins may do.
//!
//! Requests of apps go by a [`Route`]: the [`LegacyRoute`] over the sockets of homes, or whatever chooses among several.
//!
//! | path | who may | |
//! |---|---|---|
//! | `GET /health` | everybody | |
//! | `POST /auth/register-client?clientId=` | who has the server's access token | a first access token; 409 for a client that has one |
//! | `POST /auth/signature-token?clientId=` | the client | a signature, for 14 days |
//! | `POST /auth/validate-signature-token?clientId=&signature=` | who has one | |
//! | `POST /auth/magic-token?clientId=&magicToken=` | the client | keeps the home's magic token for a day |
//! | `GET /auth/magic-token?magicToken=` | who has it | what the home answers |
//! | `GET /ws?clientId=&signature=[&sender=true]` | who has a signature | a WebSocket: an app's, or the home's |
//! | `/files/…` | who has a signature, or the client | the home |
//! | an [`Endpoint`]'s | as it says | |
//! | anything else | the client | the home |
//!
//! Neither `clientId` nor `signature` reaches the home.

mod auth;
mod cors;
mod guard;
mod pass;
mod tokens;

use std::sync::Arc;

use async_trait::async_trait;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use p2p::{P2PError, Runtime};

pub use self::tokens::{RegisterError, StoreError, TokenKind, TokenStore, Use};
use self::{
    auth::{SECRET_CHARS_MIN, answer_denied, client, failed},
    cors::Cors,
    guard::{Denied, UNAUTHORIZED},
};
pub(crate) use self::{
    guard::{Query, token_of},
    pass::Pass,
};
use crate::{
    endpoint::Endpoint,
    http::{Handler, Upgrade, answer, open_websocket, strip_connection_headers},
    legacy::LegacyRoute,
    route::{Body, ClientId, Route, text},
    wire::{FLOW_HEADER, REQUEST_BYTES_MAX},
};

/// Settings of a [`Server`].
#[derive(Clone)]
pub struct ServerConfig {
    /// What lets a home register: `TUNNEL_ACCESS_TOKEN` on its side.
    access_token: String,
    cors: Cors,
    endpoints: Vec<Arc<dyn Endpoint>>,
}

impl ServerConfig {
    /// With the secret that lets homes register.
    ///
    /// # Errors
    /// [`P2PError::InvalidInput`] if it has less than 16 characters, or others than visible ASCII.
    pub fn new(access_token: impl Into<String>) -> p2p::Result<Self> {
        let access_token = access_token.into();
        if access_token.len() < SECRET_CHARS_MIN || !access_token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let what = format!("an access token of {} characters", access_token.len());
            let expected = "at least 16, of visible ASCII without spaces: whoever guesses it can register homes";
            return Err(P2PError::invalid_input(what, expected));
        }
        Ok(Self { access_token, cors: Cors::default(), endpoints: Vec::new() })
    }

    /// Lets pages of that origin, like `https://app.example`, call with the credentials of the browser. Others can call too, with the
    /// tokens they hold.
    ///
    /// # Errors
    /// [`P2PError::InvalidInput`] if it is no origin.
    pub fn with_origin(mut self, origin: &str) -> p2p::Result<Self> {
        let is_origin = origin.contains("://") && !origin.ends_with('/');
        let value = HeaderValue::from_str(origin).ok().filter(|_| is_origin);
        let expected = "scheme, host and port, like https://app.example";
        self.cors.0.push(value.ok_or_else(|| P2PError::invalid_input(format!("origin {origin:?}"), expected))?);
        Ok(self)
    }

    /// Mounts a WebSocket at a path of its own.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: Arc<dyn Endpoint>) -> Self {
        self.endpoints.push(endpoint);
        self
    }
}

impl std::fmt::Debug for ServerConfig {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (cors, endpoints) = (&self.cors, &self.endpoints);
        f.debug_struct("ServerConfig").field("cors", cors).field("endpoints", endpoints).finish_non_exhaustive()
    }
}

/// A tunnel server: [`serve`](crate::http::serve) it.
#[derive(Debug)]
pub struct Server {
    config: ServerConfig,
    tokens: Arc<TokenStore>,
    legacy: Arc<LegacyRoute>,
    route: Arc<dyn Route>,
    runtime: Arc<dyn Runtime>,
}

impl Server {
    /// Homes connect to `legacy`; requests go by `route`, which may be the same.
    pub fn new(
        config: ServerConfig,
        tokens: Arc<TokenStore>,
        legacy: Arc<LegacyRoute>,
        route: Arc<dyn Route>,
        runtime: Arc<dyn Runtime>,
    ) -> Arc<Self> {
        Arc::new(Self { config, tokens, legacy, route, runtime })
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        if let Some(endpoint) = self.config.endpoints.iter().find(|endpoint| endpoint.path() == request.uri().path()) {
            return self.mounted(endpoint, request).await;
        }
        let query = match Query::of(request.uri()) {
            Ok(query) => query,
            Err(error) => return text(StatusCode::BAD_REQUEST, error.to_string()),
        };
        let request = match self.own_path(request, &query).await {
            Ok(answer) => return answer,
            Err(request) => request,
        };
        let outcome = match request.uri().path() {
            "/ws" => self.websocket(request, &query).await,
            _ => self.forward(request, &query).await,
        };
        outcome.unwrap_or_else(answer_denied)
    }

    async fn forward(&self, request: Request<Incoming>, query: &Query) -> Result<Response<Body>, Denied> {
        let client = self.caller(&request, query)?;
        let (mut head, body) = request.into_parts();
        head.uri = for_home(query, head.uri.path())?;
        clean(&mut head.headers);
        let request = Request::from_parts(head, body.map_err(Into::into).boxed_unsync());
        Ok(answer(&*self.route, client, request).await)
    }

    /// The client for which a caller may ask the home.
    fn caller<'a>(&self, request: &Request<Incoming>, query: &'a Query) -> Result<&'a ClientId, Denied> {
        let by_token = self.access(query, token_of(request.headers()));
        let is_media =
            request.uri().path().starts_with("/files/") && [Method::GET, Method::HEAD].contains(request.method());
        match (by_token, query.signature.as_deref()) {
            (Err(denied), Some(signature)) if is_media && denied == UNAUTHORIZED => {
                self.signed(query, signature, Use::App)
            }
            (by_token, _) => by_token,
        }
    }

    /// The client whose signature that is, if it is good for that use.
    fn signed<'a>(&self, query: &'a Query, signature: &str, wanted: Use) -> Result<&'a ClientId, Denied> {
        let client = client(query)?;
        let allows = self.tokens.allows_use(client, signature, wanted).map_err(|error| failed(&error))?;
        if allows { Ok(client) } else { Err(UNAUTHORIZED) }
    }

    async fn websocket(&self, request: Request<Incoming>, query: &Query) -> Result<Response<Body>, Denied> {
        if !Upgrade::is_asked_for(request.headers()) {
            return Err(Denied(StatusCode::UPGRADE_REQUIRED, "/ws is a WebSocket"));
        }
        let wanted = match query.sender.as_deref() {
            None | Some("false") => Use::App,
            Some("true") => Use::Home,
            Some(_) => return Err(Denied(StatusCode::BAD_REQUEST, "sender is true or false")),
        };
        let signature = query.signature.as_deref().ok_or(UNAUTHORIZED)?;
        let pass = self.tokens.pass(client(query)?, signature);
        let client = self.signed(query, signature, wanted)?;
        let with_flow = request.headers().get(FLOW_HEADER).is_some_and(|value| value == "1");
        let uri = for_home(query, "/ws")?;
        let (mut head, upgrade) = match Upgrade::of(request) {
            Ok(upgrade) => upgrade,
            Err(refusal) => return Ok(*refusal),
        };
        if wanted == Use::App {
            head.uri = uri;
            clean(&mut head.headers);
            let request = Request::from_parts(head, ());
            let upgrade = upgrade.guarded_by(pass);
            return Ok(open_websocket(&*self.route, client, request, upgrade, &self.runtime).await);
        }
        // A frame that is too large for the wire is refused by itself, not by losing the socket.
        let (answer, socket) = upgrade.guarded_by(pass).accept(REQUEST_BYTES_MAX);
        let (legacy, client) = (self.legacy.clone(), client.clone());
        let attached = async move {
            if let Ok(socket) = socket.await {
                legacy.attach(&client, socket, with_flow).await;
            }
        };
        self.runtime.spawn("a home", Box::pin(attached)).detach();
        Ok(answer)
    }

    async fn mounted(&self, endpoint: &Arc<dyn Endpoint>, request: Request<Incoming>) -> Response<Body> {
        if !Upgrade::is_asked_for(request.headers()) {
            return text(StatusCode::UPGRADE_REQUIRED, format!("{} is a WebSocket", endpoint.path()));
        }
        let (head, upgrade) = match Upgrade::of(request) {
            Ok(upgrade) => upgrade,
            Err(refusal) => return *refusal,
        };
        if let Err(refusal) = endpoint.authorize(&head).await {
            return *refusal;
        }
        let (answer, socket) = upgrade.accept(endpoint.message_bytes_max());
        let endpoint = endpoint.clone();
        let serving = async move {
            if let Ok(socket) = socket.await {
                endpoint.serve(head, socket).await;
            }
        };
        self.runtime.spawn("an endpoint's WebSocket", Box::pin(serving)).detach();
        answer
    }
}

#[async_trait]
impl Handler for Server {
    async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        let origin = request.headers().get(header::ORIGIN).cloned();
        let is_preflight = request.method() == Method::OPTIONS
            && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if is_preflight {
            return self.config.cors.preflight(origin.as_ref(), request.headers());
        }
        let mut answer = self.answer(request).await;
        self.config.cors.mark(origin.as_ref(), answer.headers_mut());
        answer
    }
}

fn for_home(query: &Query, path: &str) -> Result<http::Uri, Denied> {
    query.uri_for_home(path).ok_or(Denied(StatusCode::BAD_REQUEST, "the path and query make no URI"))
}

/// Takes out what is not for the home: what is about the connection, and the tunnel's token.
fn clean(headers: &mut http::HeaderMap) {
    strip_connection_headers(headers);
    headers.remove(header::AUTHORIZATION);
    headers.remove(HeaderName::from_static(FLOW_HEADER));
}
