//! A provider that breaks exactly one promise of the contract.
//!
//! [`fault`] lists the promises; provider, [`listener`], [`connection`] and [`stream`] break them, one `match` arm or
//! `if` per fault, and forward everything else.

mod connection;
mod fault;
mod listener;
mod stream;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;

pub use self::fault::{Call, Fault};
use self::{connection::SabotagedConnection, listener::SabotagedListener};
use crate::{
    ConnectionConfig, ListenConfig, P2PConnection, P2PError, P2PListener, P2PProvider, PeerAddr, PeerId, PeerInfo,
    ProtocolId, ProviderStatus, Result, Runtime, RuntimeExt, Watch,
};

/// Wraps a provider and breaks one promise of the contract: the [`Fault`].
///
/// ```
/// use p2p::{memory::MemoryNetwork, mock::{Fault, Saboteur}};
///
/// let provider = Saboteur::new(MemoryNetwork::new().provider("mallory"), Fault::LosesMessages);
/// assert_eq!(provider.to_string(), "Saboteur(LosesMessages, memory)");
/// ```
#[derive(Debug)]
pub struct Saboteur<P> {
    inner: P,
    shared: Arc<Shared>,
}

/// What a provider's listeners and connections know of it.
#[derive(Debug)]
struct Shared {
    fault: Fault,
    runtime: Arc<dyn Runtime>,
    local: PeerId,
    kept: Mutex<Kept>,
    shutting_down: AtomicBool,
}

/// What faults remember or refuse to let go of.
#[derive(Debug, Default)]
struct Kept {
    connections: Vec<Arc<dyn P2PConnection>>,
    listeners: Vec<Arc<dyn P2PListener>>,
    open: Vec<Weak<dyn P2PConnection>>,
    by_peer: BTreeMap<PeerId, Arc<dyn P2PConnection>>,
    protocol: Option<ProtocolId>,
    has_dialled: bool,
}

/// Far beyond any deadline of a test.
const FOR_EVER: Duration = Duration::from_secs(24 * 60 * 60);

/// Longer than an impatient caller waits at first.
const A_MOMENT: Duration = Duration::from_millis(3);

impl<P: P2PProvider> Saboteur<P> {
    /// `inner`, broken in that way.
    pub fn new(inner: P, fault: Fault) -> Self {
        let shared = Arc::new(Shared {
            fault,
            runtime: inner.runtime().clone(),
            local: inner.local_peer_id(),
            kept: Mutex::default(),
            shutting_down: AtomicBool::new(false),
        });
        Self { inner, shared }
    }
}

impl Shared {
    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    /// Wraps a new connection.
    fn wrap(
        self: &Arc<Self>,
        inner: Arc<dyn P2PConnection>,
        config: &ConnectionConfig,
        dialled: bool,
    ) -> Arc<dyn P2PConnection> {
        let mut kept = self.kept.lock();
        kept.open.push(Arc::downgrade(&inner));
        if self.has(Fault::KeepsDroppedConnections) {
            kept.connections.push(inner.clone());
        }
        Arc::new(SabotagedConnection::new(inner, self.clone(), config, dialled))
    }

    /// The error as this saboteur tells it.
    fn tell<T>(&self, result: Result<T>) -> Result<T> {
        match result {
            Err(_) if self.has(Fault::VagueErrors) => {
                Err(P2PError::Protocol { violation: "something went wrong".into() })
            }
            result => result,
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<P: P2PProvider> P2PProvider for Saboteur<P> {
    fn local_peer_id(&self) -> PeerId {
        self.inner.local_peer_id()
    }

    fn runtime(&self) -> &Arc<dyn Runtime> {
        self.inner.runtime()
    }

    fn status(&self) -> Watch<ProviderStatus> {
        match self.shared.fault {
            Fault::StatusStandsStill => Watch::constant(self.inner.status().get()),
            _ => self.inner.status(),
        }
    }

    fn peer_info(&self, peer: PeerId) -> Option<PeerInfo> {
        match self.shared.fault {
            Fault::KnowsNobody => None,
            _ => self.inner.peer_info(peer),
        }
    }

    async fn connect_with(&self, peer: PeerAddr, mut config: ConnectionConfig) -> Result<Arc<dyn P2PConnection>> {
        let shared = &self.shared;
        let dialled = peer.peer;
        match shared.fault {
            Fault::OffersNothing => config.capabilities.clear(),
            Fault::DialsForever => {
                config.handshake_timeout = FOR_EVER;
                if self.inner.peer_info(dialled).is_none() {
                    shared.runtime.sleep(FOR_EVER).await;
                }
            }
            Fault::AcceptsNobodyAfterDialling => shared.kept.lock().has_dialled = true,
            Fault::MixesProtocols => {
                let mut kept = shared.kept.lock();
                config.protocol = kept.protocol.get_or_insert(config.protocol).clone();
            }
            Fault::SharesConnections => {
                if let Some(first) = shared.kept.lock().by_peer.get(&dialled) {
                    return Ok(first.clone());
                }
            }
            _ => {}
        }
        let connection = self.inner.connect_with(peer, config.clone()).await;
        let connection = shared.wrap(shared.tell(connection)?, &config, true);
        match shared.fault {
            Fault::KeepsDroppedDials => {
                shared.kept.lock().connections.push(connection.clone());
                shared.runtime.sleep(A_MOMENT).await;
            }
            Fault::SharesConnections => {
                shared.kept.lock().by_peer.insert(dialled, connection.clone());
            }
            _ => {}
        }
        Ok(connection)
    }

    async fn listen_with(&self, mut config: ListenConfig) -> Result<Box<dyn P2PListener>> {
        if self.shared.has(Fault::EndlessBacklog) {
            config.backlog_max = usize::MAX >> 4;
        }
        let connection = config.connection.clone();
        let listener: Arc<dyn P2PListener> = Arc::from(self.shared.tell(self.inner.listen_with(config).await)?);
        if self.shared.has(Fault::KeepsDroppedListeners) {
            self.shared.kept.lock().listeners.push(listener.clone());
        }
        Ok(Box::new(SabotagedListener::new(listener, self.shared.clone(), connection)))
    }

    async fn shutdown(&self, mut deadline: Duration) {
        let is_second = self.shared.shutting_down.swap(true, SeqCst);
        match self.shared.fault {
            Fault::DropEndsSlowCalls => self.shared.runtime.sleep(A_MOMENT).await,
            Fault::ShutsDownWithoutDeadline => deadline = FOR_EVER,
            Fault::SecondShutdownReturnsAtOnce if is_second => return,
            Fault::ShutsDownByClosing => {
                let open = std::mem::take(&mut self.shared.kept.lock().open);
                for connection in open.iter().filter_map(Weak::upgrade) {
                    connection.close(crate::CloseCode::OK, "");
                }
            }
            _ => {}
        }
        self.inner.shutdown(deadline).await;
    }
}

impl<P: fmt::Display> fmt::Display for Saboteur<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Saboteur({:?}, {})", self.shared.fault, self.inner)
    }
}
