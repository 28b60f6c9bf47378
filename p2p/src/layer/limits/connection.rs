//! Connections whose streams are bounded.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::bounds::Bounds;
use crate::{BiStream, P2PConnection, P2PError, Result, layer::held::hold};

#[derive(Debug)]
pub(super) struct LimitsConnection {
    inner: Arc<dyn P2PConnection>,
    streams_max: usize,
    opened: Arc<Semaphore>,
    accepted: Arc<Semaphore>,
}

impl LimitsConnection {
    /// `inner` with its streams bounded; `inner` itself if they are not, which then costs nothing per call.
    pub(super) fn wrap(inner: Arc<dyn P2PConnection>, bounds: &Bounds) -> Arc<dyn P2PConnection> {
        let Some(streams_max) = bounds.streams else { return inner };
        let semaphore = || Arc::new(Semaphore::new(streams_max.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self { inner, streams_max, opened: semaphore(), accepted: semaphore() })
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl P2PConnection for LimitsConnection {
    forward_connection!(peer_id negotiated limits stats state);
    forward_connection!(try_send send try_recv recv send_datagram recv_datagram);
    forward_connection!(finish close close_reason closed);

    async fn open_stream(&self) -> Result<BiStream> {
        let Ok(place) = self.opened.clone().try_acquire_owned() else {
            return match self.inner.close_reason() {
                Some(reason) => Err(reason.to_error()),
                None => Err(P2PError::LimitReached { what: "open streams of a connection", limit: self.streams_max }),
            };
        };
        Ok(hold(self.inner.open_stream().await?, Arc::new(place)))
    }

    /// Also waits while as many accepted streams are held here as the bound allows: more than that comes only from a peer
    /// that does not keep to what it was told, or faster than streams are let go of.
    async fn accept_stream(&self) -> Result<BiStream> {
        let place = match self.accepted.clone().try_acquire_owned() {
            Ok(place) => Some(place),
            Err(_) => crate::select! {
                place = self.accepted.clone().acquire_owned() => place.ok(),
                _ = self.inner.closed() => None,
            },
        };
        Ok(hold(self.inner.accept_stream().await?, Arc::new(place)))
    }
}
