//! When to tell the peer how far one has come.

use std::{collections::BTreeSet, time::Duration};

use crate::Instant;

/// How long what was received waits for its acknowledgement, at most. It bounds how much is sent twice after a loss on a
/// quiet line, and costs at most forty small frames a second.
pub(super) const ACK_DELAY: Duration = Duration::from_millis(25);

/// Bytes received that are acknowledged at once, at most.
const ACK_BYTES_MAX: usize = 256 * 1024;

/// What was received since the last acknowledgement. State without I/O.
#[derive(Debug)]
pub(super) struct Acks {
    /// Bytes after which the peer is told at once: an eighth of what it may have under way.
    threshold: usize,
    bytes: usize,
    streams: BTreeSet<u64>,
    due: Option<Instant>,
    urgent: bool,
}

impl Acks {
    pub(super) fn new(peer_budget_bytes: u64) -> Self {
        let eighth = usize::try_from(peer_budget_bytes / 8).unwrap_or(usize::MAX);
        Self { threshold: eighth.clamp(1, ACK_BYTES_MAX), bytes: 0, streams: BTreeSet::new(), due: None, urgent: false }
    }

    /// A message was received. Says whether the one who acknowledges has to look now.
    pub(super) fn message(&mut self, bytes: usize, now: impl FnOnce() -> Instant) -> bool {
        self.received(bytes + super::budget::ENTRY_BYTES, now)
    }

    /// Bytes of a stream were received. Says whether the one who acknowledges has to look now.
    pub(super) fn stream(&mut self, id: u64, bytes: usize, now: impl FnOnce() -> Instant) -> bool {
        self.streams.insert(id);
        self.received(bytes, now)
    }

    fn received(&mut self, bytes: usize, now: impl FnOnce() -> Instant) -> bool {
        let was_urgent = self.urgent;
        self.bytes += bytes;
        self.urgent |= self.bytes >= self.threshold;
        let first = self.due.is_none();
        if first {
            self.due = Some(now() + ACK_DELAY);
        }
        first || self.urgent && !was_urgent
    }

    /// A stream is over, which its writer waits for.
    pub(super) const fn now(&mut self) {
        self.urgent = true;
    }

    /// When to acknowledge; `Some(None)` is at once.
    pub(super) const fn due(&self) -> Option<Option<Instant>> {
        match (self.urgent, self.due) {
            (true, _) => Some(None),
            (false, Some(at)) => Some(Some(at)),
            (false, None) => None,
        }
    }

    /// What was received is being acknowledged. Returns the streams that have moved.
    pub(super) fn take(&mut self) -> BTreeSet<u64> {
        self.bytes = 0;
        self.due = None;
        self.urgent = false;
        std::mem::take(&mut self.streams)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_acknowledged_after_a_delay_and_much_at_once() {
        let now = || Instant::ZERO;
        let mut acks = Acks::new(80_000);
        assert_eq!(acks.due(), None);
        assert!(acks.message(10, now), "a timer has to be set");
        assert!(!acks.stream(4, 10, now), "it is set");
        assert_eq!(acks.due(), Some(Some(Instant::ZERO + ACK_DELAY)));
        assert!(acks.stream(6, 10_000, now));
        assert!(!acks.message(10_000, now), "whoever acknowledges was told");
        assert_eq!(acks.due(), Some(None));
        assert_eq!(acks.take(), BTreeSet::from([4, 6]));
        assert_eq!(acks.due(), None);
    }
}
