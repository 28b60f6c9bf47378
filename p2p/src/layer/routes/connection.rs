//! Listeners and connections: several listeners as one, and connections that are counted by route.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::Poll,
};

use async_trait::async_trait;

use super::table::Table;
use crate::{BiStream, P2PConnection, P2PListener, PeerAddr, ProtocolId, Result, TaskHandle};

/// Accepts by all routes.
#[derive(Debug)]
pub(super) struct RoutesListener {
    /// One for each route, in the order of the table.
    inner: Vec<Box<dyn P2PListener>>,
    table: Arc<Table>,
    /// Which route the next `accept` looks at first, so that a busy one does not starve the others.
    next: AtomicUsize,
}

impl RoutesListener {
    pub(super) fn new(inner: Vec<Box<dyn P2PListener>>, table: Arc<Table>) -> Self {
        Self { inner, table, next: AtomicUsize::new(0) }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl P2PListener for RoutesListener {
    fn protocol(&self) -> &ProtocolId {
        self.inner[0].protocol()
    }

    fn local_addr(&self) -> PeerAddr {
        let addrs = self.inner.iter().map(|listener| listener.local_addr());
        addrs.reduce(super::status::merge_addr).expect("there is at least one route")
    }

    async fn accept(&self) -> Result<Arc<dyn P2PConnection>> {
        let routes = self.inner.len();
        let first = self.next.fetch_add(1, Relaxed);
        let order = (0..routes).map(|place| first.wrapping_add(place) % routes);
        let mut calls: Vec<_> = order.map(|route| (route, self.inner[route].accept())).collect();
        let mut last = None;
        poll_fn(|cx| {
            let mut place = 0;
            while let Some((route, call)) = calls.get_mut(place) {
                match call.as_mut().poll(cx) {
                    Poll::Ready(Ok(connection)) => {
                        return Poll::Ready(Ok(RoutesConnection::wrap(connection, &self.table, *route, None)));
                    }
                    // The others go on without that route.
                    Poll::Ready(Err(error)) => {
                        last = Some(error);
                        drop(calls.remove(place));
                    }
                    Poll::Pending => place += 1,
                }
            }
            match last.take() {
                Some(error) if calls.is_empty() => Poll::Ready(Err(error)),
                _ => Poll::Pending,
            }
        })
        .await
    }
}

/// Counts as one of its route's until it is dropped.
#[derive(Debug)]
pub(super) struct RoutesConnection {
    inner: Arc<dyn P2PConnection>,
    table: Arc<Table>,
    route: usize,
    _climbing: Option<TaskHandle>,
}

impl RoutesConnection {
    pub(super) fn wrap(
        inner: Arc<dyn P2PConnection>,
        table: &Arc<Table>,
        route: usize,
        climbing: Option<TaskHandle>,
    ) -> Arc<dyn P2PConnection> {
        table.entries[route].connections.fetch_add(1, Relaxed);
        Arc::new(Self { inner, table: table.clone(), route, _climbing: climbing })
    }
}

impl Drop for RoutesConnection {
    fn drop(&mut self) {
        self.table.entries[self.route].connections.fetch_sub(1, Relaxed);
    }
}

#[deny(clippy::missing_trait_methods)]
impl P2PConnection for RoutesConnection {
    forward_connection!(peer_id negotiated limits stats state);
    forward_connection!(try_send send try_recv recv accept_stream send_datagram recv_datagram);
    forward_connection!(finish close close_reason closed);
    forward_async!(fn open_stream() -> Result<BiStream>);
}
