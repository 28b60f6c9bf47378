//! One port, or several in a row.

use std::fmt;

/// Ports that are forwarded one to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ports {
    first: u16,
    last: u16,
}

impl Ports {
    /// The most ports of one rule. Each is a socket.
    pub const COUNT_MAX: u16 = 1024;

    /// One port.
    pub const fn one(port: u16) -> Self {
        Self { first: port, last: port }
    }

    /// `80`, or `8000-8010`.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let port = |text: &str| text.parse::<u16>().map_err(|_| "its port is not 1 to 65535");
        let ports = match text.split_once('-') {
            None => Self::one(port(text)?),
            Some((first, last)) => Self { first: port(first)?, last: port(last)? },
        };
        if ports.last < ports.first {
            return Err("its last port is before its first");
        }
        if ports.last - ports.first >= Self::COUNT_MAX {
            return Err("its range has more than 1024 ports");
        }
        if ports.first == 0 && ports.last != 0 {
            return Err("its range begins with port 0");
        }
        Ok(ports)
    }

    /// The first.
    pub const fn first(self) -> u16 {
        self.first
    }

    /// How many.
    pub const fn count(self) -> u16 {
        self.last - self.first + 1
    }

    /// The port at that place, counted from 0.
    pub(crate) const fn get(self, offset: u16) -> Option<u16> {
        if offset < self.count() { Some(self.first + offset) } else { None }
    }

    pub(crate) const fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last && self.first != 0 && other.first != 0
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count() {
            1 => self.first.fmt(f),
            _ => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_read_back_and_know_what_they_have_in_common() {
        for text in ["80", "0", "8000-8010"] {
            assert_eq!(Ports::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "x", "9-8", "1-2000", "0-3", "65536", "1-"] {
            Ports::parse(text).unwrap_err();
        }
        let range = Ports::parse("10-20").unwrap();
        assert!(range.overlaps(Ports::one(20)) && !range.overlaps(Ports::one(21)));
        assert_eq!((range.count(), range.get(10), range.get(11)), (11, Some(20), None));
        assert!(!Ports::one(0).overlaps(Ports::one(0)), "any free port is another one each time");
    }
}
