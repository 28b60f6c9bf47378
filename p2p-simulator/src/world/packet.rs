//! Packets: what they carry, how they leave, and what their arrival does.

use std::{cmp::Reverse, collections::BinaryHeap};

use bytes::Bytes;

use super::{
    World,
    conn::{DialAnswer, EndId},
    link::LinkIx,
    passage::Passage,
    path::{Leg, PathMessage},
    stream::StreamKey,
};
use crate::trace::{Event, Record, What, payload_hash};

/// Something on its way.
pub(crate) struct Packet {
    pub(super) link: LinkIx,
    /// Where it goes.
    pub(super) to: EndId,
    pub(super) sent_at: u64,
    /// When the copy that gets through leaves its sender, who may crash before.
    pub(super) leaves_at: u64,
    pub(super) mark: Mark,
    pub(super) body: Body,
    /// What else there is to its way; nothing between peers that reach each other directly and for good.
    pub(super) leg: Option<Box<Leg>>,
}

/// What stands for a packet in the trace, kept because what it refers to may be gone when it arrives.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    pub(super) what: What,
    pub(super) conn: u64,
    pub(super) stream: u32,
    pub(super) len: u32,
    pub(super) payload_hash: u32,
    /// The record of its sending.
    pub(super) sent: u64,
}

/// What a packet carries.
pub(super) enum Body {
    Dial,
    DialAnswer(DialAnswer),
    Data {
        stream: StreamKey,
        offset: u64,
        payload: Bytes,
    },
    /// Nothing follows after that offset.
    Finish {
        stream: StreamKey,
        offset: u64,
    },
    /// Everything up to the finish has arrived.
    Acknowledgement {
        stream: StreamKey,
    },
    Reset {
        stream: StreamKey,
        code: u32,
    },
    Stop {
        stream: StreamKey,
        code: u32,
    },
    /// So many bytes were read.
    Credit {
        stream: StreamKey,
        bytes: u64,
    },
    /// The accepting side is done with a stream.
    StreamReleased,
    Datagram(Bytes),
    Close(CloseNotice),
    /// What two ends say to each other to find a direct path.
    Path(Box<PathMessage>),
}

/// How an end says that it is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CloseNotice {
    /// Its user closed it.
    Closed { code: u64, reason: Bytes },
    /// It gave up long ago and knows the connection no more.
    Unknown,
}

impl Body {
    fn what(&self) -> What {
        match self {
            Self::Dial => What::Dial,
            Self::DialAnswer(_) => What::DialAnswer,
            Self::Data { .. } => What::Data,
            Self::Finish { .. } => What::Finish,
            Self::Acknowledgement { .. } => What::Acknowledgement,
            Self::Reset { .. } => What::Reset,
            Self::Stop { .. } => What::Stop,
            Self::Credit { .. } => What::Credit,
            Self::StreamReleased => What::StreamReleased,
            Self::Datagram(_) => What::Datagram,
            Self::Close(_) => What::Close,
            Self::Path(message) => message.what(),
        }
    }

    const fn stream(&self) -> Option<StreamKey> {
        match self {
            Self::Data { stream, .. }
            | Self::Finish { stream, .. }
            | Self::Acknowledgement { stream }
            | Self::Reset { stream, .. }
            | Self::Stop { stream, .. }
            | Self::Credit { stream, .. } => Some(*stream),
            _ => None,
        }
    }

    fn payload(&self) -> &[u8] {
        match self {
            Self::Data { payload, .. } | Self::Datagram(payload) => payload,
            Self::Close(CloseNotice::Closed { reason, .. }) => reason,
            _ => &[],
        }
    }

    /// Whether it is sent again until it arrives. A close is not: it is said again when the other side says something.
    pub(super) fn is_reliable(&self) -> bool {
        match self {
            Self::Datagram(_) | Self::Close(_) => false,
            Self::Path(message) => message.is_reliable(),
            _ => true,
        }
    }
}

impl Packet {
    pub(super) const fn what(&self) -> What {
        self.mark.what
    }

    pub(super) const fn payload_len(&self) -> u32 {
        self.mark.len
    }
}

impl World {
    /// Sends something from one end to the other.
    pub(super) fn transmit(&mut self, from: EndId, body: Body) {
        let Some(mark) = self.mark(from, &body) else {
            return;
        };
        self.launch(from, mark, body, self.now);
    }

    /// What stands for a packet in the trace; nothing if its connection is gone.
    #[inline(always)]
    pub(super) fn mark(&self, from: EndId, body: &Body) -> Option<Mark> {
        let number = self.conns.get(from.conn)?.number;
        let payload = body.payload();
        Some(Mark {
            what: body.what(),
            conn: 2 * number + u64::from(from.side),
            stream: body.stream().and_then(|key| self.streams.get(key)).map_or(0, |stream| stream.number),
            len: payload.len() as u32,
            payload_hash: if payload.is_empty() { 0 } else { payload_hash(payload) },
            sent: self.cause,
        })
    }

