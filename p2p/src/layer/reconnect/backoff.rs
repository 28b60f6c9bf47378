//! When to dial again.

use std::time::Duration;

use crate::{Instant, P2PError, Rng};

/// How long to wait between attempts to reach a lost peer.
///
/// The first attempt comes after a random part of `initial_delay`, so that all the clients of a server that went away do
/// not return in the same moment. Later ones wait between half of their delay and all of it, and the delay grows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// Attempts after one loss. Defaults to no bound: the grace is one.
    pub max_attempts: Option<u32>,
    /// The delay before the first attempt, at most. Defaults to 250 ms.
    pub initial_delay: Duration,
    /// The longest delay. Defaults to 5 s.
    pub max_delay: Duration,
    /// By how much each delay exceeds the one before. Defaults to 2.
    pub backoff_multiplier: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            max_attempts: None,
            initial_delay: Duration::from_millis(250),
            max_delay: Duration::from_secs(5),
            backoff_multiplier: 2.0,
        }
    }
}

impl Backoff {
    pub(super) fn validate(&self) -> Result<(), P2PError> {
        let multiplier = self.backoff_multiplier;
        if multiplier.is_finite() && multiplier >= 1.0 {
            return Ok(());
        }
        Err(P2PError::invalid_input(format_args!("backoff_multiplier = {multiplier}"), "a number of at least 1"))
    }

    /// The delay before attempt `attempt` of those after one loss, which count from 0. Nothing when there are no more.
    pub fn delay(&self, attempt: u32, rng: &mut Rng) -> Option<Duration> {
        if self.max_attempts.is_some_and(|max| attempt >= max) {
            return None;
        }
        let factor = self.backoff_multiplier.powi(attempt.min(1000) as i32);
        let full = self.initial_delay.as_secs_f64() * factor;
        let full = Duration::try_from_secs_f64(full).unwrap_or(self.max_delay).min(self.max_delay);
        Some(rng.duration_between(if attempt == 0 { Duration::ZERO } else { full / 2 }, full))
    }
}

/// Bounds the dials that all of a provider's lost connections make together, so that an outage of the network does not
/// become a storm: a bucket of tokens, one for each attempt after the first of a loss.
#[derive(Debug)]
pub(super) struct RetryBudget {
    tokens: f64,
    filled: Instant,
}

/// Tokens in a full bucket, which is where it starts.
const TOKENS_MAX: f64 = 100.0;

/// Tokens added each second.
const TOKENS_PER_SECOND: f64 = 20.0;

impl RetryBudget {
    pub(super) const fn new(now: Instant) -> Self {
        Self { tokens: TOKENS_MAX, filled: now }
    }

    /// Takes a token, now or later: how long to wait for it. Callers wait one after the other.
    pub(super) fn take(&mut self, now: Instant) -> Duration {
        let since = now.saturating_since(self.filled).as_secs_f64();
        self.filled = self.filled.max(now);
        self.tokens = (self.tokens + since * TOKENS_PER_SECOND).min(TOKENS_MAX) - 1.0;
        Duration::from_secs_f64((-self.tokens / TOKENS_PER_SECOND).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_up_to_the_longest_and_end_with_the_attempts() {
        let backoff = Backoff { max_attempts: Some(2000), ..Backoff::default() };
        let mut rng = Rng::from_seed([7; 32]);
        let mut delay = |attempt| backoff.delay(attempt, &mut rng);
        assert!(delay(0).unwrap() <= backoff.initial_delay);
        for attempt in 1..2000 {
            let expected = Duration::from_millis(250 << attempt.min(5)).min(backoff.max_delay);
            let delay = delay(attempt).unwrap();
            assert!((expected / 2..=expected).contains(&delay), "attempt {attempt}: {delay:?}");
        }
        assert_eq!(delay(2000), None);
    }

    #[test]
    fn a_storm_of_attempts_is_spread() {
        let mut budget = RetryBudget::new(Instant::ZERO);
        let waits: Vec<_> = (0..200).map(|_| budget.take(Instant::ZERO)).collect();
        assert!(waits[..100].iter().all(Duration::is_zero), "a full bucket");
        assert_eq!(waits[199], Duration::from_secs(5), "a hundred more, twenty a second");
        assert_eq!(budget.take(Instant::ZERO + Duration::from_secs(60)), Duration::ZERO);
    }
}
