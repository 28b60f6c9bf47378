//! Listeners that refuse diallers who come too often.

use std::sync::Arc;

use async_trait::async_trait;

use super::{account::Ledger, budget::Kind, connection::RateLimitConnection};
use crate::{
    Answer, Capability, P2PConnection, P2PListener, PeerAddr, PeerId, ProtocolId, Refusal, RefusalCode, Result,
};

/// Hands the limits on to the connections it accepts.
#[derive(Debug)]
pub(super) struct RateLimitListener {
    pub(super) inner: Box<dyn P2PListener>,
    pub(super) ledger: Arc<Ledger>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl P2PListener for RateLimitListener {
    fn protocol(&self) -> &ProtocolId {
        self.inner.protocol()
    }

    fn local_addr(&self) -> PeerAddr {
        self.inner.local_addr()
    }

    async fn accept(&self) -> Result<Arc<dyn P2PConnection>> {
        let connection = self.inner.accept().await?;
        let account = self.ledger.account(connection.peer_id());
        Ok(RateLimitConnection::wrap(connection, account))
    }
}

/// Counts a dialler before anybody else is asked, so that refusing one is the cheapest there is.
#[derive(Debug)]
pub(super) struct RateLimitAnswer {
    pub(super) behind: Arc<dyn Answer>,
    pub(super) ledger: Arc<Ledger>,
}

impl Answer for RateLimitAnswer {
    fn answer(&self, peer: PeerId, offered: &[Capability]) -> Result<Vec<Capability>, Refusal> {
        if let Err(denied) = self.ledger.account(peer).take(&[(Kind::Accepts, 1)]) {
            let refusal = Refusal::new(RefusalCode::RateLimited, format!("too many {}", denied.scope));
            return Err(refusal.with_retry_after(denied.retry_after()));
        }
        self.behind.answer(peer, offered)
    }
}
