//! The writer's side of a stream: what its user calls, and what it hears from the reader.

use std::task::{Poll, Waker};

use bytes::Bytes;
use p2p::StreamError;

use super::{
    HalfId, StreamKey, WINDOW_BYTES,
    flight::{FLIGHT_BYTES_MAX, take_flight},
};
use crate::world::{World, conn::EndId, crowd::TURN_BYTES, packet::Body};

impl World {
    /// Writes what there is room for.
    pub(crate) fn poll_write(
        &mut self,
        half: HalfId,
        chunks: &mut [Bytes],
        waker: &Waker,
    ) -> Poll<Result<usize, StreamError>> {
        if let Some(error) = self.closed_error(half.end) {
            return Poll::Ready(Err(error));
        }
        let link = self.end(half.end).expect("a half keeps its end").link;
        let stream = self.streams.get_mut(half.stream).expect("a half keeps its stream");
        let way = &mut stream.ways[half.end.side()];
        if let Some(error) = way.write_error() {
            return Poll::Ready(Err(error));
        }
        if chunks.iter().all(Bytes::is_empty) {
            return Poll::Ready(Ok(0));
        }
        let window = WINDOW_BYTES - way.unread;
        if window == 0 {
            self.wakes.put(&mut way.write_waker, waker);
            return Poll::Pending;
        }
        let state = &mut self.links[link as usize];
        let mut room = state.room(self.now);
        if std::mem::take(&mut way.turn) {
            room = room.min(TURN_BYTES);
            state.turns = state.turns.saturating_sub(1);
        } else if !state.writers.is_empty() || state.turns > 0 {
            room = 0;
        }
        if room == 0 {
            self.wakes.put(&mut way.write_waker, waker);
            if !std::mem::replace(&mut way.queued, true) {
                self.wait_for_room(link, half);
            }
            return Poll::Pending;
        }
        let mut left = usize::try_from(window.min(room)).unwrap_or(usize::MAX);
        let mut written = 0;
        while let Some(payload) = take_flight(chunks, left.min(FLIGHT_BYTES_MAX), &mut self.arena) {
            left -= payload.len();
            written += payload.len();
            self.send_data(half, payload);
        }
        Poll::Ready(Ok(written))
    }

    fn send_data(&mut self, half: HalfId, payload: Bytes) {
        let stream = self.streams.get_mut(half.stream).expect("a half keeps its stream");
        let way = &mut stream.ways[half.end.side()];
        let offset = way.written;
        way.written += payload.len() as u64;
        way.unread += payload.len() as u64;
        let data = Body::Data { stream: half.stream, offset, payload };
        self.transmit(half.end, data);
        self.announce(half);
    }

    /// Something was sent, so the peer will see the stream and may hear what could not be said before.
    fn announce(&mut self, half: HalfId) {
        let stream = self.streams.get_mut(half.stream).expect("a half keeps its stream");
        if std::mem::replace(&mut stream.announced, true) {
            return;
        }
        let way = &mut stream.ways[half.end.other().side()];
        if let Some(code) = way.unsaid_stop.take() {
            let stream = half.stream;
            self.transmit(half.end, Body::Stop { stream, code });
        }
    }

    /// Lets a waiting writer write; false if it no longer wants to.
    pub(in crate::world) fn give_turn(&mut self, writer: HalfId) -> bool {
        let Some(stream) = self.streams.get_mut(writer.stream) else {
            return false;
        };
        let way = &mut stream.ways[writer.end.side()];
        way.queued = false;
        if way.finished || way.reset || way.stopped.is_some() {
            return false;
        }
        way.turn = true;
        self.wakes.wake(&mut way.write_waker);
        true
    }

    /// Says that nothing more will be written.
    pub(crate) fn finish(&mut self, half: HalfId) -> Result<(), StreamError> {
        let stream = self.streams.get_mut(half.stream).expect("a half keeps its stream");
        let way = &mut stream.ways[half.end.side()];
        if way.finished || way.reset {
            return Err(StreamError::Done);
        }
        way.finished = true;
        let finish = Body::Finish { stream: half.stream, offset: way.written };
        if self.is_open(half.end) {
            self.transmit(half.end, finish);
            self.announce(half);
        }
        Ok(())
    }

    /// Waits until the peer has everything and the end.
    pub(crate) fn poll_delivered(&mut self, half: HalfId, waker: &Waker) -> Poll<Result<(), StreamError>> {
        let closed = self.closed_error(half.end);
        let stream = self.streams.get_mut(half.stream).expect("a half keeps its stream");
        let way = &mut stream.ways[half.end.side()];
        if way.acknowledged {
            return Poll::Ready(Ok(()));
        }
        let error = match (way.stopped, way.reset) {
            (Some(code), _) => Some(StreamError::Stopped { code }),
            (None, true) => Some(StreamError::Done),
            (None, false) => closed,
        };
        if let Some(error) = error {
            return Poll::Ready(Err(error));
        }
        self.wakes.put(&mut way.delivered_waker, waker);
        Poll::Pending
    }

    /// Abandons the writing half.
    pub(crate) fn reset(&mut self, half: HalfId, code: u32) {
        let Some(stream) = self.streams.get_mut(half.stream) else {
            return;
        };
        let way = &mut stream.ways[half.end.side()];
        if way.finished || way.reset {
            return;
        }
        way.reset = true;
        self.wakes.wake(&mut way.write_waker);
        self.wakes.wake(&mut way.delivered_waker);
        // A peer that never saw the stream need not hear of its end, nor one that asked for it.
        if stream.announced && way.stopped.is_none() && self.is_open(half.end) {
            let stream = half.stream;
            self.transmit(half.end, Body::Reset { stream, code });
        }
    }

    pub(in crate::world) fn handle_acknowledgement(&mut self, at: EndId, key: StreamKey) {
        if let Some(stream) = self.streams.get_mut(key) {
            let way = &mut stream.ways[at.side()];
            way.acknowledged = true;
            self.wakes.wake(&mut way.delivered_waker);
        }
    }

    pub(in crate::world) fn handle_stop(&mut self, at: EndId, key: StreamKey, code: u32) {
        if let Some(stream) = self.streams.get_mut(key) {
            let way = &mut stream.ways[at.side()];
            if way.acknowledged || way.reset {
                return;
            }
            way.stopped = Some(code);
            self.wakes.wake(&mut way.write_waker);
            self.wakes.wake(&mut way.delivered_waker);
        }
    }

    pub(in crate::world) fn handle_credit(&mut self, at: EndId, key: StreamKey, bytes: u64) {
        if let Some(stream) = self.streams.get_mut(key) {
            let way = &mut stream.ways[at.side()];
            way.unread -= bytes;
            self.wakes.wake(&mut way.write_waker);
        }
    }
}
