//! Two connected peers in memory.

use std::sync::Arc;

use p2p::{P2PConnection, P2PProvider, P2PProviderExt, ProtocolId, memory::MemoryNetwork};
use tokio::runtime::{Builder, Runtime};

/// Two ends of one connection, and what drives it: one thread, so that a bench times work and no wakeups between cores.
#[derive(Debug)]
pub struct Pair {
    /// The runtime in which the connection lives.
    pub runtime: Runtime,
    /// The dialling end.
    pub ours: Arc<dyn P2PConnection>,
    /// The answering end.
    pub theirs: Arc<dyn P2PConnection>,
}

impl Pair {
    /// A pair with the default settings.
    ///
    /// # Panics
    /// If the system gives no runtime.
    pub fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime on this thread");
        let network = MemoryNetwork::new();
        let (alice, bob) = (network.provider("alice"), network.provider("bob"));
        let protocol = ProtocolId::default();
        let (ours, theirs) = runtime.block_on(async {
            let listener = bob.listen(&protocol).await.expect("the first listener");
            tokio::try_join!(alice.connect(bob.local_peer_id(), &protocol), listener.accept())
                .expect("nothing fails in memory")
        });
        Self { runtime, ours, theirs }
    }
}

impl Default for Pair {
    fn default() -> Self {
        Self::new()
    }
}