    /// Puts a packet on its way, or on the first part of it.
    #[inline(always)]
    pub(super) fn launch(&mut self, from: EndId, mark: Mark, body: Body, sent_at: u64) {
        let Some(conn) = self.conns.get(from.conn) else {
            return;
        };
        let end = &conn.ends[from.side()];
        if end.has_paths {
            return self.launch_on_path(from, mark, body, sent_at);
        }
        let link = end.link;
        self.put_on_link(link, from, mark, body, sent_at, None);
    }

    /// Puts a packet on one link of its way.
    #[inline(never)]
    pub(super) fn put_on_leg(&mut self, link: LinkIx, from: EndId, mark: Mark, body: Body, sent_at: u64, leg: Leg) {
        self.put_on_link(link, from, mark, body, sent_at, Some(Box::new(leg)));
    }

    /// Puts a packet on a link.
    ///
    /// Inlined, so that packets with no leg, which are almost all, pay for none and are copied once.
    #[inline(always)]
    fn put_on_link(
        &mut self,
        link: LinkIx,
        from: EndId,
        mut mark: Mark,
        body: Body,
        sent_at: u64,
        leg: Option<Box<Leg>>,
    ) {
        let is_datagram = matches!(body, Body::Datagram(_));
        let (by_relay, forwarded) = match &leg {
            None => (false, false),
            Some(leg) => (leg.is_by_relay(), matches!(**leg, Leg::FromRelay)),
        };
        let fits = match (is_datagram, forwarded) {
            (true, _) => self.has_place(link, mark.len as usize),
            // A packet of stream data stands for many; as long as there is any room, the first of them find it.
            (false, true) => self.links[link as usize].room(self.now) > 0,
            (false, false) => true,
        };
        let mut passage = if fits { self.pass(link, mark.len as usize) } else { Passage::DROPPED };
        // A datagram is not sent again, so it is lost once at most; unless the way is a relay's, which loses nothing.
        let lossy = is_datagram || (leg.is_some() && matches!(&body, Body::Path(message) if !message.is_reliable()));
        let lost = match by_relay {
            false => lossy && std::mem::replace(&mut passage.losses, 0) > 0,
            true => !fits,
        };
        let unanswered = mark.what == What::Dial && self.links[link as usize].dials_hang;
        mark.sent = self.record_packet(Event::Sent, link, &mark, passage.losses);

        let state = &mut self.links[link as usize];
        if by_relay && fits {
            passage.arrives_at = passage.arrives_at.max(state.in_order_until);
            state.in_order_until = passage.arrives_at;
        }
        let blocked = state.blocked;
        let mtu_bytes = state.config.mtu_bytes;
        let segments = u64::from(mark.len.div_ceil(mtu_bytes)).max(1);
        let lost_segments = u64::from(passage.losses) + if lost || unanswered || blocked { segments } else { 0 };
        let stats = &mut self.conns.get_mut(from.conn).expect("its caller looked it up").ends[from.side()].stats;
        if !forwarded {
            stats.packets_sent += segments + u64::from(passage.losses);
        }
        stats.packets_lost += lost_segments;

        let packet = Packet { link, to: from.other(), sent_at, leaves_at: passage.leaves_at, mark, body, leg };
        if lost || unanswered || (blocked && !packet.body.is_reliable()) {
            self.record_packet(Event::Lost, link, &mark, 0);
            // What a relay had no room for, its sender notices.
            if lost && packet.body.is_reliable() {
                self.send_again(packet);
            }
        } else if blocked {
            self.meet_partition(packet);
        } else {
            self.links[link as usize].datagrams += usize::from(is_datagram);
            self.packets.push(passage.arrives_at, self.ties.next(), packet);
        }
    }

    /// A packet is at the end of its link.
    pub(super) fn arrive(&mut self, packet: Packet) {
        if packet.is_not_sent_yet() {
            return self.send_now(packet);
        }
        match self.links[packet.link as usize].clogged {
            true => self.meet_clog(packet),
            false => self.deliver(packet),
        }
    }

