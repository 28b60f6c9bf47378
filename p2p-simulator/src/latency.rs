//! How long packets take, as a distribution in integers: the same on every machine.

use std::{fmt, time::Duration};

/// How long a packet takes from one peer to another.
///
/// ```
/// use std::time::Duration;
/// use p2p_simulator::{Latency, LinkConfig};
///
/// let link = LinkConfig::ideal(Latency::uniform(Duration::from_millis(20), Duration::from_millis(80)));
/// assert_eq!(link.latency.typical(), Duration::from_millis(50));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Latency {
    /// Always the same.
    Fixed(Duration),
    /// Evenly spread.
    Uniform {
        /// The least.
        min: Duration,
        /// The most.
        max: Duration,
    },
    /// As it was measured somewhere.
    Quantiles(Quantiles),
}

/// A measured distribution: so many microseconds at each of [`QUANTILES`], and evenly spread in between.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Quantiles([u32; QUANTILES.len()]);

/// The points of a quantile table, in hundredths of a percent: the least, the quartiles, 90 %, 99 %, the most.
pub const QUANTILES: [u16; 7] = [0, 2500, 5000, 7500, 9000, 9900, 10_000];

impl Quantiles {
    /// A table of microseconds at [`QUANTILES`].
    ///
    /// # Panics
    /// If one is less than the one before it.
    pub const fn from_micros(table: [u32; QUANTILES.len()]) -> Self {
        let mut place = 1;
        while place < table.len() {
            assert!(table[place - 1] <= table[place], "a quantile is at least the one before it");
            place += 1;
        }
        Self(table)
    }

    /// The table.
    pub(crate) const fn micros(&self) -> [u32; QUANTILES.len()] {
        self.0
    }

    /// The value at `bits` of the way, in nanoseconds.
    fn at(&self, bits: u64) -> u64 {
        let way = u128::from(bits) * 10_000;
        let place =
            QUANTILES[1..].iter().position(|&point| way < u128::from(point) << 64).expect("all bits are below 1");
        let [from, to] = [place, place + 1].map(|place| u128::from(QUANTILES[place]) << 64);
        let [least, most] = [place, place + 1].map(|place| u64::from(self.0[place]) * 1000);
        least + (u128::from(most - least) * (way - from) / (to - from)) as u64
    }
}

impl Latency {
    /// Evenly spread between the two.
    ///
    /// # Panics
    /// If `max` is less than `min`.
    pub fn uniform(min: Duration, max: Duration) -> Self {
        assert!(min <= max, "the least latency is at most the most");
        Self::Uniform { min, max }
    }

    /// What a packet takes in the middle: the median.
    pub const fn typical(&self) -> Duration {
        match self {
            Self::Fixed(latency) => *latency,
            Self::Uniform { min, max } => Duration::from_nanos((min.as_nanos() as u64).midpoint(max.as_nanos() as u64)),
            Self::Quantiles(Quantiles(table)) => Duration::from_micros(table[2] as u64),
        }
    }

    /// The latency that these random bits mean, in nanoseconds: more bits never mean less of it.
    pub(crate) fn at(&self, bits: u64) -> u64 {
        match self {
            Self::Fixed(latency) => latency.as_nanos() as u64,
            Self::Uniform { min, max } => min.as_nanos() as u64 + share((*max - *min).as_nanos() as u64, bits),
            Self::Quantiles(table) => table.at(bits),
        }
    }
}

/// The part of a whole that random bits mean: from nothing to just below all of it.
pub(crate) fn share(whole: u64, bits: u64) -> u64 {
    ((u128::from(bits) * u128::from(whole)) >> 64) as u64
}

impl From<Duration> for Latency {
    fn from(latency: Duration) -> Self {
        Self::Fixed(latency)
    }
}

/// In nanoseconds, as it stands in a trace's header.
impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(latency) => write!(f, "{}", latency.as_nanos()),
            Self::Uniform { min, max } => write!(f, "{}..{}", min.as_nanos(), max.as_nanos()),
            Self::Quantiles(Quantiles(table)) => {
                let nanos = table.map(|micros| (u64::from(micros) * 1000).to_string());
                f.write_str(&nanos.join("/"))
            }
        }
    }
}

/// As people write it.
impl fmt::Debug for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(latency) => write!(f, "{latency:?}"),
            Self::Uniform { min, max } => write!(f, "{min:?}..{max:?}"),
            Self::Quantiles(table) => write!(f, "{table:?}"),
        }
    }
}

impl fmt::Debug for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |place: usize| Duration::from_micros(self.0[place].into());
        write!(f, "{:?}..{:?}, mostly {:?}", at(0), at(QUANTILES.len() - 1), at(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: u64 = 1 << 63;

    #[test]
    fn a_table_is_met_at_its_points_and_spread_evenly_between() {
        let table = Quantiles::from_micros([10, 20, 30, 40, 70, 100, 1000]);
        assert_eq!([0, HALF / 2, HALF].map(|bits| table.at(bits)), [10_000, 20_000, 30_000]);
        assert_eq!(table.at(HALF / 4), 15_000);
        assert!((999_000..1_000_000).contains(&table.at(u64::MAX)));
        assert_eq!(Latency::Quantiles(table).typical(), Duration::from_micros(30));
    }

    #[test]
    fn more_bits_never_mean_less_latency() {
        let latencies = [
            Latency::uniform(Duration::from_millis(5), Duration::from_millis(9)),
            Latency::Quantiles(Quantiles::from_micros([1, 2, 3, 3, 5, 8, 900])),
        ];
        for latency in latencies {
            let drawn: Vec<u64> = (0..1000).map(|step| latency.at(step * (u64::MAX / 1000))).collect();
            assert!(drawn.is_sorted());
            assert_eq!(latency.at(HALF), latency.typical().as_nanos() as u64);
        }
    }

    #[test]
    #[should_panic(expected = "at least the one before")]
    fn a_table_that_falls_is_refused() {
        let _ = Quantiles::from_micros([1, 2, 3, 2, 5, 6, 7]);
    }
}
