//! `RateLimit`: how much passes in how much time, who waits, who is refused, and what a wait costs nobody.

mod allocations;
mod connections;
mod messages;
mod streams;

use std::{sync::Arc, time::Duration};

use p2p::{
    ConnectionConfig, ListenConfig, P2PConnection, P2PListener, P2PProvider,
    layer::{LayerExt, RateLimit, RateLimits, Rates, Traffic},
    memory::{MemoryNetwork, MemoryP2P},
};

const SECOND: Duration = Duration::from_secs(1);

fn per_peer(rates: Rates) -> RateLimits {
    RateLimits::NONE.with_per_peer(rates)
}

fn total(rates: Rates) -> RateLimits {
    RateLimits::NONE.with_total(rates)
}

fn sent(traffic: Traffic) -> RateLimits {
    per_peer(Rates::NONE.with_sent(traffic))
}

fn received(traffic: Traffic) -> RateLimits {
    per_peer(Rates::NONE.with_received(traffic))
}

/// One who is limited, and her friends, who are not.
struct Party {
    network: MemoryNetwork,
    alice: RateLimit<MemoryP2P>,
}

impl Party {
    fn new(limits: RateLimits) -> Self {
        let network = MemoryNetwork::new();
        let alice = network.provider("alice").with_rate_limits(limits);
        Self { network, alice }
    }

    /// A friend, who listens.
    async fn friend(&self, name: &str) -> Friend {
        let provider = self.network.provider(name);
        let listener = provider.listen_with(ListenConfig::default()).await.unwrap();
        Friend { provider, listener }
    }

    /// A connection from alice to a friend, with both ends.
    async fn connection(&self, friend: &Friend) -> (Arc<dyn P2PConnection>, Arc<dyn P2PConnection>) {
        let dial = self.alice.connect_with(friend.listener.local_addr(), ConnectionConfig::default());
        tokio::try_join!(dial, friend.listener.accept()).unwrap()
    }
}

struct Friend {
    provider: MemoryP2P,
    listener: Box<dyn P2PListener>,
}

/// A connection of one who is limited, and its other end.
async fn pair(limits: RateLimits) -> (Arc<dyn P2PConnection>, Arc<dyn P2PConnection>) {
    let party = Party::new(limits);
    let bob = party.friend("bob").await;
    party.connection(&bob).await
}

/// How long something took.
async fn timed<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let start = tokio::time::Instant::now();
    let output = future.await;
    (output, start.elapsed())
}
