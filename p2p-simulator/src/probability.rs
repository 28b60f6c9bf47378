//! How often something happens, without floating point.

use std::{fmt, str::FromStr};

use p2p::P2PError;

/// A chance from 0 to 1, exact on every machine.
///
/// It is kept as a threshold for 64 random bits: the event happens when they are below it. So a draw that meant "lost" at
/// 1 % still means "lost" at 2 %, and raising one chance moves nothing else.
///
/// ```
/// use p2p_simulator::Probability;
///
/// let loss: Probability = "0.05".parse()?;
/// assert_eq!(loss, Probability::percent(5));
/// assert!("1.5".parse::<Probability>().is_err());
/// # Ok::<(), p2p::P2PError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Probability(u64);

impl Probability {
    /// It never happens.
    pub const NEVER: Self = Self(0);
    /// It always happens.
    pub const ALWAYS: Self = Self(u64::MAX);

    /// So many times of a hundred.
    ///
    /// # Panics
    /// Above 100.
    pub const fn percent(percent: u32) -> Self {
        Self::per_million(percent * 10_000)
    }

    /// So many times of a million.
    ///
    /// # Panics
    /// Above 1,000,000.
    pub const fn per_million(times: u32) -> Self {
        assert!(times <= 1_000_000, "a probability is at most 1");
        Self::ratio(times as u64, 1_000_000)
    }

    /// Whether the event happens on these random bits.
    pub(crate) const fn happens(self, bits: u64) -> bool {
        bits < self.0 || self.is_always()
    }

    /// How often the event happens in a row, at most `max` times, on one draw of random bits.
    ///
    /// The same bits under a higher probability never give fewer.
    pub(crate) fn times_in_a_row(self, bits: u64, max: u32) -> u32 {
        let mut threshold = self.0;
        let mut times = 0;
        while times < max && (bits < threshold || self.is_always()) {
            times += 1;
            threshold = ((u128::from(threshold) * u128::from(self.0)) >> 64) as u64;
        }
        times
    }

    pub(crate) const fn is_never(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn is_always(self) -> bool {
        self.0 == u64::MAX
    }

    const fn ratio(num: u64, den: u64) -> Self {
        if num == den {
            return Self::ALWAYS;
        }
        Self((((num as u128) << 64) / den as u128) as u64)
    }
}

/// Reads a plain decimal fraction from 0 to 1, such as `0.01`.
impl FromStr for Probability {
    type Err = P2PError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || {
            P2PError::invalid_input(format_args!("probability {text:?}"), "a decimal number from 0 to 1, such as 0.01")
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || fraction.is_empty() || !digits(whole) || !digits(fraction) {
            return Err(bad());
        }
        if fraction.len() > FRACTION_DIGITS_MAX {
            return Err(bad());
        }
        let whole: u64 = whole.parse().map_err(|_| bad())?;
        let den = 10u64.pow(fraction.len() as u32);
        let num: u64 = fraction.parse().map_err(|_| bad())?;
        match (whole, num) {
            (0, _) => Ok(Self::ratio(num, den)),
            (1, 0) => Ok(Self::ALWAYS),
            _ => Err(bad()),
        }
    }
}

/// Digits after the point: as many as a `u64` holds.
const FRACTION_DIGITS_MAX: usize = 18;

impl fmt::Display for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_always() {
            return f.write_str("1");
        }
        // Rounded to millionths, which is how they are written.
        let millionths = (u128::from(self.0) * 1_000_000 + (1 << 63)) >> 64;
        let digits = format!("{millionths:06}");
        match digits.trim_end_matches('0') {
            "" => f.write_str("0"),
            "1" if millionths == 1_000_000 => f.write_str("1"),
            rest => write!(f, "0.{rest}"),
        }
    }
}

impl fmt::Debug for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probability_prints_what_it_was_read_from() {
        for text in ["0", "1", "0.5", "0.01", "0.001", "0.999999", "0.000001"] {
            assert_eq!(text.parse::<Probability>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_probability_names_itself_and_what_was_expected() {
        for bad in ["", "1.1", "2", "-0.1", "0.", ".5", "5%", "1e-3", "NaN"] {
            let error = bad.parse::<Probability>().unwrap_err().to_string();
            assert!(error.contains(&format!("{bad:?}")) && error.contains("from 0 to 1"), "{error}");
        }
    }

    #[test]
    fn times_in_a_row_follow_the_powers_of_the_probability() {
        let half = Probability::percent(50);
        assert_eq!(half.times_in_a_row(u64::MAX / 2 + 9, 10), 0);
        assert_eq!(half.times_in_a_row(u64::MAX / 4 + 9, 10), 1);
        assert_eq!(half.times_in_a_row(u64::MAX / 8 + 9, 10), 2);
        assert_eq!(half.times_in_a_row(0, 10), 10);
        assert_eq!(Probability::NEVER.times_in_a_row(0, 10), 0);
        assert_eq!(Probability::ALWAYS.times_in_a_row(u64::MAX, 10), 10);
    }
}
