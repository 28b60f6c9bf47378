//! The table of peers: bounded, and forgetting those first whom it costs nothing to forget.

use std::{collections::BTreeMap, sync::Arc};

use super::{budget::Budget, limits::Rates};
use crate::PeerId;

/// Peers whose budgets are remembered: 4 MiB of memory at most.
///
/// A peer beyond them takes the place of the least loaded: of one without a connection, whose budget is full again the
/// soonest. Where that is already the case, which it is a burst's time after the last it was heard of, nothing is lost.
pub const PEERS_MAX: usize = 16_384;

/// How many are forgotten together, so that a flood of new peers pays for looking through the table once in so many.
const FORGOTTEN_AT_ONCE: usize = PEERS_MAX / 16;

#[derive(Debug, Default)]
pub(super) struct Peers(BTreeMap<PeerId, Arc<Budget>>);

impl Peers {
    /// The peer's budget, new if it is not known.
    pub(super) fn get(&mut self, peer: PeerId, rates: &Rates) -> Arc<Budget> {
        if let Some(budget) = self.0.get(&peer) {
            return budget.clone();
        }
        if self.0.len() >= PEERS_MAX {
            self.forget_least_loaded(rates);
        }
        self.0.entry(peer).or_default().clone()
    }

    fn forget_least_loaded(&mut self, rates: &Rates) {
        let load = |(peer, budget): (&PeerId, &Arc<Budget>)| {
            let is_connected = Arc::strong_count(budget) > 1;
            (is_connected, budget.full_at(rates), *peer)
        };
        let mut loads: Vec<_> = self.0.iter().map(load).collect();
        loads.select_nth_unstable(FORGOTTEN_AT_ONCE);
        for (_, _, peer) in &loads[..FORGOTTEN_AT_ONCE] {
            self.0.remove(peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Instant,
        layer::rate_limit::{
            budget::{Kind, Level},
            rate::Rate,
        },
    };

    const RATES: Rates = Rates::NONE.with_accepts(Rate::per_second(1));
    const COST: &[(Kind, u64)] = &[(Kind::Accepts, 1)];

    fn peer(number: usize) -> PeerId {
        PeerId::from_name(&number.to_string())
    }

    fn load(peers: &mut Peers, peer: PeerId) {
        let budget = peers.get(peer, &RATES);
        budget.open(Level::Peer, &RATES, COST).expect("it is limited").take(COST, Instant::from_nanos(1));
    }

    fn is_loaded(peers: &mut Peers, peer: PeerId) -> bool {
        peers.get(peer, &RATES).full_at(&RATES) > Instant::ZERO
    }

    // Thrice as many strangers as there are places pass by. Had any of them taken the place of one who is loaded or
    // connected, that one would be met with a new budget.
    #[test]
    fn a_flood_of_strangers_makes_nobody_forgotten_who_owes_or_is_connected() {
        let mut peers = Peers::default();
        let connected = peers.get(PeerId::from_name("connected"), &RATES);
        for debtor in 0..10 {
            load(&mut peers, peer(debtor));
        }
        for stranger in 100..3 * PEERS_MAX {
            peers.get(peer(stranger), &RATES);
            assert!(peers.0.len() <= PEERS_MAX);
        }
        for debtor in 0..10 {
            assert!(is_loaded(&mut peers, peer(debtor)), "debtor {debtor} was forgotten");
        }
        assert!(Arc::ptr_eq(&connected, &peers.get(PeerId::from_name("connected"), &RATES)));
    }

    #[test]
    fn when_all_are_loaded_the_bound_still_holds() {
        let mut peers = Peers::default();
        for number in 0..2 * PEERS_MAX {
            load(&mut peers, peer(number));
            assert!(peers.0.len() <= PEERS_MAX);
        }
    }
}
