//! What is to be forwarded: plain data, checked, and nothing of how it is done.
//!
//! A [`ShareRule`] gives peers a service; a [`ConnectRule`] makes a peer's service available at a local address.
//! [`Rules`] is all that one daemon does. [`Daemon::apply`](crate::Daemon::apply) makes it so.
//!
//! # Map
//! - [`Target`]: what is shared. [`Listen`]: where a peer's service is made available.
//! - [`Protocols`], [`Ports`]: TCP, UDP or both; one port or several.
//! - [`Bandwidth`]: how much a rule may carry.

mod bandwidth;
mod listen;
mod ports;
mod protocols;
mod target;

use std::{collections::BTreeMap, time::Duration};

use p2p::{PeerAddr, PeerId};

use crate::{
    Error,
    access::{Allow, Token},
    forward::ServiceName,
};

pub use self::{
    bandwidth::Bandwidth,
    listen::{Listen, Place},
    ports::Ports,
    protocols::Protocols,
    target::{HostPort, Target},
};

/// Everything that one daemon forwards.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules {
    /// What peers get.
    pub shares: Vec<ShareRule>,
    /// What is got from peers.
    pub connects: Vec<ConnectRule>,
    /// What people call peers.
    pub peers: BTreeMap<PeerId, String>,
}

/// A service for peers.
#[derive(Debug, Clone, PartialEq)]
pub struct ShareRule {
    /// What peers ask for.
    pub name: ServiceName,
    /// What they get.
    pub target: Target,
    /// Who they may be.
    pub allow: Allow,
    /// Peers that are dialled so that they can use the service, because they cannot dial here.
    pub reverse_to: Vec<Remote>,
    /// What the rule's streams carry at most, together. Nothing is as much as they can.
    pub bandwidth: Option<Bandwidth>,
    /// How long a UDP flow may be silent before it is forgotten.
    pub udp_idle: Duration,
}

impl ShareRule {
    /// A rule for whoever has a ticket.
    pub fn new(name: ServiceName, target: Target) -> Self {
        Self { name, target, allow: Allow::default(), reverse_to: Vec::new(), bandwidth: None, udp_idle: UDP_IDLE }
    }
}

/// A peer's service at a local address.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectRule {
    /// What the rule is called in logs and metrics.
    pub name: ServiceName,
    /// Whose service.
    pub remote: Remote,
    /// Which one.
    pub service: ServiceName,
    /// Where.
    pub listen: Listen,
    /// Whether the peer dials here, because it cannot be dialled.
    pub reverse: bool,
    /// What the rule's streams carry at most, together. Nothing is as much as they can.
    pub bandwidth: Option<Bandwidth>,
    /// How long a UDP flow may be silent before it is forgotten.
    pub udp_idle: Duration,
}

impl ConnectRule {
    /// A rule with that service of that peer at that address, named like the service.
    pub fn new(remote: Remote, service: ServiceName, listen: Listen) -> Self {
        let name = service.clone();
        Self { name, remote, service, listen, reverse: false, bandwidth: None, udp_idle: UDP_IDLE }
    }
}

/// A peer, and what proves that one may use its services.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remote {
    /// Whom to dial, and where.
    pub addr: PeerAddr,
    /// What the peer's ticket holds.
    pub token: Option<Token>,
}

impl From<PeerId> for Remote {
    fn from(peer: PeerId) -> Self {
        Self { addr: peer.into(), token: None }
    }
}

impl From<PeerAddr> for Remote {
    fn from(addr: PeerAddr) -> Self {
        Self { addr, token: None }
    }
}

impl Rules {
    /// Whether the rules go together: each has a name of its own, and no two of them listen at one place.
    ///
    /// # Errors
    /// [`Error::Rules`] names the two.
    pub fn check(&self) -> Result<(), Error> {
        unique("share", self.shares.iter().map(|rule| &rule.name))?;
        unique("connect", self.connects.iter().map(|rule| &rule.name))?;
        for (at, rule) in self.connects.iter().enumerate() {
            if let Some(other) = self.connects[..at].iter().find(|other| other.listen.overlaps(&rule.listen)) {
                let (name, other_name) = (&rule.name, &other.name);
                return Err(Error::Rules {
                    problem: format!(
                        "the rules {other_name} and {name} both listen on {}: give one of them another address",
                        rule.listen
                    ),
                    rule: Some(("connect", at)),
                });
            }
        }
        Ok(())
    }

    /// Whether peers have to be able to dial here.
    pub(crate) fn want_peers(&self) -> bool {
        !self.shares.is_empty() || self.connects.iter().any(|rule| rule.reverse)
    }
}

fn unique<'a>(kind: &'static str, names: impl Iterator<Item = &'a ServiceName> + Clone) -> Result<(), Error> {
    for (at, name) in names.clone().enumerate() {
        if names.clone().take(at).any(|other| other == name) {
            let problem = format!("two {kind} rules are called {name}: give one of them another name");
            return Err(Error::Rules { problem, rule: Some((kind, at)) });
        }
    }
    Ok(())
}

/// As long as most routers keep a UDP mapping, and twice what a resolver waits for an answer.
pub const UDP_IDLE: Duration = Duration::from_secs(60);
