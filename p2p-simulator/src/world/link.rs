//! A directed link: what a packet meets between leaving one node and arriving at another.

use std::collections::{BTreeMap, VecDeque};

use super::{
    World,
    audit::Ledger,
    backlog::Backlog,
    draw::{LinkDraws, Purpose},
    node::NodeIx,
    passage::RareDraws,
    retransmission,
    stream::WriterId,
    timer::TimerKey,
};
use crate::{
    LinkConfig,
    trace::{Event, What},
};

/// A link's place in the world.
pub(crate) type LinkIx = u32;

/// One direction between two nodes. Made when something first travels it.
pub(crate) struct Link {
    pub(super) src: NodeIx,
    pub(super) dst: NodeIx,
    /// Numbers of both nodes in traces.
    pub(super) numbers: (u64, u64),
    /// The other direction.
    reverse: LinkIx,
    /// What it is like without faults. Apart, as it is seldom looked at.
    base: Box<LinkConfig>,
    /// What it is like now.
    pub(super) config: LinkConfig,
    /// Whether `config` needs rare draws.
    pub(super) is_rare: bool,
    /// Nanoseconds that a packet typically takes.
    pub(super) typical_latency: u64,
    /// The same there and back.
    round_trip: u64,
    /// Nanoseconds by which whatever arrives is handled late.
    pub(super) slow: u64,
    /// Whether dials get no answer.
    pub(super) dials_hang: bool,
    /// Whether packets that arrive wait at its end.
    pub(super) clogged: bool,
    /// What waits there.
    pub(super) backlog: Backlog,
    /// Whether somebody cut it by hand.
    severed: bool,
    /// Whether nothing gets through, for whatever reason.
    pub(super) blocked: bool,
    /// When the packet that is last in the queue will have left.
    pub(super) free_at: u64,
    /// On a way to or from a relay, when the packet that is last in order arrives.
    pub(super) in_order_until: u64,
    /// Segments sent so far: the index of the next one's draws.
    pub(super) segments: u64,
    /// Datagrams under way, at most [`DATAGRAMS_IN_FLIGHT_MAX`](super::datagram::DATAGRAMS_IN_FLIGHT_MAX).
    pub(super) datagrams: usize,
    /// Dials so far: the index of the next one's draw.
    pub(super) dials: u64,
    pub(super) loss: LinkDraws,
    pub(super) jitter: LinkDraws,
    dial_failure: LinkDraws,
    pub(super) rare: Option<Box<RareDraws>>,
    /// Packets that met a partition, in the order they did.
    pub(super) held: Backlog,
    /// Stream writers that wait for room in the queue, first come first served. Each stands here once.
    pub(super) writers: VecDeque<WriterId>,
    /// Turns that were given and not taken yet. They lapse when the next are given.
    pub(super) turns: u64,
    pub(super) room_timer: Option<TimerKey>,
    pub(super) ledger: Ledger,
}

impl Link {
    /// Bytes that still have room in the queue.
    pub(super) fn room(&self, now: u64) -> u64 {
        let Some(bandwidth) = self.config.bandwidth else {
            return u64::MAX;
        };
        if self.free_at <= now {
            return self.config.queue_bytes_max;
        }
        let waiting = u128::from(self.free_at - now) * u128::from(bandwidth);
        let waiting = (waiting / NANOS) as u64;
        self.config.queue_bytes_max.saturating_sub(waiting)
    }

    pub(super) fn time_for(&self, bytes: u64) -> u64 {
        match self.config.bandwidth {
            // Almost always there is room in 64 bits, where a division is several times cheaper.
            Some(bandwidth) => match bytes.checked_mul(NANOS as u64) {
                Some(product) => product / bandwidth.max(1),
                None => (u128::from(bytes) * NANOS / u128::from(bandwidth.max(1))) as u64,
            },
            None => 0,
        }
    }
}

const NANOS: u128 = 1_000_000_000;

impl World {
    /// The link from one node to another; both directions are made when one is asked for.
    pub(crate) fn link(&mut self, src: NodeIx, dst: NodeIx) -> LinkIx {
        if let Some(&link) = self.by_pair.get(&(src, dst)) {
            return link;
        }
        let first = LinkIx::try_from(self.links.len()).expect("memory ends before 4 billion links");
        for (src, dst, link, reverse) in [(src, dst, first, first + 1), (dst, src, first + 1, first)] {
            let (from, to) = (&self.nodes[src as usize], &self.nodes[dst as usize]);
            let draws = |purpose| self.draws.on_link(purpose, from.peer, to.peer);
            self.links.push(Link {
                src,
                dst,
                numbers: (from.number, to.number),
                reverse,
                base: Box::new(self.config.link),
                config: self.config.link,
                is_rare: false,
                typical_latency: 0,
                round_trip: 0,
                slow: 0,
                dials_hang: false,
                clogged: false,
                backlog: Backlog::default(),
                severed: false,
                blocked: to.down,
                free_at: 0,
                in_order_until: 0,
                segments: 0,
                dials: 0,
                datagrams: 0,
                loss: draws(Purpose::Loss),
                jitter: draws(Purpose::Jitter),
                dial_failure: draws(Purpose::DialFailure),
                rare: None,
                held: Backlog::default(),
                writers: VecDeque::new(),
                turns: 0,
                room_timer: None,
                ledger: Ledger::default(),
            });
            self.by_pair.insert((src, dst), link);
        }
        self.refresh(first);
        self.refresh(first + 1);
        first
    }

