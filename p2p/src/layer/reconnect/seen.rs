//! Which of the peer's streams were seen, so that one that is over is not taken for a new one.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The numbers seen: all below a floor, and some above. A number here is a stream's place among those of its opener.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    floor: u64,
    above: BTreeSet<u64>,
}

impl Seen {
    /// Notes a number. Says whether it is new.
    pub(super) fn insert(&mut self, number: u64) -> bool {
        if self.contains(number) {
            return false;
        }
        self.above.insert(number);
        while self.above.remove(&self.floor) {
            self.floor += 1;
        }
        true
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        number < self.floor || self.above.contains(&number)
    }

    /// How far ahead of an unbroken row the numbers are.
    pub(super) fn gaps(&self) -> usize {
        self.above.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_any_order_leave_no_more_than_a_floor() {
        let mut seen = Seen::default();
        for number in [2, 0, 4, 3, 1] {
            assert!(seen.insert(number));
            assert!(!seen.insert(number));
        }
        assert_eq!(seen, Seen { floor: 5, above: BTreeSet::new() });
        assert!(seen.contains(4) && !seen.contains(5));
    }
}
