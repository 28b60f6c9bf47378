//! How far one side has come, which it says before the other goes on.
//!
//! It is told in parts, by the streams' numbers from the lowest on. The first part is said in the handshake, where it has
//! room for a few hundred streams, so with no more than these everything goes on at once. The others follow on the
//! control stream, before anything else that is said there. Until a stream was told of, its writer leaves it alone: it
//! knows not from which byte to go on.

use std::iter;

use serde::{Deserialize, Serialize};

use super::seen::Seen;

/// How far one side has come. Nothing more is received on an old transport once it was said.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Messages received.
    pub(super) messages: u64,
    /// The streams with the lowest numbers.
    pub(super) part: Part,
}

/// How far one side has come in reading the streams of some numbers: from where the part before ended to where this one
/// does. A number is a stream's place among those of its opener, half of its id, so a part is about both sides' streams.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// Streams whose end was not received, by their ids.
    pub(super) streams: Vec<StreamProgress>,
    /// Which of the other side's streams were seen. One that was, and is not among `streams`, was received to its end.
    pub(super) seen: Seen,
    /// The number from which on another part tells. Without it this is the last.
    pub(super) until: Option<u64>,
}

/// How far one side has come in reading one stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StreamProgress {
    pub(super) id: u64,
    /// Bytes received.
    pub(super) offset: u64,
    /// The code with which the reader stopped, if it did.
    pub(super) stopped: Option<u32>,
}

/// Streams and rows of numbers that one part tells of, so that it fits into a capability: at most 24 bytes each, of the
/// 16 KiB there are.
pub(super) const ENTRIES_MAX: usize = 600;

/// What one number takes at most: a stream of each side, and a row that begins with it. A part has room for that.
pub(super) const ENTRIES_MIN: usize = 3;

impl Part {
    /// The part from number `from` on, as far as `entries_max` goes. `streams` are those with such numbers, in order.
    pub(super) fn gather(
        from: u64,
        streams: impl Iterator<Item = StreamProgress>,
        seen: &Seen,
        entries_max: usize,
    ) -> Self {
        let mut part = Self::default();
        let (mut streams, mut rows) = (streams.peekable(), seen.rows_from(from).peekable());
        let mut gathered = Vec::new();
        loop {
            let stream = streams.peek().map(|entry| entry.id / 2);
            let row = rows.peek().map(|(start, _)| *start);
            let Some(number) = stream.into_iter().chain(row).min() else { break };
            if part.streams.len() + gathered.len() + ENTRIES_MIN > entries_max {
                part.until = Some(number);
                break;
            }
            part.streams.extend(iter::from_fn(|| streams.next_if(|entry| entry.id / 2 == number)));
            gathered.extend(rows.next_if(|(start, _)| *start == number));
        }
        if let (Some((_, end)), Some(until)) = (gathered.last_mut(), part.until) {
            *end = until.min(*end);
        }
        part.seen = gathered.into_iter().collect();
        part
    }

    /// How much it tells.
    pub(super) fn entries(&self) -> usize {
        self.streams.len() + self.seen.rows()
    }

    /// What it tells of that stream.
    pub(super) fn get(&self, id: u64) -> Option<&StreamProgress> {
        let at = self.streams.binary_search_by_key(&id, |entry| entry.id).ok()?;
        Some(&self.streams[at])
    }

    /// Whether it is one that begins at number `from`, or what is wrong with it.
    pub(super) fn check(&self, from: u64) -> Result<(), String> {
        let numbers = from..self.until.unwrap_or(u64::MAX);
        if self.until.is_some() && (numbers.is_empty() || self.entries() == 0) {
            return Err(format!("a part of the progress, from stream {from} to {}, that tells nothing", numbers.end));
        }
        let in_order = self.streams.is_sorted_by(|one, next| one.id < next.id);
        let stray = self.streams.iter().any(|entry| !numbers.contains(&(entry.id / 2)));
        if !in_order || stray || !self.seen.is_within(&numbers) {
            return Err(format!("a part of the progress with streams that are not from {numbers:?}, in order"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u64) -> StreamProgress {
        StreamProgress { id, offset: id * 10, stopped: None }
    }

    fn seen(numbers: impl IntoIterator<Item = u64>) -> Seen {
        numbers.into_iter().fold(Seen::default(), |mut seen, number| {
            assert!(seen.insert(number));
            seen
        })
    }

    // Whatever the cut, the parts together say what one part without a bound says: the streams in order, and which
    // numbers were seen, each in the part that is about it.
    #[test]
    fn parts_say_together_what_one_says() {
        let ids = [0, 1, 2, 5, 8, 9, 10, 40, 41, 42, 43, 1000];
        let seen = seen([0, 1, 2, 5, 6, 7, 8, 20, 21, 300, 500]);
        for entries_max in ENTRIES_MIN..30 {
            let (mut from, mut told, mut parts) = (0, Vec::new(), 0);
            loop {
                let streams = ids.into_iter().filter(|id| id / 2 >= from).map(entry);
                let part = Part::gather(from, streams, &seen, entries_max);
                part.check(from).unwrap();
                assert!(part.entries() <= entries_max);
                for number in from..part.until.unwrap_or(600) {
                    assert_eq!(part.seen.contains(number), seen.contains(number), "{number} of {part:?}");
                }
                for entry in &part.streams {
                    assert_eq!(part.get(entry.id), Some(entry));
                }
                told.extend(part.streams.iter().map(|entry| entry.id));
                parts += 1;
                let Some(until) = part.until else { break };
                from = until;
            }
            assert_eq!(told, ids);
            // Five rows and twelve streams; the last number takes two entries, and there has to be room for three.
            assert_eq!(parts == 1, entries_max >= 5 + 12 - 2 + ENTRIES_MIN, "{entries_max}");
        }
    }

    #[test]
    fn a_part_that_goes_back_or_tells_of_others_or_of_nothing_is_wrong() {
        let part = |ids: &[u64], rows: &[(u64, u64)], until| {
            let streams = ids.iter().copied().map(entry).collect();
            Part { streams, seen: rows.iter().copied().collect(), until }
        };
        part(&[], &[], None).check(9).unwrap();
        part(&[8, 9], &[(4, 6)], Some(6)).check(4).unwrap();
        for (wrong, from) in [
            (part(&[8], &[], Some(4)), 4),
            (part(&[], &[], Some(5)), 4),
            (part(&[7], &[], None), 4),
            (part(&[12], &[], Some(6)), 4),
            (part(&[9, 8], &[], None), 4),
            (part(&[8, 8], &[], None), 4),
            (part(&[], &[(3, 5)], None), 4),
            (part(&[], &[(4, 7)], Some(6)), 4),
        ] {
            wrong.check(from).expect_err(&format!("{wrong:?}"));
        }
    }
}
