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
    /// Bytes that the reader took.
    read: u64,
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

    /// Takes what arrived, and hands on what is next in order.
    ///
    /// The simulator's own oracle: no byte twice.
    pub(super) fn take(&mut self, offset: u64, payload: Bytes) {
        let twice = offset < self.received || (!self.early.is_empty() && self.is_early(offset, payload.len()));
        assert!(!twice, "{} bytes at {offset} of a stream arrived twice", payload.len());
        if offset != self.received {
            self.early.insert(offset, payload);
            return;
        }
        self.append(payload);
        while let Some(next) = self.early.remove(&self.received) {
            self.append(next);
        }
    }

    /// Whether any of these bytes is among those that overtook others.
    fn is_early(&self, offset: u64, len: usize) -> bool {
        let next = self.early.range(offset..).next();
        let before = self.early.range(..offset).next_back();
        next.is_some_and(|(&next, _)| next < offset + len as u64)
            || before.is_some_and(|(&before, chunk)| before + chunk.len() as u64 > offset)
    }

    fn append(&mut self, payload: Bytes) {
        self.received += payload.len() as u64;
        self.arrived.push_back(payload);
    }

    /// Whether the reader's side adds up.
    pub(super) fn audit(&self) -> Result<(), String> {
        let Self { written, received, read, .. } = self;
        let waiting: u64 = self.arrived.iter().map(|chunk| chunk.len() as u64).sum();
        let is_over = self.done || self.was_reset.is_some();
        match received <= written && (is_over || read + waiting == *received) {
            true => Ok(()),
            false => Err(format!("written {written}, received {received}, read {read} and {waiting} to be read")),
        }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.ends_at == Some(self.received) && self.arrived.is_empty()
    }

    pub(super) fn take_arrived(&mut self, bytes_max: usize) -> Option<Bytes> {
        let front = self.arrived.front_mut()?;
        let chunk = if front.len() <= bytes_max { self.arrived.pop_front()? } else { front.split_to(bytes_max) };
        self.read += chunk.len() as u64;
        Some(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(len: usize) -> Bytes {
        vec![7; len].into()
    }

    #[test]
    fn what_overtakes_waits_for_what_comes_first() {
        let mut way = Way { written: 30, ..Way::default() };
        way.take(20, bytes(10));
        way.take(10, bytes(10));
        assert!(way.take_arrived(100).is_none());
        way.take(0, bytes(10));
        assert_eq!(way.received, 30);
        assert_eq!(way.take_arrived(4).map(|chunk| chunk.len()), Some(4));
        assert_eq!(way.audit(), Ok(()));
    }

    #[test]
    fn bytes_that_arrive_twice_are_noticed_at_once() {
        for (offset, len) in [(0, 10), (5, 1), (9, 3), (20, 10), (15, 6), (25, 1)] {
            let mut way = Way { written: 100, ..Way::default() };
            way.take(0, bytes(10));
            way.take(20, bytes(10));
            let twice = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| way.take(offset, bytes(len))));
            assert!(twice.is_err(), "{len} bytes at {offset}");
        }
    }

    #[test]
    fn bytes_from_nowhere_or_gone_do_not_pass_the_audit() {
        let mut way = Way { written: 5, ..Way::default() };
        way.take(0, bytes(6));
        assert!(way.audit().is_err(), "more than was written");
        let mut way = Way { written: 10, ..Way::default() };
        way.take(0, bytes(10));
        way.arrived.clear();
        assert!(way.audit().is_err(), "neither read nor there");
    }
}
