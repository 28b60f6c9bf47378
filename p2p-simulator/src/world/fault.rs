//! Faults in effect, and what they amount to on each link and at each peer.
//!
//! Nothing is undone when a fault ends: what a link is like is worked out again from its own settings and from the faults
//! that are still in effect, in the order they began. So faults overlap as they like.

use p2p::{P2PError, PeerId, SharedError, transport::TransportClosed};

use super::{
    World,
    conn::{Conn, EndId},
    link::LinkIx,
    node::NodeIx,
    packet::CloseNotice,
};
use crate::{
    LinkConfig,
    fault::{Fault, Peers, Place},
    nearest::nearest,
    trace::{Event, FaultWords, Record, What, payload_hash},
};

/// A fault in effect.
pub(super) struct Active {
    what: Fault,
    at: Spot,
}

/// A [`Place`] whose peers were found.
#[derive(Clone, Debug)]
pub(crate) enum Spot {
    Ways { from: Nodes, to: Nodes, both: bool },
    Around(Nodes),
}

/// Some nodes, or all.
#[derive(Clone, Debug)]
pub(crate) enum Nodes {
    All,
    These(Vec<NodeIx>),
}

/// What faults do to one link, all of them together.
pub(super) struct Impact {
    pub(super) cut: bool,
    pub(super) clogged: bool,
    pub(super) dials_hang: bool,
    pub(super) slow: u64,
    pub(super) config: LinkConfig,
}

/// What a dialler finds out about where its peer is.
pub(super) struct Lookup {
    /// How long that takes, in nanoseconds.
    pub(super) takes: u64,
    pub(super) found: Found<NodeIx>,
}

/// Where a dial goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found<T> {
    ThePeer,
    Nobody,
    Another(T),
}

impl Nodes {
    fn contain(&self, node: NodeIx) -> bool {
        match self {
            Self::All => true,
            Self::These(nodes) => nodes.contains(&node),
        }
    }
}

impl Spot {
    fn covers_link(&self, src: NodeIx, dst: NodeIx) -> bool {
        match self {
            Self::Ways { from, to, both } => {
                let covers = |src, dst| from.contain(src) && to.contain(dst);
                covers(src, dst) || (*both && covers(dst, src))
            }
            Self::Around(Nodes::All) => true,
            // Those within are together, those without are together.
            Self::Around(nodes) => nodes.contain(src) != nodes.contain(dst),
        }
    }

    fn covers_peer(&self, node: NodeIx) -> bool {
        matches!(self, Self::Around(nodes) if nodes.contain(node))
    }
}

impl World {
    /// Finds the peers of a place.
    ///
    /// # Errors
    /// [`InvalidInput`](P2PError::InvalidInput) for a name that nobody on the network has, with the nearest.
    pub(crate) fn find_spot(&self, place: &Place) -> Result<Spot, P2PError> {
        Ok(match place {
            Place::Ways { from, to, both } => {
                Spot::Ways { from: self.find_nodes(from)?, to: self.find_nodes(to)?, both: *both }
            }
            Place::Around(peers) => Spot::Around(self.find_nodes(peers)?),
        })
    }

    /// Finds the peers or relays of a place at which something is to go wrong.
    ///
    /// # Errors
    /// [`InvalidInput`](P2PError::InvalidInput) for a name that nobody on the network has, with the nearest; and for a peer
    /// where a relay is expected, a relay where a peer is, or a peer without a NAT where that is what matters.
    pub(crate) fn find_fault_spot(&self, what: &Fault, place: &Place) -> Result<Spot, P2PError> {
        let spot = self.find_spot(place)?;
        if let Some(peer) = what.peer() {
            self.find_nodes(&Peers::Named(vec![peer.into()]))?;
        }
        let Spot::Around(Nodes::These(nodes)) = &spot else {
            return Ok(spot);
        };
        for &node in nodes {
            let expected = match what {
                what if what.concerns_relays() && !self.is_relay(node) => "a relay",
                what if what.concerns_peers() && self.is_relay(node) => "a peer, and not a relay",
                Fault::NatExpiry(_) if !self.is_translated(node) => "a peer behind a NAT",
                _ => continue,
            };
            let name = &self.nodes[node as usize].name;
            return Err(P2PError::invalid_input(format_args!("{} at {name:?}", what.name()), expected));
        }
        Ok(spot)
    }

