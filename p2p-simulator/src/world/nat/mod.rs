//! Addresses, and the routers on the way from one to another.
//!
//! A packet's source is translated when it is sent, by each router on its way out; what it was sent to is translated back
//! when it arrives, if the routers on the way in let it pass. So which pairs of NATs meet is nowhere written down: it comes
//! of what [`table`] remembers.

mod table;

use std::{collections::BTreeMap, sync::Arc};

use p2p::{P2PError, PeerId};

use self::table::Table;
use super::{World, node::NodeIx};
use crate::{
    nearest::nearest,
    topology::{self, Nat, ROUTERS_DEEP_MAX, ROUTERS_MAX, Topology},
};

/// A router's place in the world.
pub(crate) type RouterIx = u32;

/// Where a UDP packet comes from or goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Addr {
    pub(super) host: Host,
    /// Of a peer its incarnation: another life has another socket.
    pub(super) port: u32,
}

/// Whose address: a peer's own, in the network it is in, or a router's, in the network it is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Host {
    Peer(NodeIx),
    Router(RouterIx),
}

/// One router.
struct Router {
    upstream: Option<RouterIx>,
    nat: Nat,
    table: Table,
}

/// All routers.
#[derive(Default)]
pub(super) struct Routers {
    all: Vec<Router>,
    by_name: BTreeMap<Arc<str>, RouterIx>,
    /// Where peers will be that are not on the network yet, by name.
    planned: BTreeMap<String, RouterIx>,
}

impl Routers {
    /// The routers from a network to the public one.
    fn upwards(&self, from: Option<RouterIx>) -> impl Iterator<Item = RouterIx> {
        std::iter::successors(from, |&router| self.all[router as usize].upstream)
    }
}

impl World {
    /// Lays out relays, routers, and who is behind them.
    ///
    /// # Errors
    /// As [`add_router`](Self::add_router) and [`add_relay`](Self::add_relay). What stands before is laid out.
    pub(crate) fn lay_out(&mut self, topology: &Topology) -> Result<(), P2PError> {
        topology.check()?;
        topology.relays.iter().try_for_each(|relay| self.add_relay(relay))?;
        topology.routers.iter().try_for_each(|router| self.add_router(router))
    }

    /// The router that a peer which comes onto the network is behind.
    pub(super) fn planned_router(&self, name: &str) -> Option<RouterIx> {
        self.routers.planned.get(name).copied()
    }

    /// Adds a router, and puts peers behind it.
    ///
    /// # Errors
    /// [`InvalidInput`](P2PError::InvalidInput): its name is taken, its upstream is not known, or there are too many.
    pub(crate) fn add_router(&mut self, router: &topology::Router) -> Result<(), P2PError> {
        let refuse = |what: &str, expected: String| {
            Err(P2PError::invalid_input(format_args!("router {:?}: {what}", router.name), expected))
        };
        router.nat.check()?;
        let upstream = router.upstream.as_ref().map(|name| self.find_router(name)).transpose()?;
        if self.routers.by_name.contains_key(router.name.as_str()) {
            return refuse("its name", "a name of its own".into());
        }
        if self.routers.all.len() >= ROUTERS_MAX {
            return refuse("one more", format!("at most {ROUTERS_MAX} routers"));
        }
        if self.routers.upwards(upstream).count() >= ROUTERS_DEEP_MAX {
            return refuse("so far behind others", format!("at most {ROUTERS_DEEP_MAX} one behind another"));
        }
        let number = self.routers.all.len() as RouterIx;
        self.routers.all.push(Router { upstream, nat: router.nat, table: Table::new(router.nat) });
        self.routers.by_name.insert(router.name.as_str().into(), number);
        for peer in &router.peers {
            match self.find_node(PeerId::from_name(peer)) {
                Some(node) if self.is_relay(node) => return refuse("a relay behind it", "peers".into()),
                Some(node) => self.put_behind(node, Some(number)),
                None => drop(self.routers.planned.insert(peer.clone(), number)),
            }
        }
        Ok(())
    }

    /// The router of that name.
    ///
    /// # Errors
    /// [`InvalidInput`](P2PError::InvalidInput) with the nearest name.
    pub(crate) fn find_router(&self, name: &str) -> Result<RouterIx, P2PError> {
        self.routers.by_name.get(name).copied().ok_or_else(|| {
            let nearest = nearest(name, self.routers.by_name.keys().map(|name| &**name));
            let nearest = nearest.map_or(String::new(), |name| format!("; the nearest is {name:?}"));
            P2PError::invalid_input(format_args!("router {name:?}"), format_args!("a router of the network{nearest}"))
        })
    }

