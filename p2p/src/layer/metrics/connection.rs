//! Listeners and connections that count.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    labels::{Dir, What},
    lifetime,
    meter::Meter,
    series::Series,
    stream,
};
use crate::{BiStream, P2PConnection, P2PListener, PeerAddr, ProtocolId, Result, Runtime, TrySendError};

/// Counts the connections it accepts.
#[derive(Debug)]
pub(super) struct MetricsListener {
    pub(super) inner: Box<dyn P2PListener>,
    pub(super) series: Arc<Series>,
    pub(super) runtime: Arc<dyn Runtime>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl P2PListener for MetricsListener {
    fn protocol(&self) -> &ProtocolId {
        self.inner.protocol()
    }

    fn local_addr(&self) -> PeerAddr {
        self.inner.local_addr()
    }

    async fn accept(&self) -> Result<Arc<dyn P2PConnection>> {
        let connection = self.inner.accept().await?;
        Ok(MetricsConnection::wrap(connection, Dir::In, &self.series, &self.runtime))
    }
}

#[derive(Debug)]
pub(super) struct MetricsConnection {
    inner: Arc<dyn P2PConnection>,
    meter: Arc<Meter>,
}

impl MetricsConnection {
    pub(super) fn wrap(
        inner: Arc<dyn P2PConnection>,
        dir: Dir,
        series: &Arc<Series>,
        runtime: &Arc<dyn Runtime>,
    ) -> Arc<dyn P2PConnection> {
        let meter = lifetime::follow(&inner, dir, series, runtime);
        Arc::new(Self { inner, meter })
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl P2PConnection for MetricsConnection {
    forward_connection!(peer_id negotiated limits stats state finish close close_reason closed);

    fn try_send(&self, message: Bytes) -> Result<(), TrySendError> {
        let bytes = message.len();
        let result = self.inner.try_send(message);
        match &result {
            Ok(()) => self.meter.message(Dir::Out, bytes),
            Err(TrySendError::Full(_)) => self.meter.series.send_queue_full.increment(1),
            Err(TrySendError::Failed(_)) => {}
        }
        result
    }

    async fn send(&self, message: Bytes) -> Result<()> {
        let bytes = message.len();
        let send = self.inner.send(message);
        self.meter.timed(What::Message, send).await?;
        self.meter.message(Dir::Out, bytes);
        Ok(())
    }

    fn try_recv(&self) -> Result<Option<Bytes>> {
        let message = self.inner.try_recv()?;
        if let Some(message) = &message {
            self.meter.message(Dir::In, message.len());
        }
        Ok(message)
    }

    async fn recv(&self) -> Result<Bytes> {
        let message = self.inner.recv().await?;
        self.meter.message(Dir::In, message.len());
        Ok(message)
    }

    async fn open_stream(&self) -> Result<BiStream> {
        let stream = self.inner.open_stream().await?;
        Ok(stream::wrap(stream, Dir::Out, &self.meter))
    }

    async fn accept_stream(&self) -> Result<BiStream> {
        let stream = self.inner.accept_stream().await?;
        Ok(stream::wrap(stream, Dir::In, &self.meter))
    }

    fn send_datagram(&self, datagram: Bytes) -> Result<()> {
        let bytes = datagram.len();
        let result = self.inner.send_datagram(datagram);
        match &result {
            Ok(()) => self.meter.datagram(Dir::Out, bytes),
            Err(error) => self.meter.series.datagrams_dropped[error.into()].increment(1),
        }
        result
    }

    async fn recv_datagram(&self) -> Result<Bytes> {
        let datagram = self.inner.recv_datagram().await?;
        self.meter.datagram(Dir::In, datagram.len());
        Ok(datagram)
    }
}
