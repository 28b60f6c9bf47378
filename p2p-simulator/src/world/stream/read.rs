//! The reader's side of a stream: what its user calls, and what it hears from the writer.

use std::task::{Poll, Waker};

use bytes::Bytes;
use p2p::StreamError;

use super::{HalfId, StreamKey, way::CREDIT_BYTES};
use crate::world::{World, conn::EndId, packet::Body};

impl World {
    /// Reads what has arrived.
    pub(crate) fn poll_read(
        &mut self,
        half: HalfId,
        bytes_max: usize,
        waker: &Waker,
    ) -> Poll<Result<Option<Bytes>, StreamError>> {
        let stream = self.streams.get_mut(half.stream).expect("a half keeps its stream");
        let way = &mut stream.ways[half.end.other().side()];
        if way.done {
            return Poll::Ready(Err(StreamError::Done));
        }
        if let Some(code) = way.was_reset {
            return Poll::Ready(Err(StreamError::Reset { code }));
        }
        if way.is_at_end() {
            return Poll::Ready(Ok(None));
        }
        if let Some(chunk) = way.take_arrived(bytes_max) {
            self.credit(half, chunk.len() as u64);
            return Poll::Ready(Ok(Some(chunk)));
        }
        self.wakes.put(&mut way.read_waker, waker);
        match self.closed_error(half.end) {
            Some(error) => Poll::Ready(Err(error)),
            None => Poll::Pending,
        }
    }

    /// Tells the writer, now and then, that there is room again.
    fn credit(&mut self, half: HalfId, bytes: u64) {
        let stream = self.streams.get_mut(half.stream).expect("looked up by the caller");
        let way = &mut stream.ways[half.end.other().side()];
        way.uncredited += bytes;
        if way.uncredited < CREDIT_BYTES || way.ends_at.is_some() || !self.is_open(half.end) {
            return;
        }
        let stream = self.streams.get_mut(half.stream).expect("looked up by the caller");
        let bytes = std::mem::take(&mut stream.ways[half.end.other().side()].uncredited);
        let stream = half.stream;
        self.transmit(half.end, Body::Credit { stream, bytes });
    }

    /// Tells the writer that nothing more will be read.
    pub(crate) fn stop(&mut self, half: HalfId, code: u32) {
        let Some(stream) = self.streams.get_mut(half.stream) else {
            return;
        };
        let way = &mut stream.ways[half.end.other().side()];
        if way.is_at_end() || way.was_reset.is_some() || std::mem::replace(&mut way.done, true) {
            return;
        }
        way.arrived.clear();
        way.early.clear();
        self.wakes.wake(&mut way.read_waker);
        // Once everything has arrived the writer has nothing left to stop.
        if way.ends_at == Some(way.received) {
            return;
        }
        let peer_knows = stream.announced || stream.opener() != half.end.side();
        if !peer_knows {
            stream.ways[half.end.other().side()].unsaid_stop = Some(code);
        } else if self.is_open(half.end) {
            let stream = half.stream;
            self.transmit(half.end, Body::Stop { stream, code });
        }
    }

    pub(in crate::world) fn handle_data(&mut self, at: EndId, key: StreamKey, offset: u64, payload: Bytes) {
        self.show(at, key);
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        let way = &mut stream.ways[at.other().side()];
        if way.done || way.was_reset.is_some() {
            return;
        }
        let before = way.received;
        way.take(offset, payload);
        if way.received == before {
            return;
        }
        self.wakes.wake(&mut way.read_waker);
        self.acknowledge_if_whole(at, key);
    }

    pub(in crate::world) fn handle_finish(&mut self, at: EndId, key: StreamKey, offset: u64) {
        self.show(at, key);
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        let way = &mut stream.ways[at.other().side()];
        way.ends_at = Some(offset);
        if way.received == offset {
            self.wakes.wake(&mut way.read_waker);
        }
        self.acknowledge_if_whole(at, key);
    }

    pub(in crate::world) fn handle_reset(&mut self, at: EndId, key: StreamKey, code: u32) {
        self.show(at, key);
        if let Some(stream) = self.streams.get_mut(key) {
            let way = &mut stream.ways[at.other().side()];
            way.was_reset = Some(code);
            way.arrived.clear();
            way.early.clear();
            self.wakes.wake(&mut way.read_waker);
        }
    }

    fn acknowledge_if_whole(&mut self, at: EndId, stream: StreamKey) {
        let state = self.streams.get(stream).expect("looked up by the caller");
        let way = &state.ways[at.other().side()];
        if way.ends_at == Some(way.received) {
            self.transmit(at, Body::Acknowledgement { stream });
        }
    }
}
