//! What the provider, its connections and its handle share: the routes, their order now, and what they did.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::{Route, Turn};
use crate::{Instant, P2PProvider, PeerId, Rng, Runtime, WatchSender};

#[derive(Debug)]
pub(super) struct Table {
    pub(super) entries: Vec<Entry>,
    pub(super) order: WatchSender<Order>,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) rng: Mutex<Rng>,
    /// Routes that answered a moment ago, for sessions about to move there. At most [`PROOFS_MAX`].
    proofs: Mutex<BTreeMap<PeerId, Proof>>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) provider: Arc<dyn P2PProvider>,
    pub(super) turn: Turn,
    pub(super) dials: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) moves: AtomicU64,
    pub(super) connections: AtomicUsize,
}

/// Preference and whether it is enabled, of each route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order(pub(super) Vec<(u32, bool)>);

impl Order {
    /// Enabled routes, the most preferred first; of equals, the one named first.
    pub(super) fn ranked(&self) -> Vec<usize> {
        let mut ranked: Vec<usize> = (0..self.0.len()).filter(|&route| self.0[route].1).collect();
        ranked.sort_by_key(|&route| self.0[route].0);
        ranked
    }

    /// Enabled routes that are preferred to this one, which is worse than all of them if it is disabled.
    pub(super) fn better_than(&self, route: usize) -> Vec<usize> {
        let (own, enabled) = self.0[route];
        let better = |other: &usize| *other != route && (!enabled || self.0[*other].0 < own);
        self.ranked().into_iter().filter(better).collect()
    }
}

/// A route answered, and how long that took.
#[derive(Debug, Clone, Copy)]
struct Proof {
    route: usize,
    took: Duration,
    until: Instant,
}

/// How long a session that was told to move has to do so.
const PROOF_LIFETIME: Duration = Duration::from_secs(10);

/// Peers whose sessions move at once; those beyond move too, and may meet a slower route first.
const PROOFS_MAX: usize = 1024;

impl Table {
    pub(super) fn new(routes: Vec<Route>, runtime: Arc<dyn Runtime>) -> Self {
        let order = Order((0..routes.len()).map(|place| (place as u32, true)).collect());
        let entry = |Route { name, provider, turn }| Entry {
            name,
            provider,
            turn,
            dials: AtomicU64::default(),
            failures: AtomicU64::default(),
            moves: AtomicU64::default(),
            connections: AtomicUsize::default(),
        };
        Self {
            entries: routes.into_iter().map(entry).collect(),
            order: WatchSender::new(order),
            rng: Mutex::new(runtime.rng("routes")),
            runtime,
            proofs: Mutex::default(),
        }
    }

    /// Notes that the peer answered by that route.
    pub(super) fn prove(&self, peer: PeerId, route: usize, took: Duration) {
        let now = self.runtime.now();
        let mut proofs = self.proofs.lock();
        proofs.retain(|_, proof| proof.until > now);
        if proofs.len() < PROOFS_MAX {
            proofs.insert(peer, Proof { route, took, until: now + PROOF_LIFETIME });
        }
    }

    /// How much longer than usual others leave this route alone, because it is known to answer in that time.
    pub(super) fn patience(&self, peer: PeerId, route: usize) -> Duration {
        let proof = self.proofs.lock().get(&peer).copied();
        let proof = proof.filter(|proof| proof.route == route && proof.until > self.runtime.now());
        proof.map_or(Duration::ZERO, |proof| proof.took * 2)
    }
}
