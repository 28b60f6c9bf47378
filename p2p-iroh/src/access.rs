//! Who may connect, by identity.

use std::{collections::BTreeSet, fmt};

use p2p::{PeerId, Watch, WatchSender};

/// The peers that an endpoint admits. Clones are one list: what one changes counts for all, at once.
///
/// A peer that is not admitted is turned away as soon as TLS has proved who it is, and finds
/// [`RefusalCode::Rejected`](p2p::RefusalCode::Rejected); one that comes by way of a relay, which knows its identity, at its
/// first packet. When a peer is denied its connections are closed. Dialling a denied peer is an error; an allow-list does
/// not concern whom this side dials.
///
/// ```
/// use p2p::PeerId;
/// use p2p_iroh::AccessList;
///
/// let (alice, bob) = (PeerId::from_name("alice"), PeerId::from_name("bob"));
/// let list = AccessList::everybody();
/// list.deny(bob);
/// assert!(list.admits(alice) && !list.admits(bob));
/// list.set_only(Some([bob].into()));
/// assert!(!list.admits(alice) && !list.admits(bob), "who is denied stays so");
/// ```
#[derive(Clone)]
pub struct AccessList(WatchSender<Lists>);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Lists {
    only: Option<BTreeSet<PeerId>>,
    denied: BTreeSet<PeerId>,
}

impl Lists {
    fn admits(&self, peer: PeerId) -> bool {
        !self.denied.contains(&peer) && self.only.as_ref().is_none_or(|only| only.contains(&peer))
    }
}

impl AccessList {
    /// Admits whoever comes.
    pub fn everybody() -> Self {
        Self(WatchSender::new(Lists::default()))
    }

    /// Admits these peers and nobody else.
    pub fn only(peers: impl IntoIterator<Item = PeerId>) -> Self {
        let list = Self::everybody();
        list.set_only(Some(peers.into_iter().collect()));
        list
    }

    /// Denies one more peer, and closes its connections.
    pub fn deny(&self, peer: PeerId) {
        self.0.modify(|lists| lists.denied.insert(peer));
    }

    /// Sets all peers that are denied.
    pub fn set_denied(&self, peers: BTreeSet<PeerId>) {
        self.0.modify(|lists| std::mem::replace(&mut lists.denied, peers) != lists.denied);
    }

    /// Sets the peers besides whom nobody is admitted; `None` admits everybody who is not denied.
    pub fn set_only(&self, peers: Option<BTreeSet<PeerId>>) {
        self.0.modify(|lists| std::mem::replace(&mut lists.only, peers) != lists.only);
    }

    /// Whether that peer may connect.
    pub fn admits(&self, peer: PeerId) -> bool {
        self.0.read(|lists| lists.admits(peer))
    }

    /// Whether that peer is denied, so that this side does not dial it either.
    pub fn denies(&self, peer: PeerId) -> bool {
        self.0.read(|lists| lists.denied.contains(&peer))
    }

    /// Whether that peer is allowed by name.
    pub(crate) fn names(&self, peer: PeerId) -> bool {
        self.0.read(|lists| lists.only.as_ref().is_some_and(|only| only.contains(&peer)))
    }

    /// Whether everybody is admitted.
    pub(crate) fn is_open(&self) -> bool {
        self.0.read(|lists| lists.only.is_none() && lists.denied.is_empty())
    }

    /// Wakes at every change.
    pub(crate) fn changes(&self) -> Watch<impl Clone + Send + 'static> {
        self.0.subscribe()
    }
}

impl Default for AccessList {
    fn default() -> Self {
        Self::everybody()
    }
}

impl fmt::Debug for AccessList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.read(|lists| {
            f.debug_struct("AccessList")
                .field("only", &lists.only.as_ref().map(BTreeSet::len))
                .field("denied", &lists.denied.len())
                .finish()
        })
    }
}
