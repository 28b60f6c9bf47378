//! The one dial, or check, that everybody who asks waits for.

use std::sync::{Arc, Weak};

use super::{
    Alive, Shared,
    config::PoolConfig,
    member::{Lease, Member},
    slots::{Key, Outcome},
    stats::PoolStats,
};
use crate::{ConnectionConfig, P2PProvider, PeerAddr, Result, RuntimeExt, Watch, WatchSender};

/// What is to be done. Runs as a task of its own, so it goes on when those who wait for it leave.
pub(super) struct Flight {
    pub(super) provider: Arc<dyn P2PProvider>,
    pub(super) config: PoolConfig,
    pub(super) addr: PeerAddr,
    pub(super) unchecked: Option<Lease>,
    pub(super) landing: Landing,
}

impl Flight {
    /// Flies to the end, or until the pool is gone.
    pub(super) async fn fly(mut self, mut pool: Watch<Alive>) {
        let outcome = crate::select! {
            _ = pool.changed() => return,
            outcome = self.try_fly() => outcome,
        };
        self.landing.land(outcome);
    }

    /// Checks the connection there was, if there was one, and dials if that is of no use.
    async fn try_fly(&mut self) -> Result<Lease> {
        let runtime = self.provider.runtime();
        if let (Some(lease), Some(check)) = (self.unchecked.take(), &self.config.check) {
            let passes = check.check(&**lease.connection());
            if let Ok(true) = runtime.timeout(self.config.check_timeout, passes).await {
                return Ok(lease);
            }
            self.landing.note(|stats| stats.found_dead += 1);
        }
        self.landing.note(|stats| stats.dials += 1);
        let terms = ConnectionConfig { protocol: self.landing.key.1.clone(), ..self.config.connection.clone() };
        let dialled = self.provider.connect_with(self.addr.clone(), terms).await;
        if dialled.is_err() {
            self.landing.note(|stats| stats.dial_failures += 1);
        }
        Ok(Member::new(dialled?, runtime.clone()).lease())
    }
}

/// Where the outcome goes. Dropped without one, because the task was ended, it leaves the pool as if nobody had asked.
pub(super) struct Landing {
    pub(super) pool: Weak<Shared>,
    pub(super) key: Key,
    pub(super) outcome: WatchSender<Outcome>,
}

impl Landing {
    fn note(&self, count: impl FnOnce(&mut PoolStats)) {
        if let Some(pool) = self.pool.upgrade() {
            count(&mut pool.state.lock().slots.stats);
        }
    }

    fn land(self, outcome: Result<Lease>) {
        if let Some(pool) = self.pool.upgrade() {
            pool.landed(&self.key, outcome.as_ref().ok());
        }
        self.outcome.modify(|slot| {
            *slot = Some(outcome);
            true
        });
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let has_landed = self.outcome.read(Option::is_some);
        if let (false, Some(pool)) = (has_landed, self.pool.upgrade()) {
            pool.landed(&self.key, None);
        }
    }
}