    fn find_nodes(&self, peers: &Peers) -> Result<Nodes, P2PError> {
        let Peers::Named(names) = peers else {
            return Ok(Nodes::All);
        };
        let find = |name: &String| {
            self.find_node(PeerId::from_name(name)).ok_or_else(|| {
                let known = self.nodes.iter().map(|node| &*node.name);
                let nearest = nearest(name, known).map_or(String::new(), |name| format!("; the nearest is {name:?}"));
                P2PError::invalid_input(format_args!("peer {name:?}"), format_args!("a peer on the network{nearest}"))
            })
        };
        names.iter().map(find).collect::<Result<_, _>>().map(Nodes::These)
    }

    /// Begins a fault, and returns the number to end it by.
    pub(crate) fn begin_fault(&mut self, what: Fault, at: Spot) -> u64 {
        self.faults_ever += 1;
        let number = self.faults_ever;
        self.record_fault(What::Fault, number, &what, &at);
        self.recorder.name_fault(number, self.fault_words(&what, &at));
        let (crashes, kills) = (matches!(what, Fault::Crash), matches!(what, Fault::ConnectionKill));
        self.faults.insert(number, Active { what, at: at.clone() });
        self.refresh_all(&at);
        if crashes {
            self.peers_at(&at).into_iter().for_each(|node| self.crash(node));
        }
        if kills {
            self.kill_connections(&at);
        }
        number
    }

    /// Ends a fault; false if it has ended already.
    pub(crate) fn end_fault(&mut self, number: u64) -> bool {
        let Some(Active { what, at }) = self.faults.remove(&number) else {
            return false;
        };
        self.record_fault(What::FaultEnd, number, &what, &at);
        self.refresh_all(&at);
        if matches!(what, Fault::Crash) {
            for node in self.peers_at(&at) {
                // Unless somebody brought it back already, or another crash still keeps it down.
                if self.is_down(node) && !self.is_kept_down(node) {
                    self.restart(node);
                }
            }
        }
        true
    }

    /// What all faults together do to a link that is `base` by itself.
    pub(super) fn impact_on(&self, src: NodeIx, dst: NodeIx, base: LinkConfig) -> Impact {
        let mut impact = Impact { cut: false, clogged: false, dials_hang: false, slow: 0, config: base };
        for fault in self.faults.values() {
            if let Fault::Slow(by) = fault.what
                && fault.at.covers_peer(dst)
            {
                impact.slow = impact.slow.max(by.as_nanos() as u64);
            }
            if !fault.at.covers_link(src, dst) {
                continue;
            }
            match &fault.what {
                Fault::Partition => impact.cut = true,
                Fault::Clog => impact.clogged = true,
                Fault::DialHang => impact.dials_hang = true,
                Fault::DialFailure(failure) => impact.config.dial_failure = *failure,
                Fault::Link(change) => change.apply_to(&mut impact.config),
                // These concern dials, peers or relays.
                Fault::SlowLookup(_)
                | Fault::StaleRecord
                | Fault::WrongRecord(_)
                | Fault::ConnectionKill
                | Fault::Slow(_)
                | Fault::Crash
                | Fault::ClockAhead(_)
                | Fault::ClockBehind(_)
                | Fault::ClockDriftPpm(_)
                | Fault::NoFileDescriptors
                | Fault::RelayDown
                | Fault::NatExpiry(_) => {}
            }
        }
        impact
    }

    /// What a dialler finds out about where a peer is. Of several records the last that began counts.
    pub(super) fn look_up(&self, src: NodeIx, dst: NodeIx) -> Lookup {
        let mut lookup = Lookup { takes: 0, found: Found::ThePeer };
        for fault in self.faults.values().filter(|fault| fault.at.covers_link(src, dst)) {
            match &fault.what {
                Fault::SlowLookup(takes) => lookup.takes = lookup.takes.max(takes.as_nanos() as u64),
                Fault::StaleRecord => lookup.found = Found::Nobody,
                Fault::WrongRecord(peer) => {
                    let node = self.find_node(PeerId::from_name(peer)).filter(|&node| node != src);
                    lookup.found = node.map_or(Found::Nobody, Found::Another);
                }
                _ => {}
            }
        }
        lookup
    }

    /// After how much silence NATs in front of a node forget at the latest, in nanoseconds; nothing if as they are.
    pub(super) fn mapping_lifetime_max(&self, node: NodeIx) -> Option<u64> {
        let of_fault = |fault: &Active| match fault.what {
            Fault::NatExpiry(after) if fault.at.covers_peer(node) => Some(after.as_nanos() as u64),
            _ => None,
        };
        self.faults.values().filter_map(of_fault).min()
    }

