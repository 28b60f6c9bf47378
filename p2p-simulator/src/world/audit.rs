//! The simulator's own accounts: nothing comes from nowhere, and nothing is gone without a record.

use super::{World, link::LinkIx, packet::Packet, stream::Stream};
use crate::trace::Event;

/// What was put on a link, and what became of it.
#[derive(Default)]
pub(super) struct Ledger {
    sent: Count,
    arrived: Count,
    lost: Count,
}

/// Packets, and bytes of payload in them.
#[derive(Default, Clone, Copy, PartialEq, Eq, Debug)]
struct Count {
    packets: u64,
    bytes: u64,
}

impl Count {
    const fn add(&mut self, bytes: u32) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }

    const fn plus(self, other: Self) -> Self {
        Self { packets: self.packets + other.packets, bytes: self.bytes + other.bytes }
    }
}

impl Ledger {
    #[inline]
    pub(super) const fn enter(&mut self, event: Event, bytes: u32) {
        match event {
            Event::Sent => self.sent.add(bytes),
            Event::Arrived => self.arrived.add(bytes),
            Event::Lost => self.lost.add(bytes),
            _ => {}
        }
    }
}

impl World {
    /// Checks that on each link what was sent has arrived, was lost, or is under way, packets and bytes; and that each stream
    /// has handed on what arrived, once and in order.
    ///
    /// # Errors
    /// What does not add up, in words.
    pub(crate) fn audit(&self) -> Result<(), String> {
        let mut under_way = vec![Count::default(); self.links.len()];
        let mut count = |packet: &Packet| under_way[packet.link as usize].add(packet.payload_len());
        self.packets.iter().filter(|packet| !packet.is_not_sent_yet()).for_each(&mut count);
        for link in &self.links {
            link.held.iter().chain(link.backlog.iter()).for_each(&mut count);
        }
        for (link, under_way) in (0..).zip(under_way) {
            self.audit_link(link, under_way)?;
        }
        self.streams.iter().try_for_each(Stream::audit)
    }

    fn audit_link(&self, link: LinkIx, under_way: Count) -> Result<(), String> {
        let state = &self.links[link as usize];
        let Ledger { sent, arrived, lost } = state.ledger;
        if sent == arrived.plus(lost).plus(under_way) {
            return Ok(());
        }
        let [src, dst] = [state.src, state.dst].map(|node| self.node_name(node));
        Err(format!(
            "conservation from {src} to {dst}: sent {sent:?}, arrived {arrived:?}, lost {lost:?}, under way {under_way:?}"
        ))
    }
}
