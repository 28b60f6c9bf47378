//! The name of a shared service.

use std::{fmt, str::FromStr};

use p2p::{P2PError, Ticket};

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

    /// Puts the names of services into a ticket, separated by commas.
    #[must_use]
    pub fn into_ticket<'a>(ticket: Ticket, names: impl IntoIterator<Item = &'a Self>) -> Ticket {
        let names: Vec<_> = names.into_iter().map(Self::as_str).collect();
        ticket.with_extension(EXTENSION, names.join(","))
    }

    /// The services that a ticket names; none if it names none.
    ///
    /// # Errors
    /// [`P2PError::InvalidInput`] if what stands in the ticket is no list of names.
    pub fn from_ticket(ticket: &Ticket) -> Result<Vec<Self>, P2PError> {
        let Some(list) = ticket.extensions.get(EXTENSION) else {
            return Ok(Vec::new());
        };
        let list = String::from_utf8_lossy(list);
        let names: Result<_, Error> = list.split(',').map(str::parse).collect();
        names.map_err(|_| {
            P2PError::invalid_input(format_args!("ticket with services {list:?}"), "names separated by commas")
        })
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

/// The ticket's extension that lists what is shared.
const EXTENSION: &str = "services";

#[cfg(test)]
mod tests {
    use p2p::{PeerAddr, PeerId};

    use super::*;

    #[test]
    fn names_travel_in_a_ticket() {
        let names: [ServiceName; 2] = ["web".parse().unwrap(), "ssh-2".parse().unwrap()];
        let ticket = Ticket::new(PeerAddr::new(PeerId::from_name("alice")));
        assert_eq!(ServiceName::from_ticket(&ticket).unwrap(), []);
        let ticket = ServiceName::into_ticket(ticket, &names);
        assert_eq!(ServiceName::from_ticket(&ticket).unwrap(), names);
        let bad = ticket.with_extension(EXTENSION, "web,,");
        ServiceName::from_ticket(&bad).unwrap_err();
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in ["", "Web", "a b", "a,b", "é", "a/b", &"x".repeat(64)] {
            bad.parse::<ServiceName>().unwrap_err();
        }
        "x".repeat(63).parse::<ServiceName>().unwrap();
    }
}
