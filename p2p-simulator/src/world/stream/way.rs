//! One direction of a stream, from one side's writer to the other side's reader.

use std::{
    collections::{BTreeMap, VecDeque},
    task::Waker,
};

use bytes::Bytes;
use p2p::StreamError;

/// One direction of a stream.
#[derive(Default)]
pub(super) struct Way {
    // What the writer's side knows.
    pub(super) written: u64,
    /// Bytes written and not yet known to be read: at most [`WINDOW_BYTES`].
    pub(super) unread: u64,
    pub(super) finished: bool,
    pub(super) reset: bool,
    pub(super) acknowledged: bool,
    pub(super) stopped: Option<u32>,
    /// Whether it stands among those that wait for the link.
    pub(super) queued: bool,
    /// Whether it is its turn on a crowded link.
    pub(super) turn: bool,
    pub(super) write_waker: Option<Waker>,
    pub(super) delivered_waker: Option<Waker>,
    // What the reader's side knows.
    /// Bytes that arrived in order.
    pub(super) received: u64,
    pub(super) arrived: VecDeque<Bytes>,
    /// Bytes that arrived before others that come first.
    pub(super) early: BTreeMap<u64, Bytes>,
    pub(super) ends_at: Option<u64>,
    pub(super) was_reset: Option<u32>,
    /// The reader stopped before the end.
    pub(super) done: bool,
    /// What the writer has to be told once it can know of the stream.
    pub(super) unsaid_stop: Option<u32>,
    /// Bytes read that the writer was not told of.
    pub(super) uncredited: u64,
    pub(super) read_waker: Option<Waker>,
}

/// Bytes a writer may be ahead of the reader: 1 MiB, which at 100 Mbit/s is enough for a round trip of 80 ms.
pub(in crate::world) const WINDOW_BYTES: u64 = 1024 * 1024;
/// Bytes after whose reading the writer is told that there is room again.
pub(super) const CREDIT_BYTES: u64 = WINDOW_BYTES / 4;
impl Way {
    pub(super) fn write_error(&self) -> Option<StreamError> {
        match self.stopped {
            _ if self.finished || self.reset => Some(StreamError::Done),
            Some(code) => Some(StreamError::Stopped { code }),
            None => None,
        }
    }

    pub(super) fn append(&mut self, payload: Bytes) {
        self.received += payload.len() as u64;
        self.arrived.push_back(payload);
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.ends_at == Some(self.received) && self.arrived.is_empty()
    }

    pub(super) fn take_arrived(&mut self, bytes_max: usize) -> Option<Bytes> {
        let front = self.arrived.front_mut()?;
        if front.len() <= bytes_max { self.arrived.pop_front() } else { Some(front.split_to(bytes_max)) }
    }
}
