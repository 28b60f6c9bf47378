//! Peers within one process: no network, no delay, no loss.
//!
//! For examples, for tests that are not about the network, and as the simplest complete provider to learn from: a
//! [transport](crate::transport), a [hub](crate::engine::Hub), and a way to find each other.

mod pipe;
pub(crate) mod transport;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::{
    ConnectionConfig, ListenConfig, P2PConnection, P2PError, P2PListener, P2PProvider, PeerAddr, PeerId, PeerInfo,
    ProviderStatus, Result, Runtime, SharedError, TokioRuntime, Watch, WatchSender, engine::Hub,
};

/// A set of peers that can reach each other. Clones are the same network.
#[derive(Debug, Clone)]
pub struct MemoryNetwork {
    peers: Arc<Mutex<Peers>>,
    runtime: Arc<dyn Runtime>,
    datagrams: bool,
}

type Peers = BTreeMap<PeerId, Weak<Inner>>;

impl MemoryNetwork {
    /// A network without peers, on tokio's time and tasks.
    pub fn new() -> Self {
        Self::with_runtime(Arc::new(TokioRuntime))
    }

    /// A network without peers, whose connections use that runtime.
    pub fn with_runtime(runtime: Arc<dyn Runtime>) -> Self {
        Self { peers: Arc::default(), runtime, datagrams: true }
    }

    /// The same network, whose new connections carry no datagrams, as some transports cannot.
    #[must_use]
    pub fn without_datagrams(mut self) -> Self {
        self.datagrams = false;
        self
    }

    /// A new peer of that name, whose identity is [`PeerId::from_name`]. It takes the place of an earlier one of the
    /// same name.
    pub fn provider(&self, name: &str) -> MemoryP2P {
        let peer = PeerId::from_name(name);
        let status = ProviderStatus { addr: peer.into(), checks: Vec::new(), shut_down: false };
        let inner = Arc::new(Inner {
            peer,
            hub: Hub::new(peer, self.runtime.clone()),
            network: self.clone(),
            status: WatchSender::new(status),
        });
        self.peers.lock().insert(peer, Arc::downgrade(&inner));
        MemoryP2P(inner)
    }

    fn find(&self, peer: PeerId) -> Option<Arc<Inner>> {
        self.peers.lock().get(&peer).and_then(Weak::upgrade)
    }
}

impl Default for MemoryNetwork {
    fn default() -> Self {
        Self::new()
    }
}

/// One peer of a [`MemoryNetwork`]. Clones are the same peer.
#[derive(Clone)]
pub struct MemoryP2P(Arc<Inner>);

struct Inner {
    peer: PeerId,
    hub: Arc<Hub>,
    network: MemoryNetwork,
    status: WatchSender<ProviderStatus>,
}

#[async_trait]
impl P2PProvider for MemoryP2P {
    fn local_peer_id(&self) -> PeerId {
        self.0.peer
    }

    fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.0.network.runtime
    }

    fn status(&self) -> Watch<ProviderStatus> {
        self.0.status.subscribe()
    }

    fn peer_info(&self, peer: PeerId) -> Option<PeerInfo> {
        self.0.network.find(peer)?;
        Some(PeerInfo { connections: self.0.hub.connections(peer), ..PeerInfo::new(peer.into()) })
    }

    async fn connect_with(&self, peer: PeerAddr, config: ConnectionConfig) -> Result<Arc<dyn P2PConnection>> {
        let peer = peer.peer;
        let dialing = async {
            let Some(callee) = self.0.network.find(peer).filter(|callee| !callee.hub.is_shut_down()) else {
                let source = SharedError::new("no such peer is on this network");
                return Err(P2PError::PeerNotFound { peer, source });
            };
            let (ours, theirs) = transport::pair(self.0.peer, peer, self.0.network.datagrams);
            callee.hub.incoming(theirs);
            Ok(ours)
        };
        self.0.hub.connect(peer, config, dialing).await
    }

    async fn listen_with(&self, config: ListenConfig) -> Result<Box<dyn P2PListener>> {
        let peer = self.0.peer;
        self.0.hub.listen(config, move || peer.into())
    }

    async fn shutdown(&self, deadline: Duration) {
        self.0.status.modify(|status| !std::mem::replace(&mut status.shut_down, true));
        self.0.hub.shutdown(deadline).await;
    }
}

impl fmt::Display for MemoryP2P {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory")
    }
}

impl fmt::Debug for MemoryP2P {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryP2P").field("peer", &self.0.peer).field("hub", &self.0.hub).finish()
    }
}
