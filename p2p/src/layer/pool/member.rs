//! A connection in the pool, and the leases that say that somebody uses it.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::{Instant, P2PConnection, Runtime};

/// A connection of a pool.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) connection: Arc<dyn P2PConnection>,
    runtime: Arc<dyn Runtime>,
    usage: Mutex<Usage>,
}

#[derive(Debug)]
struct Usage {
    leases: usize,
    last_used: Instant,
}

impl Member {
    /// A connection with nobody using it yet.
    pub(super) fn new(connection: Arc<dyn P2PConnection>, runtime: Arc<dyn Runtime>) -> Arc<Self> {
        let usage = Usage { leases: 0, last_used: runtime.now() };
        Arc::new(Self { connection, runtime, usage: Mutex::new(usage) })
    }

    pub(super) fn lease(self: &Arc<Self>) -> Lease {
        self.usage.lock().leases += 1;
        Lease(self.clone())
    }

    /// Since when nobody has used it, if nobody does.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let usage = self.usage.lock();
        (usage.leases == 0).then_some(usage.last_used)
    }

    /// Whether it is of use to somebody new, as far as this side knows. One that is looking for a new transport is still
    /// of use to those who have it.
    pub(super) fn is_sound(&self) -> bool {
        let is_idle = self.idle_since().is_some();
        self.connection.state().read(|state| state.is_connected() || !(is_idle || state.is_closed()))
    }
}

/// Says that a member is in use. A clone is another use.
#[derive(Debug)]
pub(super) struct Lease(Arc<Member>);

impl Lease {
    pub(super) fn connection(&self) -> &Arc<dyn P2PConnection> {
        &self.0.connection
    }

    pub(super) const fn member(&self) -> &Arc<Member> {
        &self.0
    }
}

impl Clone for Lease {
    fn clone(&self) -> Self {
        self.0.lease()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut usage = self.0.usage.lock();
        usage.leases -= 1;
        usage.last_used = self.0.runtime.now();
    }
}
