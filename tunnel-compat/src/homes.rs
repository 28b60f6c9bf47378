//! Several homes, each by a route of its own: what a tunnel server has beside the sockets of its homes.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use http::{Request, Response};

use crate::{
    route::{Body, ClientId, Failure, Route, RouteError},
    socket::BoxSocket,
};

/// Takes each client's requests over the route of its home.
#[derive(Debug)]
pub struct Homes {
    name: &'static str,
    homes: BTreeMap<ClientId, Arc<dyn Route>>,
}

impl Homes {
    /// By these routes; `name` is that of all of them together.
    pub fn new(name: &'static str, homes: impl IntoIterator<Item = (ClientId, Arc<dyn Route>)>) -> Self {
        Self { name, homes: homes.into_iter().collect() }
    }
}

fn unknown(client: &ClientId) -> Failure {
    Failure::NotConnected(format!("no home is known for the clientId {client}"))
}

#[async_trait]
impl Route for Homes {
    fn name(&self) -> &'static str {
        self.name
    }

    fn knows(&self, client: &ClientId) -> bool {
        self.homes.contains_key(client)
    }

    async fn http(&self, client: &ClientId, request: Request<Body>) -> Result<Response<Body>, RouteError> {
        match self.homes.get(client) {
            Some(home) => home.http(client, request).await,
            None => Err(RouteError::unsent(unknown(client), request)),
        }
    }

    async fn websocket(&self, client: &ClientId, request: Request<()>) -> Result<BoxSocket, RouteError> {
        match self.homes.get(client) {
            Some(home) => home.websocket(client, request).await,
            None => Err(RouteError::sent(unknown(client))),
        }
    }
}