    /// Changes what the link is like for whatever is sent from now on.
    pub(crate) fn set_link(&mut self, link: LinkIx, config: LinkConfig) {
        let state = &mut self.links[link as usize];
        *state.base = config;
        let (src, dst) = state.numbers;
        self.record_change(Event::Changed, What::Link, src, dst);
        self.refresh(link);
    }

    /// What the link is like now, faults included.
    pub(crate) fn link_config(&self, link: LinkIx) -> LinkConfig {
        self.links[link as usize].config
    }

    /// The smoothed round trip over the link and its reverse, in nanoseconds.
    pub(super) fn round_trip(&self, link: LinkIx) -> u64 {
        self.links[link as usize].round_trip
    }

    /// Time after which a packet on this link is sent again.
    pub(super) fn retransmit_after(&self, link: LinkIx) -> u64 {
        retransmission::first_after(self.round_trip(link))
    }

    /// Starts a partition: nothing passes any more, in this direction, and nobody is told.
    pub(crate) fn block(&mut self, link: LinkIx) {
        let state = &mut self.links[link as usize];
        if !std::mem::replace(&mut state.severed, true) {
            let (src, dst) = state.numbers;
            self.record_change(Event::Changed, What::Partition, src, dst);
            self.refresh(link);
        }
    }

    /// Ends a partition. What was held arrives after the next retransmission.
    pub(crate) fn unblock(&mut self, link: LinkIx) {
        let state = &mut self.links[link as usize];
        if std::mem::replace(&mut state.severed, false) {
            let (src, dst) = state.numbers;
            self.record_change(Event::Changed, What::Heal, src, dst);
            self.refresh(link);
        }
    }

    /// Works out again what the link is like, as faults began or ended. What waited and need not any more goes on.
    pub(super) fn refresh(&mut self, link: LinkIx) {
        let state = &self.links[link as usize];
        let (src, dst) = (state.src, state.dst);
        let mut impact = self.impact_on(src, dst, *state.base);
        if let Some(takes) = self.relay_takes(dst) {
            impact.config.bandwidth = Some(impact.config.bandwidth.map_or(takes, |bandwidth| bandwidth.min(takes)));
        }
        let down = self.nodes[dst as usize].down;
        let peers = [src, dst].map(|node| self.node_peer(node));
        let state = &mut self.links[link as usize];
        state.is_rare = impact.config.is_rare();
        if state.is_rare && state.rare.is_none() {
            let draws = RareDraws::new(|purpose| self.draws.on_link(purpose, peers[0], peers[1]));
            state.rare = Some(Box::new(draws));
        }
        let changed = std::mem::replace(&mut state.config, impact.config) != impact.config;
        state.typical_latency = impact.config.latency.typical().as_nanos() as u64;
        (state.slow, state.dials_hang) = (impact.slow, impact.dials_hang);
        let blocked = state.severed || down || impact.cut;
        let opened = std::mem::replace(&mut state.blocked, blocked) && !blocked;
        let unclogged = std::mem::replace(&mut state.clogged, impact.clogged) && !impact.clogged;
        let (typical, reverse) = (state.typical_latency, state.reverse);
        let round_trip = typical + self.links[reverse as usize].typical_latency;
        for link in [link, reverse] {
            self.links[link as usize].round_trip = round_trip;
        }
        if opened {
            self.send_held_again(link);
        }
        if unclogged {
            self.let_backlog_arrive(link);
        }
        if changed {
            self.wake_writers(link);
        }
    }

    /// What a partition held up arrives after its next retransmission.
    fn send_held_again(&mut self, link: LinkIx) {
        let held = self.links[link as usize].held.take();
        let latency = self.links[link as usize].typical_latency;
        let retransmit_after = self.retransmit_after(link);
        for mut packet in held {
            if self.conns.get(packet.to.conn).is_none() {
                self.lose(&packet);
                continue;
            }
            self.cancel_patience(packet.to.other());
            let at = retransmission::next_try(packet.sent_at, retransmit_after, self.now);
            packet.leaves_at = at;
            self.packets.push(at + latency, self.ties.next(), packet);
        }
    }

    /// Whether the next dial over this link fails.
    pub(super) fn dial_fails(&mut self, link: LinkIx) -> bool {
        let state = &mut self.links[link as usize];
        let failure = state.config.dial_failure;
        !failure.is_never() && failure.happens(state.dial_failure.at(&mut self.draws, state.dials))
    }
}

/// Links by the nodes they join.
pub(super) type ByPair = BTreeMap<(NodeIx, NodeIx), LinkIx>;
