//! Which attempts have a deadline, and how a deadline is kept.

use std::{future::Future, sync::Arc, time::Duration};

use crate::{P2PError, Result, Runtime, RuntimeExt};

/// How long each attempt may take; nothing means as long as it likes.
///
/// By default only what has to come to an end by itself has a deadline. A `send`, an `open_stream` and a `finish` wait
/// for a peer that is slow on purpose as much as for one that is gone, so their deadlines are for those who know their
/// peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deadlines {
    /// For a dial, from the lookup of the address to the end of the handshake. Defaults to 15 s.
    ///
    /// The shorter of this and [`handshake_timeout`](crate::ConnectionConfig::handshake_timeout) counts. The default is
    /// longer than that one's, so that a handshake that stalls is reported as such, and this catches the rest.
    pub connect: Option<Duration>,
    /// For becoming dialable. Defaults to 15 s.
    ///
    /// Where [`ready_timeout`](crate::ListenConfig::ready_timeout) returns a listener that is not dialable yet, this ends
    /// the listening: keep it longer.
    pub listen: Option<Duration>,
    /// For a `send` that waits for room. Defaults to none. The message was not accepted.
    pub send: Option<Duration>,
    /// For an `open_stream` that waits for the peer to allow one more. Defaults to none.
    pub open_stream: Option<Duration>,
    /// For a `finish` that waits for everything to arrive. Defaults to none.
    ///
    /// The connection goes on finishing; [`close`](crate::P2PConnection::close) it to give the rest up.
    pub finish: Option<Duration>,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { connect: Some(Duration::from_secs(15)), listen: Some(Duration::from_secs(15)), ..Self::NONE }
    }
}

impl Deadlines {
    /// No deadline for anything.
    pub const NONE: Self = Self { connect: None, listen: None, send: None, open_stream: None, finish: None };

    /// Bounds a dial.
    #[must_use]
    pub const fn with_connect(mut self, after: Duration) -> Self {
        self.connect = Some(after);
        self
    }

    /// Bounds the wait to become dialable.
    #[must_use]
    pub const fn with_listen(mut self, after: Duration) -> Self {
        self.listen = Some(after);
        self
    }

    /// Bounds the wait for room to send.
    #[must_use]
    pub const fn with_send(mut self, after: Duration) -> Self {
        self.send = Some(after);
        self
    }

    /// Bounds the wait to open a stream.
    #[must_use]
    pub const fn with_open_stream(mut self, after: Duration) -> Self {
        self.open_stream = Some(after);
        self
    }

    /// Bounds the wait for everything to arrive.
    #[must_use]
    pub const fn with_finish(mut self, after: Duration) -> Self {
        self.finish = Some(after);
        self
    }

    /// Whether any of them concerns an established connection.
    pub(super) const fn concern_connections(&self) -> bool {
        self.send.is_some() || self.open_stream.is_some() || self.finish.is_some()
    }
}

/// Lets `attempt` run to its deadline, if it has one.
pub(super) async fn within<T>(
    deadline: Option<Duration>,
    during: &'static str,
    runtime: &Arc<dyn Runtime>,
    attempt: impl Future<Output = Result<T>> + Send,
) -> Result<T> {
    match deadline {
        None => attempt.await,
        // The attempt is polled before the clock is looked at, so one that has completed is never thrown away.
        Some(after) => runtime.timeout(after, attempt).await.unwrap_or(Err(P2PError::Timeout { during, after })),
    }
}
