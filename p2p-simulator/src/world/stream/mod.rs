//! Streams: windows, reassembly, and their ends.
//!
//! Packets of one stream may overtake each other, because a lost one is sent again later. The reader's side puts them
//! back in order by offset, so a loss holds up what follows it in its own stream and nothing else.

mod flight;
mod read;
mod way;
mod write;

use std::task::{Poll, Waker};

use p2p::StreamError;

pub(super) use self::way::WINDOW_BYTES;
use self::way::Way;
use super::{
    World,
    conn::{Conn, EndId, STREAMS_MAX, conn_end},
    packet::Body,
    slab::Key,
    wakes::Wakes,
};

/// A stream's name.
pub(crate) type StreamKey = Key<Stream>;

/// A stream of a connection, both directions of it.
pub(crate) struct Stream {
    pub(super) conn: Key<Conn>,
    /// Twice the count of streams that its end opened before, plus one if the accepting side opened it.
    pub(super) number: u32,
    /// By the side that writes.
    ways: [Way; 2],
    /// Halves held on each side.
    handles: [u8; 2],
    /// Whether something was sent, so that the peer will see it.
    announced: bool,
    /// Whether the peer saw it.
    visible: bool,
}

/// One half of a stream, by the side that holds it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct HalfId {
    pub(super) stream: StreamKey,
    pub(super) end: EndId,
}

/// The writing half that waits for a link.
pub(super) type WriterId = HalfId;

impl World {
    /// Opens a stream, waiting while too many are open. Both halves are the caller's, to be released.
    pub(crate) fn poll_open(&mut self, end: EndId, waker: &Waker) -> Poll<Result<HalfId, StreamError>> {
        if let Some(error) = self.closed_error(end) {
            return Poll::Ready(Err(error));
        }
        let conn = self.conns.get_mut(end.conn).expect("a handle keeps its end");
        let state = &mut conn.ends[end.side()];
        if state.opened == STREAMS_MAX {
            state.open_waiting.wait(waker, &mut self.wakes);
            return Poll::Pending;
        }
        let number = 2 * state.opened_ever + u32::from(end.side);
        state.opened += 1;
        state.opened_ever += 1;
        let mut handles = [0; 2];
        handles[end.side()] = 2;
        let stream = self.streams.insert(Stream {
            conn: end.conn,
            number,
            ways: Default::default(),
            handles,
            announced: false,
            visible: false,
        });
        conn.streams.insert(number, stream);
        self.take_handle(end);
        self.take_handle(end);
        Poll::Ready(Ok(HalfId { stream, end }))
    }

    /// Waits for a stream that the peer opened. Both halves are the caller's, to be released.
    pub(crate) fn poll_accept(&mut self, end: EndId, waker: &Waker) -> Poll<Result<HalfId, StreamError>> {
        let state = conn_end(&mut self.conns, end).expect("a handle keeps its end");
        if let Some(stream) = state.incoming.pop_front() {
            let half = self.streams.get_mut(stream).expect("a queued stream exists");
            half.handles[end.side()] = 2;
            self.take_handle(end);
            self.take_handle(end);
            return Poll::Ready(Ok(HalfId { stream, end }));
        }
        if let Some(error) = self.closed_error(end) {
            return Poll::Ready(Err(error));
        }
        let state = conn_end(&mut self.conns, end).expect("looked up above");
        state.incoming_waiting.wait(waker, &mut self.wakes);
        Poll::Pending
    }

    /// Gives up one half; the caller has reset or stopped it where that is due.
    pub(crate) fn release_half(&mut self, half: HalfId) {
        if let Some(stream) = self.streams.get_mut(half.stream) {
            let side = half.end.side();
            stream.handles[side] -= 1;
            let (opener, announced) = (stream.opener(), stream.announced);
            if stream.handles[side] == 0 {
                let end = half.end;
                if side != opener && self.is_open(end) {
                    self.transmit(end, Body::StreamReleased);
                }
                let unseen = side == opener && !announced;
                if unseen {
                    self.handle_stream_released(end);
                }
                let stream = self.streams.get(half.stream).expect("looked up above");
                let seen = stream.visible && !self.is_queued(half);
                if stream.handles == [0, 0] && (unseen || seen) {
                    self.remove_stream(half.stream);
                }
            }
        }
        self.release_handle(half.end);
    }

    /// Whether the stream still waits to be accepted.
    fn is_queued(&self, half: HalfId) -> bool {
        let stream = self.streams.get(half.stream).expect("looked up by the caller");
        let acceptor = EndId { side: 1 - stream.opener() as u8, ..half.end };
        self.end(acceptor).is_some_and(|end| end.incoming.contains(&half.stream))
    }

    fn remove_stream(&mut self, key: StreamKey) {
        if let Some(stream) = self.streams.remove(key) {
            if let Some(conn) = self.conns.get_mut(stream.conn) {
                conn.streams.remove(&stream.number);
            }
            stream.discard(&mut self.wakes);
        }
    }

    pub(super) fn handle_stream_released(&mut self, at: EndId) {
        let state = conn_end(&mut self.conns, at).expect("the caller's end exists");
        state.opened -= 1;
        state.open_waiting.wake(&mut self.wakes);
    }

    /// Makes a stream visible to the side that did not open it, and before it those opened earlier.
    fn show(&mut self, at: EndId, key: StreamKey) {
        let Some(stream) = self.streams.get(key) else {
            return;
        };
        if stream.visible || stream.opener() == at.side() {
            return;
        }
        let up_to = stream.number;
        let conn = self.conns.get_mut(at.conn).expect("the caller's end exists");
        let state = &mut conn.ends[at.side()];
        for (_, &key) in conn.streams.range(..=up_to) {
            let stream = self.streams.get_mut(key).expect("a listed stream exists");
            let opened_here = stream.opener() == at.side();
            if !opened_here && stream.announced && !stream.visible {
                stream.visible = true;
                state.incoming.push_back(key);
            }
        }
        state.incoming_waiting.wake(&mut self.wakes);
    }
}

impl Stream {
    fn opener(&self) -> usize {
        (self.number % 2) as usize
    }

    /// Wakes all that wait on one side's halves.
    pub(super) fn wake_all(&mut self, side: usize, wakes: &mut Wakes) {
        wakes.wake(&mut self.ways[side].write_waker);
        wakes.wake(&mut self.ways[side].delivered_waker);
        wakes.wake(&mut self.ways[1 - side].read_waker);
    }

    /// Takes the stream apart without running anybody's code.
    pub(super) fn discard(self, wakes: &mut Wakes) {
        for way in self.ways {
            let wakers = [way.write_waker, way.delivered_waker, way.read_waker];
            wakes.discarded.extend(wakers.into_iter().flatten());
        }
    }

    /// Whether both directions add up.
    pub(super) fn audit(&self) -> Result<(), String> {
        let audit = |way: &Way| way.audit().map_err(|what| format!("stream {}: {what}", self.number));
        self.ways.iter().try_for_each(audit)
    }

    /// What tasks of one side wait for, in words.
    pub(super) fn waits(&self, side: usize) -> Option<String> {
        let (ours, theirs) = (&self.ways[side], &self.ways[1 - side]);
        let what = if theirs.read_waker.is_some() {
            "to read"
        } else if ours.write_waker.is_some() {
            "to write"
        } else if ours.delivered_waker.is_some() {
            "for delivery of"
        } else {
            return None;
        };
        Some(format!("{what} stream {}", self.number))
    }
}
