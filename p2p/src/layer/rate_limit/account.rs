//! What one peer may still do, within what all together may.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{
    budget::{Budget, Cost, Denied, Kind, Level, OpenBudget},
    limits::RateLimits,
    peers::Peers,
};
use crate::{PeerId, Runtime};

/// The state of the layer.
#[derive(Debug)]
pub(super) struct Ledger {
    limits: RateLimits,
    runtime: Arc<dyn Runtime>,
    total: Budget,
    peers: Mutex<Peers>,
}

impl Ledger {
    pub(super) fn new(limits: RateLimits, runtime: Arc<dyn Runtime>) -> Self {
        Self { limits, runtime, total: Budget::default(), peers: Mutex::default() }
    }

    pub(super) fn account(self: &Arc<Self>, peer: PeerId) -> Arc<Account> {
        let peer = self.peers.lock().get(peer, &self.limits.per_peer);
        Arc::new(Account { ledger: self.clone(), peer })
    }
}

/// One peer's budget, and all peers' behind it. An act takes of both or of neither.
#[derive(Debug)]
pub(super) struct Account {
    ledger: Arc<Ledger>,
    peer: Arc<Budget>,
}

impl Account {
    /// Takes what an act costs, if it may be done now.
    pub(super) fn take(&self, cost: &Cost) -> Result<(), Denied> {
        let mut budgets = self.open(cost);
        if budgets.iter().all(Option::is_none) {
            return Ok(());
        }
        let now = self.ledger.runtime.now();
        let denied = budgets.iter().flatten().filter_map(|budget| budget.denied(cost, now));
        match denied.max_by_key(|denied| denied.until) {
            Some(denied) => Err(denied),
            None => {
                budgets.iter_mut().flatten().for_each(|budget| budget.take(cost, now));
                Ok(())
            }
        }
    }

    /// Takes what an act turned out to cost beyond what was taken before it. Those after it wait the longer.
    pub(super) fn take_late(&self, kind: Kind, units: usize) {
        let cost = [(kind, units as u64)];
        for mut budget in self.open(&cost).into_iter().flatten() {
            budget.take(&cost, self.ledger.runtime.now());
        }
    }

    /// The act came to nothing.
    pub(super) fn give_back(&self, cost: &Cost) {
        self.open(cost).iter_mut().flatten().for_each(|budget| budget.give_back(cost));
    }

    /// Whether any of these is limited.
    pub(super) fn concerns(&self, kinds: &[Kind]) -> bool {
        let RateLimits { per_peer, total } = &self.ledger.limits;
        per_peer.concern(kinds.iter().copied()) || total.concern(kinds.iter().copied())
    }

    pub(super) fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.ledger.runtime
    }

    /// Both budgets under their locks, the peer's first.
    fn open(&self, cost: &Cost) -> [Option<OpenBudget<'_>>; 2] {
        let Ledger { limits, total, .. } = &*self.ledger;
        [self.peer.open(Level::Peer, &limits.per_peer, cost), total.open(Level::Total, &limits.total, cost)]
    }
}
