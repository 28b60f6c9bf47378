//! A route behind an HTTP server.

use std::sync::Arc;

use async_trait::async_trait;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use p2p::Runtime;

use super::{Handler, Upgrade, WEBSOCKET_MESSAGE_BYTES_MAX, strip_connection_headers};
use crate::{
    route::{Body, ClientId, Route},
    socket::{self, Heartbeat},
};

/// Answers every request by a route, for one client: all that a gateway is, and a home.
#[derive(Debug)]
pub struct Forward {
    client: ClientId,
    route: Arc<dyn Route>,
    runtime: Arc<dyn Runtime>,
}

impl Forward {
    /// By that route, for that client.
    pub fn new(client: ClientId, route: Arc<dyn Route>, runtime: Arc<dyn Runtime>) -> Self {
        Self { client, route, runtime }
    }

    async fn upgrade(&self, request: Request<Incoming>) -> Response<Body> {
        let (parts, upgrade) = match Upgrade::of(request) {
            Ok(upgrade) => upgrade,
            Err(refusal) => return *refusal,
        };
        open_websocket(&*self.route, &self.client, Request::from_parts(parts, ()), upgrade, &self.runtime).await
    }
}

#[async_trait]
impl Handler for Forward {
    async fn handle(&self, mut request: Request<Incoming>) -> Response<Body> {
        if Upgrade::is_asked_for(request.headers()) {
            return self.upgrade(request).await;
        }
        strip_connection_headers(request.headers_mut());
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        answer(&*self.route, &self.client, request).await
    }
}

/// The route's answer, or the one that says why there is none.
pub(crate) async fn answer(route: &dyn Route, client: &ClientId, request: Request<Body>) -> Response<Body> {
    match route.http(client, request).await {
        Ok(mut response) => {
            strip_connection_headers(response.headers_mut());
            response
        }
        Err(error) => {
            tracing::info!(%client, route = route.name(), %error, "A request got no answer.");
            error.into_response()
        }
    }
}

/// Opens a WebSocket by a route; once that is open, agrees to the app's, and joins the two in a task of their own.
pub(crate) async fn open_websocket(
    route: &dyn Route,
    client: &ClientId,
    request: Request<()>,
    upgrade: Upgrade,
    runtime: &Arc<dyn Runtime>,
) -> Response<Body> {
    let home = match route.websocket(client, request).await {
        Ok(home) => home,
        Err(error) => {
            tracing::info!(%client, route = route.name(), %error, "A WebSocket was not opened.");
            return error.into_response();
        }
    };
    let (answer, app) = upgrade.accept(WEBSOCKET_MESSAGE_BYTES_MAX);
    let at_runtime = runtime.clone();
    let joining = async move {
        if let Ok(app) = app.await {
            socket::join(socket::watched(app, Heartbeat::default(), &at_runtime), home).await;
        }
    };
    runtime.spawn("a WebSocket", Box::pin(joining)).detach();
    answer
}
