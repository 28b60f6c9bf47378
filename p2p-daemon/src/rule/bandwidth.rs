//! How much a rule may carry.

use std::{fmt, num::NonZeroU64, str::FromStr};

/// Bytes per second, in each direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bandwidth(NonZeroU64);

impl Bandwidth {
    /// That many bytes per second; nothing for 0.
    pub const fn bytes_per_second(bytes: u64) -> Option<Self> {
        match NonZeroU64::new(bytes) {
            Some(bytes) => Some(Self(bytes)),
            None => None,
        }
    }

    /// Bytes per second.
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

/// A number and a unit: `500 kB/s`, `10 MB/s`, `8 Mbit/s`.
impl FromStr for Bandwidth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = || {
            format!(
                "bandwidth {text:?} is invalid: expected a number and one of {}, like 10 MB/s",
                UNITS.map(|(unit, _)| unit).join(", ")
            )
        };
        let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(expected)?;
        let (number, unit) = text.split_at(at);
        let number: f64 = number.parse().map_err(|_| expected())?;
        let (_, bits) = UNITS.into_iter().find(|(name, _)| *name == unit.trim()).ok_or_else(expected)?;
        let bytes = number * bits / 8.0;
        // As an integer it fits: the largest unit and any number of a person's size do.
        if !(1.0..1e15).contains(&bytes) {
            return Err(expected());
        }
        Self::bytes_per_second(bytes as u64).ok_or_else(expected)
    }
}

/// In the largest unit of bytes that leaves no fraction of a thousandth.
impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.get() {
            bytes if bytes >= 1_000_000 => write!(f, "{} MB/s", bytes as f64 / 1e6),
            bytes if bytes >= 1_000 => write!(f, "{} kB/s", bytes as f64 / 1e3),
            bytes => write!(f, "{bytes} B/s"),
        }
    }
}

/// Units, and how many bits per second each is.
const UNITS: [(&str, f64); 8] = [
    ("B/s", 8.0),
    ("kB/s", 8e3),
    ("MB/s", 8e6),
    ("GB/s", 8e9),
    ("bit/s", 1.0),
    ("kbit/s", 1e3),
    ("Mbit/s", 1e6),
    ("Gbit/s", 1e9),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bandwidth_has_a_number_and_a_unit() {
        for (text, bytes) in [("500 kB/s", 500_000), ("1.5 MB/s", 1_500_000), ("8 Mbit/s", 1_000_000), ("64B/s", 64)] {
            assert_eq!(text.parse::<Bandwidth>().unwrap().get(), bytes);
        }
        for text in ["", "10", "0 MB/s", "-1 MB/s", "MB/s", "10 mb/s", "1e3 B/s", "1 B/s/s"] {
            let error = text.parse::<Bandwidth>().unwrap_err();
            assert!(error.contains("like 10 MB/s"), "{error}");
        }
        assert_eq!("1500 kB/s".parse::<Bandwidth>().unwrap().to_string(), "1.5 MB/s");
    }
}
