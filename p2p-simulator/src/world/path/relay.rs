//! Relays: nodes that every peer knows, and that carry packets between their clients.

use std::collections::BTreeMap;

use p2p::{P2PError, PeerId};

use crate::{
    topology::{self, RELAYS_MAX},
    world::{World, link::LinkIx, node::NodeIx},
};

/// How long a peer stays with a relay that answers no more before it looks for another: what iroh takes to find a new
/// home relay (its issue 4319).
const REHOME_AFTER: u64 = 30_000_000_000;

/// What a relay is, beyond a node.
pub(in crate::world) struct Relay {
    pub(in crate::world) node: NodeIx,
    clients_max: u32,
    bytes_per_second: Option<u64>,
    /// Its clients, each with how often it is one: once at home there, once for each connection.
    clients: BTreeMap<NodeIx, u32>,
    /// When it last went down.
    down_since: u64,
}

impl World {
    /// Adds a relay.
    ///
    /// # Errors
    /// [`InvalidInput`](P2PError::InvalidInput): its name is taken, its figures cannot be, or there are too many.
    pub(crate) fn add_relay(&mut self, relay: &topology::Relay) -> Result<(), P2PError> {
        relay.check()?;
        let refuse = |what: &str, expected: String| {
            Err(P2PError::invalid_input(format_args!("relay {:?}: {what}", relay.name), expected))
        };
        if self.find_node(PeerId::from_name(&relay.name)).is_some() {
            return refuse("its name", "a name of its own".into());
        }
        if self.relays.len() >= RELAYS_MAX {
            return refuse("one more", format!("at most {RELAYS_MAX} relays"));
        }
        let node = self.node(&relay.name);
        self.nodes[node as usize].relay = Some(self.relays.len() as u32);
        self.relays.push(Relay {
            node,
            clients_max: relay.clients_max,
            bytes_per_second: relay.bytes_per_second,
            clients: BTreeMap::new(),
            down_since: 0,
        });
        Ok(())
    }

    pub(crate) fn is_relay(&self, node: NodeIx) -> bool {
        self.nodes[node as usize].relay.is_some()
    }

    /// The relay that a connection from one node to another may go by, with both as its clients: the one at which the other
    /// is at home.
    pub(super) fn relay_to(&mut self, src: NodeIx, dst: NodeIx) -> Option<NodeIx> {
        let relay = self.home_of(dst)?;
        let node = self.relays[relay as usize].node;
        if !self.join_relay(src, relay) {
            return None;
        }
        self.join_relay(dst, relay);
        Some(node)
    }

    /// The relay at which a node is at home: the nearest that takes it, for as long as that one is there.
    pub(super) fn home_of(&mut self, node: NodeIx) -> Option<u32> {
        if let Some(home) = self.nodes[node as usize].home {
            if !self.is_given_up(home) {
                return Some(home);
            }
            self.leave_home(node);
        }
        let latency = |world: &mut Self, relay: u32| {
            let link: LinkIx = world.link(node, world.relays[relay as usize].node);
            (world.links[link as usize].typical_latency, relay)
        };
        let mut nearest: Vec<(u64, u32)> = (0..self.relays.len() as u32).map(|relay| latency(self, relay)).collect();
        nearest.sort_unstable();
        let home = nearest
            .into_iter()
            .map(|(_, relay)| relay)
            .find(|&relay| !self.is_given_up(relay) && self.join_relay(node, relay))?;
        self.nodes[node as usize].home = Some(home);
        Some(home)
    }

    /// Ends that a node is at home at its relay.
    pub(in crate::world) fn leave_home(&mut self, node: NodeIx) {
        if let Some(home) = self.nodes[node as usize].home.take() {
            self.leave_relay(node, self.relays[home as usize].node);
        }
    }

    fn is_given_up(&self, relay: u32) -> bool {
        let relay = &self.relays[relay as usize];
        self.nodes[relay.node as usize].down && self.now - relay.down_since >= REHOME_AFTER
    }

    /// Counts a use of a relay by a client; false if it is new there and turned away.
    fn join_relay(&mut self, client: NodeIx, relay: u32) -> bool {
        let Relay { clients, clients_max, .. } = &mut self.relays[relay as usize];
        if !clients.contains_key(&client) && clients.len() >= *clients_max as usize {
            return false;
        }
        *clients.entry(client).or_default() += 1;
        true
    }

    pub(super) fn leave_relay(&mut self, client: NodeIx, relay: NodeIx) {
        let relay = self.nodes[relay as usize].relay.expect("a connection's relay is one");
        let clients = &mut self.relays[relay as usize].clients;
        if let Some(uses) = clients.get_mut(&client) {
            *uses -= 1;
            if *uses == 0 {
                clients.remove(&client);
            }
        }
    }

    /// Bytes a second that the end of a link takes, if that is a relay which bounds it.
    pub(in crate::world) fn relay_takes(&self, node: NodeIx) -> Option<u64> {
        let relay = self.nodes[node as usize].relay?;
        self.relays[relay as usize].bytes_per_second
    }

    /// Takes a relay down, or brings it back. What is on its way to it waits meanwhile; what waits in it is gone.
    pub(in crate::world) fn set_relay_down(&mut self, node: NodeIx, down: bool) {
        if std::mem::replace(&mut self.nodes[node as usize].down, down) == down {
            return;
        }
        if down {
            let relay = self.nodes[node as usize].relay.expect("only relays go down");
            self.relays[relay as usize].down_since = self.now;
            self.lose_what_has_not_left(node);
        }
        self.refresh_ways_to(node);
    }
}
