//! Whom a rule is for.

use std::{collections::BTreeSet, fmt};

use p2p::PeerId;

/// The peers that may use a service. By default whoever has a ticket for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allow {
    /// Everybody who can reach this daemon, which then needs no ticket.
    pub anyone: bool,
    /// Whoever has a ticket for the service.
    pub ticket: bool,
    /// These, whose keys prove it.
    pub peers: BTreeSet<PeerId>,
}

impl Allow {
    /// These peers alone.
    pub fn peers(peers: impl IntoIterator<Item = PeerId>) -> Self {
        Self { anyone: false, ticket: false, peers: peers.into_iter().collect() }
    }

    /// Everybody.
    pub fn anyone() -> Self {
        Self { anyone: true, ..Self::peers([]) }
    }
}

impl Default for Allow {
    fn default() -> Self {
        Self { ticket: true, ..Self::peers([]) }
    }
}

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [(self.anyone, "anyone"), (self.ticket, "ticket")];
        let words = words.into_iter().filter(|(is, _)| *is).map(|(_, word)| word.to_owned());
        let all: Vec<_> = words.chain(self.peers.iter().map(|peer| format!("{peer:?}"))).collect();
        f.write_str(if all.is_empty() { "nobody".to_owned() } else { all.join(", ") }.as_str())
    }
}
