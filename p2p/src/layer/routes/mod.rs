//! One peer, several ways to it.
//!
//! [`Routes`] is the layer, [`Route`] one way with its [`Turn`], [`RoutesHandle`] changes preferences while all runs. `table`
//! is what everything here shares; `race` dials; `climb` brings a session back to a better route; `connection` counts;
//! `status` makes one of several.
//!
//! # What was weighed
//! How a session changes its route needs no word on the wire and nothing of the layers between: a [`Reconnect`] above goes
//! on over any transport, so this layer only ends the worse one, once it knows that a better one leads to the same session.
//! It asks by repeating the session's own dial as attempt 0, which every peer refuses and which changes nothing there. A
//! dial for something else would tell less, and one that succeeds would appear in somebody's `accept`.
//!
//! [`Reconnect`]: crate::layer::Reconnect

mod climb;
mod connection;
mod handle;
mod race;
mod route;
mod status;
mod table;

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;

use self::{
    connection::{RoutesConnection, RoutesListener},
    status::Merged,
    table::Table,
};
use crate::{
    ConnectionConfig, ListenConfig, P2PConnection, P2PListener, P2PProvider, PeerAddr, PeerId, PeerInfo,
    ProviderStatus, Result, Runtime, Watch,
};

pub use self::{
    handle::{RouteState, RoutesHandle},
    route::{Route, Turn},
};

/// A provider over several that speak for the same peer, by preference.
///
/// A dial begins with the most preferred route; the next joins in at its [`Turn`], or as soon as all before it have
/// failed, and the first to succeed is the connection. A refusal as [`Busy`](crate::RefusalCode::Busy) or
/// [`RateLimited`](crate::RefusalCode::RateLimited) is the peer's word for all routes: no further one is tried. Where all
/// fail, what the peer said is the error, else that of the best route.
/// All routes together have `handshake_timeout`.
///
/// It listens on all routes, each with its own backlog. [`status`](P2PProvider::status) has the checks of all, by the
/// route's name, and hints are those of all together: a route gets hints that are for others, and ignores or tries them.
///
/// Under [`Reconnect`](crate::layer::Reconnect), on both sides, a session whose route is lost goes on over another, and
/// comes back: while a better route than its own is enabled, each session that was dialled here asks there for itself,
/// after about 1 s and then ever more rarely, down to once a minute, and at once when a preference changes. When the peer
/// answers, the worse transport is ended and the session resumes on the better one, with nothing lost or doubled and a gap
/// of about one dial. A connection that no `Reconnect` carries stays where it is until it ends.
///
/// The route in use is counted by the [handle](Routes::handle).
///
/// ```
/// use p2p::{
///     P2PConnection, P2PProvider, P2PProviderExt,
///     layer::{LayerExt, ReconnectConfig, routes::{Route, Routes}}, memory::MemoryNetwork,
/// };
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> p2p::Result<()> {
/// let (fast, slow) = (MemoryNetwork::new(), MemoryNetwork::new());
/// let both = |name| Routes::new([Route::new("fast", fast.provider(name)), Route::new("slow", slow.provider(name))]);
/// let (alice, bob) = (both("alice")?, both("bob")?);
/// let routes = alice.handle();
/// let alice = alice.with_reconnect(ReconnectConfig::default())?;
/// let bob = bob.with_reconnect(ReconnectConfig::default())?;
///
/// let chat = "chat/1".parse()?;
/// let listener = bob.listen(&chat).await?;
/// let (ours, theirs) = tokio::try_join!(alice.connect(bob.local_peer_id(), &chat), listener.accept())?;
/// assert_eq!(routes.get("fast")?.connections, 1);
///
/// routes.disable("fast")?;
/// ours.send("by whichever route".into()).await?;
/// assert_eq!(theirs.recv().await?, "by whichever route");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Routes(Arc<Inner>);

struct Inner {
    table: Arc<Table>,
    peer: PeerId,
    runtime: Arc<dyn Runtime>,
    status: OnceLock<Merged>,
}

impl Routes {
    /// A provider over these routes, the most preferred one first.
    ///
    /// Time, tasks and randomness are those of the first route's provider.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::P2PError::InvalidInput) for no routes or over 8, for a name that is empty or there
    /// twice, and for a provider of another [`PeerId`].
    pub fn new(routes: impl IntoIterator<Item = Route>) -> Result<Self> {
        let routes = route::checked(routes.into_iter().collect())?;
        let first = &routes[0].provider;
        let (peer, runtime) = (first.local_peer_id(), first.runtime().clone());
        let table = Arc::new(Table::new(routes, runtime.clone()));
        Ok(Self(Arc::new(Inner { table, peer, runtime, status: OnceLock::new() })))
    }

    /// What changes and shows the routes while they are in use.
    pub fn handle(&self) -> RoutesHandle {
        RoutesHandle::new(self.0.table.clone())
    }
}

impl fmt::Display for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Routes(")?;
        for (index, entry) in self.0.table.entries.iter().enumerate() {
            write!(f, "{}{}", if index > 0 { ", " } else { "" }, entry.provider)?;
        }
        f.write_str(")")
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes").field("table", &self.0.table).finish()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl P2PProvider for Routes {
    fn local_peer_id(&self) -> PeerId {
        self.0.peer
    }

    fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.0.runtime
    }

    fn status(&self) -> Watch<ProviderStatus> {
        self.0.status.get_or_init(|| Merged::start(&self.0.table, &self.0.runtime)).watch(&self.0.table)
    }

    fn peer_info(&self, peer: PeerId) -> Option<PeerInfo> {
        status::peer_info(&self.0.table, peer)
    }

    async fn connect_with(&self, peer: PeerAddr, config: ConnectionConfig) -> Result<Arc<dyn P2PConnection>> {
        let table = &self.0.table;
        let (route, connection) = race::dial(table, peer.clone(), config.clone()).await?;
        let climbing = climb::start(table, route, (peer, config), &connection);
        Ok(RoutesConnection::wrap(connection, table, route, climbing))
    }

    async fn listen_with(&self, config: ListenConfig) -> Result<Box<dyn P2PListener>> {
        let table = &self.0.table;
        let listens = table.entries.iter().map(|entry| entry.provider.listen_with(config.clone()));
        let inner = futures_util::future::try_join_all(listens).await?;
        Ok(Box::new(RoutesListener::new(inner, table.clone())))
    }

    async fn shutdown(&self, deadline: Duration) {
        let routes = self.0.table.entries.iter();
        futures_util::future::join_all(routes.map(|entry| entry.provider.shutdown(deadline))).await;
    }
}
