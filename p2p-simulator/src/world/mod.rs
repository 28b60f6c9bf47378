//! The network as a state machine: no task, no clock, no lock, no I/O.
//!
//! A [`World`] is told what peers do and what time it is, and answers with what happened: [`World::next_at`] says when
//! something is due, [`World::step`] lets it happen, and [`World::wakes`] holds who has to hear of it. All that waits
//! polls, with a waker. A driver is what calls these; tests call them by hand.
//!
//! - [`node`]: peers. [`life`]: how they crash and come back. [`packet`]: what travels between them.
//! - [`link`], [`passage`]: what it meets on the way. [`retransmission`]: when it is sent again. [`backlog`]: how it waits.
//!   [`crowd`]: who waits in front.
//! - [`fault`]: what goes wrong with links and nodes; [`schedule`]: when. [`clock`]: nodes' own time.
//! - [`path`]: by relay or direct, where a peer is behind a router; [`nat`]: what routers let pass.
//! - [`conn`], [`stream`], [`datagram`]: what peers hold.
//! - [`timer`]: time for the peers' tasks. [`draw`]: randomness. [`wakes`]: who is to be woken. [`audit`]: whether all adds up.
//!
//! Nothing here iterates over a hash map, and no decision depends on the order in which memory was handed out, so a run is
//! a function of its settings and of what the peers do.

mod audit;
mod backlog;
pub(crate) mod clock;
pub(crate) mod conn;
mod crowd;
pub(crate) mod datagram;
pub(crate) mod draw;
pub(crate) mod fault;
pub(crate) mod life;
pub(crate) mod link;
pub(crate) mod nat;
pub(crate) mod node;
pub(crate) mod packet;
mod passage;
mod path;
mod retransmission;
mod schedule;
pub(crate) mod slab;
pub(crate) mod stream;
pub(crate) mod timer;
pub(crate) mod wakes;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicBool},
    task::{Poll, Waker},
};

use bytes::BytesMut;
use p2p::PeerId;

use self::{
    conn::Conn,
    draw::Draws,
    life::{Life, Order},
    link::Link,
    node::{Node, NodeIx},
    packet::InFlight,
    slab::Slab,
    stream::Stream,
    timer::{Timer, TimerKey, TimerOf, Timers},
    wakes::Wakes,
};
use crate::{
    SimulatorConfig,
    trace::{Event, Record, Recorder, Trace, TraceMode, What},
};

/// All peers and everything between them.
pub(crate) struct World {
    now: u64,
    config: SimulatorConfig,
    draws: Draws,
    nodes: Vec<Node>,
    by_peer: BTreeMap<PeerId, NodeIx>,
    links: Vec<Link>,
    by_pair: link::ByPair,
    routers: nat::Routers,
    relays: Vec<path::relay::Relay>,
    /// Where the second node of a pair answers the first without a relay, as the first knows.
    known_addrs: BTreeMap<(NodeIx, NodeIx), nat::Addr>,
    conns: Slab<Conn>,
    streams: Slab<Stream>,
    packets: InFlight,
    timers: Timers,
    /// In the order they began.
    faults: BTreeMap<u64, fault::Active>,
    faults_ever: u64,
    /// Whether any node's clock was ever off, for those who would rather not ask each.
    pub(crate) clocks_are_off: Arc<AtomicBool>,
    /// At most as many as the plans have entries.
    scheduled: Vec<schedule::Scheduled>,
    ties: Ties,
    recorder: Recorder,
    /// The record of what is being handled, which is the cause of what is done now.
    cause: u64,
    /// Where small writes are put together.
    arena: BytesMut,
    /// Whom the driver has to wake, without holding the world.
    pub(crate) wakes: Wakes,
    /// Which programs the driver has to end or to start, in this order.
    pub(crate) orders: Vec<Order>,
}

/// Numbers things that happen at the same time, in the order they were caused.
struct Ties(u64);

impl Ties {
    const fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

impl World {
    pub(crate) fn new(config: SimulatorConfig, trace: TraceMode) -> Self {
        let (plan, topology) = (config.plan.clone(), config.topology.clone());
        let mut world = Self {
            now: 0,
            draws: Draws::new(config.seed),
            nodes: Vec::new(),
            by_peer: BTreeMap::new(),
            links: Vec::new(),
            by_pair: BTreeMap::new(),
            routers: nat::Routers::default(),
            relays: Vec::new(),
            known_addrs: BTreeMap::new(),
            conns: Slab::new(),
            streams: Slab::new(),
            packets: InFlight::new(),
            timers: Timers::new(),
            faults: BTreeMap::new(),
            faults_ever: 0,
            clocks_are_off: Arc::default(),
            scheduled: Vec::new(),
            ties: Ties(0),
            recorder: Recorder::new(trace, &config.to_string()),
            cause: 0,
            arena: BytesMut::new(),
            wakes: Wakes::default(),
            orders: Vec::new(),
            config,
        };
        world.lay_out(&topology).unwrap_or_else(|error| panic!("{error}"));
        world.schedule(&plan);
        world
    }

    /// Now, in nanoseconds since the beginning.
    pub(crate) const fn now(&self) -> u64 {
        self.now
    }

    /// When the next thing is due; nothing if none ever will be unless a peer acts.
    pub(crate) fn next_at(&self) -> Option<u64> {
        let packet = self.packets.next().map(|(at, _)| at);
        let timer = self.timers.next().map(|(at, _)| at);
        packet.into_iter().chain(timer).min()
    }

