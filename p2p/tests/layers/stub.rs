//! A provider and a connection that do what a test says, where a real one would need faults or luck to do it.

use std::{
    fmt,
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use p2p::{
    BiStream, CloseCode, CloseReason, ConnectionConfig, ConnectionLimits, ConnectionState, ConnectionStats,
    ListenConfig, Negotiated, P2PConnection, P2PError, P2PListener, P2PProvider, Path, PeerAddr, PeerId, PeerInfo,
    ProtocolId, ProviderStatus, Result, Runtime, RuntimeExt, TokioRuntime, TrySendError, Watch, WatchSender,
};

/// Answers each dial after `delay` with what `answer` returns, or never.
pub(crate) struct StubProvider {
    delay: Option<Duration>,
    answer: Box<dyn Fn() -> Result<Arc<dyn P2PConnection>> + Send + Sync>,
    runtime: Arc<dyn Runtime>,
}

impl StubProvider {
    /// Never answers.
    pub(crate) fn silent() -> Self {
        Self::answering(None, || unreachable!("never answers"))
    }

    /// Answers with clones of one connection.
    pub(crate) fn of(connection: &Arc<StubConnection>) -> Self {
        let connection = connection.clone();
        Self::answering(Some(Duration::ZERO), move || Ok(connection.clone()))
    }

    pub(crate) fn answering(
        delay: Option<Duration>,
        answer: impl Fn() -> Result<Arc<dyn P2PConnection>> + Send + Sync + 'static,
    ) -> Self {
        Self { delay, answer: Box::new(answer), runtime: Arc::new(TokioRuntime) }
    }
}

/// Somebody to dial.
pub(crate) fn peer() -> PeerAddr {
    PeerId::from_bytes([7; 32]).into()
}

#[async_trait]
impl P2PProvider for StubProvider {
    fn local_peer_id(&self) -> PeerId {
        PeerId::from_bytes([1; 32])
    }

    fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.runtime
    }

    fn status(&self) -> Watch<ProviderStatus> {
        Watch::constant(ProviderStatus { addr: self.local_peer_id().into(), checks: Vec::new(), shut_down: false })
    }

    fn peer_info(&self, _: PeerId) -> Option<PeerInfo> {
        None
    }

    async fn connect_with(&self, _: PeerAddr, _: ConnectionConfig) -> Result<Arc<dyn P2PConnection>> {
        match self.delay {
            None => pending().await,
            Some(Duration::ZERO) => {}
            Some(delay) => self.runtime.sleep(delay).await,
        }
        (self.answer)()
    }

    async fn listen_with(&self, _: ListenConfig) -> Result<Box<dyn P2PListener>> {
        pending().await
    }

    async fn shutdown(&self, _: Duration) {}
}

impl fmt::Display for StubProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stub")
    }
}

impl fmt::Debug for StubProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stub")
    }
}

/// A connection with its state, round trip and room for messages in the test's hands. Sends succeed while there is room
/// and go nowhere.
#[derive(Debug)]
pub(crate) struct StubConnection {
    pub(crate) state: WatchSender<ConnectionState>,
    pub(crate) rtt: Mutex<Option<Duration>>,
    pub(crate) full: AtomicBool,
    /// What `try_recv` returns.
    pub(crate) message: Bytes,
    negotiated: Negotiated,
}

impl StubConnection {
    pub(crate) fn new(path: Option<Path>) -> Arc<Self> {
        Arc::new(Self {
            state: WatchSender::new(ConnectionState::Connected { path }),
            rtt: Mutex::new(None),
            full: AtomicBool::new(false),
            message: Bytes::from_static(b"hello"),
            negotiated: Negotiated { protocol: ProtocolId::default(), version: 1, capabilities: Vec::new() },
        })
    }

    pub(crate) fn set_path(&self, path: Option<Path>) {
        self.state.set(ConnectionState::Connected { path });
    }
}

pub(crate) fn direct() -> Option<Path> {
    let remote = "192.0.2.1:1".into();
    Some(Path::Direct { remote })
}

pub(crate) fn relayed() -> Option<Path> {
    let relay = "https://relay.example".into();
    Some(Path::Relayed { relay })
}

#[async_trait]
impl P2PConnection for StubConnection {
    fn peer_id(&self) -> PeerId {
        peer().peer
    }

    fn negotiated(&self) -> &Negotiated {
        &self.negotiated
    }

    fn limits(&self) -> ConnectionLimits {
        ConnectionLimits { message_bytes_max: 1024, datagram_bytes_max: Some(100), streams_max: 1 }
    }

    fn stats(&self) -> ConnectionStats {
        ConnectionStats { rtt: *self.rtt.lock().unwrap(), ..ConnectionStats::default() }
    }

    fn state(&self) -> Watch<ConnectionState> {
        self.state.subscribe()
    }

    fn try_send(&self, message: Bytes) -> Result<(), TrySendError> {
        match self.full.load(Relaxed) {
            true => Err(TrySendError::Full(message)),
            false => Ok(()),
        }
    }

    async fn send(&self, _: Bytes) -> Result<()> {
        match self.full.load(Relaxed) {
            true => pending().await,
            false => Ok(()),
        }
    }

    fn try_recv(&self) -> Result<Option<Bytes>> {
        Ok(Some(self.message.clone()))
    }

    async fn recv(&self) -> Result<Bytes> {
        pending().await
    }

    async fn open_stream(&self) -> Result<BiStream> {
        pending().await
    }

    async fn accept_stream(&self) -> Result<BiStream> {
        pending().await
    }

    fn send_datagram(&self, datagram: Bytes) -> Result<()> {
        match datagram.len() {
            0..=100 => Ok(()),
            size => Err(P2PError::DatagramTooLarge { size, limit: 100 }),
        }
    }

    async fn recv_datagram(&self) -> Result<Bytes> {
        pending().await
    }

    async fn finish(&self) -> Result<()> {
        pending().await
    }

    fn close(&self, code: CloseCode, reason: &str) {
        let reason = reason.to_owned();
        self.state.set(ConnectionState::Closed { reason: CloseReason::Local { code, reason }, unacknowledged: 0 });
    }

    fn close_reason(&self) -> Option<CloseReason> {
        None
    }

    async fn closed(&self) -> CloseReason {
        pending().await
    }
}
