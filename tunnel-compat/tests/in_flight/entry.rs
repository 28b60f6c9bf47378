//! The way in: the router itself, or the tunnel server's HTTP and WebSocket, by a client that knows of nothing else.

use std::{collections::BTreeMap, sync::Arc};

use http::{HeaderValue, Request, header};
use http_body_util::BodyExt;
use tunnel_compat::{
    route::{Body, ClientId, Route},
    server::{TokenKind, TokenStore},
    socket::BoxSocket,
};

use crate::common::App;

pub enum Entry {
    Router(Arc<dyn Route>),
    Edge { app: App, tokens: BTreeMap<ClientId, Tokens> },
}

/// What a client's apps have.
pub struct Tokens {
    access: HeaderValue,
    signature: String,
}

impl Tokens {
    pub fn issue(store: &TokenStore, client: &ClientId) -> Self {
        let issue = |kind| store.issue(kind, client).unwrap();
        let access = format!("Bearer {}", issue(TokenKind::Access)).parse().unwrap();
        Self { access, signature: issue(TokenKind::Signature) }
    }
}

impl Entry {
    /// The whole answer to a request, if it is a success.
    pub async fn ask(&self, client: &ClientId, mut request: Request<Body>) -> Result<Vec<u8>, String> {
        let answer = match self {
            Self::Router(router) => router.http(client, request).await,
            Self::Edge { app, tokens } => {
                let uri = format!("{}?clientId={client}", request.uri());
                *request.uri_mut() = uri.parse().unwrap();
                request.headers_mut().insert(header::AUTHORIZATION, tokens[client].access.clone());
                app.send(request).await
            }
        };
        let (head, body) = answer.map_err(|error| error.to_string())?.into_parts();
        let body = body.collect().await.map_err(|error| format!("the body broke off: {error}"))?.to_bytes();
        if head.status.is_success() { Ok(body.to_vec()) } else { Err(format!("{}: {body:?}", head.status)) }
    }

    pub async fn websocket(&self, client: &ClientId) -> Result<BoxSocket, String> {
        let socket = match self {
            Self::Router(router) => router.websocket(client, Request::get("/ws").body(()).unwrap()).await,
            Self::Edge { app, tokens } => {
                app.websocket(&format!("/ws?clientId={client}&signature={}", tokens[client].signature)).await
            }
        };
        socket.map_err(|error| error.to_string())
    }
}
