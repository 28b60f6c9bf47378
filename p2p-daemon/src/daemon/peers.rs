//! Connections with peers, now.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use p2p::{P2PConnection, P2PConnectionExt, PeerId, WatchSender};
use parking_lot::Mutex;

use crate::forward::Session;

/// All connections, dialled and accepted, in the order in which they came about.
#[derive(Debug)]
pub(crate) struct Peers {
    sessions: Mutex<BTreeMap<u64, Arc<Session>>>,
    next: AtomicU64,
    /// Counts additions.
    added: WatchSender<u64>,
}

impl Peers {
    pub(crate) fn new() -> Self {
        Self { sessions: Mutex::default(), next: AtomicU64::new(1), added: WatchSender::new(0) }
    }

    /// Adds a connection; nothing if there are as many accepted ones as may be.
    pub(crate) fn add(&self, connection: Arc<dyn P2PConnection>, dialled: bool) -> Option<Arc<Session>> {
        let mut sessions = self.sessions.lock();
        if !dialled && sessions.values().filter(|session| !session.dialled).count() >= ACCEPTED_MAX {
            return None;
        }
        let id = self.next.fetch_add(1, Relaxed);
        let session = Arc::new(Session::new(id, connection, dialled));
        sessions.insert(id, session.clone());
        drop(sessions);
        self.added.modify(|count| {
            *count += 1;
            true
        });
        Some(session)
    }

    pub(crate) fn remove(&self, id: u64) {
        self.sessions.lock().remove(&id);
    }

    pub(crate) fn all(&self) -> Vec<Arc<Session>> {
        self.sessions.lock().values().cloned().collect()
    }

    /// The newest connection that `peer` dialled, as soon as there is one.
    pub(crate) async fn accepted(&self, peer: PeerId) -> Arc<Session> {
        let mut added = self.added.subscribe();
        loop {
            if let Some(session) = self.newest(peer) {
                return session;
            }
            // The sender lives as long as this.
            added.changed().await.ok();
        }
    }

    fn newest(&self, peer: PeerId) -> Option<Arc<Session>> {
        let sessions = self.sessions.lock();
        let of_peer = sessions.values().rev().filter(|session| session.peer == peer && !session.dialled);
        // One that is interrupted is as good as none where there is another.
        let connected = of_peer.clone().find(|session| session.connection.is_connected());
        connected.or_else(|| of_peer.clone().next()).cloned()
    }
}

/// Connections of peers that dialled. The next is turned away.
pub(crate) const ACCEPTED_MAX: usize = 256;
