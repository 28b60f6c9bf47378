//! Limits how often things happen: dials, accepted connections, messages, bytes, streams; with each peer and altogether.
//!
//! [`RateLimits`] says which limits there are, [`RateLimit`] is the layer. Inside: `gcra` is the algorithm, a `budget` is
//! what is left of every rate, `peers` the bounded table of them, an `account` one peer's budget and the total's, a `gate`
//! where callers wait; `listener`, `connection` and `stream` are the wrappers.

mod account;
mod budget;
mod connection;
mod gate;
mod gcra;
mod limits;
mod listener;
mod peers;
mod rate;
mod stream;

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use self::{
    account::Ledger,
    budget::Kind,
    connection::RateLimitConnection,
    listener::{RateLimitAnswer, RateLimitListener},
};
use super::answer;
use crate::{ConnectionConfig, ListenConfig, P2PConnection, P2PListener, P2PProvider, PeerAddr, Result};

pub use self::{
    limits::{RateLimits, Rates, Traffic},
    peers::PEERS_MAX,
    rate::Rate,
};

/// Limits how often things happen, by the [generic cell rate algorithm](https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm).
///
/// | what there is too much of | what happens |
/// |---|---|
/// | dials | [`P2PError::RateLimited`](crate::P2PError::RateLimited) says when to try again |
/// | diallers | refused as [`RateLimited`](crate::RefusalCode::RateLimited), with the time to come again |
/// | messages sent | `send` waits, `try_send` is `Full` and gives the message back |
/// | datagrams sent | [`P2PError::RateLimited`](crate::P2PError::RateLimited) |
/// | messages and datagrams received | not read, so the peer's provider stops the sender; of datagrams the oldest are dropped |
/// | streams opened, streams accepted | `open_stream` and `accept_stream` wait |
/// | bytes of streams | reads and writes wait |
///
/// Waiting ends early when the connection does. A call that is dropped while it waits has used up nothing, nor has one
/// that fails. Among several who wait, no order is kept.
///
/// The state is in the layer: all connections with a peer share the peer's budget, all peers the total, and so do clones
/// of the layer. Peers are remembered up to [`PEERS_MAX`]. A message costs two locks and a look at the clock, and no
/// allocation unless it has to wait.
///
/// Whoever is refused has cost a handshake all the same, since only that proves who it is; how many are answered at once
/// is for the [engine](crate::engine::HANDSHAKES_MAX) to bound.
///
/// ```
/// use std::time::Duration;
/// use p2p::{P2PError, P2PProvider, P2PProviderExt, memory::MemoryNetwork};
/// use p2p::layer::{LayerExt, Rate, RateLimits, Rates, Traffic};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> p2p::Result<()> {
/// let network = MemoryNetwork::new();
/// let chat: p2p::ProtocolId = "chat/1".parse()?;
///
/// // Bob answers a dialler once a minute, and reads ten messages a second from each.
/// let rates = Rates::NONE
///     .with_accepts(Rate::new(1, Duration::from_secs(60)))
///     .with_received(Traffic::NONE.with_messages(Rate::per_second(10)));
/// let bob = network.provider("bob").with_rate_limits(RateLimits::NONE.with_per_peer(rates));
/// let listener = bob.listen(&chat).await?;
///
/// let alice = network.provider("alice");
/// let _first = alice.connect(listener.local_addr(), &chat).await?;
/// let Err(P2PError::Refused { refusal, .. }) = alice.connect(listener.local_addr(), &chat).await else {
///     panic!("the second within a minute");
/// };
/// assert_eq!(refusal.retry_after, Some(Duration::from_secs(60)));
/// # Ok(()) }
/// ```
///
/// # Order
/// Belongs around [`Timeout`](super::Timeout), and within whatever dials again, whose every attempt it then counts. The
/// other way round the wait for its turn is part of the attempt, and what is only slow on purpose fails:
///
/// ```
/// use std::time::Duration;
/// use p2p::{P2PConnection, P2PProvider, P2PProviderExt, memory::MemoryNetwork};
/// use p2p::layer::{Deadlines, LayerExt, Rate, RateLimits, Rates, Traffic};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> p2p::Result<()> {
/// let one_a_second = Traffic::NONE.with_messages(Rate::per_second(1));
/// let limits = RateLimits::NONE.with_per_peer(Rates::NONE.with_sent(one_a_second));
/// let deadlines = Deadlines::default().with_send(Duration::from_millis(500));
///
/// let network = MemoryNetwork::new();
/// let right = network.provider("alice").with_timeout(deadlines).with_rate_limits(limits);
/// let wrong = network.provider("carol").with_rate_limits(limits).with_timeout(deadlines);
///
/// let (bob, chat) = (network.provider("bob"), "chat/1".parse()?);
/// let _listener = bob.listen(&chat).await?;
/// let (right, wrong) =
///     tokio::try_join!(right.connect(bob.local_peer_id(), &chat), wrong.connect(bob.local_peer_id(), &chat))?;
/// for connection in [&right, &wrong] {
///     connection.send("the first of this second".into()).await?;
/// }
/// let (waits, gives_up) = tokio::join!(right.send("the next".into()), wrong.send("the next".into()));
/// assert!(waits.is_ok() && gives_up.is_err());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct RateLimit<P> {
    inner: P,
    ledger: Arc<Ledger>,
}

impl<P: P2PProvider> RateLimit<P> {
    /// `inner` within these limits.
    pub fn new(inner: P, limits: RateLimits) -> Self {
        let ledger = Arc::new(Ledger::new(limits, inner.runtime().clone()));
        Self { inner, ledger }
    }
}

impl<P: fmt::Display> fmt::Display for RateLimit<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RateLimit({})", self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<P: P2PProvider> P2PProvider for RateLimit<P> {
    forward_provider!(local_peer_id runtime status peer_info shutdown);

    async fn connect_with(&self, peer: PeerAddr, config: ConnectionConfig) -> Result<Arc<dyn P2PConnection>> {
        let account = self.ledger.account(peer.peer);
        account.take(&[(Kind::Dials, 1)])?;
        let connection = self.inner.connect_with(peer, config).await?;
        Ok(RateLimitConnection::wrap(connection, account))
    }

    async fn listen_with(&self, mut config: ListenConfig) -> Result<Box<dyn P2PListener>> {
        let ledger = self.ledger.clone();
        config.answer = Some(Arc::new(RateLimitAnswer { behind: answer::behind(&config), ledger: ledger.clone() }));
        let inner = self.inner.listen_with(config).await?;
        Ok(Box::new(RateLimitListener { inner, ledger }))
    }
}
