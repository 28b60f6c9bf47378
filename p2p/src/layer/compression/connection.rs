//! A connection whose messages are frames.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    CAPABILITY, LZ4, Shared,
    frame::{self, PLAIN_BYTES},
    worth::Worth,
};
use crate::{
    BiStream, CloseCode, ConnectionLimits, ConnectionStats, Negotiated, P2PConnection, P2PError, Result, TrySendError,
};

/// The code of a connection that this layer closes because a message of the peer's cannot be inflated.
pub const NOT_INFLATABLE: CloseCode = CloseCode(0x6c7a_3401);

#[derive(Debug)]
pub(super) struct CompressionConnection {
    inner: Arc<dyn P2PConnection>,
    /// What was agreed, but for this layer's own part.
    negotiated: Negotiated,
    /// Bytes of the largest message that was asked for.
    message_bytes_max: usize,
    /// How messages become frames; nothing if the peer has no such layer, and messages pass as they are.
    worth: Option<Worth>,
    shared: Arc<Shared>,
    /// What frames added to the messages' bytes, or, beyond half of its range, took away.
    added: Added,
    /// Why the rest of what the peer sent is not looked at.
    violation: OnceLock<String>,
}

#[derive(Debug, Default)]
struct Added {
    sent: AtomicU64,
    received: AtomicU64,
}

impl CompressionConnection {
    /// `inner` with its messages compressed, if that was agreed; `inner` and the reason, if the peer agreed to what was
    /// not offered.
    pub(super) fn wrap(
        inner: Arc<dyn P2PConnection>,
        message_bytes_max: usize,
        shared: &Arc<Shared>,
    ) -> Result<Arc<dyn P2PConnection>, (Arc<dyn P2PConnection>, String)> {
        let mut negotiated = inner.negotiated().clone();
        let agreed = negotiated.capability(CAPABILITY).map(|capability| capability.data == LZ4);
        if agreed == Some(false) {
            return Err((inner, "the peer agreed to a way of compression that was not offered".into()));
        }
        negotiated.capabilities.retain(|capability| capability.name != CAPABILITY);
        let worth = agreed.map(|_| Worth::default());
        let shared = shared.clone();
        let (added, violation) = (Added::default(), OnceLock::new());
        Ok(Arc::new(Self { inner, negotiated, message_bytes_max, worth, shared, added, violation }))
    }

    /// What goes on the wire for a message, and the bytes that this adds.
    fn frame(&self, message: &Bytes) -> Result<Bytes> {
        let (size, limit) = (message.len(), self.limits().message_bytes_max);
        if size > limit {
            return Err(P2PError::MessageTooLarge { size, limit });
        }
        Ok(match &self.worth {
            Some(worth) => worth.frame(message, &self.shared.config, &self.shared.totals),
            None => message.clone(),
        })
    }

    fn accepted(&self, message_bytes: usize, wire_bytes: usize) {
        if self.worth.is_some() {
            self.shared.totals.accepted(message_bytes, wire_bytes);
            self.added.sent.fetch_add((wire_bytes as u64).wrapping_sub(message_bytes as u64), Relaxed);
        }
    }

    /// The message of a frame that arrived.
    fn read(&self, frame: Bytes) -> Result<Bytes> {
        if self.worth.is_none() {
            return Ok(frame);
        }
        self.check()?;
        let wire_bytes = frame.len() as u64;
        match frame::read(frame, self.message_bytes_max) {
            Ok(message) => {
                self.added.received.fetch_add(wire_bytes.wrapping_sub(message.len() as u64), Relaxed);
                Ok(message)
            }
            Err(violation) => {
                self.inner.close(NOT_INFLATABLE, &violation.0);
                let _ = self.violation.set(violation.0);
                Err(self.check().expect_err("there is a violation now"))
            }
        }
    }

    /// What was received after a message that cannot be read is not handed out: one would be missing in between.
    fn check(&self) -> Result<()> {
        match self.violation.get() {
            None => Ok(()),
            Some(violation) => Err(P2PError::protocol(violation)),
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl P2PConnection for CompressionConnection {
    forward_connection!(peer_id state accept_stream send_datagram recv_datagram);
    forward_connection!(finish close close_reason closed);

    fn negotiated(&self) -> &Negotiated {
        &self.negotiated
    }

    fn limits(&self) -> ConnectionLimits {
        let limits = self.inner.limits();
        let for_frames = if self.worth.is_some() { PLAIN_BYTES } else { 0 };
        let message_bytes_max = (limits.message_bytes_max - for_frames).min(self.message_bytes_max);
        ConnectionLimits { message_bytes_max, ..limits }
    }

    fn stats(&self) -> ConnectionStats {
        let stats = self.inner.stats();
        ConnectionStats {
            bytes_sent: stats.bytes_sent.wrapping_sub(self.added.sent.load(Relaxed)),
            bytes_received: stats.bytes_received.wrapping_sub(self.added.received.load(Relaxed)),
            ..stats
        }
    }

    fn try_send(&self, message: Bytes) -> Result<(), TrySendError> {
        let frame = self.frame(&message)?;
        let wire_bytes = frame.len();
        match self.inner.try_send(frame) {
            Ok(()) => {
                self.accepted(message.len(), wire_bytes);
                Ok(())
            }
            Err(TrySendError::Full(_)) => Err(TrySendError::Full(message)),
            Err(error) => Err(error),
        }
    }

    async fn send(&self, message: Bytes) -> Result<()> {
        let frame = self.frame(&message)?;
        let wire_bytes = frame.len();
        self.inner.send(frame).await?;
        self.accepted(message.len(), wire_bytes);
        Ok(())
    }

    fn try_recv(&self) -> Result<Option<Bytes>> {
        self.inner.try_recv()?.map(|frame| self.read(frame)).transpose()
    }

    async fn recv(&self) -> Result<Bytes> {
        let frame = self.inner.recv().await?;
        self.read(frame)
    }

    async fn open_stream(&self) -> Result<BiStream> {
        self.inner.open_stream().await
    }
}
