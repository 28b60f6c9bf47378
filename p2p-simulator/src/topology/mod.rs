//! Where peers are: behind which routers, and which relays there are.
//!
//! Peers that stand behind no router reach each other directly, at once and for good. As soon as one of two is behind a
//! [`Router`], whatever its [`Nat`], the two begin by way of a [`Relay`], try to find a direct path, and fall back when
//! they lose it, as iroh does.

mod nat;

use std::{collections::BTreeSet, fmt, str::FromStr};

use p2p::P2PError;
use serde::{Deserialize, Serialize};

pub use self::nat::{Filtering, Mapping, Nat};
use crate::nearest::nearest;

/// Routers and relays, by name.
///
/// ```
/// use p2p_simulator::Topology;
///
/// let topology: Topology = r#"
///     [[relay]]
///     name = "relay-1"
///     clients-max = 100            # the 101st is turned away; 65536 by default
///     bytes-per-second = 1_000_000 # that it takes from each client; no bound by default
///
///     [[router]]
///     name = "operator"
///     nat = "cgnat"
///
///     [[router]]
///     name = "home"
///     nat = "moderate"             # or none, open, strict, cgnat, corporate, udp-blocked
///     upstream = "operator"        # double NAT
///     peers = ["alice"]
///
///     [[router]]
///     name = "office"
///     nat = { preset = "strict", udp-stream-timeout = "20s" }
///     peers = ["bob", "carol"]
/// "#.parse()?;
/// assert_eq!(topology.routers[1].upstream.as_deref(), Some("operator"));
/// # Ok::<(), p2p::P2PError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// At most [`RELAYS_MAX`].
    #[serde(default, rename = "relay", skip_serializing_if = "Vec::is_empty")]
    pub relays: Vec<Relay>,
    /// At most [`ROUTERS_MAX`], each after the one it is behind.
    #[serde(default, rename = "router", skip_serializing_if = "Vec::is_empty")]
    pub routers: Vec<Router>,
}

/// A relay: it has a public address, every peer knows it, and it carries packets between its clients.
///
/// It is a node of the network: what lies between it and a peer is a link like any other, with latency, faults and all. As
/// the way is one TCP connection, loss on it delays everything behind it and loses nothing. What does not fit in front of
/// the link to the receiving peer is dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Relay {
    /// Its name. No peer has the same.
    pub name: String,
    /// Peers that may use it at once. Defaults to 65,536; the next is turned away.
    #[serde(default = "clients_max_default")]
    pub clients_max: u32,
    /// Bytes a second that it takes from each client, which waits meanwhile. Defaults to no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
}

/// A router, and who is directly behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Router {
    /// Its name.
    pub name: String,
    /// What it does to addresses.
    pub nat: Nat,
    /// The router it is behind itself; nothing if it has a public address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// The peers directly behind it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<String>,
}

/// Relays that a network may have.
pub const RELAYS_MAX: usize = 64;
/// Routers that a network may have.
pub const ROUTERS_MAX: usize = 65_536;
/// Routers on the way from a peer to the public network.
pub const ROUTERS_DEEP_MAX: usize = 8;

const fn clients_max_default() -> u32 {
    65_536
}

impl Relay {
    /// A relay that takes 65,536 clients and as much as they send.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), clients_max: clients_max_default(), bytes_per_second: None }
    }
}

impl Router {
    /// A router with a public address, and nobody behind it.
    pub fn new(name: impl Into<String>, nat: Nat) -> Self {
        Self { name: name.into(), nat, upstream: None, peers: Vec::new() }
    }

    /// Puts it behind another.
    #[must_use]
    pub fn behind(mut self, upstream: impl Into<String>) -> Self {
        self.upstream = Some(upstream.into());
        self
    }

    /// Puts a peer behind it.
    #[must_use]
    pub fn with_peer(mut self, peer: impl Into<String>) -> Self {
        self.peers.push(peer.into());
        self
    }
}

impl Topology {
    /// Neither routers nor relays.
    pub const fn new() -> Self {
        Self { relays: Vec::new(), routers: Vec::new() }
    }

