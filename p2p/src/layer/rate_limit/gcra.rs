//! The generic cell rate algorithm: a token bucket that needs one number and no timer.
//!
//! Written here in forty lines rather than taken from `governor` 0.10. That has no way to give back, so a `try_send` that
//! finds the queue full would have paid, nor to take of two budgets or of neither; its clock is a type parameter, which
//! for an `Arc<dyn Runtime>` spreads to every type around it; and it comes with ten crates that nothing else here needs
//! (`cargo tree`, no default features but `std`, which its keyed form takes).

use super::rate::Rate;
use crate::Instant;

/// What one rate has still to give.
///
/// The number is the *theoretical arrival time* of ITU-T I.371: when the whole burst will be there again. It counts in
/// parts of a nanosecond, `num` to each, which makes the arithmetic exact for every rate: one unit costs `per`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gcra(u128);

impl Gcra {
    /// Whether one unit may pass now.
    ///
    /// # Errors
    /// When the first one may.
    pub(super) fn check(self, rate: Rate, now: Instant) -> Result<(), Instant> {
        let ready = self.0.saturating_add(cost(rate, 1)).saturating_sub(cost(rate, rate.burst));
        if ready <= scaled(rate, now) {
            return Ok(());
        }
        let nanos = ready.div_ceil(u128::from(rate.num));
        Err(Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// Takes `units`, more than there are if need be: those after them wait the longer.
    pub(super) fn take(&mut self, rate: Rate, now: Instant, units: u64) {
        self.0 = self.0.max(scaled(rate, now)).saturating_add(cost(rate, units));
    }

    /// Undoes a [`take`](Self::take) that came to nothing.
    pub(super) fn give_back(&mut self, rate: Rate, units: u64) {
        self.0 = self.0.saturating_sub(cost(rate, units));
    }

    /// When the whole burst is there again. What is full already is as good as new.
    pub(super) fn full_at(self, rate: Rate) -> Instant {
        let nanos = self.0.div_ceil(u128::from(rate.num));
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

fn scaled(rate: Rate, now: Instant) -> u128 {
    u128::from(now.as_nanos()) * u128::from(rate.num)
}

fn cost(rate: Rate, units: u64) -> u128 {
    u128::from(units) * u128::from(rate.per_nanos)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const START: Instant = Instant::from_nanos(1_000_000_000_000);

    /// How many pass between `START` and `until`, each as soon as it may.
    fn passed(rate: Rate, until: Duration) -> u64 {
        let (mut gcra, mut now, mut passed) = (Gcra::default(), START, 0);
        while now <= START + until {
            match gcra.check(rate, now) {
                Ok(()) => {
                    gcra.take(rate, now, 1);
                    passed += 1;
                }
                Err(ready) => now = ready,
            }
        }
        passed
    }

    // Three and seven do not divide a second, nor does 9,973: with rounded nanoseconds a minute would be some units off.
    #[test]
    fn exactly_the_burst_and_then_the_rate_pass() {
        for (num, burst) in [(1, 1), (3, 2), (7, 20), (9_973, 10)] {
            let rate = Rate::per_second(num).with_burst(burst);
            let minute = Duration::from_secs(60);
            assert_eq!(passed(rate, minute), burst + 60 * num, "{rate}");
        }
    }

    #[test]
    fn the_time_it_names_is_the_first_at_which_one_passes() {
        for rate in [Rate::per_second(3).with_burst(1), Rate::per_second(5_000_000_000), Rate::per_second(7)] {
            let mut gcra = Gcra::default();
            gcra.take(rate, START, 10 * rate.burst);
            let ready = gcra.check(rate, START).unwrap_err();
            assert!(gcra.check(rate, ready).is_ok());
            assert!(gcra.check(rate, Instant::from_nanos(ready.as_nanos() - 1)).is_err());
        }
    }

    #[test]
    fn what_is_given_back_can_be_taken_again_and_no_more_than_that() {
        let rate = Rate::per_second(1).with_burst(2);
        let mut gcra = Gcra::default();
        for _ in 0..100 {
            gcra.take(rate, START, 1);
            gcra.give_back(rate, 1);
        }
        for _ in 0..2 {
            assert!(gcra.check(rate, START).is_ok());
            gcra.take(rate, START, 1);
        }
        assert_eq!(gcra.check(rate, START), Err(START + Duration::from_secs(1)));
        assert_eq!(gcra.full_at(rate), START + Duration::from_secs(2));
    }

    #[test]
    fn the_end_of_time_is_no_overflow() {
        let rate = Rate::new(u64::MAX, Duration::from_nanos(u64::MAX)).with_burst(1);
        let end = Instant::from_nanos(u64::MAX);
        let mut gcra = Gcra::default();
        gcra.take(rate, end, u64::MAX);
        gcra.take(rate, end, u64::MAX);
        assert_eq!(gcra.full_at(rate), end);
        assert_eq!(gcra.check(rate, end), Err(end));
    }
}
