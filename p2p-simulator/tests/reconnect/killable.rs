//! A provider whose connections can be killed under the layers above it, as a transport that fails, and which itself may
//! die and come back.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use p2p::{
    BiStream, CloseCode, CloseReason, ConnectionConfig, ConnectionLimits, ConnectionState, ConnectionStats,
    ListenConfig, Negotiated, P2PConnection, P2PError, P2PListener, P2PProvider, PeerAddr, PeerId, PeerInfo,
    ProtocolId, ProviderStatus, Result, Rng, Runtime, TrySendError, Watch, WatchSender,
};
use parking_lot::Mutex;

/// How a killed connection is closed below. Both ends take it for a failure of the transport.
const KILLED: CloseCode = CloseCode(0xdead_beef);

#[derive(Debug, Clone)]
pub(crate) struct Killable<P> {
    /// The first one, for what does not change.
    first: P,
    /// What dials and listens now; nothing after a crash.
    inner: WatchSender<Option<P>>,
    connections: Arc<Mutex<Vec<Weak<dyn P2PConnection>>>>,
    /// Decides which dials are lost in the middle, once it is there.
    breaking: Arc<Mutex<Option<Rng>>>,
}

impl<P: P2PProvider + Clone> Killable<P> {
    pub(crate) fn new(first: P) -> Self {
        Self {
            inner: WatchSender::new(Some(first.clone())),
            first,
            connections: Arc::default(),
            breaking: Arc::default(),
        }
    }

    /// Loses one dial in five from now on: the peer has answered and takes the connection for made, this side has not.
    pub(crate) fn break_dials(&self, rng: Rng) {
        *self.breaking.lock() = Some(rng);
    }

    /// Ends all its connections now, and says how many there were.
    pub(crate) fn kill(&self) -> usize {
        let connections = std::mem::take(&mut *self.connections.lock());
        let alive =
            connections.iter().filter_map(Weak::upgrade).filter(|connection| connection.close_reason().is_none());
        alive.map(|connection| connection.close(KILLED, "killed")).count()
    }

    /// The provider is dead, with all that it was about. The layers above live, and learn of it.
    #[allow(dead_code, reason = "not every user of this file lets it crash")]
    pub(crate) fn crash(&self) {
        self.inner.modify(|inner| inner.take().is_some());
        self.kill();
    }

    /// It is back, in another life.
    #[allow(dead_code, reason = "not every user of this file lets it crash")]
    pub(crate) fn revive(&self, inner: P) {
        self.inner.modify(|now| now.replace(inner).is_none());
    }

    fn wrap(&self, inner: Arc<dyn P2PConnection>) -> Arc<dyn P2PConnection> {
        self.connections.lock().push(Arc::downgrade(&inner));
        Arc::new(KillableConnection(inner))
    }
}

impl<P: fmt::Display> fmt::Display for Killable<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Killable({})", self.first)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<P: P2PProvider + Clone> P2PProvider for Killable<P> {
    fn local_peer_id(&self) -> PeerId {
        self.first.local_peer_id()
    }

    fn runtime(&self) -> &Arc<dyn Runtime> {
        self.first.runtime()
    }

    fn status(&self) -> Watch<ProviderStatus> {
        self.first.status()
    }

    fn peer_info(&self, peer: PeerId) -> Option<PeerInfo> {
        self.first.peer_info(peer)
    }

    async fn connect_with(&self, peer: PeerAddr, config: ConnectionConfig) -> Result<Arc<dyn P2PConnection>> {
        let id = peer.peer;
        let failed = |source: &str| P2PError::ConnectionFailed { peer: id, source: source.into() };
        let mut life = self.inner.subscribe();
        let Some(inner) = life.get() else { return Err(failed("crashed by the test")) };
        let connection = p2p::select! {
            _ = life.changed() => return Err(failed("crashed by the test")),
            dialled = inner.connect_with(peer, config) => dialled?,
        };
        if self.breaking.lock().as_mut().is_some_and(|rng| rng.below(5) == 0) {
            connection.close(KILLED, "killed");
            return Err(failed("killed by the test"));
        }
        Ok(self.wrap(connection))
    }

    async fn listen_with(&self, config: ListenConfig) -> Result<Box<dyn P2PListener>> {
        let inner = self.first.listen_with(config).await?;
        Ok(Box::new(KillableListener { inner, provider: self.clone() }))
    }

    async fn shutdown(&self, deadline: Duration) {
        self.first.shutdown(deadline).await;
    }
}

#[derive(Debug)]
struct KillableListener<P> {
    inner: Box<dyn P2PListener>,
    provider: Killable<P>,
}

#[async_trait]
impl<P: P2PProvider + Clone> P2PListener for KillableListener<P> {
    fn protocol(&self) -> &ProtocolId {
        self.inner.protocol()
    }

    fn local_addr(&self) -> PeerAddr {
        self.inner.local_addr()
    }

    async fn accept(&self) -> Result<Arc<dyn P2PConnection>> {
        Ok(self.provider.wrap(self.inner.accept().await?))
    }
}

#[derive(Debug)]
struct KillableConnection(Arc<dyn P2PConnection>);

fn translate(reason: CloseReason) -> CloseReason {
    match reason.code() {
        Some(KILLED) => CloseReason::Lost { source: "killed by the test".into() },
        _ => reason,
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl P2PConnection for KillableConnection {
    fn peer_id(&self) -> PeerId {
        self.0.peer_id()
    }

    fn negotiated(&self) -> &Negotiated {
        self.0.negotiated()
    }

    fn limits(&self) -> ConnectionLimits {
        self.0.limits()
    }

    fn stats(&self) -> ConnectionStats {
        self.0.stats()
    }

    fn state(&self) -> Watch<ConnectionState> {
        self.0.state()
    }

    fn try_send(&self, message: Bytes) -> Result<(), TrySendError> {
        self.0.try_send(message)
    }

    async fn send(&self, message: Bytes) -> Result<()> {
        self.0.send(message).await
    }

    fn try_recv(&self) -> Result<Option<Bytes>> {
        self.0.try_recv()
    }

    async fn recv(&self) -> Result<Bytes> {
        self.0.recv().await
    }

    async fn open_stream(&self) -> Result<BiStream> {
        self.0.open_stream().await
    }

    async fn accept_stream(&self) -> Result<BiStream> {
        self.0.accept_stream().await
    }

    fn send_datagram(&self, datagram: Bytes) -> Result<()> {
        self.0.send_datagram(datagram)
    }

    async fn recv_datagram(&self) -> Result<Bytes> {
        self.0.recv_datagram().await
    }

    async fn finish(&self) -> Result<()> {
        self.0.finish().await
    }

    fn close(&self, code: CloseCode, reason: &str) {
        self.0.close(code, reason);
    }

    fn close_reason(&self) -> Option<CloseReason> {
        self.0.close_reason().map(translate)
    }

    async fn closed(&self) -> CloseReason {
        translate(self.0.closed().await)
    }
}
