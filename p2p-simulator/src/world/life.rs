//! Crashes and restarts: what ends with a peer's life, and what does not follow it into the next.
//!
//! A crash is silent. What the peer had put on the wire still arrives; what waits in its queues, or would have to be sent
//! again, does not. While it is down its peers try again as in a partition. When it is back, whatever concerns a connection
//! of an earlier life is answered with a reset.

use p2p::{SharedError, transport::TransportClosed};

use super::{
    World,
    conn::EndId,
    link::LinkIx,
    node::NodeIx,
    packet::{Body, CloseNotice, Packet},
};
use crate::trace::{Event, Record, What};

/// One life of a peer, from its start to its crash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Life {
    pub(crate) node: NodeIx,
    incarnation: u32,
}

impl Life {
    /// Counts the peer's lives, from 1.
    pub(crate) const fn incarnation(self) -> u32 {
        self.incarnation
    }
}

/// What a driver has to do after the world has changed, when it is no longer locked.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// End all tasks of the peer.
    Kill(NodeIx),
    /// Start the peer's program.
    Start(NodeIx),
    /// Fail the run: its plan cannot be followed.
    Fail(String),
}

impl World {
    /// The node's present life, or the last one if it is down.
    pub(crate) fn life(&self, node: NodeIx) -> Life {
        Life { node, incarnation: self.nodes[node as usize].incarnation }
    }

    pub(crate) fn is_alive(&self, life: Life) -> bool {
        let state = &self.nodes[life.node as usize];
        !state.down && state.incarnation == life.incarnation
    }

    pub(crate) fn is_down(&self, node: NodeIx) -> bool {
        self.nodes[node as usize].down
    }

    /// Ends the node's life. Nobody is told. Does nothing if it is down already.
    pub(crate) fn crash(&mut self, node: NodeIx) {
        let life = self.life(node);
        let state = &mut self.nodes[node as usize];
        if std::mem::replace(&mut state.down, true) {
            return;
        }
        state.answering = None;
        state.incoming_waiting.wake(&mut self.wakes);
        let incoming = std::mem::take(&mut state.incoming);
        self.record_life(What::Crash, life);
        self.bury_connections(node);
        for end in incoming {
            self.release_handle(end);
        }
        self.lose_what_has_not_left(node);
        self.timers.unset_all_of(life);
        self.leave_home(node);
        self.known_addrs.retain(|(knows, _), _| *knows != node);
        self.refresh_ways_to(node);
        self.orders.push(Order::Kill(node));
    }

    /// Begins a new life of the node, after ending the present one if it is not down.
    pub(crate) fn restart(&mut self, node: NodeIx) {
        self.crash(node);
        let state = &mut self.nodes[node as usize];
        state.down = false;
        state.incarnation += 1;
        self.record_life(What::Restart, self.life(node));
        self.refresh_ways_to(node);
        self.orders.push(Order::Start(node));
    }

    /// Closes all ends that this life of the node knew of, without a word to the other side. An end that its dial has not
    /// reached yet is for the next life.
    fn bury_connections(&mut self, node: NodeIx) {
        for conn in self.conns.keys_where(|conn| conn.ends.iter().any(|end| end.node == node)) {
            for side in [0, 1] {
                let end = EndId { conn, side };
                if self.end(end).is_some_and(|end| end.node == node && end.incarnation > 0) {
                    let how = TransportClosed::Lost(SharedError::new("this peer crashed"));
                    self.close_end(end, how, CloseNotice::Unknown);
                }
            }
        }
    }

    /// Loses what waits in the node's queues, and what was lost once and would be sent again.
    pub(super) fn lose_what_has_not_left(&mut self, node: NodeIx) {
        let (links, now) = (&self.links, self.now);
        let is_unsent = |p: &Packet| p.leaves_at > now && !p.is_not_sent_yet();
        let unsent = self.packets.take_where(|p| links[p.link as usize].src == node && is_unsent(p));
        for packet in unsent {
            self.links[packet.link as usize].datagrams -= usize::from(matches!(packet.body, Body::Datagram(_)));
            self.lose_in(node, packet);
        }
        for link in self.links_where(|link| link.src == node) {
            self.links[link as usize].free_at = self.now;
            for packet in self.links[link as usize].held.take() {
                self.lose_in(node, packet);
            }
        }
    }

    /// A packet is lost in a node that went down. If that was a relay, its sender still has it.
    fn lose_in(&mut self, node: NodeIx, packet: Packet) {
        self.lose(&packet);
        if self.is_relay(node) && packet.body.is_reliable() {
            self.send_again(packet);
        }
    }

    pub(super) fn refresh_ways_to(&mut self, node: NodeIx) {
        for link in self.links_where(|link| link.dst == node) {
            self.refresh(link);
        }
    }

    /// Whether the life of the node that knows this end is not over.
    pub(super) fn is_peopled(&self, end: EndId) -> bool {
        self.end(end).is_none_or(|end| {
            let node = &self.nodes[end.node as usize];
            end.incarnation == 0 || (!node.down && end.incarnation == node.incarnation)
        })
    }

    /// The simulator's own oracle: it has gone wrong if what a crash ended still hears of the world.
    pub(super) fn assert_nobody_dead_hears(&self, end: EndId) {
        assert!(self.is_peopled(end), "a packet reached a peer's life that is over");
    }

    fn record_life(&mut self, what: What, life: Life) {
        let number = self.nodes[life.node as usize].number;
        let record = Record::new(self.now, self.cause, Event::Changed, what, number, 0);
        self.recorder.push(Record { conn: u64::from(life.incarnation), ..record });
    }

    /// The links that are meant, in the order in which they were made.
    pub(super) fn links_where(&self, meant: impl Fn(&super::link::Link) -> bool) -> Vec<LinkIx> {
        self.links.iter().zip(0..).filter(|(link, _)| meant(link)).map(|(_, ix)| ix).collect()
    }
}
