//! Connections to one server, kept for the next request.

use std::{
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use p2p::{Instant, Runtime};
use parking_lot::Mutex;

use crate::{
    connector::Connector,
    route::{Body, BodyError},
};

/// Idle connections to what a connector reaches.
#[derive(Debug)]
pub(super) struct Pool {
    connector: Arc<dyn Connector>,
    runtime: Arc<dyn Runtime>,
    idle_timeout: Duration,
    /// The one used last is at the end, and used first.
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<Body>,
    since: Instant,
}

/// Idle connections that are kept. The oldest one goes.
const IDLE_MAX: usize = 64;

/// The most that hyper reads ahead or gathers to write, in bytes.
const BUFFER_BYTES_MAX: usize = 128 * 1024;

impl Pool {
    pub(super) fn new(connector: Arc<dyn Connector>, runtime: Arc<dyn Runtime>, idle_timeout: Duration) -> Arc<Self> {
        Arc::new(Self { connector, runtime, idle_timeout, idle: Mutex::default() })
    }

    pub(super) fn connector(&self) -> &Arc<dyn Connector> {
        &self.connector
    }

    pub(super) fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.runtime
    }

    /// A kept connection that is open and free.
    pub(super) fn take(&self) -> Option<SendRequest<Body>> {
        let too_old = self.runtime.now() - self.idle_timeout;
        let mut idle = self.idle.lock();
        idle.retain(|kept| kept.since >= too_old && !kept.sender.is_closed());
        // One whose last exchange is just ending is not free yet.
        let free = idle.iter().rposition(|kept| kept.sender.is_ready())?;
        Some(idle.remove(free).sender)
    }

    /// A new connection.
    pub(super) async fn open(&self) -> std::io::Result<SendRequest<Body>> {
        let io = self.connector.connect().await?;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(BUFFER_BYTES_MAX);
        let (sender, connection) = builder.handshake(TokioIo::new(io)).await.map_err(std::io::Error::other)?;
        let driving = async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "A connection to a home ended.");
            }
        };
        // It ends when the sender is dropped.
        self.runtime.spawn("an HTTP connection", Box::pin(driving)).detach();
        Ok(sender)
    }

    fn keep(&self, sender: SendRequest<Body>) {
        if sender.is_closed() {
            return;
        }
        let mut idle = self.idle.lock();
        if idle.len() == IDLE_MAX {
            idle.remove(0);
        }
        idle.push(Idle { sender, since: self.runtime.now() });
    }
}

/// The answer's body, which keeps its connection when it has been read to the end.
pub(super) struct PooledBody {
    inner: Incoming,
    /// What is kept; gone once it is. Dropping it closes the connection, and so aborts the exchange.
    connection: Option<(SendRequest<Body>, Weak<Pool>)>,
}

impl PooledBody {
    pub(super) fn new(inner: Incoming, sender: SendRequest<Body>, pool: &Arc<Pool>) -> Self {
        let mut body = Self { inner, connection: Some((sender, Arc::downgrade(pool))) };
        if body.inner.is_end_stream() {
            body.keep();
        }
        body
    }

    fn keep(&mut self) {
        if let Some((sender, pool)) = self.connection.take()
            && let Some(pool) = pool.upgrade()
        {
            pool.keep(sender);
        }
    }
}

impl http_body::Body for PooledBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if frame.is_none() || self.inner.is_end_stream() {
            self.keep();
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
