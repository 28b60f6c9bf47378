//! How much may wait for its acknowledgement, over all messages and streams of one connection.

/// Bytes kept for a replay, and their bound.
///
/// A queue (the messages, or one stream) may grow while it holds less than what is still free, as in a switch with
/// dynamic thresholds (Choudhury and Hahne, 1998). So one queue that nobody empties gets half of the budget, a second one
/// a third, and there is always room for the next: a stalled stream stalls no other and no message.
#[derive(Debug)]
pub(super) struct Budget {
    bytes_max: usize,
    used: usize,
    peak: usize,
}

/// Bytes that every queue may hold, however full the budget is, so that no queue waits for others.
pub(super) const FLOOR_BYTES: usize = 16 * 1024;

/// What an entry costs beside its payload, so that empty messages and single bytes are bounded too.
pub(super) const ENTRY_BYTES: usize = size_of::<bytes::Bytes>();

impl Budget {
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self { bytes_max, used: 0, peak: 0 }
    }

    /// Bytes by which a queue that holds `held` may grow now.
    pub(super) fn allowance(&self, held: usize) -> usize {
        let free = self.bytes_max.saturating_sub(self.used);
        (free.saturating_sub(held) / 2).max(FLOOR_BYTES.saturating_sub(held))
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
            assert!(held >= FLOOR_BYTES, "queue {queue} holds {held} bytes");
            assert!(queue > 1 || held > BYTES / 2 - 2000, "a lone queue gets half");
        }
        assert!(budget.used() <= BYTES + 100 * FLOOR_BYTES);
    }
}
