//! How much may wait for its acknowledgement, over all messages and streams of one connection.

/// Bytes kept for a replay, and their bound.
///
/// A queue (the messages, or one stream) may grow while it holds less than what is still free, as in a switch with
/// dynamic thresholds (Choudhury and Hahne, 1998). So one queue that nobody empties gets half of the budget, a second one
/// a third, and there is always room for the next: a stalled stream stalls no other and no message.
#[derive(Debug)]
pub(super) struct Budget {
    bytes_max: usize,
    /// Bytes that every queue may hold, however full the budget is, so that no queue waits for others.
    floor: usize,
    used: usize,
    peak: usize,
}

/// What every queue may hold, with up to 256 of them.
const FLOOR_BYTES_MAX: usize = 16 * 1024;

/// What every queue may hold, however many there are.
const FLOOR_BYTES_MIN: usize = 1024;

/// What queues may hold together by their floors; more of them hold less each, as they come.
const FLOORS_BYTES: usize = 256 * FLOOR_BYTES_MAX;

/// What an entry costs beside its payload, so that empty messages and single bytes are bounded too.
pub(super) const ENTRY_BYTES: usize = size_of::<bytes::Bytes>();

impl Budget {
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self { bytes_max, floor: FLOOR_BYTES_MAX, used: 0, peak: 0 }
    }

    /// Bytes by which a queue that holds `held` may grow now.
    pub(super) fn allowance(&self, held: usize) -> usize {
        let free = self.bytes_max.saturating_sub(self.used);
        (free.saturating_sub(held) / 2).max(self.floor.saturating_sub(held))
    }

    /// So many streams are there.
    pub(super) fn share_floor(&mut self, streams: usize) {
        self.floor = (FLOORS_BYTES / streams.max(1)).clamp(FLOOR_BYTES_MIN, FLOOR_BYTES_MAX);
    }

    /// Whether a queue that holds the least it may finds room.
    pub(super) const fn has_room(&self) -> bool {
        self.bytes_max.saturating_sub(self.used) > FLOOR_BYTES_MIN
    }

    pub(super) const fn take(&mut self, bytes: usize) {
        self.used += bytes;
        if self.used > self.peak {
            self.peak = self.used;
        }
    }

    pub(super) fn give_back(&mut self, bytes: usize) {
        self.used = self.used.checked_sub(bytes).expect("only what was taken is given back");
    }

    pub(super) const fn used(&self) -> usize {
        self.used
    }

    /// The most that was used at once.
    pub(super) const fn peak(&self) -> usize {
        self.peak
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_that_nobody_empties_leave_room_for_the_next() {
        const BYTES: usize = 8 * 1024 * 1024;
        let mut budget = Budget::new(BYTES);
        for queue in 1..=100 {
            let mut held = 0;
            loop {
                let more = budget.allowance(held).min(1000);
                if more == 0 {
                    break;
                }
                budget.take(more);
                held += more;
            }
            assert!(held >= FLOOR_BYTES_MAX, "queue {queue} holds {held} bytes");
            assert!(queue > 1 || held > BYTES / 2 - 2000, "a lone queue gets half");
        }
        assert!(budget.used() <= BYTES + 100 * FLOOR_BYTES_MAX);
    }

    // Were it 16 KiB for each, ten thousand stalled streams would hold 160 MiB.
    #[test]
    fn thousands_of_queues_hold_less_each() {
        const BYTES: usize = 8 * 1024 * 1024;
        let mut budget = Budget::new(BYTES);
        for queue in 1..=10_000 {
            budget.share_floor(queue);
            let mut held = 0;
            while let more @ 1.. = budget.allowance(held) {
                budget.take(more);
                held += more;
            }
            assert!(held >= FLOOR_BYTES_MIN, "queue {queue} holds {held} bytes");
        }
        assert!(budget.used() < 32 * 1024 * 1024, "{} bytes", budget.used());
    }
}
