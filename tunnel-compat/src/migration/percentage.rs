//! Which share of the clients takes part, and which clients that are.

use std::{fmt, str::FromStr};

use p2p::P2PError;
use serde::{Deserialize, Serialize};

use crate::route::ClientId;

/// A share of clients, or of requests: 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Percentage(u8);

impl Percentage {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// All of them.
    pub const ALL: Self = Self(100);

    /// That many of a hundred.
    ///
    /// # Errors
    /// [`P2PError::InvalidInput`] above 100.
    pub fn new(percent: u8) -> Result<Self, P2PError> {
        if percent <= 100 { Ok(Self(percent)) } else { Err(out_of_range(percent)) }
    }

    /// The number.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Whether it takes what is in that [`bucket`].
    pub const fn takes(self, bucket: u8) -> bool {
        bucket < self.0
    }

    /// Whether `part` of `whole` is a larger share than this.
    pub const fn is_passed_by(self, part: u64, whole: u64) -> bool {
        part.saturating_mul(100) > whole.saturating_mul(self.0 as u64)
    }
}

/// A client's place among 100, the same for ever: the first 8 bytes, big endian, of the BLAKE3 hash of `p2p-canary/1/` and the
/// clientId, modulo 100.
///
/// A percentage takes the buckets below it, so raising it adds clients and takes none away, and every server that has the same
/// percentage chooses the same ones.
pub fn bucket(client: &ClientId) -> u8 {
    u8::try_from(stable_hash("p2p-canary/1/", client) % 100).expect("it is below 100")
}

/// 64 bits that depend on a client and a purpose alone.
pub(super) fn stable_hash(purpose: &str, client: &ClientId) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(purpose.as_bytes()).update(client.as_str().as_bytes());
    let hash = hasher.finalize();
    u64::from_be_bytes(hash.as_bytes()[..8].try_into().expect("a hash has 32 bytes"))
}

fn out_of_range(text: impl fmt::Display) -> P2PError {
    P2PError::invalid_input(format_args!("percentage {text}"), "a whole number from 0 to 100")
}

impl fmt::Display for Percentage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl From<Percentage> for u8 {
    fn from(percentage: Percentage) -> Self {
        percentage.0
    }
}

impl TryFrom<u8> for Percentage {
    type Error = P2PError;

    fn try_from(percent: u8) -> Result<Self, P2PError> {
        Self::new(percent)
    }
}

impl FromStr for Percentage {
    type Err = P2PError;

    fn from_str(text: &str) -> Result<Self, P2PError> {
        let number = text.strip_suffix('%').unwrap_or(text);
        let percent: u8 = number.parse().map_err(|_| out_of_range(format_args!("{text:?}")))?;
        Self::new(percent).map_err(|_| out_of_range(format_args!("{text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client(name: &str) -> ClientId {
        name.parse().unwrap()
    }

    #[test]
    fn a_percentage_outside_0_to_100_is_named() {
        for bad in ["101", "255", "256", "-1", "5.5", "", "many", "%"] {
            let error = bad.parse::<Percentage>().unwrap_err().to_string();
            assert!(error.contains(&format!("{bad:?}")) && error.contains("0 to 100"), "{error}");
        }
        for (text, percent) in [("0", 0), ("100", 100), ("37%", 37)] {
            assert_eq!(text.parse::<Percentage>().unwrap().get(), percent);
        }
        assert!(serde_json::from_str::<Percentage>("101").is_err());
    }

    // Pinned: another hash would move clients that were told to stay, and servers of different versions would disagree.
    #[test]
    fn a_clients_bucket_is_the_same_for_ever() {
        let buckets = ["client-a", "client-b", "home", "x"].map(|name| bucket(&client(name)));
        assert_eq!(buckets, [87, 57, 39, 3]);
    }

    #[test]
    fn buckets_are_spread_evenly() {
        let mut counts = [0_u32; 100];
        (0..20_000).for_each(|n| counts[usize::from(bucket(&client(&format!("home-{n}"))))] += 1);
        assert!(counts.iter().all(|count| (120..=280).contains(count)), "{counts:?}");
    }

    proptest! {
        #[test]
        fn raising_the_percentage_takes_no_client_away(name in "[!-~]{1,64}", a in 0_u8..=100, b in 0_u8..=100) {
            let bucket = bucket(&client(&name));
            let (low, high) = (Percentage::new(a.min(b)).unwrap(), Percentage::new(a.max(b)).unwrap());
            prop_assert!(!low.takes(bucket) || high.takes(bucket));
            prop_assert!(!Percentage::NONE.takes(bucket) && Percentage::ALL.takes(bucket));
        }
    }
}
