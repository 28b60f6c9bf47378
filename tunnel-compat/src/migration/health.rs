//! Whether P2P does what it is for, over the last minute.

use std::{collections::VecDeque, time::Duration};

use p2p::Instant;

use super::{MigrationConfig, Outcome};

/// What became of the requests over P2P, in a window that slides.
#[derive(Debug, Clone, Default)]
pub(super) struct Health {
    /// The newest at the end, at most [`SLOTS`].
    slots: VecDeque<Slot>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    begin: Instant,
    counts: Counts,
}

/// Requests of the window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    all: u64,
    failed: u64,
    slow: u64,
}

/// A window slides in steps of a twelfth.
const SLOTS: u32 = 12;

impl Health {
    /// Takes an outcome; says why P2P is not to be trusted, if it is not.
    pub(super) fn take(&mut self, now: Instant, outcome: Outcome, config: &MigrationConfig) -> Option<String> {
        self.slide(now, config.window);
        let slot = self.slots.back_mut().expect("sliding has made one for now");
        slot.counts.all += 1;
        match outcome {
            Outcome::Failed => slot.counts.failed += 1,
            Outcome::Answered(after) if after > config.latency_max => slot.counts.slow += 1,
            Outcome::Answered(_) => {}
        }
        self.verdict(config)
    }

    /// Begins anew, as after a change of phase.
    pub(super) fn clear(&mut self) {
        self.slots.clear();
    }

    fn slide(&mut self, now: Instant, window: Duration) {
        let step = (window / SLOTS).max(Duration::from_nanos(1));
        while self.slots.front().is_some_and(|slot| slot.begin + window <= now) {
            self.slots.pop_front();
        }
        if self.slots.back().is_none_or(|slot| slot.begin + step <= now) {
            self.slots.push_back(Slot { begin: now, counts: Counts::default() });
        }
    }

    fn verdict(&self, config: &MigrationConfig) -> Option<String> {
        let Counts { all, failed, slow } = self.slots.iter().fold(Counts::default(), |sum, Slot { counts, .. }| {
            Counts { all: sum.all + counts.all, failed: sum.failed + counts.failed, slow: sum.slow + counts.slow }
        });
        if all < config.requests_min {
            return None;
        }
        let window = config.window;
        if config.error_rate_max.is_passed_by(failed, all) {
            let max = config.error_rate_max;
            return Some(format!("{failed} of {all} requests over P2P failed within {window:?}, more than {max}"));
        }
        if config.slow_rate_max.is_passed_by(slow, all) {
            let (max, latency) = (config.slow_rate_max, config.latency_max);
            return Some(format!("{slow} of {all} requests over P2P took over {latency:?}, more than {max}"));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const FAST: Outcome = Outcome::Answered(Duration::from_millis(5));

    fn config() -> MigrationConfig {
        MigrationConfig::default()
    }

    fn take(health: &mut Health, at: u32, outcome: Outcome, count: usize) -> Option<String> {
        (0..count).filter_map(|_| health.take(Instant::ZERO + at * SECOND, outcome, &config())).last()
    }

    #[test]
    fn few_requests_say_nothing_and_many_do() {
        let mut health = Health::default();
        let few = usize::try_from(config().requests_min).unwrap() - 1;
        assert_eq!(take(&mut health, 0, Outcome::Failed, few), None);
        assert!(take(&mut health, 0, Outcome::Failed, 1).unwrap().contains("failed"));
    }

    #[test]
    fn a_rate_is_passed_only_beyond_its_threshold() {
        let mut health = Health::default();
        assert_eq!(take(&mut health, 0, FAST, 95), None);
        assert_eq!(take(&mut health, 1, Outcome::Failed, 5), None, "5 of 100 are 5%");
        assert!(take(&mut health, 2, Outcome::Failed, 1).is_some());
    }

    #[test]
    fn slow_answers_count_as_slow_and_not_as_failed() {
        let mut health = Health::default();
        let slow = Outcome::Answered(config().latency_max + SECOND);
        assert!(take(&mut health, 0, slow, 50).unwrap().contains("took over"));
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let mut health = Health::default();
        take(&mut health, 0, Outcome::Failed, 19);
        assert_eq!(take(&mut health, 61, FAST, 100), None);
        assert_eq!(take(&mut health, 62, Outcome::Failed, 1), None);
        assert!(health.slots.len() <= SLOTS as usize);
    }
}
