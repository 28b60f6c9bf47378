//! Figures as people write them in plans: `"250ms"`, `"1m30s"`, `0.05`. Exact, without floating point.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{
    Latency, Probability,
    latency::{QUANTILES, Quantiles},
};

/// Units of time, the largest first.
const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

const EXPECTED: &str = "whole numbers with units, such as \"250ms\", \"1m30s\" or \"2h\"";

/// Reads a duration.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is no duration: expected {EXPECTED}");
    let mut rest = text.trim();
    let mut nanos = 0u64;
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let (_, unit) = UNITS.into_iter().find(|(name, _)| *name == unit.trim()).ok_or_else(bad)?;
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(bad)?;
        nanos = nanos.checked_add(part).ok_or_else(bad)?;
        rest = tail.trim_start();
    }
    Ok(Duration::from_nanos(nanos))
}

/// Writes a duration so that it reads back.
pub(crate) fn print_duration(duration: Duration) -> String {
    let mut nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (name, unit) in UNITS {
        if nanos >= unit {
            text += &format!("{}{name}", nanos / unit);
            nanos %= unit;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

/// For fields that are durations.
pub(crate) mod duration {
    use super::{Deserialize, Deserializer, Duration, Serializer, parse_duration, print_duration};

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&print_duration(*duration))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        parse_duration(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// For fields that may be durations.
pub(crate) mod optional_duration {
    use super::{Deserializer, Duration, Serializer};

    pub(crate) fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        super::duration::serialize(&duration.unwrap_or_default(), serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        super::duration::deserialize(deserializer).map(Some)
    }
}

/// A probability is a number, or the same as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Text(String),
    Whole(i64),
    Decimal(f64),
}

impl<'de> Deserialize<'de> for Probability {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text =
            match Number::deserialize(deserializer).map_err(|_| D::Error::custom("expected a number from 0 to 1"))? {
                Number::Text(text) => text,
                Number::Whole(number) => number.to_string(),
                // Its shortest text is what stood in the file.
                Number::Decimal(number) => number.to_string(),
            };
        text.parse().map_err(D::Error::custom)
    }
}

impl Serialize for Probability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_string())
    }
}

impl<'de> Deserialize<'de> for Latency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_latency(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Serialize for Latency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&match self {
            Self::Fixed(latency) => print_duration(*latency),
            Self::Uniform { min, max } => format!("{}..{}", print_duration(*min), print_duration(*max)),
            Self::Quantiles(table) => {
                table.micros().map(|micros| print_duration(Duration::from_micros(micros.into()))).join("/")
            }
        })
    }
}

fn parse_latency(text: &str) -> Result<Latency, String> {
    if let Some((min, max)) = text.split_once("..") {
        let (min, max) = (parse_duration(min)?, parse_duration(max)?);
        return match min <= max {
            true => Ok(Latency::Uniform { min, max }),
            false => Err(format!("{text:?} is no latency: expected the lesser bound first")),
        };
    }
    let parts = text.split('/').map(parse_duration).collect::<Result<Vec<_>, _>>()?;
    if let [fixed] = parts[..] {
        return Ok(Latency::Fixed(fixed));
    }
    let micros: Vec<u32> = parts.iter().filter_map(|part| u32::try_from(part.as_micros()).ok()).collect();
    match <[u32; QUANTILES.len()]>::try_from(micros) {
        Ok(table) if table.is_sorted() => Ok(Latency::Quantiles(Quantiles::from_micros(table))),
        _ => Err(format!("{text:?} is no latency: expected one duration, two as a range, or seven that grow")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_prints_what_it_was_read_from() {
        for text in ["250ms", "1m30s", "2h", "1d", "1ns", "0s", "1s500ms"] {
            assert_eq!(print_duration(parse_duration(text).unwrap()), text);
        }
        assert_eq!(parse_duration("1m 30s"), Ok(Duration::from_secs(90)));
    }

    #[test]
    fn what_is_no_duration_names_itself_and_what_was_expected() {
        for bad in ["", "5", "-1s", "1.5s", "3 fortnights", "s", "99999999999d"] {
            let error = parse_duration(bad).unwrap_err();
            assert!(error.contains(&format!("{bad:?}")) && error.contains("250ms"), "{error}");
        }
    }

    #[test]
    fn latencies_read_in_their_three_forms() {
        let ms = Duration::from_millis;
        assert_eq!(parse_latency("50ms"), Ok(Latency::Fixed(ms(50))));
        assert_eq!(parse_latency("20ms..80ms"), Ok(Latency::uniform(ms(20), ms(80))));
        let table = "1ms/2ms/3ms/4ms/5ms/6ms/1s";
        assert!(matches!(parse_latency(table), Ok(Latency::Quantiles(_))));
        for bad in ["80ms..20ms", "1ms/2ms", "1ms/2ms/3ms/4ms/5ms/6ms/1us"] {
            assert!(parse_latency(bad).unwrap_err().contains("no latency"));
        }
    }
}
