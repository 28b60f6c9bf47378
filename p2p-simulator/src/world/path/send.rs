//! How packets take a path: in two hops by a relay, or direct through the NATs on the way.

use super::{Way, punch::PathMessage};
use crate::{
    trace::Event,
    world::{
        World,
        conn::EndId,
        link::LinkIx,
        nat::Addr,
        packet::{Body, Mark, Packet},
        retransmission,
    },
};

/// What else there is to a packet's way.
pub(in crate::world) enum Leg {
    /// The first hop of two.
    ToRelay,
    /// The second.
    FromRelay,
    /// Straight, with addresses as they look where the packet is between both sides' routers.
    Direct { from: Addr, to: Addr },
    /// It is on no link yet.
    NotSentYet,
}

impl Leg {
    pub(in crate::world) const fn is_by_relay(&self) -> bool {
        matches!(self, Self::ToRelay | Self::FromRelay)
    }
}

impl Packet {
    /// Whether it only stands among packets to be sent later.
    pub(in crate::world) fn is_not_sent_yet(&self) -> bool {
        self.leg.as_deref().is_some_and(|leg| matches!(leg, Leg::NotSentYet))
    }
}

impl World {
    /// Puts a packet on the path of its end.
    pub(in crate::world) fn launch_on_path(&mut self, from: EndId, mark: Mark, body: Body, sent_at: u64) {
        let Some(paths) = self.paths_of(from) else {
            return;
        };
        let side = from.side();
        match paths.ends[side].way {
            Way::Relayed => self.put_on_leg(paths.up[side], from, mark, body, sent_at, Leg::ToRelay),
            Way::Direct(to) => self.send_direct(from, to, mark, body, sent_at),
            Way::Unknown => self.send_nowhere(from, mark),
        }
    }

    /// Sends something by the relay, whatever way its end takes otherwise.
    pub(super) fn send_by_relay(&mut self, from: EndId, message: PathMessage) {
        let body = Body::Path(Box::new(message));
        let (Some(mark), Some(paths)) = (self.mark(from, &body), self.paths_of(from)) else {
            return;
        };
        if paths.relay.is_some() {
            let up = paths.up[from.side()];
            self.put_on_leg(up, from, mark, body, self.now, Leg::ToRelay);
        }
    }

    /// Sends something straight to an address, whatever way its end takes otherwise.
    pub(super) fn send_to(&mut self, from: EndId, to: Addr, message: PathMessage) {
        let body = Body::Path(Box::new(message));
        if let Some(mark) = self.mark(from, &body) {
            self.send_direct(from, to, mark, body, self.now);
        }
    }

    fn send_direct(&mut self, end: EndId, to: Addr, mut mark: Mark, body: Body, sent_at: u64) {
        let Some(paths) = self.paths_of(end) else {
            return;
        };
        let link = paths.direct[end.side()];
        let node = self.end(end).expect("looked up above").node;
        match self.go_out(node, to) {
            Some(from) => {
                self.put_on_leg(link, end, mark, body, sent_at, Leg::Direct { from, to });
            }
            None => {
                mark.sent = self.record_packet(Event::Sent, link, &mark, 0);
                self.end_mut(end).expect("looked up above").stats.packets_sent += 1;
                let packet = Packet { link, to: end.other(), sent_at, leaves_at: self.now, mark, body, leg: None };
                self.lose_to_nat(packet);
            }
        }
    }

    /// Sends something to where nobody is.
    pub(in crate::world) fn send_nowhere(&mut self, from: EndId, mut mark: Mark) {
        let Some(conn) = self.conns.get(from.conn) else {
            return;
        };
        let link = conn.paths.as_ref().map_or(conn.ends[from.side()].link, |paths| paths.direct[from.side()]);
        mark.sent = self.record_packet(Event::Sent, link, &mark, 0);
        self.record_packet(Event::Lost, link, &mark, 0);
    }

    /// A packet is at the end of its link. Returns it if it is at the end of its way, too.
    pub(in crate::world) fn end_leg(&mut self, packet: Packet) -> Option<Packet> {
        match packet.leg.as_deref() {
            Some(Leg::ToRelay) => {
                self.forward(packet);
                None
            }
            Some(&Leg::Direct { from, to }) => {
                let receiver = self.end(packet.to).map(|end| end.node);
                if receiver.is_some() && self.come_in(from, to) != receiver {
                    self.lose_to_nat(packet);
                    return None;
                }
                self.follow_rebinding(packet.to, from, &packet.body);
                self.cancel_patience(packet.to.other());
                Some(packet)
            }
            _ => {
                self.answer_by_relay(packet.to);
                self.cancel_patience(packet.to.other());
                Some(packet)
            }
        }
    }

    /// The relay hands a packet on.
    fn forward(&mut self, packet: Packet) {
        let Packet { link, to, mark, body, sent_at, .. } = packet;
        let arrived = self.record_packet(Event::Arrived, link, &mark, 0);
        if let Some(paths) = self.paths_of(to) {
            let down = paths.down[to.side()];
            let mark = Mark { sent: arrived, ..mark };
            self.put_on_leg(down, to.other(), mark, body, sent_at, Leg::FromRelay);
        }
    }

    /// A NAT did not let a packet pass.
    fn lose_to_nat(&mut self, packet: Packet) {
        self.lose(&packet);
        if let Some(end) = self.end_mut(packet.to.other()) {
            end.stats.packets_lost += 1;
        }
        if packet.body.is_reliable() {
            self.send_again(packet);
        }
    }

    /// Sends a packet that was lost once more, by the path that its end has when the time has come.
    pub(in crate::world) fn send_again(&mut self, packet: Packet) {
        let from = packet.to.other();
        if self.end(from).is_none() {
            return;
        }
        if !matches!(packet.body, Body::Dial) {
            self.start_patience(from);
        }
        let first = retransmission::first_after(self.round_trip_of(from));
        let at = retransmission::next_try(packet.sent_at, first, self.now + 1);
        self.send_later(packet, at);
    }

    /// Keeps a packet to send it then.
    pub(in crate::world) fn send_later(&mut self, packet: Packet, at: u64) {
        let packet = Packet { leaves_at: at, leg: Some(Box::new(Leg::NotSentYet)), ..packet };
        self.packets.push(at, self.ties.next(), packet);
    }

    /// The time of a packet that was to be sent later has come.
    pub(in crate::world) fn send_now(&mut self, packet: Packet) {
        let from = packet.to.other();
        let given_up = matches!(packet.body, Body::Dial) && !self.is_dialling(from);
        if self.is_peopled(from) && !given_up {
            self.launch(from, packet.mark, packet.body, packet.sent_at);
        }
    }

    /// An end sends another way than before: what a partition of the old one holds up need not wait for its end.
    pub(super) fn send_what_waits_on(&mut self, link: LinkIx, end: EndId) {
        let waiting = self.links[link as usize].held.take();
        let (ours, others): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|packet| packet.to == end.other());
        for packet in others {
            self.hold(packet);
        }
        if !ours.is_empty() {
            self.cancel_patience(end);
        }
        for packet in ours {
            self.lose(&packet);
            self.send_later(packet, self.now);
        }
    }
}
