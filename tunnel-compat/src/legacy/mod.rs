//! The legacy route: requests on the WebSocket that a home opened to the tunnel server.
//!
//! - `request`, `response`: what HTTP says, in the tunnel's words, and back.
//! - `home`: one home: its requests in flight, its apps, and what is to be sent to it. Outlives its sockets.
//! - `link`: one socket of a home: reads, writes, finds out that it is dead.
//! - `exchange`: one request in flight; `body`: its answer, bounded.
//! - `app`: an app's WebSocket.
//!
//! All homes are apart: a home answers the requests it was sent, and reaches the apps of its own client, whatever numbers it
//! writes.

mod app;
mod body;
mod exchange;
mod home;
mod link;
mod request;
mod response;

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use async_trait::async_trait;
use http::{Request, Response};
use p2p::{Runtime, RuntimeExt};
use parking_lot::Mutex;

pub(crate) use self::request::for_wire;
use self::{app::AppSocket, exchange::Pending, home::Home};
use crate::{
    route::{Body, ClientId, Failure, Route, RouteError},
    socket::{BoxSocket, Heartbeat},
    wire::ReorderConfig,
};

/// Settings of a [`LegacyRoute`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegacyConfig {
    /// How long the answer's head may take. Defaults to 60 s; the legacy server waits for ever.
    pub answer_timeout: Duration,
    /// How a response is put in order.
    pub reorder: ReorderConfig,
    /// Bytes of a response that are kept for an app that reads slowly. Defaults to 512 KiB.
    ///
    /// A home side of ours stops there. A legacy one cannot be told to, so its whole socket waits.
    pub body_bytes_max: usize,
    /// How long a legacy home's socket waits for one slow app before that response is cut. Defaults to 5 s.
    pub stall_max: Duration,
    /// How long requests in flight wait for a home that lost its socket. Defaults to 15 s.
    pub reconnect_grace: Duration,
    /// How the home's life is watched.
    pub heartbeat: Heartbeat,
}

impl Default for LegacyConfig {
    fn default() -> Self {
        Self {
            answer_timeout: Duration::from_secs(60),
            reorder: ReorderConfig::default(),
            body_bytes_max: 512 * 1024,
            stall_max: Duration::from_secs(5),
            reconnect_grace: Duration::from_secs(15),
            heartbeat: Heartbeat::default(),
        }
    }
}

/// Requests on the sockets that homes opened.
#[derive(Debug)]
pub struct LegacyRoute {
    config: LegacyConfig,
    runtime: Arc<dyn Runtime>,
    /// Homes that are connected, or whose requests still wait for them. Bounded by their sockets, and so by those of the server.
    homes: Mutex<BTreeMap<ClientId, Arc<Home>>>,
}

impl LegacyRoute {
    /// With no home yet.
    pub fn new(config: LegacyConfig, runtime: Arc<dyn Runtime>) -> Arc<Self> {
        Arc::new(Self { config, runtime, homes: Mutex::default() })
    }

    /// Serves a home's socket until it ends, or that home opens another one, which takes its place. `with_flow` says whether
    /// it asked for [`Window`](crate::wire::Request::Window)s.
    pub async fn attach(self: &Arc<Self>, client: &ClientId, socket: BoxSocket, with_flow: bool) {
        let home = {
            let mut homes = self.homes.lock();
            let new = || Arc::new(Home::new(client.clone(), self.config, self.runtime.clone()));
            homes.entry(client.clone()).or_insert_with(new).clone()
        };
        link::serve(&home, socket, with_flow).await;
        let forgetting = forget_after_grace(Arc::downgrade(self), home, self.runtime.clone());
        self.runtime.spawn("a home's grace", Box::pin(forgetting)).detach();
    }

    /// Whether that client's home is connected.
    pub fn is_connected(&self, client: &ClientId) -> bool {
        self.home(client).is_some_and(|home| home.is_connected())
    }

    fn home(&self, client: &ClientId) -> Option<Arc<Home>> {
        self.homes.lock().get(client).cloned()
    }

    fn connected(&self, client: &ClientId) -> Result<Arc<Home>, Failure> {
        let home = self.home(client).filter(|home| home.is_connected());
        home.ok_or_else(|| Failure::NotConnected("Client with ID is not connected".into()))
    }
}

/// Gives up, after the grace, what a home left behind when its socket ended, and the home, unless it is back.
async fn forget_after_grace(route: Weak<LegacyRoute>, home: Arc<Home>, runtime: Arc<dyn Runtime>) {
    let lost_at = runtime.now();
    let Some(grace) = route.upgrade().map(|route| route.config.reconnect_grace) else { return };
    runtime.sleep(grace).await;
    home.give_up_since(lost_at);
    if let Some(route) = route.upgrade() {
        let mut homes = route.homes.lock();
        if home.is_forgotten() && homes.get(home.client()).is_some_and(|known| Arc::ptr_eq(known, &home)) {
            homes.remove(home.client());
        }
    }
}

#[async_trait]
impl Route for LegacyRoute {
    fn name(&self) -> &'static str {
        "legacy"
    }

    async fn http(&self, client: &ClientId, request: Request<Body>) -> Result<Response<Body>, RouteError> {
        let home = match self.connected(client) {
            Ok(home) => home,
            Err(failure) => return Err(RouteError::unsent(failure, request)),
        };
        let wanted = request::for_wire(request).await?;
        let Some(pending) = Pending::send(&home, wanted.request) else {
            let reason = format!("the home has {} requests in flight already", home::EXCHANGES_MAX);
            let failure = Failure::Refused { status: http::StatusCode::SERVICE_UNAVAILABLE, reason };
            return Err(RouteError { failure, unsent: Some(Box::new(wanted.original)) });
        };
        match self.runtime.timeout(self.config.answer_timeout, pending.head()).await {
            Ok(Ok((head, body))) => response::from_wire(head, body).map_err(RouteError::sent),
            Ok(Err(failure)) => Err(RouteError::sent(failure)),
            Err(_) => Err(RouteError::sent(Failure::TimedOut(self.config.answer_timeout))),
        }
    }

    async fn websocket(&self, client: &ClientId, request: Request<()>) -> Result<BoxSocket, RouteError> {
        if request.uri().path() != "/ws" {
            let reason = "the legacy tunnel carries the WebSocket at /ws alone".into();
            return Err(RouteError::sent(Failure::Refused { status: http::StatusCode::NOT_FOUND, reason }));
        }
        let home = self.connected(client).map_err(RouteError::sent)?;
        let profile = request::profile_of(request.uri(), request.headers());
        match AppSocket::open(&home, profile) {
            Some(socket) => Ok(Box::new(socket)),
            None => {
                let reason = format!("the home has {} apps already", home::APPS_MAX);
                let status = http::StatusCode::SERVICE_UNAVAILABLE;
                Err(RouteError::sent(Failure::Refused { status, reason }))
            }
        }
    }
}
