//! Two connected peers in memory.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use p2p::{P2PConnection, P2PProvider, P2PProviderExt, ProtocolId, layer::stack, memory::MemoryNetwork};
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
        Self::of(|network, name| Arc::new(network.provider(name)))
    }

    /// A pair with [every layer](crate::full_stack), counted by `recorder`.
    ///
    /// # Panics
    /// If the system gives no runtime.
    pub fn stacked(recorder: &dyn metrics::Recorder) -> Self {
        Self::of(|network, name| {
            let stacked = stack(network.provider(name), &crate::full_stack(), Some(recorder));
            stacked.expect("its order is the documented one").provider
        })
    }

    fn of(provider: impl Fn(&MemoryNetwork, &str) -> Arc<dyn P2PProvider>) -> Self {
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime on this thread");
        let network = MemoryNetwork::new();
        let (alice, bob) = (provider(&network, "alice"), provider(&network, "bob"));
        let protocol = ProtocolId::default();
        let (ours, theirs) = runtime.block_on(async {
            let listener = bob.listen(&protocol).await.expect("the first listener");
            tokio::try_join!(alice.connect(bob.local_peer_id(), &protocol), listener.accept())
                .expect("nothing fails in memory")
        });
        Self { runtime, ours, theirs }
    }

    /// Sends `burst` messages, then receives them, so many times, and tells how long that took.
    ///
    /// # Panics
    /// If the queue does not hold a burst, or the connection ends.
    pub fn bursts(&self, message: &Bytes, burst: u64, times: u64) -> Duration {
        self.runtime.block_on(async {
            let start = Instant::now();
            for _ in 0..times {
                for _ in 0..burst {
                    self.ours.try_send(message.clone()).expect("the queue holds a burst");
                }
                let mut received = 0;
                while received < burst {
                    match self.theirs.try_recv().expect("the connection lives") {
                        Some(message) => received += u64::from(!black_box(message).is_empty()),
                        None => tokio::task::yield_now().await,
                    }
                }
            }
            start.elapsed()
        })
    }
}

impl Default for Pair {
    fn default() -> Self {
        Self::new()
    }
}