    /// Puts a node behind a router, or in public. It notices, as a peer whose machine changes networks does.
    pub(crate) fn put_behind(&mut self, node: NodeIx, router: Option<RouterIx>) {
        let state = &mut self.nodes[node as usize];
        if std::mem::replace(&mut state.behind, router) != router {
            self.find_paths_anew(node);
        }
    }

    /// Whether a translating router is in front of a node.
    pub(super) fn is_translated(&self, node: NodeIx) -> bool {
        let behind = self.nodes[node as usize].behind;
        self.routers.upwards(behind).any(|router| self.routers.all[router as usize].nat.translates())
    }

    /// The address of a node's socket, in the network that it is in.
    pub(super) fn own_addr(&self, node: NodeIx) -> Addr {
        Addr { host: Host::Peer(node), port: self.nodes[node as usize].incarnation }
    }

    /// Lets a packet go out from a node, and returns where it seems to come from; nothing if it gets nowhere.
    pub(super) fn go_out(&mut self, node: NodeIx, to: Addr) -> Option<Addr> {
        let mut source = self.own_addr(node);
        let mut network = self.nodes[node as usize].behind;
        while !self.is_within(to.host, network) {
            let router = network?;
            let now = self.now;
            let state = &mut self.routers.all[router as usize];
            let turns_back = to.host == Host::Router(router);
            if turns_back && !state.nat.hairpin || !turns_back && state.nat.udp_blocked {
                return None;
            }
            if state.nat.translates() {
                source = Addr { host: Host::Router(router), port: state.table.out(now, source, to)? };
            }
            if turns_back {
                return Some(source);
            }
            network = state.upstream;
        }
        Some(source)
    }

    /// Lets a packet come in, and returns whom it reaches; nothing if it reaches nobody.
    pub(super) fn come_in(&mut self, from: Addr, mut to: Addr) -> Option<NodeIx> {
        loop {
            if self.is_shut_off(from, to.host) {
                return None;
            }
            match to.host {
                Host::Peer(node) => return (to.port == self.nodes[node as usize].incarnation).then_some(node),
                Host::Router(router) => {
                    let now = self.now;
                    let state = &mut self.routers.all[router as usize];
                    if state.nat.udp_blocked {
                        return None;
                    }
                    to = state.table.let_in(now, to.port, from)?;
                }
            }
        }
    }

    /// Whether a router that does not translate, but lets no UDP pass, is between an address and a host in front of which it
    /// stands.
    fn is_shut_off(&self, from: Addr, host: Host) -> bool {
        let mut network = self.network_of(host);
        while let Some(router) = network {
            let Router { nat, upstream, .. } = &self.routers.all[router as usize];
            if nat.translates() || self.is_within(from.host, network) {
                return false;
            }
            if nat.udp_blocked {
                return true;
            }
            network = *upstream;
        }
        false
    }

    /// Whether a host has an address in that network: its own, or that of a network which is no other for lack of a
    /// translation.
    fn is_within(&self, host: Host, network: Option<RouterIx>) -> bool {
        let mut at = self.network_of(host);
        loop {
            if at == network {
                return true;
            }
            match at.map(|router| &self.routers.all[router as usize]) {
                Some(router) if !router.nat.translates() => at = router.upstream,
                _ => return false,
            }
        }
    }

    /// The router that a host is directly behind.
    fn network_of(&self, host: Host) -> Option<RouterIx> {
        match host {
            Host::Peer(node) => self.nodes[node as usize].behind,
            Host::Router(router) => self.routers.all[router as usize].upstream,
        }
    }

    /// Works out again how long NATs remember, as faults began or ended.
    pub(super) fn refresh_nats(&mut self) {
        let lifetimes: Vec<(NodeIx, u64)> = (0..self.nodes.len() as NodeIx)
            .filter_map(|node| self.mapping_lifetime_max(node).map(|lifetime| (node, lifetime)))
            .collect();
        let mut least = vec![u64::MAX; self.routers.all.len()];
        for (node, lifetime) in lifetimes {
            for router in self.routers.upwards(self.nodes[node as usize].behind) {
                least[router as usize] = least[router as usize].min(lifetime);
            }
        }
        for (router, lifetime) in self.routers.all.iter_mut().zip(least) {
            router.table.set_lifetime_max(self.now, lifetime);
        }
    }
}