    /// Adds a relay.
    #[must_use]
    pub fn with_relay(mut self, relay: Relay) -> Self {
        self.relays.push(relay);
        self
    }

    /// Adds a router.
    #[must_use]
    pub fn with_router(mut self, router: Router) -> Self {
        self.routers.push(router);
        self
    }

    /// Whether all peers are in public and on their own.
    pub fn is_empty(&self) -> bool {
        self.relays.is_empty() && self.routers.is_empty()
    }

    /// The peers behind any router.
    pub fn routed_peers(&self) -> impl Iterator<Item = &str> {
        self.routers.iter().flat_map(|router| &router.peers).map(String::as_str)
    }

    /// The peers that have at least one translating router in front of them.
    pub fn translated_peers(&self) -> Vec<String> {
        let behind_nat = |router: &&Router| {
            let mut next = Some(*router);
            while let Some(router) = next {
                if router.nat.translates() {
                    return true;
                }
                next = router.upstream.as_ref().and_then(|name| self.routers.iter().find(|other| other.name == *name));
            }
            false
        };
        self.routers.iter().filter(behind_nat).flat_map(|router| router.peers.clone()).collect()
    }

    /// Checks that it can be laid out on a network without routers and relays.
    ///
    /// # Errors
    /// [`InvalidInput`](P2PError::InvalidInput), which names what cannot be: a name that is taken, an upstream that is no
    /// earlier router, a peer in two places, a NAT that cannot be, a relay without clients, or too many of anything.
    pub fn check(&self) -> Result<(), P2PError> {
        let (mut relays, mut peers) = (BTreeSet::new(), BTreeSet::new());
        bounded("relays", self.relays.len(), RELAYS_MAX)?;
        bounded("routers", self.routers.len(), ROUTERS_MAX)?;
        for relay in &self.relays {
            relay.check()?;
            if !relays.insert(relay.name.as_str()) {
                return Err(P2PError::invalid_input(format_args!("relay {:?}", relay.name), "a name of its own"));
            }
        }
        for (number, router) in self.routers.iter().enumerate() {
            let earlier = &self.routers[..number];
            let refuse = |what: &str, expected: &str| {
                Err(P2PError::invalid_input(format_args!("router {:?}: {what}", router.name), expected))
            };
            router.nat.check().map_err(|error| invalid_in(router, &error))?;
            if router.name.trim().is_empty() || earlier.iter().any(|other| other.name == router.name) {
                return refuse("its name", "a name of its own");
            }
            if let Some(upstream) = &router.upstream
                && !earlier.iter().any(|other| other.name == *upstream)
            {
                let nearest = nearest(upstream, earlier.iter().map(|other| other.name.as_str()));
                let nearest = nearest.map_or(String::new(), |name| format!("; the nearest is {name:?}"));
                let expected = format!("a router that stands before it{nearest}");
                return refuse(&format!("upstream = {upstream:?}"), &expected);
            }
            for peer in &router.peers {
                if relays.contains(peer.as_str()) || !peers.insert(peer.as_str()) {
                    return refuse(&format!("peer {peer:?}"), "a peer, in one place");
                }
            }
        }
        Ok(())
    }

    /// Checks that all peers behind routers are among these.
    ///
    /// # Errors
    /// [`InvalidInput`](P2PError::InvalidInput), which names the router, the peer, and the nearest of the known.
    pub fn check_peers(&self, known: &[String]) -> Result<(), P2PError> {
        for router in &self.routers {
            for peer in &router.peers {
                if !known.contains(peer) {
                    let nearest = nearest(peer, known.iter().map(String::as_str));
                    let nearest = nearest.map_or(String::new(), |name| format!("; the nearest is {name:?}"));
                    let what = format_args!("router {:?}: peer {peer:?}", router.name);
                    return Err(P2PError::invalid_input(what, format_args!("a known peer{nearest}")));
                }
            }
        }
        match self.relays.iter().find(|relay| known.contains(&relay.name)) {
            Some(relay) => {
                Err(P2PError::invalid_input(format_args!("relay {:?}", relay.name), "a name that no peer has"))
            }
            None => Ok(()),
        }
    }
}

