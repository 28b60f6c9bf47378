//! What a pool keeps, and for how long: plain data.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{ConnectionConfig, P2PConnection};

/// What a pool keeps, and for how long.
#[derive(Debug, Clone)]
pub struct PoolConfig {
    /// The settings to dial with; the protocol is the one asked for. Defaults to [`ConnectionConfig::default`].
    ///
    /// Its [`idle_timeout`](ConnectionConfig::idle_timeout) is how long a peer that vanished goes unnoticed without a
    /// [`check`](Self::check).
    pub connection: ConnectionConfig,
    /// Connections the pool has at once, those being dialled included. Defaults to 64; at least 1.
    ///
    /// One more takes the place of the one that nobody has used for longest. If all are in use,
    /// [`get`](super::Pool::get) fails with [`LimitReached`](crate::P2PError::LimitReached).
    pub connections_max: usize,
    /// How long a connection is kept that nobody uses: with no handle and no stream of it open. Defaults to 60 s.
    pub idle_timeout: Duration,
    /// How a connection that nobody used is tried before it is handed out again. Defaults to none: it is handed out if it
    /// is connected as far as this side knows.
    pub check: Option<Arc<dyn Check>>,
    /// How long a check may take before it has failed. Defaults to 2 s.
    pub check_timeout: Duration,
    /// Connections used so recently are handed out unchecked. Defaults to 5 s.
    pub check_after: Duration,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            connection: ConnectionConfig::default(),
            connections_max: 64,
            idle_timeout: Duration::from_secs(60),
            check: None,
            check_timeout: Duration::from_secs(2),
            check_after: Duration::from_secs(5),
        }
    }
}

impl PoolConfig {
    /// Sets what to dial with.
    #[must_use]
    pub fn with_connection(mut self, config: ConnectionConfig) -> Self {
        self.connection = config;
        self
    }

    /// Bounds the connections.
    ///
    /// # Panics
    /// If `most` is 0.
    #[must_use]
    pub fn with_connections_max(mut self, most: usize) -> Self {
        assert!(most > 0, "a pool of no connections has none to give");
        self.connections_max = most;
        self
    }

    /// Sets how long an unused connection is kept.
    #[must_use]
    pub fn with_idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Sets how an unused connection is tried before it is handed out again.
    #[must_use]
    pub fn with_check(mut self, check: Arc<dyn Check>) -> Self {
        self.check = Some(check);
        self
    }
}

/// Finds out whether the peer is still there, in the application's own words: an echo on a stream, say.
///
/// One check at a time runs on a connection, and everybody who wants it waits for that one.
///
/// ```
/// use p2p::{P2PConnection, layer::Check};
///
/// /// Opens a stream, writes a byte, and wants it back.
/// async fn echo(connection: &dyn P2PConnection) -> p2p::Result<bool> {
///     let mut stream = connection.open_stream().await?;
///     stream.send.write_all(b"?").await?;
///     stream.send.finish()?;
///     Ok(stream.recv.read_to_end(1).await? == b"?")
/// }
///
/// #[derive(Debug)]
/// struct Echo;
///
/// #[async_trait::async_trait]
/// impl Check for Echo {
///     async fn check(&self, connection: &dyn P2PConnection) -> bool {
///         echo(connection).await.unwrap_or(false)
///     }
/// }
/// ```
#[async_trait]
pub trait Check: fmt::Debug + Send + Sync + 'static {
    /// Whether the connection is of use. Not being done in time counts as no.
    async fn check(&self, connection: &dyn P2PConnection) -> bool;
}
