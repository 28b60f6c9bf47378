//! A provider whose connections take everything and do nothing.

use std::{fmt, future::pending, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use p2p::{
    BiStream, CloseCode, CloseReason, ConnectionConfig, ConnectionLimits, ConnectionState, ConnectionStats,
    ListenConfig, Negotiated, P2PConnection, P2PListener, P2PProvider, PeerAddr, PeerId, PeerInfo, ProtocolId,
    ProviderStatus, Result, Runtime, TokioRuntime, TrySendError, Watch, WatchSender,
};

#[derive(Debug)]
pub(crate) struct NullProvider {
    runtime: Arc<dyn Runtime>,
}

impl Default for NullProvider {
    fn default() -> Self {
        Self { runtime: Arc::new(TokioRuntime) }
    }
}

#[async_trait]
impl P2PProvider for NullProvider {
    fn local_peer_id(&self) -> PeerId {
        PeerId::from_name("null")
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
        Ok(Arc::new(NullConnection::default()))
    }

    async fn listen_with(&self, _: ListenConfig) -> Result<Box<dyn P2PListener>> {
        pending().await
    }

    async fn shutdown(&self, _: Duration) {}
}

impl fmt::Display for NullProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null")
    }
}

#[derive(Debug)]
pub(crate) struct NullConnection {
    state: WatchSender<ConnectionState>,
    negotiated: Negotiated,
}

impl Default for NullConnection {
    fn default() -> Self {
        Self {
            state: WatchSender::new(ConnectionState::Connected { path: None }),
            negotiated: Negotiated { protocol: ProtocolId::default(), version: 1, capabilities: Vec::new() },
        }
    }
}

#[async_trait]
impl P2PConnection for NullConnection {
    fn peer_id(&self) -> PeerId {
        PeerId::from_name("nobody")
    }

    fn negotiated(&self) -> &Negotiated {
        &self.negotiated
    }

    fn limits(&self) -> ConnectionLimits {
        ConnectionLimits { message_bytes_max: 1024, datagram_bytes_max: None, streams_max: 1 }
    }

    fn stats(&self) -> ConnectionStats {
        ConnectionStats::default()
    }

    fn state(&self) -> Watch<ConnectionState> {
        self.state.subscribe()
    }

    fn try_send(&self, _: Bytes) -> Result<(), TrySendError> {
        Ok(())
    }

    async fn send(&self, _: Bytes) -> Result<()> {
        Ok(())
    }

    fn try_recv(&self) -> Result<Option<Bytes>> {
        Ok(None)
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

    fn send_datagram(&self, _: Bytes) -> Result<()> {
        Ok(())
    }

    async fn recv_datagram(&self) -> Result<Bytes> {
        pending().await
    }

    async fn finish(&self) -> Result<()> {
        Ok(())
    }

    fn close(&self, _: CloseCode, _: &str) {}

    fn close_reason(&self) -> Option<CloseReason> {
        None
    }

    async fn closed(&self) -> CloseReason {
        pending().await
    }
}
