//! The pace of dialling again.

use std::time::Duration;

use p2p::Rng;

/// Waits that double up to a bound, each shortened at random so that peers who lost the same network do not return in
/// step.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    rng: Rng,
}

impl Backoff {
    pub(super) fn new(rng: Rng) -> Self {
        Self { next: FIRST, rng }
    }

    /// How long to wait now: between half of the present bound and all of it.
    pub(super) fn wait(&mut self) -> Duration {
        let bound = self.next;
        self.next = (bound * 2).min(LONGEST);
        self.rng.duration_between(bound / 2, bound)
    }

    /// Begins anew, after a connection that lasted.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }
}

/// Shorter than anybody notices.
const FIRST: Duration = Duration::from_millis(250);

/// What a person waits for who has just started the peer again. A dial that nobody answers takes longer than this.
pub(super) const LONGEST: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_bound_and_begin_anew() {
        let mut backoff = Backoff::new(Rng::from_seed([7; 32]));
        let waits: Vec<_> = (0..8).map(|_| backoff.wait()).collect();
        assert!(waits[0] <= FIRST && waits[0] >= FIRST / 2);
        assert!(waits[7] <= LONGEST && waits[7] >= LONGEST / 2);
        backoff.reset();
        assert!(backoff.wait() <= FIRST);
    }
}
