//! The home's side of a tunnel server, the legacy one or ours: keeps a WebSocket open to it, and answers what comes on it by a
//! [`Route`] to the home's own server.
//!
//! - `auth`: registration and signatures.
//! - `link`: one WebSocket: reads, writes, finds out that it is dead.
//! - `exchange`: one request and its answer. `window`: how much of it may be sent. `request`: what it asks, in HTTP's words.
//! - `apps`: the WebSockets of apps, each a WebSocket to the home's server.
//!
//! With a server of ours, each response keeps to what the app has room for; the legacy one takes everything at once.

mod apps;
mod auth;
mod exchange;
mod link;
mod request;
mod window;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Uri, uri::Authority};
use p2p::{Instant, Runtime, RuntimeExt, Watch, WatchSender, layer::reconnect::Backoff};
use parking_lot::Mutex;
use tokio::sync::mpsc;

pub(crate) use self::auth::Signatures;
pub use self::auth::{AuthError, register};
use self::{apps::Apps, exchange::Exchanges};
use crate::{
    connector::Connector,
    query,
    route::{ClientId, Route},
    socket::{self, BoxSocket, Heartbeat, Message, OpenError},
    wire::{FLOW_HEADER, REQUEST_BYTES_MAX},
};

/// Settings of a [`Sender`].
#[derive(Clone)]
pub struct SenderConfig {
    /// The home's name at the tunnel server.
    pub client: ClientId,
    /// Its access token, as [`register`] returned it.
    pub access_token: String,
    /// The tunnel server's host and port, for `host`.
    pub host: Authority,
    /// How the socket's life is watched. Defaults to pings every 5 s, and to 15 s of silence.
    pub heartbeat: Heartbeat,
    /// How long the server may take to say its first word, or it has forgotten the socket. Defaults to 10 s.
    pub first_word_timeout: Duration,
    /// How long opening a socket or getting a signature may take. Defaults to 10 s.
    pub connect_timeout: Duration,
    /// When a signature is renewed, before its end after 14 days. Defaults to 12 days.
    pub signature_age_max: Duration,
    /// The pace of trying again. Defaults to 250 ms, doubling, up to 30 s, with jitter.
    pub backoff: Backoff,
}

impl SenderConfig {
    /// For that home, at that server.
    pub fn new(client: ClientId, access_token: impl Into<String>, host: Authority) -> Self {
        Self {
            client,
            access_token: access_token.into(),
            host,
            heartbeat: Heartbeat::default(),
            first_word_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            signature_age_max: Duration::from_secs(12 * 24 * 60 * 60),
            backoff: Backoff { max_delay: Duration::from_secs(30), ..Backoff::default() },
        }
    }
}

impl std::fmt::Debug for SenderConfig {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SenderConfig").field("client", &self.client).field("host", &self.host).finish_non_exhaustive()
    }
}

/// How it stands with the tunnel server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SenderStatus {
    /// It is being reached. Why it is not yet, if that is known.
    Connecting(Option<String>),
    /// The socket is open, and in use.
    Connected,
}

/// The home's side of a tunnel.
#[derive(Debug)]
pub struct Sender {
    config: SenderConfig,
    connector: Arc<dyn Connector>,
    runtime: Arc<dyn Runtime>,
    signatures: Signatures,
    status: WatchSender<SenderStatus>,
    shared: Arc<Shared>,
}

/// What outlives a socket: a response goes on on the next one.
#[derive(Debug)]
struct Shared {
    route: Arc<dyn Route>,
    client: ClientId,
    runtime: Arc<dyn Runtime>,
    /// Frames for the server.
    frames: mpsc::Sender<Message>,
    waiting: tokio::sync::Mutex<mpsc::Receiver<Message>>,
    exchanges: Mutex<Exchanges>,
    apps: Mutex<Apps>,
}

/// Frames that wait to be sent: at most 1 MiB. Beyond that responses wait.
const FRAMES_WAITING_MAX: usize = 16;

/// A server of ours waits this long for a home to come back; what it asked before that it no longer wants.
const RECONNECT_GRACE: Duration = Duration::from_secs(15);

/// A socket that lasted this long was a good one: after it the pace begins anew.
const LASTED: Duration = Duration::from_secs(10);

