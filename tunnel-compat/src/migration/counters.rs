//! What the router counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

use super::{Side, Why};

/// Counters of a router, since it began.
#[derive(Debug, Default)]
pub(super) struct Counters {
    sides: [SideCounters; 2],
    decisions: [AtomicU64; Why::ALL.len()],
    pub(super) refused: AtomicU64,
    pub(super) fallbacks: AtomicU64,
    pub(super) cut_requests: AtomicU64,
    pub(super) cut_websockets: AtomicU64,
    pub(super) rollbacks: AtomicU64,
    pub(super) shadow_same: AtomicU64,
    pub(super) shadow_different: AtomicU64,
    pub(super) shadow_failed: AtomicU64,
    pub(super) shadow_skipped: AtomicU64,
}

#[derive(Debug, Default)]
pub(super) struct SideCounters {
    pub(super) routed: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) requests_in_flight: AtomicU64,
    pub(super) websockets_in_flight: AtomicU64,
}

/// Counts one more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

impl Counters {
    pub(super) const fn side(&self, side: Side) -> &SideCounters {
        &self.sides[side as usize]
    }

    pub(super) const fn decisions(&self, why: Why) -> &AtomicU64 {
        &self.decisions[why as usize]
    }

    pub(super) fn figures(&self) -> Figures {
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        let side = |side| {
            let SideCounters { routed, failed, requests_in_flight, websockets_in_flight } = self.side(side);
            RouteFigures {
                routed: of(routed),
                failed: of(failed),
                requests_in_flight: of(requests_in_flight),
                websockets_in_flight: of(websockets_in_flight),
            }
        };
        Figures {
            legacy: side(Side::Tunnel),
            p2p: side(Side::P2p),
            refused: of(&self.refused),
            fallbacks: of(&self.fallbacks),
            cut_requests: of(&self.cut_requests),
            cut_websockets: of(&self.cut_websockets),
            rollbacks: of(&self.rollbacks),
            shadow_same: of(&self.shadow_same),
            shadow_different: of(&self.shadow_different),
            shadow_failed: of(&self.shadow_failed),
            shadow_skipped: of(&self.shadow_skipped),
        }
    }
}

/// A router's figures. All but what is in flight only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Figures {
    /// Over the tunnel.
    pub legacy: RouteFigures,
    /// Over P2P.
    pub p2p: RouteFigures,
    /// Requests with no route at all.
    pub refused: u64,
    /// Requests that took the other route because theirs failed.
    pub fallbacks: u64,
    /// Requests that were cut at a drain deadline.
    pub cut_requests: u64,
    /// WebSockets that were closed at a drain deadline.
    pub cut_websockets: u64,
    /// Times that the phase went back by itself.
    pub rollbacks: u64,
    /// Shadowed requests with equal answers.
    pub shadow_same: u64,
    /// Shadowed requests whose answers differ.
    pub shadow_different: u64,
    /// Shadowed requests of which the second got no answer.
    pub shadow_failed: u64,
    /// Requests that were to be shadowed and not compared: too many at once, a body too large or too long, or one that was not read to
    /// its end.
    pub shadow_skipped: u64,
}

/// A route's figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct RouteFigures {
    /// Requests and WebSockets that took it.
    pub routed: u64,
    /// Those that got no answer, or one that broke off.
    pub failed: u64,
    /// Requests under way, bodies included.
    pub requests_in_flight: u64,
    /// WebSockets that are open.
    pub websockets_in_flight: u64,
}
