//! What a peer's own clock shows, which may be ahead of the others' and run faster or slower.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::{World, node::NodeIx};

/// One peer's clock, shared by the world and by whoever reads it without the world's lock.
#[derive(Default)]
pub(crate) struct NodeClock {
    /// False on almost every peer, whose clock is the network's.
    is_off: AtomicBool,
    skew: Mutex<Skew>,
}

/// How a clock is off, since a moment of the network's time.
#[derive(Clone, Copy, Default)]
struct Skew {
    since: u64,
    /// What the clock showed then.
    shown: u64,
    /// Parts in a million by which it is fast.
    drift_ppm: i32,
    /// Nanoseconds by which the clock on the wall is ahead.
    ahead: i64,
}

const MILLION: i64 = 1_000_000;

impl NodeClock {
    /// The network's time as this clock shows it, never going back.
    pub(crate) fn shown_at(&self, now: u64) -> u64 {
        if !self.is_off.load(Relaxed) {
            return now;
        }
        let Skew { since, shown, drift_ppm, .. } = *self.skew.lock();
        let passed = u128::from(now.saturating_sub(since));
        shown + (passed * rate(drift_ppm) / MILLION as u128) as u64
    }

    /// The first moment of the network's time at which this clock shows that.
    pub(crate) fn when_shown(&self, time: u64) -> u64 {
        if !self.is_off.load(Relaxed) {
            return time;
        }
        let Skew { since, shown, drift_ppm, .. } = *self.skew.lock();
        let passes = u128::from(time.saturating_sub(shown)) * MILLION as u128;
        since.saturating_add(u64::try_from(passes.div_ceil(rate(drift_ppm))).unwrap_or(u64::MAX))
    }

    /// By how much the peer's clock on the wall is ahead, or behind.
    pub(crate) fn wall_is_off_by(&self) -> (bool, Duration) {
        let ahead = if self.is_off.load(Relaxed) { self.skew.lock().ahead } else { 0 };
        (ahead >= 0, Duration::from_nanos(ahead.unsigned_abs()))
    }

    /// Changes how the clock is off; true if its timers are due at other times now.
    fn set(&self, now: u64, drift_ppm: i32, ahead: i64) -> bool {
        let shown = self.shown_at(now);
        let mut skew = self.skew.lock();
        let drifts_otherwise = skew.drift_ppm != drift_ppm;
        if drifts_otherwise || skew.ahead != ahead {
            *skew = Skew { since: now, shown, drift_ppm, ahead };
            self.is_off.store(true, Relaxed);
        }
        drifts_otherwise
    }
}

/// Nanoseconds that a clock shows for a million.
fn rate(drift_ppm: i32) -> u128 {
    u128::from((MILLION + i64::from(drift_ppm)).unsigned_abs())
}

impl World {
    pub(crate) fn clock_of(&self, node: NodeIx) -> &Arc<NodeClock> {
        &self.nodes[node as usize].clock
    }

    /// Sets how a node's clock is off, and how late its timers fire, and moves its timers accordingly.
    pub(super) fn set_clock(&mut self, node: NodeIx, drift_ppm: i32, ahead: i64, slow: u64) {
        let state = &mut self.nodes[node as usize];
        let moved = state.clock.set(self.now, drift_ppm, ahead);
        let slowed = std::mem::replace(&mut state.slow, slow) != slow;
        state.is_off |= moved || slowed;
        if drift_ppm != 0 || ahead != 0 {
            self.clocks_are_off.store(true, Relaxed);
        }
        if moved || slowed {
            for (timer, deadline) in self.timers.set_of(self.life(node)) {
                self.set_timer(timer, Some(deadline));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_drifts_never_goes_back_and_timers_meet_it() {
        let clock = NodeClock::default();
        assert!(clock.set(1_000_000, 500_000, 0));
        assert_eq!([1_000_000, 2_000_000].map(|now| clock.shown_at(now)), [1_000_000, 2_500_000]);
        assert!(clock.set(2_000_000, -500_000, 7));
        assert_eq!([2_000_000, 4_000_000].map(|now| clock.shown_at(now)), [2_500_000, 3_500_000]);
        for time in [2_500_001, 2_777_777, 9_000_000] {
            let when = clock.when_shown(time);
            assert!(clock.shown_at(when) >= time && clock.shown_at(when - 1) < time, "{time}");
        }
        assert!(clock.set(4_000_000, 0, 0));
        assert_eq!(clock.shown_at(5_000_000), 4_500_000);
    }
}