impl Sender {
    /// Answers by `route`, and reaches the server by `connector`. Does nothing before [`run`](Self::run).
    pub fn new(
        config: SenderConfig,
        connector: impl Connector,
        route: Arc<dyn Route>,
        runtime: Arc<dyn Runtime>,
    ) -> Self {
        let connector: Arc<dyn Connector> = Arc::new(connector);
        let (frames, waiting) = mpsc::channel(FRAMES_WAITING_MAX);
        let shared = Shared {
            route,
            client: config.client.clone(),
            runtime: runtime.clone(),
            frames,
            waiting: tokio::sync::Mutex::new(waiting),
            exchanges: Mutex::default(),
            apps: Mutex::default(),
        };
        let signatures = Signatures::new(
            config.host.clone(),
            config.client.clone(),
            config.access_token.clone(),
            (config.connect_timeout, config.signature_age_max),
            connector.clone(),
            runtime.clone(),
        );
        let status = WatchSender::new(SenderStatus::Connecting(None));
        Self { config, connector, runtime, signatures, status, shared: Arc::new(shared) }
    }

    /// How it stands, from now on.
    pub fn status(&self) -> Watch<SenderStatus> {
        self.status.subscribe()
    }

    /// Requests that are being answered, their bodies included, from now on. WebSockets are none.
    pub fn in_flight(&self) -> Watch<usize> {
        self.shared.exchanges.lock().count()
    }

    /// Keeps a socket to the server for ever, and answers what comes.
    ///
    /// Whatever goes wrong is tried again, at a growing pace; [`status`](Self::status) says what it is.
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket and ends all requests in flight.
    pub async fn run(&self) {
        let _ends_with_this = EndAll(&self.shared);
        let mut rng = self.runtime.rng("a tunnel's pace");
        let mut attempt = 0;
        let mut lost_at: Option<Instant> = None;
        loop {
            let why = match self.connect().await {
                Ok(socket) => {
                    if lost_at.is_some_and(|lost_at| self.runtime.now() - lost_at > RECONNECT_GRACE) {
                        self.shared.end_all();
                    }
                    let begun = self.runtime.now();
                    let why = link::serve(self, socket).await;
                    let now = self.runtime.now();
                    lost_at = Some(now);
                    if now - begun >= LASTED {
                        attempt = 0;
                    }
                    why
                }
                Err(why) => why,
            };
            tracing::warn!(client = %self.config.client, %why, "Not connected to the tunnel server; trying again.");
            self.status.set(SenderStatus::Connecting(Some(why)));
            let delay = self.config.backoff.delay(attempt, &mut rng).unwrap_or(self.config.backoff.max_delay);
            attempt += 1;
            self.runtime.sleep(delay).await;
        }
    }

    /// Opens a socket with a signature that is still good, or says why not.
    async fn connect(&self) -> Result<BoxSocket, String> {
        let signature = self.signatures.get().await.map_err(|error| p2p::chain(&error))?;
        let client = self.config.client.as_str();
        let query = query::encode([("clientId", client), ("sender", "true"), ("signature", &signature)]);
        let uri =
            Uri::builder().scheme("ws").authority(self.config.host.clone()).path_and_query(format!("/ws?{query}"));
        let uri = uri.build().expect("an encoded query makes a URI");
        let headers = HeaderMap::from_iter([(FLOW_HEADER.parse().expect("a name"), HeaderValue::from_static("1"))]);
        let opening = async {
            let io = self.connector.connect().await.map_err(OpenError::Broken)?;
            socket::open(io, uri, headers, REQUEST_BYTES_MAX).await
        };
        match self.runtime.timeout(self.config.connect_timeout, opening).await {
            Ok(Ok(socket)) => Ok(socket),
            Ok(Err(error)) => {
                if matches!(error, OpenError::Status(401)) {
                    self.signatures.forget(&signature);
                }
                Err(p2p::chain(&error))
            }
            Err(elapsed) => Err(format!("the socket was {elapsed}")),
        }
    }
}

impl Shared {
    /// Ends every request in flight, and every app's socket.
    fn end_all(&self) {
        let ended = self.exchanges.lock().end_all();
        let apps = std::mem::take(&mut *self.apps.lock());
        drop((ended, apps));
    }

    /// Sends a frame, behind those that wait.
    async fn send(&self, frame: Bytes) {
        // It fails only when everything ends.
        let _ = self.frames.send(Message::Binary(frame)).await;
    }
}

/// Tasks hold what they share, and that holds the tasks: somebody has to let go.
struct EndAll<'a>(&'a Shared);

impl Drop for EndAll<'_> {
    fn drop(&mut self) {
        self.0.end_all();
    }
}
