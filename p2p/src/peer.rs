//! Who a peer is, and where it may be found.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    str::FromStr,
};

use data_encoding::HEXLOWER_PERMISSIVE as HEX;
use serde::{Deserialize, Serialize};

use crate::{Instant, P2PError};

/// A peer's identity: an ed25519 public key, opaque here.
///
/// `Display` prints all 64 hex digits and [`FromStr`] reads them back; `Debug` prints the first ten, for logs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; Self::LEN]);

impl PeerId {
    /// Bytes of an identity.
    pub const LEN: usize = 32;

    /// The identity with these bytes. Whether they are a valid key is for the provider to find out.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The key's bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The identity of a test or simulated peer: the hash of its name. No private key belongs to it.
    pub fn from_name(name: &str) -> Self {
        Self(*blake3::hash(name.as_bytes()).as_bytes())
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEX.encode(&self.0))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEX.encode(&self.0[..5]))
    }
}

impl FromStr for PeerId {
    type Err = P2PError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        HEX.decode(text.as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| P2PError::invalid_input(format_args!("peer id {text:?}"), "64 hex digits"))
    }
}

/// Serialises as text where the format is for people and as 32 bytes where it is not.
impl Serialize for PeerId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for PeerId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
        } else {
            <[u8; Self::LEN]>::deserialize(deserializer).map(Self)
        }
    }
}

/// Where a peer may be reached: its identity and whatever is known of its place.
///
/// An address without hints works where the provider finds peers by itself. Hints of several kinds may stand side by
/// side; a provider uses those it understands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerAddr {
    /// Who is to be reached; a connection to anybody else fails.
    pub peer: PeerId,
    /// Relays that may know the peer, as URLs.
    #[serde(default)]
    pub relays: BTreeSet<String>,
    /// Addresses at which the peer may listen itself.
    #[serde(default)]
    pub direct: BTreeSet<SocketAddr>,
}

impl PeerAddr {
    /// An address with no hints.
    pub const fn new(peer: PeerId) -> Self {
        Self { peer, relays: BTreeSet::new(), direct: BTreeSet::new() }
    }

    /// Adds a relay's URL.
    #[must_use]
    pub fn with_relay(mut self, url: impl Into<String>) -> Self {
        self.relays.insert(url.into());
        self
    }

    /// Adds a socket address.
    #[must_use]
    pub fn with_direct(mut self, addr: SocketAddr) -> Self {
        self.direct.insert(addr);
        self
    }

    /// Whether nothing but the identity is known.
    pub fn has_no_hints(&self) -> bool {
        self.relays.is_empty() && self.direct.is_empty()
    }
}

impl From<PeerId> for PeerAddr {
    fn from(peer: PeerId) -> Self {
        Self::new(peer)
    }
}

/// What a provider knows of a peer now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// The peer and all hints known for it, given or discovered.
    pub addr: PeerAddr,
    /// Connections open to the peer now.
    pub connections: usize,
    /// When something was last heard from the peer, if ever.
    pub last_seen: Option<Instant>,
    /// Free-form facts of this provider, for people: the relay in use, the kind of path.
    pub notes: BTreeMap<String, String>,
}

impl PeerInfo {
    /// Information that says no more than the address does.
    pub const fn new(addr: PeerAddr) -> Self {
        Self { addr, connections: 0, last_seen: None, notes: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_id_reads_back_what_it_prints() {
        let id = PeerId::from_name("alice");
        assert_eq!(id.to_string().parse::<PeerId>().unwrap(), id);
        assert_eq!(format!("{id:?}"), id.to_string()[..10]);
        assert_eq!(serde_json::from_str::<PeerId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
    }

    #[test]
    fn an_unparsable_peer_id_names_itself_and_what_was_expected() {
        for bad in ["", "abc", "zz", &"0".repeat(63), &"0".repeat(66), "g000"] {
            let error = bad.parse::<PeerId>().unwrap_err().to_string();
            assert!(error.contains(&format!("{bad:?}")) && error.contains("64 hex digits"), "{error}");
        }
    }
}