    /// Hands a packet to where it goes.
    #[inline]
    pub(super) fn deliver(&mut self, packet: Packet) {
        let Packet { link, mark, .. } = packet;
        self.links[link as usize].datagrams -= usize::from(packet.is_datagram());
        if self.links[link as usize].blocked {
            if packet.body.is_reliable() && self.is_peopled(packet.to.other()) {
                self.meet_partition(packet);
            } else {
                self.record_packet(Event::Lost, link, &mark, 0);
            }
            return;
        }
        let packet = match packet.leg {
            None => packet,
            Some(_) => match self.end_leg(packet) {
                Some(packet) => packet,
                None => return,
            },
        };
        self.cause = self.record_packet(Event::Arrived, link, &mark, 0);
        let at = packet.to;
        if !self.hears(at, &packet.body) {
            return;
        }
        self.assert_nobody_dead_hears(at);
        match packet.body {
            Body::Dial => self.handle_dial(at),
            Body::DialAnswer(answer) => self.handle_dial_answer(at, answer),
            Body::Data { stream, offset, payload } => self.handle_data(at, stream, offset, payload),
            Body::Finish { stream, offset } => self.handle_finish(at, stream, offset),
            Body::Acknowledgement { stream } => self.handle_acknowledgement(at, stream),
            Body::Reset { stream, code } => self.handle_reset(at, stream, code),
            Body::Stop { stream, code } => self.handle_stop(at, stream, code),
            Body::Credit { stream, bytes } => self.handle_credit(at, stream, bytes),
            Body::StreamReleased => self.handle_stream_released(at),
            Body::Datagram(datagram) => self.handle_datagram(at, datagram),
            Body::Close(notice) => self.handle_close(at, notice),
            Body::Path(message) => self.handle_path_message(at, *message),
        }
    }

    fn meet_partition(&mut self, packet: Packet) {
        self.note_held(&packet);
        self.hold(packet);
    }

    /// A packet does not get on for now, so its sender begins to wonder.
    pub(super) fn note_held(&mut self, packet: &Packet) {
        self.record_packet(Event::Held, packet.link, &packet.mark, 0);
        if packet.body.is_reliable() && !matches!(packet.body, Body::Dial) {
            self.start_patience(packet.to.other());
        }
    }

    pub(super) fn lose(&mut self, packet: &Packet) {
        if packet.is_not_sent_yet() {
            return;
        }
        self.record_packet(Event::Lost, packet.link, &packet.mark, 0);
    }

    pub(super) fn record_packet(&mut self, event: Event, link: LinkIx, mark: &Mark, losses: u32) -> u64 {
        let state = &mut self.links[link as usize];
        state.ledger.enter(event, mark.len);
        let (src, dst) = state.numbers;
        self.recorder.push(Record {
            t: self.now,
            seq: 0,
            parent: mark.sent,
            event,
            what: mark.what,
            retransmissions: losses.min(u32::from(u16::MAX)) as u16,
            stream: mark.stream,
            src,
            dst,
            conn: mark.conn,
            len: mark.len,
            payload_hash: mark.payload_hash,
        })
    }
}

/// Packets in flight, the first to arrive first. Bounded by what may be under way: the windows of streams, the queues of
/// links, a few for each connection.
pub(super) struct InFlight {
    /// Time of arrival, tie, place. Small entries, so that sifting moves little.
    heap: BinaryHeap<Reverse<(u64, u64, u32)>>,
    packets: Vec<Option<Packet>>,
    free: Vec<u32>,
}

impl InFlight {
    pub(super) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), packets: Vec::new(), free: Vec::new() }
    }

    pub(super) fn push(&mut self, at: u64, tie: u64, packet: Packet) {
        let place = match self.free.pop() {
            Some(place) => {
                self.packets[place as usize] = Some(packet);
                place
            }
            None => {
                self.packets.push(Some(packet));
                u32::try_from(self.packets.len() - 1).expect("memory ends before 4 billion packets")
            }
        };
        self.heap.push(Reverse((at, tie, place)));
    }

    /// All packets, in no order that means anything.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Packet> {
        self.packets.iter().flatten()
    }

    /// All packets with their times, the first to arrive first.
    pub(super) fn in_order(&self) -> Vec<(u64, &Packet)> {
        let mut entries: Vec<_> = self.heap.iter().map(|Reverse(entry)| *entry).collect();
        entries.sort_unstable();
        let packet = |place: u32| self.packets[place as usize].as_ref().expect("what stands in the heap exists");
        entries.into_iter().map(|(at, _, place)| (at, packet(place))).collect()
    }

    /// When the next packet arrives, and its tie.
    pub(super) fn next(&self) -> Option<(u64, u64)> {
        self.heap.peek().map(|Reverse((at, tie, _))| (*at, *tie))
    }

    pub(super) fn pop(&mut self) -> Option<Packet> {
        let Reverse((_, _, place)) = self.heap.pop()?;
        self.free.push(place);
        self.packets[place as usize].take()
    }

    /// Takes out the packets that are meant, the first to arrive first.
    pub(super) fn take_where(&mut self, meant: impl Fn(&Packet) -> bool) -> Vec<Packet> {
        let mut taken = Vec::new();
        let mut kept = BinaryHeap::with_capacity(self.heap.len());
        for entry in std::mem::take(&mut self.heap).into_sorted_vec().into_iter().rev() {
            let Reverse((_, _, place)) = entry;
            if self.packets[place as usize].as_ref().is_some_and(&meant) {
                self.free.push(place);
                taken.extend(self.packets[place as usize].take());
            } else {
                kept.push(entry);
            }
        }
        self.heap = kept;
        taken
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }
}
