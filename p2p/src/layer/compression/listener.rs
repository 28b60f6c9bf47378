//! The accepting side.

use std::sync::Arc;

use async_trait::async_trait;

use super::{CAPABILITY, LZ4, NOT_INFLATABLE, Shared, capability, connection::CompressionConnection};
use crate::{Answer, Capability, P2PConnection, P2PListener, PeerAddr, PeerId, ProtocolId, Refusal, Result};

/// Takes the capability from a dialler who knows LZ4, and leaves the rest to the application.
#[derive(Debug)]
pub(super) struct CompressionAnswer {
    pub(super) behind: Arc<dyn Answer>,
}

impl Answer for CompressionAnswer {
    fn answer(&self, peer: PeerId, offered: &[Capability]) -> Result<Vec<Capability>, Refusal> {
        let (ours, offered): (Vec<_>, Vec<_>) =
            offered.iter().cloned().partition(|capability| capability.name == CAPABILITY);
        let mut taken = self.behind.answer(peer, &offered)?;
        if ours.iter().any(|capability| capability.data == LZ4) {
            taken.push(capability());
        }
        Ok(taken)
    }
}

/// Compresses what is sent on the connections it accepts.
#[derive(Debug)]
pub(super) struct CompressionListener {
    pub(super) inner: Box<dyn P2PListener>,
    pub(super) message_bytes_max: usize,
    pub(super) shared: Arc<Shared>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl P2PListener for CompressionListener {
    fn protocol(&self) -> &ProtocolId {
        self.inner.protocol()
    }

    fn local_addr(&self) -> PeerAddr {
        self.inner.local_addr()
    }

    async fn accept(&self) -> Result<Arc<dyn P2PConnection>> {
        loop {
            let connection = self.inner.accept().await?;
            match CompressionConnection::wrap(connection, self.message_bytes_max, &self.shared) {
                Ok(connection) => return Ok(connection),
                Err((connection, violation)) => connection.close(NOT_INFLATABLE, &violation),
            }
        }
    }
}
