//! Stops asking P2P when it has failed several times in a row, and tries again now and then.

use std::time::Duration;

use p2p::Instant;

/// A circuit breaker.
#[derive(Debug, Clone, Default)]
pub(super) struct Breaker {
    failures: u32,
    /// While open: when the next request may try.
    retry_at: Option<Instant>,
}

impl Breaker {
    /// Whether a request may go over P2P. While open, one may in each `pause`; its success closes the breaker.
    pub(super) fn admits(&mut self, now: Instant, pause: Duration) -> bool {
        match &mut self.retry_at {
            None => true,
            Some(retry_at) if now >= *retry_at => {
                *retry_at = now + pause;
                true
            }
            Some(_) => false,
        }
    }

    /// A request got its answer. Says whether that closed it.
    pub(super) fn handle_success(&mut self) -> bool {
        self.failures = 0;
        self.retry_at.take().is_some()
    }

    /// A request failed. Says whether that opened it.
    pub(super) fn handle_failure(&mut self, now: Instant, failures_max: u32, pause: Duration) -> bool {
        self.failures = self.failures.saturating_add(1);
        if self.failures < failures_max {
            return false;
        }
        let opens = self.retry_at.is_none();
        // A late failure of one that began before it opened delays no try.
        if opens {
            self.retry_at = Some(now + pause);
        }
        opens
    }

    pub(super) const fn is_open(&self) -> bool {
        self.retry_at.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn open() -> Breaker {
        let mut breaker = Breaker::default();
        assert!(!breaker.handle_failure(at(0), 3, PAUSE) && !breaker.handle_failure(at(0), 3, PAUSE));
        assert!(breaker.handle_failure(at(0), 3, PAUSE), "the third opens it");
        breaker
    }

    #[test]
    fn an_open_breaker_lets_one_request_through_in_each_pause() {
        let mut breaker = open();
        let admitted: Vec<u64> = (0..35).filter(|second| breaker.admits(at(*second), PAUSE)).collect();
        assert_eq!(admitted, [10, 20, 30]);
    }

    #[test]
    fn a_success_closes_it_and_failures_count_from_the_beginning() {
        let mut breaker = open();
        assert!(breaker.admits(at(10), PAUSE) && breaker.handle_success());
        assert!(breaker.admits(at(10), PAUSE) && !breaker.is_open());
        assert!(!breaker.handle_failure(at(11), 3, PAUSE) && breaker.admits(at(11), PAUSE));
    }

    #[test]
    fn failures_apart_do_not_open_it() {
        let mut breaker = Breaker::default();
        for second in 0..100 {
            assert!(!breaker.handle_failure(at(second), 2, PAUSE));
            breaker.handle_success();
        }
    }
}
