//! Listeners by protocol, and the connections that wait in each for `accept`.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    future::poll_fn,
    sync::{Arc, Weak},
    task::Poll,
};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::{
    hub::Hub,
    waiters::{Waiters, wake_all},
};
use crate::{ListenConfig, P2PConnection, P2PError, P2PListener, PeerAddr, ProtocolId, Refusal, RefusalCode, Result};

/// The listeners of one provider.
#[derive(Debug, Default)]
pub(super) struct Listeners(Mutex<BTreeMap<ProtocolId, Arc<Queue>>>);

/// What one listener's handshakes fill and its `accept` drains.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) config: ListenConfig,
    inner: Mutex<Inner>,
    acceptors: Mutex<Waiters>,
}

#[derive(Debug, Default)]
struct Inner {
    ready: VecDeque<Arc<dyn P2PConnection>>,
    /// Handshakes that will end in `ready`; they count against the backlog from the start.
    reserved: usize,
    closed: bool,
}

impl Listeners {
    /// Adds a listener.
    pub(super) fn add(&self, config: ListenConfig) -> Result<Arc<Queue>> {
        let protocol = config.connection.protocol.clone();
        let mut listeners = self.0.lock();
        if listeners.contains_key(&protocol) {
            return Err(P2PError::AlreadyListening { protocol });
        }
        let queue = Arc::new(Queue { config, inner: Mutex::default(), acceptors: Mutex::default() });
        listeners.insert(protocol, queue.clone());
        Ok(queue)
    }

    pub(super) fn get(&self, protocol: &ProtocolId) -> Option<Arc<Queue>> {
        self.0.lock().get(protocol).cloned()
    }

    fn remove(&self, queue: &Arc<Queue>) {
        self.0.lock().retain(|_, listed| !Arc::ptr_eq(listed, queue));
    }

    /// Ends all listeners.
    pub(super) fn close(&self) {
        let listeners = std::mem::take(&mut *self.0.lock());
        listeners.into_values().for_each(|queue| queue.close());
    }
}

impl Queue {
    /// Takes a place in the backlog for a handshake.
    pub(super) fn reserve(self: &Arc<Self>) -> Result<Place, Refusal> {
        let mut inner = self.inner.lock();
        if inner.closed {
            return Err(super::super::protocol::handshake::unknown_protocol(&self.config.connection.protocol));
        }
        if inner.ready.len() + inner.reserved >= self.config.backlog_max {
            return Err(Refusal::new(RefusalCode::Busy, "too many connections wait to be accepted"));
        }
        inner.reserved += 1;
        Ok(Place(self.clone()))
    }

    fn close(&self) {
        let abandoned = {
            let mut inner = self.inner.lock();
            inner.closed = true;
            std::mem::take(&mut inner.ready)
        };
        // Dropping them closes them.
        drop(abandoned);
        wake_all(&self.acceptors);
    }
}

/// A place in a backlog, given up when dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<Queue>);

impl Place {
    /// Puts the connection where `accept` finds it.
    pub(super) fn fill(self, connection: Arc<dyn P2PConnection>) {
        {
            let mut inner = self.0.inner.lock();
            if inner.closed {
                return;
            }
            inner.ready.push_back(connection);
        }
        let acceptor = self.0.acceptors.lock().take_one();
        acceptor.into_iter().for_each(std::task::Waker::wake);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.inner.lock().reserved -= 1;
    }
}

/// What [`Hub::listen`] returns.
pub(super) struct Listener {
    pub(super) queue: Arc<Queue>,
    pub(super) hub: Weak<Hub>,
    pub(super) local_addr: Box<dyn Fn() -> PeerAddr + Send + Sync>,
}

#[async_trait]
impl P2PListener for Listener {
    fn protocol(&self) -> &ProtocolId {
        &self.queue.config.connection.protocol
    }

    fn local_addr(&self) -> PeerAddr {
        (self.local_addr)()
    }

    async fn accept(&self) -> Result<Arc<dyn P2PConnection>> {
        let mut waiting = Waiting { queue: &self.queue, key: None };
        poll_fn(|cx| {
            waiting.queue.acceptors.lock().register(&mut waiting.key, cx.waker());
            let mut inner = waiting.queue.inner.lock();
            match inner.ready.pop_front() {
                Some(connection) => Poll::Ready(Ok(connection)),
                None if inner.closed => Poll::Ready(Err(P2PError::ShutDown)),
                None => Poll::Pending,
            }
        })
        .await
    }
}

/// A caller of `accept`. One who was woken and leaves passes the call on.
struct Waiting<'a> {
    queue: &'a Queue,
    key: Option<u64>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let was_woken = !self.queue.acceptors.lock().remove(key);
        if was_woken && !self.queue.inner.lock().ready.is_empty() {
            let next = self.queue.acceptors.lock().take_one();
            next.into_iter().for_each(std::task::Waker::wake);
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.upgrade() {
            hub.listeners.remove(&self.queue);
        }
        self.queue.close();
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("protocol", self.protocol()).finish_non_exhaustive()
    }
}
