//! Paths of connections between peers of which at least one is behind a router: by a relay, or direct.
//!
//! As with iroh, a connection begins by way of the called peer's relay. Both ends then tell each other their addresses,
//! send probes there, and each uses the direct path as soon as one of its own probes is answered. A direct path that
//! answers no more is given up for the relay, and they look for another.
//!
//! - [`send`]: how packets take the path. [`punch`]: how ends find one and notice that it is gone.
//! - [`relay`]: the nodes that carry packets. What NATs do to addresses is in [`nat`](super::nat).

mod punch;
pub(super) mod relay;
mod send;

use std::sync::Arc;

use p2p::{Path, Watch, WatchSender};

use self::punch::Search;
pub(super) use self::{punch::PathMessage, send::Leg};
use super::{
    World,
    conn::{End, EndId},
    link::LinkIx,
    nat::Addr,
    node::NodeIx,
    timer::TimerKey,
};
use crate::trace::{Event, Record, What};

/// The paths of one connection.
pub(super) struct Paths {
    /// The relay that it may go by.
    relay: Option<NodeIx>,
    /// By side: to the relay.
    up: [LinkIx; 2],
    /// By side: from the relay.
    down: [LinkIx; 2],
    /// By side: straight to the other end.
    direct: [LinkIx; 2],
    ends: [PathEnd; 2],
}

/// How one end sends.
struct PathEnd {
    way: Way,
    search: Search,
    timer: Option<TimerKey>,
    path: WatchSender<Option<Path>>,
}

/// Where an end sends its packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It knows none.
    Unknown,
    Relayed,
    /// To the other end's address, as it looks from here.
    Direct(Addr),
}

impl World {
    /// Whether connections between these nodes have to find their paths.
    pub(super) fn paths_matter(&self, src: NodeIx, dst: NodeIx) -> bool {
        self.nodes[src as usize].behind.is_some() || self.nodes[dst as usize].behind.is_some()
    }

    /// What a dial begins with: the way to the dialled node that its dialler knows, and the first links of both ends.
    pub(super) fn first_paths(&mut self, src: NodeIx, dst: NodeIx) -> (Box<Paths>, [LinkIx; 2]) {
        let direct = [self.link(src, dst), self.link(dst, src)];
        let relay = self.relay_to(src, dst);
        // A peer in public is known by its address.
        let known = match self.nodes[dst as usize].behind {
            None => Some(self.own_addr(dst)),
            Some(_) => self.known_addrs.get(&(src, dst)).copied(),
        };
        let reachable = known.filter(|&addr| self.go_out(src, addr).is_some());
        let ways = match (reachable, relay) {
            // The other end learns the way back from what arrives.
            (Some(addr), _) => [Way::Direct(addr), Way::Unknown],
            (None, Some(_)) => [Way::Relayed, Way::Relayed],
            (None, None) => [Way::Unknown, Way::Unknown],
        };
        let (mut up, mut down) = (direct, direct);
        if let Some(relay) = relay {
            up = [self.link(src, relay), self.link(dst, relay)];
            down = [self.link(relay, src), self.link(relay, dst)];
        }
        let links = [0, 1].map(|side| if ways[side] == Way::Relayed { up[side] } else { direct[side] });
        let nodes = [src, dst];
        let ends = [0, 1].map(|side| PathEnd {
            way: ways[side],
            search: Search::default(),
            timer: None,
            path: WatchSender::new(self.describe(ways[side], relay, nodes[1 - side])),
        });
        (Box::new(Paths { relay, up, down, direct, ends }), links)
    }

    /// The path that an end uses, and its changes.
    pub(crate) fn path(&self, end: EndId) -> Watch<Option<Path>> {
        let conn = self.conns.get(end.conn).expect("a handle keeps its connection");
        match &conn.paths {
            Some(paths) => paths.ends[end.side()].path.subscribe(),
            None => Watch::constant(self.describe(Way::Direct(self.own_addr(0)), None, conn.ends[1 - end.side()].node)),
        }
    }

