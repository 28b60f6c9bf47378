//! Beside an app: the home's API, on loopback, over whatever route there is.
//!
//! [`Gateway`] answers the app; [`TunnelRoute`] is an app's way over a tunnel server, the legacy one or ours. Between that and the
//! bridge stands a [`Router`](crate::migration::Router), while the migration lasts.

mod tunnel;

use std::sync::Arc;

use async_trait::async_trait;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use p2p::Runtime;
use serde_json::json;

pub use self::tunnel::{TunnelRoute, TunnelRouteConfig};
use crate::{
    http::{Forward, Handler},
    route::{Body, ClientId, Route, full, text},
    server::Query,
};

/// Answers an app by a route, whether it speaks as to the home's server or as to a tunnel server.
///
/// What was made for a tunnel server has a `clientId` in its query. That, its `signature` and its `authorization` are the tunnel's
/// and are taken out; its requests for signatures are answered here. It lets everybody in, so serve it on loopback.
#[derive(Debug)]
pub struct Gateway {
    client: ClientId,
    forward: Forward,
}

impl Gateway {
    /// To `client`'s home, by that route.
    pub fn new(client: ClientId, route: Arc<dyn Route>, runtime: Arc<dyn Runtime>) -> Self {
        let forward = Forward::new(client.clone(), route, runtime);
        Self { client, forward }
    }

    /// The request as the home should see it, or the answer to one that is not for the home.
    fn for_home(&self, request: Request<Incoming>) -> Result<Request<Incoming>, Box<Response<Body>>> {
        let refuse = |status, reason: String| Err(Box::new(text(status, reason)));
        let query = match Query::of(request.uri()) {
            Ok(query) => query,
            Err(error) => return refuse(StatusCode::BAD_REQUEST, error.to_string()),
        };
        let Some(client) = &query.client else { return Ok(request) };
        if *client != self.client {
            let reason = format!("this gateway is for the clientId {}, and {client} was asked for", self.client);
            return refuse(StatusCode::UNAUTHORIZED, reason);
        }
        match (request.method(), request.uri().path()) {
            (&Method::POST | &Method::HEAD, "/auth/signature-token") => {
                return Err(said(&json!({ "token": SIGNATURE })));
            }
            (&Method::POST | &Method::HEAD, "/auth/validate-signature-token") => {
                return Err(said(&json!({ "valid": true })));
            }
            _ => {}
        }
        let (mut head, body) = request.into_parts();
        let Some(uri) = query.uri_for_home(head.uri.path()) else {
            return refuse(StatusCode::BAD_REQUEST, "the path and query make no URI".into());
        };
        head.uri = uri;
        head.headers.remove(header::AUTHORIZATION);
        Ok(Request::from_parts(head, body))
    }
}

/// What an app is given that asks for a signature: nobody here looks at it.
const SIGNATURE: &str = "not-needed-here";

fn said(json: &serde_json::Value) -> Box<Response<Body>> {
    let mut answer = Response::new(full(json.to_string()));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Box::new(answer)
}

#[async_trait]
impl Handler for Gateway {
    async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        match self.for_home(request) {
            Ok(request) => self.forward.handle(request).await,
            Err(answer) => *answer,
        }
    }
}
