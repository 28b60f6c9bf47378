//! The peer's side of a tunnel server's pipes.

use std::{fmt, io, sync::Arc, time::Duration};

use async_trait::async_trait;
use data_encoding::HEXLOWER;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Uri, header, uri::Authority};
use p2p::{
    P2PError, PeerAddr, Runtime, RuntimeExt, SharedError, TaskHandle, Watch, WatchSender, layer::reconnect::Backoff,
};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::{
    Identity, Rendezvous,
    proof::{self, CALL, CallId, Challenge, NOT_THERE, PATH, PIPE_MESSAGE_BYTES_MAX, READY},
};
use crate::{
    connector::{BoxIo, Connector},
    query,
    route::ClientId,
    socket::{self, BoxSocket, Heartbeat, Message, OpenError},
};

/// Settings of a [`ServerRendezvous`].
#[derive(Clone)]
pub struct ServerRendezvousConfig {
    /// The client whose peers this one belongs to.
    pub client: ClientId,
    /// An access token of that client.
    pub access_token: String,
    /// The tunnel server's host and port, for `host`.
    pub host: Authority,
    /// How the sockets are watched.
    pub heartbeat: Heartbeat,
    /// How long opening a socket may take, and getting ready on it. Defaults to 10 s.
    pub connect_timeout: Duration,
    /// The pace at which a server that is lost is tried again. At least every 30 s by default.
    pub backoff: Backoff,
}

impl ServerRendezvousConfig {
    /// At that server, for that client.
    pub fn new(client: ClientId, access_token: impl Into<String>, host: Authority) -> Self {
        Self {
            client,
            access_token: access_token.into(),
            host,
            heartbeat: Heartbeat::default(),
            connect_timeout: Duration::from_secs(10),
            backoff: Backoff { max_delay: Duration::from_secs(30), ..Backoff::default() },
        }
    }
}

impl fmt::Debug for ServerRendezvousConfig {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (client, host) = (&self.client, &self.host);
        f.debug_struct("ServerRendezvousConfig").field("client", client).field("host", host).finish_non_exhaustive()
    }
}

/// Byte streams that a tunnel server joins, of peers that belong to one client.
#[derive(Debug)]
pub struct ServerRendezvous {
    place: Arc<Place>,
    calls: tokio::sync::Mutex<mpsc::Receiver<BoxIo>>,
    /// What listens, once somebody accepts.
    listening: Mutex<Listening>,
}

#[derive(Debug)]
enum Listening {
    NotYet(mpsc::Sender<BoxIo>),
    Begun { _task: TaskHandle },
    Over,
}

#[derive(Debug)]
struct Place {
    config: ServerRendezvousConfig,
    authorization: HeaderValue,
    identity: Identity,
    connector: Arc<dyn Connector>,
    runtime: Arc<dyn Runtime>,
    problem: WatchSender<Option<String>>,
}

impl ServerRendezvous {
    /// For the peer of that identity, which reaches the server by `connector`. Opens nothing yet.
    ///
    /// # Errors
    /// [`InvalidInput`](P2PError::InvalidInput) if the token cannot stand in a header.
    pub fn new(
        config: ServerRendezvousConfig,
        identity: Identity,
        connector: impl Connector,
        runtime: Arc<dyn Runtime>,
    ) -> p2p::Result<Self> {
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", config.access_token))
            .map_err(|_| P2PError::invalid_input("the access token", "visible ASCII, on one line"))?;
        authorization.set_sensitive(true);
        let problem = WatchSender::new(Some("nobody listens yet".into()));
        let place = Place { config, authorization, identity, connector: Arc::new(connector), runtime, problem };
        let (sender, calls) = mpsc::channel(CALLS_WAITING_MAX);
        let listening = Mutex::new(Listening::NotYet(sender));
        Ok(Self { place: Arc::new(place), calls: tokio::sync::Mutex::new(calls), listening })
    }

    /// Begins to listen, if that was not done before.
    fn listen(&self) {
        let mut listening = self.listening.lock();
        if let Listening::NotYet(calls) = &*listening {
            let keeping = self.place.clone().keep_listening(calls.clone());
            let task = self.place.runtime.spawn("tunnel listener", Box::pin(keeping));
            *listening = Listening::Begun { _task: task };
        }
    }
}

