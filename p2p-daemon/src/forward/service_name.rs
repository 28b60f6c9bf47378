//! The name of a shared service.

use std::{fmt, str::FromStr};

use crate::Error;

/// The name under which a service is shared: 1 to 63 of `a-z`, `0-9`, `-`, `_` and `.`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName(String);

impl ServiceName {
    /// Bytes of the longest name, as of a label in DNS.
    pub const BYTES_MAX: usize = 63;

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `default`: what a service is called that was given no name.
impl Default for ServiceName {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl FromStr for ServiceName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        if (1..=Self::BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed) {
            Ok(Self(name.to_owned()))
        } else {
            Err(Error::ServiceName { given: name.chars().take(Self::BYTES_MAX + 1).collect() })
        }
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in ["", "Web", "a b", "a,b", "é", "a/b", &"x".repeat(64)] {
            bad.parse::<ServiceName>().unwrap_err();
        }
        "x".repeat(63).parse::<ServiceName>().unwrap();
    }
}
