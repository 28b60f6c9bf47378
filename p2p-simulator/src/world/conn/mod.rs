//! Connections: what both ends hold, and who holds them.

mod close;
mod dial;
mod patience;

use std::{
    collections::{BTreeMap, VecDeque},
    task::Waker,
    time::Duration,
};

use bytes::Bytes;
use p2p::{
    PeerId,
    transport::{TransportClosed, TransportStats},
};

pub(crate) use self::dial::DialAnswer;
use super::{
    World,
    link::LinkIx,
    node::NodeIx,
    packet::CloseNotice,
    path::Paths,
    slab::{Key, Slab},
    stream::StreamKey,
    timer::TimerKey,
    wakes::Waiting,
};

/// One connection: both of its ends, though each knows only what reached it by packet.
pub(crate) struct Conn {
    /// Counts the dials over the link it was dialled on.
    pub(super) number: u64,
    /// The dialling end, then the other.
    pub(super) ends: [End; 2],
    /// Streams by number, as in the trace.
    pub(super) streams: BTreeMap<u32, StreamKey>,
    /// How it finds its way, if that is a question.
    pub(super) paths: Option<Box<Paths>>,
}

/// One end's name.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct EndId {
    pub(super) conn: Key<Conn>,
    /// 0 dialled, 1 was dialled.
    pub(super) side: u8,
}

impl EndId {
    pub(super) const fn other(self) -> Self {
        Self { side: 1 - self.side, ..self }
    }

    pub(super) const fn side(self) -> usize {
        self.side as usize
    }
}

/// What one end holds.
pub(crate) struct End {
    pub(super) node: NodeIx,
    /// The life of its node that knows of it; 0 before the dial has reached it.
    pub(super) incarnation: u32,
    /// The way out, or its first part.
    pub(super) link: LinkIx,
    /// Whether its connection has to find its way. Here, beside what every packet looks at.
    pub(super) has_paths: bool,
    phase: Phase,
    /// What holds it: the connection's handle and both halves of each stream.
    handles: u32,
    /// Streams this end opened that the other end still holds, at most [`STREAMS_MAX`].
    pub(super) opened: u32,
    /// How many streams this end ever opened.
    pub(super) opened_ever: u32,
    /// Streams the peer opened and nobody took yet.
    pub(super) incoming: VecDeque<StreamKey>,
    pub(super) datagrams: VecDeque<Bytes>,
    pub(super) incoming_waiting: Waiting,
    pub(super) datagrams_waiting: Waiting,
    pub(super) open_waiting: Waiting,
    end_waiting: Waiting,
    /// When the peer was last told that this end is closed.
    close_said_at: u64,
    /// Runs while something is held by a partition.
    patience: Option<TimerKey>,
    pub(super) stats: Stats,
}

/// Streams that one end may have open.
pub(crate) const STREAMS_MAX: u32 = 8192;

#[derive(Default, Clone, Copy)]
pub(super) struct Stats {
    pub(super) packets_sent: u64,
    pub(super) packets_lost: u64,
}

enum Phase {
    /// The dial has not reached this end.
    Unaware,
    Dialling(Option<Waker>),
    Failed(DialAnswer),
    Open,
    Closed(TransportClosed, CloseNotice),
}

impl World {
    pub(crate) fn peer_of(&self, end: EndId) -> PeerId {
        let other = self.end(end.other()).expect("a handle keeps both ends");
        self.nodes[other.node as usize].peer
    }

    pub(crate) fn transport_stats(&self, end: EndId) -> TransportStats {
        let state = self.end(end).expect("a handle keeps its end");
        TransportStats {
            rtt: Some(Duration::from_nanos(self.round_trip_of(end))),
            packets_lost: Some(state.stats.packets_lost),
            packets_sent: Some(state.stats.packets_sent),
        }
    }

    /// Counts one more holder of an end.
    pub(super) fn take_handle(&mut self, end: EndId) {
        self.end_mut(end).expect("what is taken exists").handles += 1;
    }

    /// Counts one holder less. The last closes the end, and the last of both ends ends the connection.
    pub(crate) fn release_handle(&mut self, end: EndId) {
        let Some(state) = self.end_mut(end) else {
            return;
        };
        state.handles -= 1;
        if state.handles > 0 {
            return;
        }
        if matches!(state.phase, Phase::Open | Phase::Dialling(_)) {
            self.close(end, 0, b"");
        }
        let conn = self.conns.get(end.conn).expect("looked up above");
        if conn.ends.iter().all(|end| end.handles == 0) {
            self.remove_conn(end.conn);
        }
    }

    fn remove_conn(&mut self, key: Key<Conn>) {
        for side in [0, 1] {
            self.cancel_patience(EndId { conn: key, side });
        }
        if let Some(mut conn) = self.conns.remove(key) {
            if let Some(paths) = conn.paths.take() {
                self.release_paths([0, 1].map(|side: usize| conn.ends[side].node), *paths);
            }
            for stream in conn.streams.into_values() {
                if let Some(stream) = self.streams.remove(stream) {
                    stream.discard(&mut self.wakes);
                }
            }
        }
    }

    pub(super) fn end(&self, end: EndId) -> Option<&End> {
        self.conns.get(end.conn).map(|conn| &conn.ends[end.side()])
    }

    pub(super) fn end_mut(&mut self, end: EndId) -> Option<&mut End> {
        conn_end(&mut self.conns, end)
    }
}

impl End {
    fn new(node: NodeIx, incarnation: u32, (link, has_paths): (LinkIx, bool), phase: Phase, handles: u32) -> Self {
        Self {
            node,
            incarnation,
            link,
            has_paths,
            phase,
            handles,
            opened: 0,
            opened_ever: 0,
            incoming: VecDeque::new(),
            datagrams: VecDeque::new(),
            incoming_waiting: Waiting::new(),
            datagrams_waiting: Waiting::new(),
            open_waiting: Waiting::new(),
            end_waiting: Waiting::new(),
            close_said_at: 0,
            patience: None,
            stats: Stats::default(),
        }
    }

    /// What tasks wait for on this end, in words.
    pub(super) fn waits(&self) -> Vec<&'static str> {
        let dialling = matches!(self.phase, Phase::Dialling(Some(_)));
        [
            (dialling, "for the answer to its dial"),
            (!self.incoming_waiting.is_empty(), "for a stream of the peer"),
            (!self.open_waiting.is_empty(), "to open one more stream"),
            (!self.datagrams_waiting.is_empty(), "for a datagram"),
        ]
        .into_iter()
        .filter_map(|(waits, what)| waits.then_some(what))
        .collect()
    }
}

/// An end, while other parts of the world are borrowed.
pub(super) fn conn_end(conns: &mut Slab<Conn>, end: EndId) -> Option<&mut End> {
    conns.get_mut(end.conn).map(|conn| &mut conn.ends[end.side()])
}
