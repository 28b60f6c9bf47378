//! What all sessions of one provider share: settings, counters, randomness, and the table by which they are found.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;

use super::{
    backoff::RetryBudget,
    config::ReconnectConfig,
    listener::{Accepting, Queue},
    session::{Role, Session},
    totals::Totals,
    wire::SessionId,
};
use crate::{PeerId, ProtocolId, Rng, Runtime, WatchSender};

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: ReconnectConfig,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) totals: Arc<Totals>,
    pub(super) rng: Mutex<Rng>,
    pub(super) retries: Mutex<RetryBudget>,
    pub(super) phase: WatchSender<Phase>,
    sessions: Mutex<Sessions>,
    /// Those of listeners that were dropped while sessions they accepted live on: they take resumes, and nothing else.
    /// One per protocol.
    retained: Mutex<BTreeMap<ProtocolId, Accepting>>,
    /// Those of listeners. One per protocol, and dead ones until the next.
    queues: Mutex<Vec<Weak<Queue>>>,
}

/// Whether the provider goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    ShuttingDown,
    Down,
}

#[derive(Debug, Default)]
struct Sessions {
    /// All that are open. Bounded by the provider's bound on connections and by those that may be suspended.
    open: BTreeMap<Key, Arc<Session>>,
}

/// Which side of it this provider is on comes first: two providers may be each other's diallers.
type Key = (bool, PeerId, SessionId);

impl Shared {
    pub(super) fn new(config: ReconnectConfig, runtime: Arc<dyn Runtime>) -> Arc<Self> {
        let now = runtime.now();
        // Where randomness is a function of the label, a peer that begins anew must not name its sessions as before.
        let rng = runtime.rng(&format!("reconnect since {}", now.as_nanos()));
        Arc::new(Self {
            config,
            totals: Arc::default(),
            rng: Mutex::new(rng),
            retries: Mutex::new(RetryBudget::new(now)),
            phase: WatchSender::new(Phase::Running),
            sessions: Mutex::default(),
            retained: Mutex::default(),
            queues: Mutex::default(),
            runtime,
        })
    }

    pub(super) fn is_shut_down(&self) -> bool {
        self.phase.read(|phase| *phase != Phase::Running)
    }

    pub(super) fn new_session_id(&self) -> SessionId {
        let mut id = SessionId::default();
        self.rng.lock().fill_bytes(&mut id);
        id
    }

    pub(super) fn add(&self, session: &Arc<Session>) {
        self.sessions.lock().open.insert(key(session), session.clone());
    }

    pub(super) fn forget(&self, session: &Session) {
        let protocol = &session.negotiated.protocol;
        let forgotten = self.sessions.lock().open.remove(&key(session));
        drop(forgotten);
        if !self.has_accepted(protocol) {
            self.release(protocol);
        }
    }

    fn has_accepted(&self, protocol: &ProtocolId) -> bool {
        let sessions = self.sessions.lock();
        let mut accepted = sessions.open.values().filter(|session| matches!(session.role, Role::Accepter));
        accepted.any(|session| session.negotiated.protocol == *protocol)
    }

    /// Keeps what a dropped listener leaves, if there are sessions that may come back to it.
    pub(super) fn retain(&self, protocol: &ProtocolId, accepting: Accepting) {
        if self.has_accepted(protocol) && !self.is_shut_down() {
            let earlier = self.retained.lock().insert(protocol.clone(), accepting);
            drop(earlier);
        }
    }

    /// Frees a protocol that is kept for resumes only.
    pub(super) fn release(&self, protocol: &ProtocolId) {
        let released = self.retained.lock().remove(protocol);
        drop(released);
    }

    pub(super) fn add_queue(&self, queue: &Arc<Queue>) {
        let mut queues = self.queues.lock();
        queues.retain(|queue| queue.strong_count() > 0);
        queues.push(Arc::downgrade(queue));
    }

    /// No listener accepts any more.
    pub(super) fn close_queues(&self) {
        let queues = std::mem::take(&mut *self.queues.lock());
        queues.iter().filter_map(Weak::upgrade).for_each(|queue| queue.close());
        let retained = std::mem::take(&mut *self.retained.lock());
        drop(retained);
    }

    /// The session that this peer dialled and calls so.
    pub(super) fn accepted(&self, peer: PeerId, id: SessionId) -> Option<Arc<Session>> {
        self.sessions.lock().open.get(&(false, peer, id)).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Session>> {
        self.sessions.lock().open.values().cloned().collect()
    }

    /// Ends those that have waited longest for a transport, until no more wait than may.
    pub(super) fn bound_suspended(&self) {
        let sessions = self.all().into_iter().filter(|session| matches!(session.role, Role::Accepter));
        let mut suspended: Vec<_> = sessions
            .filter_map(|session| {
                let state = session.lock();
                let waits = state.since.map(|since| (since, state.held_bytes()));
                drop(state);
                waits.map(|(since, bytes)| (since, bytes, session))
            })
            .collect();
        suspended.sort_by_key(|(since, _, session)| (*since, session.id));
        let mut bytes: usize = suspended.iter().map(|(_, bytes, _)| bytes).sum();
        let mut total = suspended.len();
        let mut per_peer: BTreeMap<PeerId, usize> = BTreeMap::new();
        suspended.iter().for_each(|(_, _, session)| *per_peer.entry(session.peer).or_default() += 1);
        for (_, held, session) in suspended {
            let of_peer = per_peer.entry(session.peer).or_default();
            let config = &self.config;
            let too_many = total > config.suspended_max
                || *of_peer > config.suspended_per_peer_max
                || bytes > config.suspended_bytes_max;
            if too_many {
                session.give_up("too many connections wait for a transport");
                total -= 1;
                *of_peer -= 1;
                bytes -= held;
            }
        }
    }
}

fn key(session: &Session) -> Key {
    (matches!(session.role, Role::Dialler { .. }), session.peer, session.id)
}