    fn describe(&self, way: Way, relay: Option<NodeIx>, other: NodeIx) -> Option<Path> {
        let name = |node: NodeIx| Arc::from(format!("sim:{}", self.nodes[node as usize].name));
        match (way, relay) {
            (Way::Direct(_), _) => Some(Path::Direct { remote: name(other) }),
            (Way::Relayed, Some(relay)) => Some(Path::Relayed { relay: name(relay) }),
            _ => None,
        }
    }

    /// Lets an end send another way from now on.
    fn take_way(&mut self, end: EndId, way: Way) {
        let Some((paths, state)) = self.paths_mut(end) else {
            return;
        };
        let side = end.side();
        let before = std::mem::replace(&mut paths.ends[side].way, way);
        if before == way {
            return;
        }
        let link = if way == Way::Relayed { paths.up[side] } else { paths.direct[side] };
        let left = std::mem::replace(&mut state.link, link);
        let (relay, sender, node) = (paths.relay, paths.ends[side].path.clone(), state.node);
        let other = self.end(end.other()).expect("a connection has two ends").node;
        let path = self.describe(way, relay, other);
        if sender.read(|known| *known != path) {
            self.record_path(end, way);
        }
        self.wakes.paths.push((sender, path));
        match way {
            Way::Direct(addr) => self.known_addrs.insert((node, other), addr),
            Way::Relayed | Way::Unknown => self.known_addrs.remove(&(node, other)),
        };
        if left != link {
            self.send_what_waits_on(left, end);
        }
    }

    fn record_path(&mut self, end: EndId, way: Way) {
        let Some(conn) = self.conns.get(end.conn) else {
            return;
        };
        let numbers = [0, 1].map(|side: usize| self.nodes[conn.ends[side].node as usize].number);
        let side = end.side();
        let record = Record::new(self.now, self.cause, Event::Changed, What::Path, numbers[side], numbers[1 - side]);
        let conn = 2 * conn.number + u64::from(end.side);
        self.recorder.push(Record { conn, stream: u32::from(way != Way::Relayed), ..record });
    }

    /// Nanoseconds that a round trip takes by the path of an end.
    pub(super) fn round_trip_of(&self, end: EndId) -> u64 {
        let conn = self.conns.get(end.conn).expect("a handle keeps its connection");
        match &conn.paths {
            Some(paths) if paths.ends[end.side()].way == Way::Relayed => {
                paths.up.iter().map(|&link| self.round_trip(link)).sum()
            }
            _ => self.round_trip(conn.ends[end.side()].link),
        }
    }

    /// Bytes of a segment by the path of an end.
    pub(super) fn mtu_of(&self, end: EndId) -> u32 {
        let conn = self.conns.get(end.conn).expect("a handle keeps its connection");
        let mtu = |link: LinkIx| self.links[link as usize].config.mtu_bytes;
        let first = mtu(conn.ends[end.side()].link);
        match &conn.paths {
            Some(paths) if paths.ends[end.side()].way == Way::Relayed => first.min(mtu(paths.down[1 - end.side()])),
            _ => first,
        }
    }

    /// Lets go of the paths of a connection that is over.
    pub(super) fn release_paths(&mut self, nodes: [NodeIx; 2], paths: Paths) {
        for end in paths.ends {
            if let Some(timer) = end.timer {
                self.timers.remove(timer);
            }
            // Whoever still watches is told when the world is no longer locked.
            let last = end.path.read(Clone::clone);
            self.wakes.paths.push((end.path, last));
        }
        if let Some(relay) = paths.relay {
            nodes.into_iter().for_each(|node| self.leave_relay(node, relay));
        }
    }

    fn paths_mut(&mut self, end: EndId) -> Option<(&mut Paths, &mut End)> {
        let conn = self.conns.get_mut(end.conn)?;
        Some((conn.paths.as_deref_mut()?, &mut conn.ends[end.side()]))
    }

    fn paths_of(&self, end: EndId) -> Option<&Paths> {
        self.conns.get(end.conn)?.paths.as_deref()
    }
}
