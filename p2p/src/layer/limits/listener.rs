//! Listeners that refuse diallers for whom there is no place.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{connection::LimitsConnection, places::Places};
use crate::{
    Answer, Capability, CloseCode, P2PConnection, P2PListener, PeerAddr, PeerId, ProtocolId, Refusal, RefusalCode,
    Result,
};

/// What a connection is closed with that waited so long to be accepted that its place went to another.
pub const OVERTAKEN: CloseCode = CloseCode(0x5032_0001);

/// When a refused dialler is told to come again. When a place becomes free is not known; this keeps the dialler from
/// knocking all the time.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Sees that a connection has a place before it hands it out.
#[derive(Debug)]
pub(super) struct LimitsListener {
    pub(super) inner: Box<dyn P2PListener>,
    pub(super) places: Arc<Places>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl P2PListener for LimitsListener {
    fn protocol(&self) -> &ProtocolId {
        self.inner.protocol()
    }

    fn local_addr(&self) -> PeerAddr {
        self.inner.local_addr()
    }

    async fn accept(&self) -> Result<Arc<dyn P2PConnection>> {
        loop {
            let connection = self.inner.accept().await?;
            match self.places.accepted(connection.peer_id(), connection.state()) {
                Ok(()) => return Ok(LimitsConnection::wrap(connection, &self.places.bounds)),
                Err(full) => connection.close(OVERTAKEN, &full.to_string()),
            }
        }
    }
}

/// Takes a place for a dialler before anybody else is asked.
#[derive(Debug)]
pub(super) struct LimitsAnswer {
    pub(super) behind: Arc<dyn Answer>,
    pub(super) places: Arc<Places>,
}

impl Answer for LimitsAnswer {
    fn answer(&self, peer: PeerId, offered: &[Capability]) -> Result<Vec<Capability>, Refusal> {
        if let Err(full) = self.places.welcome(peer) {
            return Err(Refusal::new(RefusalCode::Busy, full.to_string()).with_retry_after(RETRY_AFTER));
        }
        self.behind.answer(peer, offered).inspect_err(|_| self.places.turn_away(peer))
    }
}
