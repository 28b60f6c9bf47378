//! How many, in how long, and how many at once.

use std::time::Duration;

/// So many per so much time on average, and a burst: how many of them may come at once after a pause.
///
/// ```
/// use std::time::Duration;
/// use p2p::layer::Rate;
///
/// // After a pause 50 at once, then one every 100 ms.
/// let rate = Rate::new(10, Duration::from_secs(1)).with_burst(50);
/// assert_eq!(rate.to_string(), "10 per 1s, 50 at once");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub(super) num: u64,
    pub(super) per_nanos: u64,
    pub(super) burst: u64,
}

impl Rate {
    /// `num` in every `per`, which may all come at once.
    ///
    /// # Panics
    /// If `num` is 0, or `per` is 0 or longer than 584 years.
    pub const fn new(num: u64, per: Duration) -> Self {
        let per_nanos = per.as_nanos();
        assert!(num > 0, "a rate of 0 lets nothing pass, ever");
        assert!(per_nanos > 0 && per_nanos <= u64::MAX as u128, "a rate is per some time that can be waited for");
        Self { num, per_nanos: per_nanos as u64, burst: num }
    }

    /// `num` a second, which may all come at once.
    ///
    /// # Panics
    /// If `num` is 0.
    pub const fn per_second(num: u64) -> Self {
        Self::new(num, Duration::from_secs(1))
    }

    /// Sets how many may come at once after a pause.
    ///
    /// # Panics
    /// If `burst` is 0.
    #[must_use]
    pub const fn with_burst(mut self, burst: u64) -> Self {
        assert!(burst > 0, "a burst of 0 lets nothing pass, ever");
        self.burst = burst;
        self
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} per {:?}, {} at once", self.num, Duration::from_nanos(self.per_nanos), self.burst)
    }
}