    /// Moves to the next thing that is due and lets it happen; false if there is none.
    pub(crate) fn step(&mut self) -> bool {
        let timer_first = match (self.packets.next(), self.timers.next()) {
            (None, None) => return false,
            (Some(packet), Some(timer)) => timer < packet,
            (packet, _) => packet.is_none(),
        };
        if timer_first {
            let (at, _) = self.timers.next().expect("looked at above");
            self.now = self.now.max(at);
            let timer = self.timers.pop().expect("looked at above");
            self.fire(timer);
        } else {
            let (at, _) = self.packets.next().expect("looked at above");
            self.now = self.now.max(at);
            let packet = self.packets.pop().expect("looked at above");
            self.arrive(packet);
        }
        true
    }

    /// Lets everything happen that is due up to `now`.
    pub(crate) fn advance_to(&mut self, now: u64) {
        while self.next_at().is_some_and(|at| at <= now) {
            self.step();
        }
        self.now = self.now.max(now);
    }

    fn fire(&mut self, key: TimerKey) {
        match self.timers.get_mut(key).expect("a popped timer exists").of {
            TimerOf::Task(life) => {
                assert!(self.is_alive(life), "a timer fired for a peer's life that is over");
                let number = self.nodes[life.node as usize].number;
                // What set it is its cause.
                self.cause = self.timers.get_mut(key).expect("a popped timer exists").cause;
                self.cause = self.record_change(Event::Fired, What::Timer, number, 0);
                let timer = self.timers.get_mut(key).expect("looked up above");
                self.wakes.wake(&mut timer.waker);
            }
            TimerOf::Plan(number) => self.follow_plan(number),
            TimerOf::LinkRoom(link) => self.wake_writers(link),
            TimerOf::Unacknowledged(end) => self.lose_patience(end),
            TimerOf::Path(end) => self.tend_path(end),
        }
    }

    /// A timer for a task of that life.
    pub(crate) fn create_timer(&mut self, life: Life) -> TimerKey {
        self.timers.create(TimerOf::Task(life))
    }

    /// Sets the timer, by its peer's own clock. A deadline that has passed fires before anything else is due, and none ever fires in a life that is
    /// over.
    pub(crate) fn set_timer(&mut self, timer: TimerKey, deadline: Option<u64>) {
        let Some(Timer { of: TimerOf::Task(life), deadline: shown, cause, .. }) = self.timers.get_mut(timer) else {
            return;
        };
        *cause = self.cause;
        let life = *life;
        *shown = deadline.unwrap_or_default();
        match deadline.filter(|_| self.is_alive(life)) {
            Some(shown) => {
                let at = self.nodes[life.node as usize].fires_at(shown);
                self.timers.set(timer, at.max(self.now), self.ties.next());
            }
            None => self.timers.unset(timer),
        }
    }

    pub(crate) fn poll_timer(&mut self, timer: TimerKey, waker: &Waker) -> Poll<()> {
        let now = self.now;
        let due = self.timers.due_at(timer);
        let state = self.timers.get_mut(timer).expect("its owner keeps it");
        if state.fired {
            return Poll::Ready(());
        }
        if due.is_some_and(|at| at <= now) {
            // No need to wait for its turn: the time has come.
            self.timers.unset(timer);
            let state = self.timers.get_mut(timer).expect("looked up above");
            state.fired = true;
            return Poll::Ready(());
        }
        self.wakes.put(&mut state.waker, waker);
        Poll::Pending
    }

    /// Whether somebody is woken when the timer fires.
    pub(crate) fn is_timer_awaited(&mut self, timer: TimerKey) -> bool {
        self.timers.get_mut(timer).is_some_and(|timer| timer.waker.is_some())
    }

    pub(crate) fn remove_timer(&mut self, timer: TimerKey) {
        self.wakes.discarded.extend(self.timers.remove(timer));
    }

    /// A generator for that peer and label, another in each of its lives.
    pub(crate) fn peer_rng(&self, life: Life, label: &str) -> p2p::Rng {
        self.draws.peer_rng(self.node_peer(life.node), life.incarnation(), label)
    }

    /// Takes what a peer's program said into the trace.
    pub(crate) fn note(&mut self, node: NodeIx, note: &str) {
        self.recorder.note(self.now, self.cause, self.nodes[node as usize].number, note);
    }

    /// The trace up to now.
    pub(crate) fn trace(&self) -> Trace {
        self.recorder.trace()
    }

    fn record_change(&mut self, event: Event, what: What, src: u64, dst: u64) -> u64 {
        self.recorder.push(Record::new(self.now, self.cause, event, what, src, dst))
    }

    /// Who waits for what on which connection, in words, for a report.
    pub(crate) fn waits(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for conn in self.conns.iter() {
            for side in [0, 1] {
                let end = &conn.ends[side];
                let streams = conn
                    .streams
                    .values()
                    .filter_map(|&key| self.streams.get(key).and_then(|stream| stream.waits(side)));
                let waits: Vec<String> = end.waits().into_iter().map(String::from).chain(streams).collect();
                if !waits.is_empty() {
                    let name = |end: &conn::End| self.nodes[end.node as usize].name.clone();
                    let (from, to) = (name(end), name(&conn.ends[1 - side]));
                    let blocked = if self.links[end.link as usize].blocked { " (partitioned)" } else { "" };
                    lines.push(format!(
                        "{from} → {to}{blocked}, connection {}: waits {}",
                        conn.number,
                        waits.join(", ")
                    ));
                }
            }
        }
        lines
    }

    /// Connections that somebody still holds an end of.
    #[cfg(test)]
    pub(crate) fn connections(&self) -> usize {
        self.conns.len()
    }
}
