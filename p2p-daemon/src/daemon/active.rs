//! The rules at work.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
};

use p2p::{PeerId, Watch};

use super::RuleStatus;
use crate::{
    forward::{Link, LinkState, ServiceName, Shared, Sockets, Via},
    rule::Rules,
};

/// What holds now.
#[derive(Debug, Default)]
pub(super) struct Active {
    pub(super) rules: Rules,
    pub(super) shares: BTreeMap<ServiceName, Arc<Shared>>,
    pub(super) connects: BTreeMap<ServiceName, Arc<Sockets>>,
    /// Peers that dial here, so that their services can be used.
    pub(super) awaited: BTreeSet<PeerId>,
}

impl Active {
    pub(super) fn name_of(&self, peer: PeerId) -> Option<String> {
        self.rules.peers.get(&peer).cloned()
    }

    pub(super) fn awaits(&self, peer: PeerId) -> bool {
        self.awaited.contains(&peer)
    }

    pub(super) fn link(&self, rule: &ServiceName) -> Option<Watch<LinkState>> {
        match &self.connects.get(rule)?.core().via {
            Via::Link(link) => Some(link.state()),
            Via::Accepted { .. } => None,
        }
    }

    pub(super) fn links(&self) -> Vec<(String, Watch<LinkState>)> {
        let connects = self.connects.keys().filter_map(|name| Some((name.to_string(), self.link(name)?)));
        let reverse = self
            .shares
            .iter()
            .flat_map(|(name, shared)| shared.links.iter().map(|link: &Arc<Link>| (name.to_string(), link.state())));
        connects.chain(reverse).collect()
    }

    pub(super) fn listens(&self, rule: &ServiceName) -> Vec<String> {
        self.connects.get(rule).map(|sockets| sockets.addrs.clone()).unwrap_or_default()
    }

    pub(super) fn local_addr(&self, rule: &ServiceName) -> Option<SocketAddr> {
        self.connects.get(rule)?.first
    }

    pub(super) fn status(&self) -> Vec<RuleStatus> {
        let shares = self.shares.values().map(|shared| RuleStatus {
            kind: "share",
            name: shared.rule.name.to_string(),
            from: shared.rule.name.to_string(),
            to: shared.rule.target.to_string(),
            allow: Some(shared.rule.allow.to_string()),
            bandwidth: shared.rule.bandwidth.map(|bandwidth| bandwidth.to_string()),
            problem: shared.links.iter().find_map(|link| link.state().read(LinkState::problem)),
            counters: shared.meter.counters(),
        });
        let connects = self.connects.values().map(|sockets| {
            let core = sockets.core();
            let peer = core.rule.remote.addr.peer;
            let whose = self.name_of(peer).unwrap_or_else(|| format!("{peer:?}"));
            RuleStatus {
                kind: "connect",
                name: core.rule.name.to_string(),
                from: sockets.addrs.join(", "),
                to: format!("{} of {whose}", core.rule.service),
                allow: None,
                bandwidth: core.rule.bandwidth.map(|bandwidth| bandwidth.to_string()),
                problem: match &core.via {
                    Via::Link(link) => link.state().read(LinkState::problem),
                    Via::Accepted { peer, peers } => {
                        let here = peers.all().iter().any(|session| session.peer == *peer && !session.dialled);
                        (!here).then(|| "the peer has not dialled".to_owned())
                    }
                },
                counters: core.counters(),
            }
        });
        shares.chain(connects).collect()
    }
}
