//! Registration and signatures.

use std::{sync::Arc, time::Duration};

use http::{Request, StatusCode, header, uri::Authority};
use http_body_util::{BodyExt, Limited};
use p2p::{Instant, Runtime};
use parking_lot::Mutex;
use serde::Deserialize;

use crate::{
    connector::Connector,
    http::{HttpRoute, HttpRouteConfig},
    query,
    route::{BodyError, ClientId, Route, empty},
};

/// A token was not issued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The server does not accept the token it was shown, or the client is registered already.
    #[error("the tunnel server answered {status} to {path}: {body}")]
    Refused {
        /// Its status.
        status: StatusCode,
        /// What was asked for.
        path: &'static str,
        /// The beginning of what it said.
        body: String,
    },
    /// The server could not be reached, or its answer could not be read.
    #[error("the tunnel server gave no token: {0}")]
    Failed(String),
}

/// Registers a home by the server's own access token. Returns the home's access token, to be kept: a server of ours gives it once.
///
/// # Errors
/// An [`AuthError`].
pub async fn register(
    connector: impl Connector,
    host: Authority,
    client: &ClientId,
    server_token: &str,
    runtime: Arc<dyn Runtime>,
) -> Result<String, AuthError> {
    let route = route_to(Arc::new(connector), host, TIMEOUT, runtime);
    token(&route, "/auth/register-client", client, server_token).await
}

/// The signature that opens sockets, got when it is needed.
#[derive(Debug)]
pub(crate) struct Signatures {
    route: HttpRoute,
    client: ClientId,
    access_token: Secret,
    age_max: Duration,
    runtime: Arc<dyn Runtime>,
    current: Mutex<Option<(Secret, Instant)>>,
}

/// Text that is not for logs.
#[derive(Clone)]
struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Signatures {
    /// Of `client`, from `host`; an answer may take `times.0`, and a signature is used for `times.1`.
    pub(crate) fn new(
        host: Authority,
        client: ClientId,
        access_token: String,
        (timeout, age_max): (Duration, Duration),
        connector: Arc<dyn Connector>,
        runtime: Arc<dyn Runtime>,
    ) -> Self {
        Self {
            route: route_to(connector, host, timeout, runtime.clone()),
            client,
            access_token: Secret(access_token),
            age_max,
            runtime,
            current: Mutex::default(),
        }
    }

    /// The present one, or a new one if that is too old.
    pub(crate) async fn get(&self) -> Result<String, AuthError> {
        let now = self.runtime.now();
        let current = self.current.lock().clone();
        if let Some((Secret(signature), since)) = current
            && now - since < self.age_max
        {
            return Ok(signature);
        }
        let signature = token(&self.route, "/auth/signature-token", &self.client, &self.access_token.0).await?;
        *self.current.lock() = Some((Secret(signature.clone()), now));
        Ok(signature)
    }

    /// The server does not know that one: the next is a new one.
    pub(crate) fn forget(&self, refused: &str) {
        self.current.lock().take_if(|(Secret(signature), _)| signature == refused);
    }
}

fn route_to(connector: Arc<dyn Connector>, host: Authority, timeout: Duration, runtime: Arc<dyn Runtime>) -> HttpRoute {
    let config = HttpRouteConfig {
        user_agent: None,
        connect_timeout: timeout,
        answer_timeout: timeout,
        ..HttpRouteConfig::to_server(host).named("auth")
    };
    HttpRoute::new(config, connector, runtime)
}

async fn token(
    route: &HttpRoute,
    path: &'static str,
    client: &ClientId,
    authorization: &str,
) -> Result<String, AuthError> {
    #[derive(Deserialize)]
    struct Issued {
        token: String,
    }
    // Every version of the server takes this form; some take no other.
    let request = Request::post(format!("{path}?{}", query::encode([("clientId", client.as_str())])))
        .header(header::AUTHORIZATION, format!("Bearer {authorization}"))
        .header(header::CONTENT_LENGTH, 0)
        .body(empty())
        .map_err(|error| AuthError::Failed(format!("the token cannot be sent: {error}")))?;
    let answer = route.http(client, request).await.map_err(|error| AuthError::Failed(error.to_string()))?;
    let status = answer.status();
    // Boxed: the compiler cannot prove of the plain future that it may change threads.
    let reading: p2p::BoxFuture<'static, Result<_, BodyError>> =
        Box::pin(Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect());
    let body = reading.await.map_err(|error| AuthError::Failed(error.to_string()))?.to_bytes();
    if status != StatusCode::OK {
        let body = String::from_utf8_lossy(&body).chars().take(BODY_CHARS_SHOWN).collect();
        return Err(AuthError::Refused { status, path, body });
    }
    let issued: Issued = serde_json::from_slice(&body).map_err(|error| AuthError::Failed(error.to_string()))?;
    Ok(issued.token)
}

const TIMEOUT: Duration = Duration::from_secs(10);

/// A token and its JSON have some 50 bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

const BODY_CHARS_SHOWN: usize = 200;
