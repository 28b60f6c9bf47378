//! Rules at work: what streams hold of the rule they belong to, so that they end by it even when it was changed since.

use std::sync::{Arc, Weak};

use p2p::PeerId;

use super::{
    failure::Failure,
    link::Link,
    meter::{Counters, Meter},
    session::{PATIENCE, Session},
};
use crate::{
    daemon::{Inner, Peers},
    rule::{ConnectRule, ShareRule},
};

/// A service for peers, at work.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) rule: ShareRule,
    pub(crate) meter: Arc<Meter>,
    /// To the peers that cannot dial here. Kept up for as long as this lives.
    pub(crate) links: Vec<Arc<Link>>,
}

impl Shared {
    /// Whether it is for a peer that was dialled for its sake.
    pub(crate) fn is_for_dialled(&self, peer: PeerId) -> bool {
        self.rule.reverse_to.iter().any(|remote| remote.addr.peer == peer)
    }
}

/// A peer's service at a local address, at work.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) rule: ConnectRule,
    pub(crate) meter: Arc<Meter>,
    pub(crate) via: Via,
    pub(crate) daemon: Weak<Inner>,
}

/// How a peer is reached.
#[derive(Debug)]
pub(crate) enum Via {
    /// By dialling it.
    Link(Arc<Link>),
    /// By the connections that it dials.
    Accepted { peer: PeerId, peers: Arc<Peers> },
}

impl Core {
    /// A connection with the peer, as soon as there is one.
    pub(crate) async fn session(&self) -> Result<Arc<Session>, Failure> {
        match &self.via {
            Via::Link(link) => link.session().await,
            Via::Accepted { peer, peers } => tokio::time::timeout(PATIENCE, peers.accepted(*peer))
                .await
                .map_err(|_| Failure::PeerUnreachable(PATIENCE)),
        }
    }

    pub(crate) fn counters(&self) -> Counters {
        self.meter.counters()
    }
}