impl Relay {
    pub(crate) fn check(&self) -> Result<(), P2PError> {
        let refuse = |what: &str, expected: &str| {
            Err(P2PError::invalid_input(format_args!("relay {:?}: {what}", self.name), expected))
        };
        match self {
            Self { name, .. } if name.trim().is_empty() => refuse("its name", "a name"),
            Self { clients_max: 0..2, .. } => refuse("clients-max", "at least 2, as it carries from one to another"),
            Self { bytes_per_second: Some(0), .. } => refuse("bytes-per-second = 0", "at least 1"),
            _ => Ok(()),
        }
    }
}

fn bounded(what: &str, count: usize, most: usize) -> Result<(), P2PError> {
    match count > most {
        true => Err(P2PError::invalid_input(format_args!("{count} {what}"), format_args!("at most {most}"))),
        false => Ok(()),
    }
}

fn invalid_in(router: &Router, error: &P2PError) -> P2PError {
    match error {
        P2PError::InvalidInput { what, expected } => {
            P2PError::invalid_input(format_args!("router {:?}: {what}", router.name), expected)
        }
        other => other.clone(),
    }
}

/// As TOML, so that it reads back.
impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&toml::to_string(self).expect("strings, numbers and tables of these"))
    }
}

impl FromStr for Topology {
    type Err = P2PError;

    /// Reads TOML.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let topology: Self = toml::from_str(text)
            .map_err(|error| P2PError::invalid_input("the topology", error.to_string().trim_end()))?;
        topology.check()?;
        Ok(topology)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_topology_reads_back_from_its_toml() {
        let odd = Nat { udp_timeout: Duration::from_millis(1500), hairpin: true, ..Nat::OPEN };
        let mut topology = Topology::new()
            .with_relay(Relay { clients_max: 7, bytes_per_second: Some(9), ..Relay::new("near") })
            .with_relay(Relay::new("far"))
            .with_router(Router::new("odd", odd).with_peer("z"));
        for (number, (name, nat)) in Nat::PRESETS.into_iter().enumerate() {
            assert_eq!(name.parse::<Nat>().unwrap(), nat);
            topology = topology.with_router(Router::new(name, nat).behind("odd").with_peer(format!("p{number}")));
        }
        assert_eq!(topology.to_string().parse::<Topology>().unwrap(), topology, "{topology}");
    }

    #[test]
    fn what_cannot_be_laid_out_says_what_and_why() {
        for (text, expected) in [
            ("[[router]]\nname='a'\nnat='moderat'", "the nearest is \"moderate\""),
            ("[[router]]\nname='a'\nnat={mapping='endpoint-dependent', hairpin=true}", "endpoint-independent"),
            ("[[router]]\nname='a'\nnat={preset='strict', filtering='address-dependent'}", "endpoint-independent"),
            ("[[router]]\nname='a'\nnat={udp-timeout='0s'}", "an answer can come back"),
            ("[[router]]\nname='a'\nnat={timeout='1s'}", "udp-timeout"),
            ("[[router]]\nname='a'\nnat='open'\nupstream='a'", "stands before it"),
            ("[[router]]\nname='a'\nnat='open'\n[[router]]\nname='a'\nnat='open'", "a name of its own"),
            ("[[router]]\nname='a'\nnat='open'\npeers=['p','p']", "in one place"),
            ("[[relay]]\nname='r'\nclients-max=1", "at least 2"),
            ("[[relay]]\nname='r'\nbytes-per-second=0", "at least 1"),
            ("[[relay]]\nname='r'\n[[relay]]\nname='r'", "a name of its own"),
            ("[[rely]]\nname='r'", "rely"),
        ] {
            let error = text.parse::<Topology>().expect_err(text).to_string();
            assert!(error.contains(expected), "{error} lacks {expected}");
        }
        let topology = Topology::new().with_router(Router::new("home", Nat::OPEN).with_peer("bbo"));
        let error = topology.check_peers(&["alice".into(), "bob".into()]).unwrap_err().to_string();
        assert!(error.contains("\"home\": peer \"bbo\"") && error.contains("nearest is \"bob\""), "{error}");
    }
}
