//! The listener of a saboteur.

use std::{collections::VecDeque, sync::Arc};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::{A_MOMENT, FOR_EVER, Fault, Shared};
use crate::{
    CloseCode, ConnectionConfig, P2PConnection, P2PError, P2PListener, PeerAddr, PeerId, ProtocolId, Result, RuntimeExt,
};

#[derive(Debug)]
pub(super) struct SabotagedListener {
    inner: Arc<dyn P2PListener>,
    shared: Arc<Shared>,
    config: ConnectionConfig,
    again: Mutex<VecDeque<Arc<dyn P2PConnection>>>,
    accepted: Mutex<Vec<Arc<dyn P2PConnection>>>,
}

impl SabotagedListener {
    pub(super) fn new(inner: Arc<dyn P2PListener>, shared: Arc<Shared>, config: ConnectionConfig) -> Self {
        Self { inner, shared, config, again: Mutex::default(), accepted: Mutex::default() }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl P2PListener for SabotagedListener {
    fn protocol(&self) -> &ProtocolId {
        self.inner.protocol()
    }

    fn local_addr(&self) -> PeerAddr {
        let mut addr = self.inner.local_addr();
        if self.shared.has(Fault::MisstatesListeners) {
            addr.peer = PeerId::from_name("somebody else");
        }
        addr
    }

    async fn accept(&self) -> Result<Arc<dyn P2PConnection>> {
        let shared = &self.shared;
        if let Some(again) = self.again.lock().pop_front() {
            return Ok(again);
        }
        if shared.has(Fault::OneHandshakeAtATime) {
            shared.runtime.sleep(self.config.handshake_timeout).await;
        }
        let accepted = self.inner.accept().await;
        let hangs = match shared.fault {
            Fault::HangsOnShutdown => matches!(accepted, Err(P2PError::ShutDown)),
            Fault::AcceptsNobodyAfterDialling => shared.kept.lock().has_dialled,
            _ => false,
        };
        if hangs {
            shared.runtime.sleep(FOR_EVER).await;
        }
        let connection = shared.wrap(accepted?, &self.config, false);
        match shared.fault {
            Fault::TakesBeforeWaiting => shared.runtime.sleep(A_MOMENT).await,
            Fault::AcceptsTwice => self.again.lock().push_back(connection.clone()),
            Fault::ListenersEndConnections => self.accepted.lock().push(connection.clone()),
            _ => {}
        }
        Ok(connection)
    }
}

impl Drop for SabotagedListener {
    fn drop(&mut self) {
        for connection in self.accepted.lock().drain(..) {
            connection.close(CloseCode::OK, "");
        }
    }
}
