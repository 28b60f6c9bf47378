//! Listeners and connections with deadlines.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::deadlines::{Deadlines, within};
use crate::{BiStream, P2PConnection, P2PListener, PeerAddr, ProtocolId, Result, Runtime};

/// Passes the deadlines on to the connections it accepts.
#[derive(Debug)]
pub(super) struct TimeoutListener {
    pub(super) inner: Box<dyn P2PListener>,
    pub(super) deadlines: Deadlines,
    pub(super) runtime: Arc<dyn Runtime>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl P2PListener for TimeoutListener {
    fn protocol(&self) -> &ProtocolId {
        self.inner.protocol()
    }

    fn local_addr(&self) -> PeerAddr {
        self.inner.local_addr()
    }

    async fn accept(&self) -> Result<Arc<dyn P2PConnection>> {
        let connection = self.inner.accept().await?;
        Ok(TimeoutConnection::wrap(connection, self.deadlines, &self.runtime))
    }
}

#[derive(Debug)]
pub(super) struct TimeoutConnection {
    inner: Arc<dyn P2PConnection>,
    deadlines: Deadlines,
    runtime: Arc<dyn Runtime>,
}

impl TimeoutConnection {
    /// `inner` with its deadlines; `inner` itself when there are none, which then costs nothing per call.
    pub(super) fn wrap(
        inner: Arc<dyn P2PConnection>,
        deadlines: Deadlines,
        runtime: &Arc<dyn Runtime>,
    ) -> Arc<dyn P2PConnection> {
        if !deadlines.concern_connections() {
            return inner;
        }
        Arc::new(Self { inner, deadlines, runtime: runtime.clone() })
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl P2PConnection for TimeoutConnection {
    forward_connection!(peer_id negotiated limits stats state);
    forward_connection!(try_send try_recv recv accept_stream send_datagram recv_datagram);
    forward_connection!(close close_reason closed);

    async fn send(&self, message: Bytes) -> Result<()> {
        let send = self.inner.send(message);
        within(self.deadlines.send, "sending", &self.runtime, send).await
    }

    async fn open_stream(&self) -> Result<BiStream> {
        let open = self.inner.open_stream();
        within(self.deadlines.open_stream, "opening a stream", &self.runtime, open).await
    }

    async fn finish(&self) -> Result<()> {
        let finish = self.inner.finish();
        within(self.deadlines.finish, "delivery", &self.runtime, finish).await
    }
}
