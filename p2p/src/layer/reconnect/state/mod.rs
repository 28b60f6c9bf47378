//! What a session is, whatever its transport: all that has to be consistent, under one lock.
//!
//! Nothing here waits, and nothing runs by itself: a call changes the state, uses the present transport's connection as
//! far as that goes without waiting, and leaves wakers in `wakes` for whoever can go on then.
//!
//! `messages`, `links` (transports that come and go), `progress` (what a new one makes of streams), `streams` and `control`
//! (what is said on the control stream) are the calls.
//!
//! Nothing that happens often looks at all streams: there may be thousands.

mod control;
mod links;
mod messages;
mod progress;
mod streams;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    task::Waker,
};

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use self::progress::Telling;
use super::{
    acks::Acks,
    budget::{Budget, ENTRY_BYTES},
    config::Mutant,
    direction::{Receiving, Sending},
    progress::Progress,
    replay::{Impossible, MessageReplay},
    seen::Seen,
    totals::Totals,
    wakes::Wakes,
    wire::Frame,
};
use crate::{CloseCode, CloseReason, Instant, P2PConnection, P2PError, Runtime, engine::Waiters};

/// How the layer ends a transport that it replaces or lost. Never how an application ends a connection: code and reason
/// together mean that the session goes on.
pub(super) const REPLACED: (CloseCode, &str) = (CloseCode(u32::MAX), "this transport is replaced by another");

#[derive(Debug)]
pub(super) struct State {
    /// 0 on the side that dialled, 1 on the other: what the numbers of its streams are, modulo 2.
    side: u64,
    pub(super) link: Option<Link>,
    /// Counts transports.
    epoch: u64,
    /// Since when there is no transport.
    pub(super) since: Option<Instant>,
    /// The last transport was ended for a better one, which waits.
    pub(super) moving: bool,
    /// The highest attempt to resume, made or taken.
    pub(super) attempt: u32,
    /// On the accepting side: what the dialler said in that attempt, until its connection is here.
    pub(super) expected: Option<(u32, Progress)>,
    pub(super) closed: Option<CloseReason>,
    pub(super) finish: Finish,
    budget: Budget,
    pub(super) messages: MessageReplay,
    /// Messages that were left on a lost transport.
    inbox: VecDeque<Bytes>,
    /// Messages received, on all transports.
    received: u64,
    pub(super) acks: Acks,
    streams: BTreeMap<u64, Stream>,
    /// How many of the peer's streams are not over.
    open_there: usize,
    /// The number of the next stream of ours, if none is in `unused`.
    next_number: u64,
    /// Numbers of streams of ours that the peer never saw.
    unused: BTreeSet<u64>,
    seen: Seen,
    /// The peer's streams that wait for `accept_stream`. At most as many as the peer may have open.
    incoming: VecDeque<u64>,
    streams_max: usize,
    /// Streams of ours that need a transport's.
    to_open: BTreeSet<u64>,
    /// Streams on which something waits to be written that was accepted.
    pumps: Arc<Wakes>,
    /// Streams whose writers wait for budget, and some that no longer do.
    wanting: BTreeSet<u64>,
    telling: Telling,
    part_entries_max: usize,
    /// Frames to write. At most `answers_max` for the peer's, and one per stream and kind.
    frames: VecDeque<Frame>,
    /// Streams received to their end, to be acknowledged.
    over: Vec<u64>,
    /// Answers that may wait to be written, and entries that a peer's progress may have: several for each stream there
    /// can be.
    answers_max: usize,
    pub(super) driver: Option<Waker>,
    pub(super) senders: Waiters,
    /// Those who wait for a message, another transport, or the end.
    pub(super) waiting: Waiters,
    pub(super) acceptors: Waiters,
    pub(super) wakes: Vec<Waker>,
    runtime: Arc<dyn Runtime>,
    pub(super) totals: Arc<Totals>,
    mutant: Option<Mutant>,
}

/// The present transport.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) connection: Arc<dyn P2PConnection>,
    pub(super) epoch: u64,
}

impl Link {
    pub(super) const fn is_first(&self) -> bool {
        self.epoch == 1
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    No,
    /// Nothing more is accepted; what was is delivered.
    Begun,
    /// The peer's provider has everything.
    Done,
}

/// One stream.
#[derive(Debug, Default)]
struct Stream {
    send: Sending,
    recv: Receiving,
    send_dropped: bool,
    recv_dropped: bool,
    /// Given back when both directions are over.
    place: Option<Place>,
}

/// What a stream that is not over takes of those that there may be.
#[derive(Debug)]
enum Place {
    Ours(#[expect(dead_code, reason = "it is held")] OwnedSemaphorePermit),
    Theirs,
}

impl Stream {
    const fn is_over(&self) -> bool {
        self.send.done && self.recv.end.is_some()
    }
}

/// The peer did what it may not. Says what.
pub(super) type Violation = String;

impl From<Impossible> for Violation {
    fn from(impossible: Impossible) -> Self {
        impossible.to_string()
    }
}

/// What a new session needs.
pub(super) struct Terms {
    pub(super) dialler: bool,
    pub(super) replay_bytes_max: usize,
    pub(super) peer_budget_bytes: u64,
    /// Streams that the peer may have open.
    pub(super) streams_max: usize,
    /// Streams that this side may have open.
    pub(super) streams_max_here: usize,
    pub(super) part_entries_max: usize,
    pub(super) mutant: Option<Mutant>,
}

impl State {
    pub(super) fn new(terms: &Terms, runtime: Arc<dyn Runtime>, totals: Arc<Totals>) -> Self {
        Self {
            side: u64::from(!terms.dialler),
            link: None,
            epoch: 0,
            since: None,
            moving: false,
            attempt: 0,
            expected: None,
            closed: None,
            finish: Finish::No,
            budget: Budget::new(terms.replay_bytes_max),
            messages: MessageReplay::default(),
            inbox: VecDeque::new(),
            received: 0,
            acks: Acks::new(terms.peer_budget_bytes),
            streams: BTreeMap::new(),
            open_there: 0,
            next_number: 0,
            unused: BTreeSet::new(),
            seen: Seen::default(),
            incoming: VecDeque::new(),
            streams_max: terms.streams_max,
            to_open: BTreeSet::new(),
            pumps: Arc::default(),
            wanting: BTreeSet::new(),
            telling: Telling::default(),
            part_entries_max: terms.part_entries_max,
            frames: VecDeque::new(),
            over: Vec::new(),
            answers_max: 8 * (terms.streams_max + terms.streams_max_here).max(256),
            driver: None,
            senders: Waiters::default(),
            waiting: Waiters::default(),
            acceptors: Waiters::default(),
            wakes: Vec::new(),
            runtime,
            totals,
            mutant: terms.mutant,
        }
    }

    pub(super) fn wake_driver(&mut self) {
        self.wakes.extend(self.driver.clone());
    }

    fn is_ours(&self, id: u64) -> bool {
        id % 2 == self.side
    }

    pub(super) fn is_on(&self, link: &Link) -> bool {
        self.link.as_ref().is_some_and(|present| present.epoch == link.epoch)
    }

    pub(super) fn closed_error(&self) -> Option<P2PError> {
        self.closed.as_ref().map(CloseReason::to_error)
    }

    /// Bytes held for a replay and for a reader.
    pub(super) fn held_bytes(&self) -> usize {
        let unread: usize = self.streams.values().map(|stream| stream.recv.buffered_bytes()).sum();
        self.budget.used() + unread + self.inbox.iter().map(|message| message.len() + ENTRY_BYTES).sum::<usize>()
    }
}