    fn kill_connections(&mut self, at: &Spot) {
        let nodes = |conn: &Conn| [0, 1].map(|side: usize| conn.ends[side].node);
        let is_meant = |conn: &Conn| {
            let [a, b] = nodes(conn);
            at.covers_link(a, b) || at.covers_link(b, a)
        };
        for conn in self.conns.keys_where(is_meant) {
            for side in [0, 1] {
                let end = EndId { conn, side };
                if self.is_open(end) {
                    let how = TransportClosed::Lost(SharedError::new("the simulated network killed the connection"));
                    self.close_end(end, how, CloseNotice::Unknown);
                }
            }
        }
    }

    fn refresh_all(&mut self, at: &Spot) {
        let touched = |src, dst| at.covers_link(src, dst) || at.covers_peer(dst);
        let links: Vec<LinkIx> = self.links_where(|link| touched(link.src, link.dst));
        links.into_iter().for_each(|link| self.refresh(link));
        self.refresh_nats();
        let nodes: Vec<NodeIx> = (0..self.nodes.len() as NodeIx).filter(|&node| at.covers_peer(node)).collect();
        nodes.into_iter().for_each(|node| self.refresh_peer(node));
    }

    fn refresh_peer(&mut self, node: NodeIx) {
        let (mut drift_ppm, mut ahead, mut slow) = (0i32, 0i64, 0);
        let (mut no_files, mut relay_down) = (false, false);
        for fault in self.faults.values().filter(|fault| fault.at.covers_peer(node)) {
            match fault.what {
                Fault::ClockDriftPpm(ppm) => drift_ppm = ppm,
                Fault::ClockAhead(by) => ahead = ahead.saturating_add(by.as_nanos() as i64),
                Fault::ClockBehind(by) => ahead = ahead.saturating_sub(by.as_nanos() as i64),
                Fault::Slow(by) => slow = slow.max(by.as_nanos() as u64),
                Fault::NoFileDescriptors => no_files = true,
                Fault::RelayDown => relay_down = true,
                _ => {}
            }
        }
        if self.is_relay(node) {
            // Faults of peers are not for it, even if they are everywhere.
            return self.set_relay_down(node, relay_down);
        }
        self.set_clock(node, drift_ppm, ahead, slow);
        self.set_no_files(node, no_files);
    }

    fn is_kept_down(&self, node: NodeIx) -> bool {
        self.faults.values().any(|fault| matches!(fault.what, Fault::Crash) && fault.at.covers_peer(node))
    }

    fn peers_at(&self, at: &Spot) -> Vec<NodeIx> {
        (0..self.nodes.len() as NodeIx).filter(|&node| at.covers_peer(node) && !self.is_relay(node)).collect()
    }

    /// What a fault is, for whoever reads the trace.
    fn fault_words(&self, what: &Fault, at: &Spot) -> FaultWords {
        let node = |&node: &NodeIx| &self.nodes[node as usize];
        let names = |nodes: &Nodes| match nodes {
            Nodes::All => "*".into(),
            Nodes::These(nodes) => nodes.iter().map(|ix| &*node(ix).name).collect::<Vec<_>>().join(", "),
        };
        let (place, nodes) = match at {
            Spot::Ways { from, to, both } => {
                let arrow = if *both { "<->" } else { "->" };
                (format!("{} {arrow} {}", names(from), names(to)), [Some(from), Some(to)])
            }
            Spot::Around(nodes) => (names(nodes), [Some(nodes), None]),
        };
        let mut peers = Vec::new();
        for nodes in nodes.into_iter().flatten() {
            match nodes {
                Nodes::These(nodes) => peers.extend(nodes.iter().map(|ix| node(ix).number)),
                Nodes::All => return FaultWords { what: what.to_string(), place, ..FaultWords::default() },
            }
        }
        FaultWords { what: what.to_string(), place, peers, ..FaultWords::default() }
    }

    /// One record for each fault: the first two peers of its place, its number, its kind, and a hash of what it says.
    fn record_fault(&mut self, what: What, number: u64, fault: &Fault, at: &Spot) {
        let first = |nodes: &Nodes| match nodes {
            Nodes::These(nodes) => nodes.first().map_or(0, |&node| self.nodes[node as usize].number),
            Nodes::All => 0,
        };
        let (src, dst) = match at {
            Spot::Ways { from, to, .. } => (first(from), first(to)),
            Spot::Around(nodes) => (first(nodes), 0),
        };
        let said = format!("{fault:?}");
        let record = Record::new(self.now, self.cause, Event::Changed, what, src, dst);
        let payload_hash = payload_hash(said.as_bytes());
        self.recorder.push(Record { conn: number, stream: fault.kind_number(), payload_hash, ..record });
    }
}