impl Place {
    /// A socket in that role, watched.
    async fn open(&self, role: &str, of: (&str, &str)) -> Result<BoxSocket, OpenError> {
        let Self { config, authorization, .. } = self;
        let query = query::encode([("clientId", config.client.as_str()), ("role", role), of]);
        let uri = Uri::builder().scheme("ws").authority(config.host.clone()).path_and_query(format!("{PATH}?{query}"));
        let uri = uri.build().expect("an encoded query makes a URI");
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, authorization.clone())]);
        let opening = async {
            let io = self.connector.connect().await.map_err(OpenError::Broken)?;
            socket::open(io, uri, headers, PIPE_MESSAGE_BYTES_MAX).await
        };
        match self.runtime.timeout(config.connect_timeout, opening).await {
            Ok(socket) => Ok(socket::watched(socket?, config.heartbeat, &self.runtime)),
            Err(elapsed) => Err(OpenError::Broken(io::Error::new(io::ErrorKind::TimedOut, elapsed))),
        }
    }

    /// Keeps a socket on which calls come, for ever.
    async fn keep_listening(self: Arc<Self>, calls: mpsc::Sender<BoxIo>) {
        let mut rng = self.runtime.rng("a tunnel listener's pace");
        let mut attempt = 0;
        loop {
            let begun = self.runtime.now();
            let why = match self.open("listen", ("peer", &self.identity.peer_id().to_string())).await {
                Ok(socket) => self.hear(socket, &calls).await,
                Err(error) => refusal(error),
            };
            tracing::warn!(server = %self.config.host, %why, "Peers cannot call by the tunnel server; trying again.");
            self.problem.set(Some(why));
            if self.runtime.now() - begun >= LASTED {
                attempt = 0;
            }
            let delay = self.config.backoff.delay(attempt, &mut rng).unwrap_or(self.config.backoff.max_delay);
            attempt += 1;
            self.runtime.sleep(delay).await;
        }
    }

    /// Proves who this is and takes calls until the socket ends; returns why it did.
    async fn hear(self: &Arc<Self>, mut socket: BoxSocket, calls: &mpsc::Sender<BoxIo>) -> String {
        let proving = async {
            let challenge = message(&mut socket).await?;
            let challenge = Challenge::try_from(&challenge[..]).map_err(|_| Heard::Strange)?;
            let message_to_sign = proof::message(&challenge, &self.config.client, &self.config.access_token);
            let signature = self.identity.sign(&message_to_sign);
            socket.send(Message::Binary(signature.into())).await.map_err(|error| Heard::Ended(error.to_string()))?;
            if message(&mut socket).await? == READY { Ok(()) } else { Err(Heard::Strange) }
        };
        match self.runtime.timeout(self.config.connect_timeout, proving).await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => return why.to_string(),
            Err(elapsed) => return format!("the tunnel server's word was {elapsed}"),
        }
        tracing::info!(server = %self.config.host, "Peers can call by the tunnel server.");
        self.problem.set(None);
        loop {
            let call = match message(&mut socket).await {
                Ok(call) => call,
                Err(why) => return why.to_string(),
            };
            let Some(call) = call.strip_prefix(&[CALL]).and_then(|call| CallId::try_from(call).ok()) else {
                return Heard::Strange.to_string();
            };
            // Beyond the bound nobody takes the call, and the server tells who calls.
            if let Ok(place) = calls.clone().try_reserve_owned() {
                let taking = self.clone().take(call, place);
                self.runtime.spawn("tunnel call", Box::pin(taking)).detach();
            }
        }
    }

    async fn take(self: Arc<Self>, call: CallId, place: mpsc::OwnedPermit<BoxIo>) {
        match self.open("accept", ("call", &HEXLOWER.encode(&call))).await {
            Ok(socket) => {
                place.send(Box::new(socket::byte_stream(socket, PIPE_MESSAGE_BYTES_MAX)));
            }
            Err(error) => tracing::debug!(error = refusal(error), "A call by the tunnel server was not taken."),
        }
    }
}

#[async_trait]
impl Rendezvous for ServerRendezvous {
    fn name(&self) -> Arc<str> {
        self.place.config.host.as_str().into()
    }

    async fn dial(&self, addr: &PeerAddr) -> p2p::Result<BoxIo> {
        let peer = addr.peer;
        let not_found = || P2PError::PeerNotFound { peer, source: "it is not connected to the tunnel server".into() };
        let failed = |why: String| P2PError::ConnectionFailed { peer, source: SharedError::new(why) };
        let mut socket = match self.place.open("dial", ("peer", &peer.to_string())).await {
            Ok(socket) => socket,
            Err(OpenError::Status(424)) => return Err(not_found()),
            Err(error) => return Err(failed(refusal(error))),
        };
        match message(&mut socket).await {
            Ok(word) if word == READY => Ok(Box::new(socket::byte_stream(socket, PIPE_MESSAGE_BYTES_MAX))),
            Ok(_) => Err(failed(Heard::Strange.to_string())),
            Err(Heard::Closed(Some(NOT_THERE), _)) => Err(not_found()),
            Err(why) => Err(failed(why.to_string())),
        }
    }

    async fn accept(&self) -> io::Result<BoxIo> {
        self.listen();
        let call = self.calls.lock().await.recv().await;
        call.ok_or_else(|| io::Error::new(io::ErrorKind::NotConnected, "the provider was shut down"))
    }

    fn shutdown(&self) {
        let listening = std::mem::replace(&mut *self.listening.lock(), Listening::Over);
        drop(listening);
        self.place.problem.set(Some("the provider was shut down".into()));
    }

    fn problem(&self) -> Watch<Option<String>> {
        self.place.problem.subscribe()
    }
}

/// What came instead of a message of the server's.
#[derive(Debug, thiserror::Error)]
enum Heard {
    #[error("the tunnel server closed the socket with code {0:?}: {1}")]
    Closed(Option<u16>, String),
    #[error("the tunnel server's socket ended: {0}")]
    Ended(String),
    #[error("the tunnel server said what means nothing here")]
    Strange,
}

/// The server's next message.
async fn message(socket: &mut BoxSocket) -> Result<bytes::Bytes, Heard> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Ping | Message::Pong)) => {}
            Some(Ok(Message::Binary(bytes))) => return Ok(bytes),
            Some(Ok(Message::Text(_))) => return Err(Heard::Strange),
            Some(Ok(Message::Close(close))) => return Err(Heard::Closed(close.code, close.reason)),
            Some(Err(error)) => return Err(Heard::Ended(error.to_string())),
            None => return Err(Heard::Ended("without a word".into())),
        }
    }
}

/// Why a socket was not opened, with what it likely means.
fn refusal(error: OpenError) -> String {
    match error {
        OpenError::Status(401) => "the tunnel server does not know the access token, or not as this client's".into(),
        OpenError::Status(404) => "the tunnel server joins no peers: it has no such path".into(),
        error => p2p::chain(&error),
    }
}

/// Byte streams that wait to be accepted. One more is not taken.
const CALLS_WAITING_MAX: usize = 64;

/// A socket that lasted this long was a good one: after it the pace begins anew.
const LASTED: Duration = Duration::from_secs(10);
