//! A client's helper: one connection to each peer and protocol, dialled once, shared, kept while it is of use.
//!
//! [`Pool`] hands out [`PooledConnection`]s. It stands above a stack of layers and is no provider itself. Inside: `slots`
//! is the state machine, a `flight` the one dial that everybody waits for, a `member` a connection with its leases,
//! `handle` what is handed out.

mod config;
mod flight;
mod handle;
mod member;
mod slots;
mod stats;

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use self::{
    flight::{Flight, Landing},
    member::Lease,
    slots::{Found, Key, Outcome, Slots},
};
use crate::{
    Instant, P2PError, P2PProvider, PeerAddr, ProtocolId, Result, Runtime, RuntimeExt, SharedError, Watch, WatchSender,
};

pub use self::{
    config::{Check, PoolConfig},
    handle::{LazyPeer, PooledConnection},
    stats::PoolStats,
};

/// Connections to peers, each dialled when it is first asked for and shared by all who ask.
///
/// - **One dial.** However many ask for a peer at once, it is dialled once, and all get the connection, or the error. The
///   dial goes on if they leave; whoever asks next finds what came of it.
/// - **Streams only.** What is shared opens streams; see [`PooledConnection`].
/// - **Kept while used**, and for [`idle_timeout`](PoolConfig::idle_timeout) after that. Streams keep it, too.
/// - **Sound.** A connection that has closed, or that nobody uses and that fails its [`Check`], is replaced by a new dial.
/// - **Bounded.** Beyond [`connections_max`](PoolConfig::connections_max) the longest unused one goes; if there is none, the
///   call fails.
///
/// Clones are the same pool. When the last one is dropped, dials are given up and unused connections close; what was
/// handed out stays.
///
/// ```
/// use p2p::{P2PListener, P2PProvider, P2PProviderExt, memory::MemoryNetwork};
/// use p2p::layer::{LayerExt, PoolConfig};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> p2p::Result<()> {
/// let network = MemoryNetwork::new();
/// let (alice, bob) = (network.provider("alice"), network.provider("bob"));
/// let files: p2p::ProtocolId = "files/1".parse()?;
/// let listener = bob.listen(&files).await?;
///
/// let pool = alice.into_pool(PoolConfig::default());
/// let (one, two) = tokio::try_join!(
///     pool.get(bob.local_peer_id(), &files),
///     pool.get(bob.local_peer_id(), &files),
/// )?;
/// assert_eq!(pool.stats().dials, 1);
///
/// let accepted = listener.accept().await?;
/// let mut request = two.open_stream().await?;
/// request.send.write_all(b"a name").await?;
/// assert!(accepted.accept_stream().await.is_ok());
/// # drop(one); Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    provider: Arc<dyn P2PProvider>,
    config: PoolConfig,
    state: Mutex<State>,
    alive: WatchSender<Alive>,
}

/// Never changes. Its end tells the pool's tasks that the pool is gone.
#[derive(Debug, Clone, Copy)]
struct Alive;

#[derive(Debug, Default)]
struct State {
    slots: Slots,
    /// Whether the task runs that evicts. It does while there is a connection.
    is_evicting: bool,
}

impl Pool {
    /// A pool that dials by way of `provider`. Nothing is dialled yet.
    pub fn new(provider: impl P2PProvider, config: PoolConfig) -> Self {
        let (provider, alive) = (Arc::new(provider), WatchSender::new(Alive));
        Self { shared: Arc::new(Shared { provider, config, state: Mutex::default(), alive }) }
    }

    /// The connection to that peer for that protocol, dialled if there is none.
    ///
    /// Of several callers who find none, the first one's hints are dialled.
    ///
    /// # Errors
    /// As [`connect_with`](P2PProvider::connect_with), the same for all who wait for one dial; and
    /// [`LimitReached`](P2PError::LimitReached) if the pool is full of connections in use.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing. A dial it began goes on, for others and for the next call.
    pub async fn get(&self, peer: impl Into<PeerAddr>, protocol: &ProtocolId) -> Result<PooledConnection> {
        let addr = peer.into();
        let peer = addr.peer;
        let lease = match self.shared.find_or_begin(addr, protocol)? {
            Wanted::Here(lease) => lease,
            Wanted::Pending(mut outcome) => match outcome.wait_for(Option::is_some).await {
                Ok(Some(outcome)) => outcome?,
                Ok(None) | Err(_) => {
                    let source = SharedError::new("the task that dialled was ended");
                    return Err(P2PError::ConnectionFailed { peer, source });
                }
            },
        };
        Ok(PooledConnection::new(lease))
    }

    /// A handle on a peer that is dialled when it is first used, and again when its connection is gone.
    pub fn lazy(&self, peer: impl Into<PeerAddr>, protocol: &ProtocolId) -> LazyPeer {
        LazyPeer { pool: self.clone(), addr: peer.into(), protocol: protocol.clone() }
    }

    /// What it has, and what it did so far.
    pub fn stats(&self) -> PoolStats {
        self.shared.state.lock().slots.stats()
    }
}

enum Wanted {
    Here(Lease),
    Pending(Watch<Outcome>),
}

impl Shared {
    fn find_or_begin(self: &Arc<Self>, addr: PeerAddr, protocol: &ProtocolId) -> Result<Wanted> {
        let key = (addr.peer, protocol.clone());
        let runtime = self.provider.runtime();
        let (unchecked, sender) = {
            let mut state = self.state.lock();
            match state.slots.find(&key, &self.config, runtime.now())? {
                Found::Connected(lease) => return Ok(Wanted::Here(lease)),
                Found::Pending(outcome) => return Ok(Wanted::Pending(outcome)),
                Found::Nothing { unchecked } => {
                    let sender = WatchSender::new(None);
                    state.slots.begin(key.clone(), sender.subscribe());
                    (unchecked, sender)
                }
            }
        };
        // Not under the lock: a runtime that is shutting down drops the task at once, which takes it to tidy up.
        let outcome = sender.subscribe();
        let landing = Landing { pool: Arc::downgrade(self), key, outcome: sender };
        let (provider, config) = (self.provider.clone(), self.config.clone());
        let flight = Flight { provider, config, addr, unchecked, landing };
        runtime.spawn("a pool's dial", Box::pin(flight.fly(self.alive.subscribe()))).detach();
        Ok(Wanted::Pending(outcome))
    }

    fn landed(self: &Arc<Self>, key: &Key, lease: Option<&Lease>) {
        let is_first = {
            let mut state = self.state.lock();
            state.slots.land(key, lease);
            lease.is_some() && !std::mem::replace(&mut state.is_evicting, true)
        };
        if is_first {
            let runtime = self.provider.runtime();
            let eviction = evict(Arc::downgrade(self), self.alive.subscribe(), runtime.clone());
            runtime.spawn("a pool's eviction", Box::pin(eviction)).detach();
        }
    }

    /// Lets go of what has been idle too long. Returns when to look again, if anything is left.
    fn evict(&self) -> Option<Instant> {
        let mut state = self.state.lock();
        let next = state.slots.evict(&self.config, self.provider.runtime().now());
        state.is_evicting = next.is_some();
        next
    }
}

async fn evict(pool: Weak<Shared>, mut alive: Watch<Alive>, runtime: Arc<dyn Runtime>) {
    while let Some(next) = pool.upgrade().and_then(|pool| pool.evict()) {
        crate::select! {
            _ = alive.changed() => return,
            () = runtime.sleep_until(next) => {}
        }
    }
}
