//! A peer's address as one word that people can paste.

use std::{collections::BTreeMap, fmt, str::FromStr};

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};

use crate::{P2PError, PeerAddr, protocol::codec};

/// An address with room for what a service adds to it, in text form `p2p1…`.
///
/// The text is the prefix, the version, and base32 of the encoded fields with a checksum, all lower case, so it
/// survives double clicks, chat clients and being read aloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// Whom to dial, and where.
    pub addr: PeerAddr,
    /// Facts for the application by name: a service, an expiry, a token. Unknown names are kept and ignored.
    pub extensions: BTreeMap<String, Vec<u8>>,
}

impl Ticket {
    /// The version that [`Display`](fmt::Display) writes and [`FromStr`] reads.
    pub const VERSION: u32 = 1;

    /// A ticket that is the address alone.
    pub const fn new(addr: PeerAddr) -> Self {
        Self { addr, extensions: BTreeMap::new() }
    }

    /// Adds an extension.
    #[must_use]
    pub fn with_extension(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.extensions.insert(name.into(), value.into());
        self
    }
}

impl From<PeerAddr> for Ticket {
    fn from(addr: PeerAddr) -> Self {
        Self::new(addr)
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text_of(&codec::encode(self)))
    }
}

/// The text of a ticket with these bytes in it.
pub(crate) fn text_of(fields: &[u8]) -> String {
    let checksum = blake3::hash(fields);
    let body = BASE32_NOPAD.encode(&[fields, &checksum.as_bytes()[..CHECKSUM_LEN]].concat()).to_ascii_lowercase();
    format!("{PREFIX}{}{SEPARATOR}{body}", Ticket::VERSION)
}

impl FromStr for Ticket {
    type Err = P2PError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "a ticket as `p2pd share` prints it: p2p1- and base32 text";
        let invalid = |why: &str| P2PError::invalid_input(format_args!("ticket {:?} ({why})", shorten(text)), expected);
        let text = text.trim();
        if text.len() > TEXT_LEN_MAX {
            return Err(invalid("too long"));
        }
        let (version, body) = text
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split_once(SEPARATOR))
            .ok_or_else(|| invalid("it does not begin as one"))?;
        let version: u32 = version.parse().map_err(|_| invalid("no version number"))?;
        if version != Self::VERSION {
            return Err(P2PError::invalid_input(
                format_args!("ticket version {version}"),
                format_args!("version {}; a newer program may read this ticket", Self::VERSION),
            ));
        }
        let mut bytes = BASE32_NOPAD
            .decode(body.to_ascii_uppercase().as_bytes())
            .map_err(|_| invalid("a letter in it is not base32, or it was cut"))?;
        let Some(len) = bytes.len().checked_sub(CHECKSUM_LEN) else {
            return Err(invalid("it was cut"));
        };
        let checksum = bytes.split_off(len);
        if blake3::hash(&bytes).as_bytes()[..CHECKSUM_LEN] != checksum[..] {
            return Err(invalid("its checksum does not match: a letter is wrong, or it was cut"));
        }
        codec::decode(&bytes).map_err(|_| invalid("its fields do not decode"))
    }
}

/// The start of a long text, so that an error stays on one line.
fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(24).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

const PREFIX: &str = "p2p";
const SEPARATOR: char = '-';
const CHECKSUM_LEN: usize = 4;

/// Characters of the longest ticket that is read. Twenty relays and addresses fit many times over.
const TEXT_LEN_MAX: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PeerId;

    fn ticket() -> Ticket {
        let addr = PeerAddr::new(PeerId::from_name("alice"))
            .with_relay("https://relay.example")
            .with_direct("192.0.2.7:8800".parse().unwrap());
        Ticket::new(addr).with_extension("service", "web")
    }

    #[test]
    fn a_ticket_reads_back_what_it_prints() {
        let text = ticket().to_string();
        assert_eq!(text.parse::<Ticket>().unwrap(), ticket());
        assert_eq!(format!("  {text}\n").parse::<Ticket>().unwrap(), ticket());
        assert_eq!(text.to_uppercase().replace("P2P", "p2p").parse::<Ticket>().unwrap(), ticket());
    }

    #[test]
    fn an_unknown_version_is_named() {
        let error = ticket().to_string().replacen("p2p1-", "p2p9-", 1).parse::<Ticket>().unwrap_err();
        assert!(error.to_string().contains("version 9") && error.to_string().contains("version 1"), "{error}");
    }

    #[test]
    fn every_single_wrong_letter_is_noticed() {
        let text = ticket().to_string();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'q' { b'r' } else { b'q' };
            let damaged = String::from_utf8(bytes).unwrap();
            let error = damaged.parse::<Ticket>().expect_err(&damaged).to_string();
            assert!(error.contains("ticket") && error.contains("expected"), "{error}");
        }
    }

    #[test]
    fn a_cut_ticket_is_noticed() {
        let text = ticket().to_string();
        for len in 0..text.len() {
            let error = text[..len].parse::<Ticket>().unwrap_err().to_string();
            assert!(len < "p2p1-".len() || error.contains("it was cut"), "{error}");
        }
    }
}
