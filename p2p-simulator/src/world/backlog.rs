//! Packets that wait on a link: for the end of a partition, or at a clogged end.

use p2p::Instant;

use super::{
    World,
    link::LinkIx,
    packet::{Body, Packet},
};
use crate::fault::PacketInFlight;

/// Packets in the order they began to wait. Bounded by what is bounded where they were sent: the windows of streams,
/// datagrams in flight, some packets for each connection. Those of connections that are gone are thrown out.
#[derive(Default)]
pub(super) struct Backlog {
    packets: Vec<Packet>,
    prune_at: usize,
}

/// Packets of which some may be of connections that are gone, before it is looked.
const PRUNE_MIN: usize = 64;

impl Backlog {
    /// Adds a packet, and returns those that were thrown out.
    fn push(&mut self, packet: Packet, is_wanted: impl Fn(&Packet) -> bool) -> Vec<Packet> {
        let mut thrown_out = Vec::new();
        if self.packets.len() >= self.prune_at.max(PRUNE_MIN) {
            thrown_out = self.packets.extract_if(.., |packet| !is_wanted(packet)).collect();
            self.prune_at = 2 * self.packets.len();
        }
        self.packets.push(packet);
        thrown_out
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Packet> {
        self.packets.iter()
    }

    pub(super) fn take(&mut self) -> Vec<Packet> {
        self.prune_at = 0;
        std::mem::take(&mut self.packets)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }
}

impl World {
    /// Keeps a packet that met a partition.
    pub(super) fn hold(&mut self, packet: Packet) {
        let (conns, link) = (&self.conns, &mut self.links[packet.link as usize]);
        let thrown_out = link.held.push(packet, |packet| conns.get(packet.to.conn).is_some());
        thrown_out.iter().for_each(|packet| self.lose(packet));
    }

    /// Keeps a packet at the end of a clogged link.
    pub(super) fn meet_clog(&mut self, packet: Packet) {
        self.note_held(&packet);
        let (conns, link) = (&self.conns, &mut self.links[packet.link as usize]);
        let thrown_out = link.backlog.push(packet, |packet| conns.get(packet.to.conn).is_some());
        link.datagrams -= thrown_out.iter().filter(|packet| packet.is_datagram()).count();
        thrown_out.iter().for_each(|packet| self.lose(packet));
    }

    /// A clogged link is free again: what waits arrives now, in its order.
    pub(super) fn let_backlog_arrive(&mut self, link: LinkIx) {
        for packet in self.links[link as usize].backlog.take() {
            self.cancel_patience(packet.to.other());
            self.packets.push(self.now, self.ties.next(), packet);
        }
    }

    /// Lets the first packets of a clogged link arrive, and returns how many there were.
    pub(crate) fn release(&mut self, link: LinkIx, count: usize) -> usize {
        let backlog = &mut self.links[link as usize].backlog.packets;
        let count = count.min(backlog.len());
        for packet in backlog.drain(..count).collect::<Vec<_>>() {
            self.cancel_patience(packet.to.other());
            self.deliver(packet);
        }
        count
    }

    /// What is between two peers now: what waits, then what travels, the first to arrive first.
    pub(crate) fn in_flight(&self, link: LinkIx) -> Vec<PacketInFlight> {
        let state = &self.links[link as usize];
        let waiting = state.backlog.packets.iter().chain(&state.held.packets).map(|packet| (None, packet));
        let travelling = self.packets.in_order().into_iter().filter(|(_, packet)| !packet.is_not_sent_yet());
        let travelling = travelling.map(|(at, packet)| (Some(at), packet));
        let describe = |(at, packet): (Option<u64>, &Packet)| PacketInFlight {
            what: packet.what(),
            bytes: packet.payload_len(),
            sent_at: Instant::from_nanos(packet.sent_at),
            arrives_at: at.map(Instant::from_nanos),
        };
        waiting.chain(travelling.filter(|(_, packet)| packet.link == link)).map(describe).collect()
    }
}

impl Packet {
    pub(super) fn is_datagram(&self) -> bool {
        matches!(self.body, Body::Datagram(_))
    }
}
