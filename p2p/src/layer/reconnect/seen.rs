//! Which of the peer's streams were seen, so that one that is over is not taken for a new one.

use std::{collections::BTreeMap, ops::Range};

use serde::{Deserialize, Serialize};

/// The numbers seen, as rows without a hole: the first number of each, and the one after its last. A number here is a
/// stream's place among those of its opener.
///
/// A stream is seen when its opener first writes, so one that is opened and kept for later leaves a hole, and those after it
/// a row that grows, however many they are.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<(u64, u64)>", try_from = "Vec<(u64, u64)>")]
pub(super) struct Seen(BTreeMap<u64, u64>);

impl Seen {
    /// Notes a number. Says whether it is new.
    pub(super) fn insert(&mut self, number: u64) -> bool {
        if self.contains(number) {
            return false;
        }
        let end = self.0.remove(&(number + 1)).unwrap_or(number + 1);
        match self.0.range_mut(..number).next_back() {
            Some((_, before)) if *before == number => *before = end,
            _ => {
                self.0.insert(number, end);
            }
        }
        true
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        self.0.range(..=number).next_back().is_some_and(|(_, &end)| number < end)
    }

    /// The rows of numbers that reach into `from` or lie beyond, cut off before it.
    pub(super) fn rows_from(&self, from: u64) -> impl Iterator<Item = (u64, u64)> {
        let cut = self.0.range(..from).next_back().filter(|(_, end)| **end > from).map(|(_, &end)| (from, end));
        cut.into_iter().chain(self.0.range(from..).map(|(&start, &end)| (start, end)))
    }

    /// Whether there are no others than these.
    pub(super) fn is_within(&self, numbers: &Range<u64>) -> bool {
        let first = self.0.first_key_value().is_none_or(|(start, _)| *start >= numbers.start);
        first && self.0.last_key_value().is_none_or(|(_, end)| *end <= numbers.end)
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.0.len()
    }

    /// How many holes there are below the highest number.
    pub(super) fn holes(&self) -> usize {
        self.0.len() - usize::from(self.0.contains_key(&0))
    }
}

/// Of rows in order, with a hole between each two.
impl FromIterator<(u64, u64)> for Seen {
    fn from_iter<T: IntoIterator<Item = (u64, u64)>>(rows: T) -> Self {
        Self(rows.into_iter().collect())
    }
}

/// On the wire each row is the length of the hole before it and its own, which are small numbers.
impl From<Seen> for Vec<(u64, u64)> {
    fn from(seen: Seen) -> Self {
        let mut at = 0;
        let row = |(start, end): (u64, u64)| (start - std::mem::replace(&mut at, end), end - start);
        seen.0.into_iter().map(row).collect()
    }
}

impl TryFrom<Vec<(u64, u64)>> for Seen {
    type Error = &'static str;

    fn try_from(rows: Vec<(u64, u64)>) -> Result<Self, Self::Error> {
        let (mut seen, mut at) = (BTreeMap::new(), 0_u64);
        for (hole, length) in rows {
            let start = at.checked_add(hole).filter(|_| hole > 0 || at == 0);
            let end = start.and_then(|start| start.checked_add(length)).filter(|_| length > 0);
            let (Some(start), Some(end)) = (start, end) else {
                return Err("rows of stream numbers with a hole between each two, within 64 bits");
            };
            seen.insert(start, end);
            at = end;
        }
        Ok(Self(seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(seen: &Seen) -> Vec<(u64, u64)> {
        seen.0.clone().into_iter().collect()
    }

    #[test]
    fn numbers_in_any_order_become_one_row() {
        let mut seen = Seen::default();
        for (number, holes) in [(2, 1), (0, 1), (4, 2), (3, 1), (1, 0)] {
            assert!(seen.insert(number));
            assert!(!seen.insert(number));
            assert_eq!(seen.holes(), holes, "after {number}");
        }
        assert_eq!(rows(&seen), [(0, 5)]);
        assert!(seen.contains(4) && !seen.contains(5));
    }

    #[test]
    fn one_number_left_out_is_one_hole_whatever_comes_after_it() {
        let mut seen = Seen::default();
        (1..=10_000).for_each(|number| assert!(seen.insert(number)));
        assert_eq!(seen.holes(), 1);
        assert!(!seen.contains(0) && seen.contains(1) && seen.contains(10_000) && !seen.contains(10_001));
        assert!(seen.insert(0));
        assert_eq!(rows(&seen), [(0, 10_001)]);
    }

    #[test]
    fn rows_begin_where_they_are_asked_to() {
        let seen: Seen = [(0, 4), (7, 9)].into_iter().collect();
        for (from, expected) in [(0, vec![(0, 4), (7, 9)]), (2, vec![(2, 4), (7, 9)]), (4, vec![(7, 9)]), (9, vec![])] {
            assert_eq!(seen.rows_from(from).collect::<Vec<_>>(), expected, "from {from}");
        }
        assert!(seen.is_within(&(0..9)) && !seen.is_within(&(1..9)) && !seen.is_within(&(0..8)));
        assert!(Seen::default().is_within(&(5..6)));
    }

    #[test]
    fn what_is_written_reads_back_and_rows_that_touch_or_overflow_do_not() {
        let numbers = [0, 1, 5, 6, 7, 1 << 40];
        let seen = numbers.into_iter().fold(Seen::default(), |mut seen, number| {
            assert!(seen.insert(number));
            seen
        });
        let wire: Vec<(u64, u64)> = seen.clone().into();
        assert_eq!(wire, [(0, 2), (3, 3), ((1 << 40) - 8, 1)]);
        assert_eq!(Seen::try_from(wire), Ok(seen));
        for wrong in
            [vec![(0, 0)], vec![(0, 1), (0, 1)], vec![(1, 1), (2, 0)], vec![(1, u64::MAX)], vec![(2, 1), (u64::MAX, 1)]]
        {
            Seen::try_from(wrong.clone()).expect_err(&format!("{wrong:?}"));
        }
    }
}
