//! Finds where two traces part.

use std::fmt;

use super::{CHECKPOINT_RECORDS, Record, Seconds, Trace};

/// Where two runs first differ.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// They were not the same run to begin with.
    Header {
        /// The first's version, seed and settings.
        left: String,
        /// The second's.
        right: String,
    },
    /// This record is the first that differs; everything before is the same.
    Record {
        /// Its number.
        seq: u64,
        /// The record in the first trace, if it has that many.
        left: Option<Record>,
        /// The record in the second.
        right: Option<Record>,
        /// All of this in words.
        words: String,
    },
    /// Somewhere among these records, which were not kept. Run again with [`TraceMode::Keep`](super::TraceMode::Keep).
    Among {
        /// The first record that may differ.
        from: u64,
        /// The record up to which they differ, exclusive.
        to: u64,
    },
}

/// Finds the first difference between two traces; nothing if they are of equal runs.
///
/// Checkpoints narrow it down to [`CHECKPOINT_RECORDS`] records, which are then compared one by one.
pub fn locate(left: &Trace, right: &Trace) -> Option<Difference> {
    if left.header != right.header {
        return Some(Difference::Header { left: left.header.clone(), right: right.header.clone() });
    }
    if (left.hash, left.records) == (right.hash, right.records) {
        return None;
    }
    // A checkpoint covers everything before it, so equal ones form a prefix.
    let equal =
        left.checkpoints.iter().zip(&right.checkpoints).collect::<Vec<_>>().partition_point(|(a, b)| a == b) as u64;
    let from = equal * CHECKPOINT_RECORDS;
    let records = left.records.max(right.records);
    let to = (from + CHECKPOINT_RECORDS).min(records);
    Some((from..to).find_map(|seq| differing(left, right, seq)).unwrap_or(Difference::Among { from, to }))
}

fn differing(left: &Trace, right: &Trace, seq: u64) -> Option<Difference> {
    let at = |trace: &Trace| trace.record(seq).copied();
    let (a, b) = (at(left), at(right));
    let missing = |trace: &Trace, record: Option<Record>| record.is_none() && seq < trace.records;
    if a == b || missing(left, a) || missing(right, b) {
        return None;
    }
    let in_words = |trace: &Trace, record: Option<Record>| match record {
        Some(record) => trace.describe(&record),
        None => format!("nothing; it ends after {} records", trace.records),
    };
    let agreed = seq.checked_sub(1).and_then(|seq| left.record(seq)).map_or_else(
        || "They differ from the start.".into(),
        |last| format!("They agree on {seq} records, until {}.", Seconds(last.t)),
    );
    let words = format!("{agreed}\n  one run: {}\n  other:   {}", in_words(left, a), in_words(right, b));
    Some(Difference::Record { seq, left: a, right: b, words })
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header { left, right } => write!(
                f,
                "The runs are of different settings.\n  one run: {}\n  other:   {}",
                left.trim_end(),
                right.trim_end()
            ),
            Self::Record { words, .. } => f.write_str(words),
            Self::Among { from, to } => {
                write!(f, "They differ first among the records from {from} up to {to}, which were not kept.")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Event, Recorder, TraceMode, What},
        *,
    };

    fn record(t: u64) -> Record {
        Record {
            t,
            seq: 0,
            parent: 0,
            event: Event::Sent,
            what: What::Data,
            retransmissions: 0,
            stream: 4,
            src: 1,
            dst: 2,
            conn: 6,
            len: 3,
            payload_hash: 0xabc,
        }
    }

    fn trace(mode: TraceMode, len: u64, change: impl Fn(u64, &mut Record)) -> Trace {
        let mut recorder = Recorder::new(mode, "seed=1");
        recorder.name_peer(1, "alice");
        recorder.name_peer(2, "bob");
        for seq in 0..len {
            let mut record = record(seq * 10);
            change(seq, &mut record);
            recorder.push(record);
        }
        recorder.trace()
    }

    #[test]
    fn the_first_differing_record_is_found_wherever_it_is() {
        let len = 3 * CHECKPOINT_RECORDS + 17;
        let left = trace(TraceMode::Keep, len, |_, _| ());
        for place in [0, 1, 4095, 4096, 9000, len - 1] {
            let right = trace(TraceMode::Keep, len, |seq, record| {
                if seq >= place {
                    record.len = 99;
                }
            });
            let Some(Difference::Record { seq, words, .. }) = locate(&left, &right) else {
                panic!("not located");
            };
            assert_eq!(seq, place);
            assert!(words.contains("alice → bob, connection 3, stream 4, 99 bytes"), "{words}");
        }
        assert_eq!(locate(&left, &left.clone()), None);
    }

    #[test]
    fn a_trace_that_ends_early_differs_where_it_ends() {
        let left = trace(TraceMode::Keep, 5000, |_, _| ());
        let right = trace(TraceMode::Keep, 4500, |_, _| ());
        let difference = locate(&left, &right).unwrap();
        assert!(matches!(difference, Difference::Record { seq: 4500, right: None, .. }));
        assert!(difference.to_string().contains("ends after 4500 records"));
    }

    #[test]
    fn without_kept_records_the_checkpoints_still_say_about_where() {
        let left = trace(TraceMode::Hash, 10_000, |_, _| ());
        let right = trace(TraceMode::Hash, 10_000, |seq, record| {
            if seq == 5000 {
                record.t += 1;
            }
        });
        assert_eq!(locate(&left, &right), Some(Difference::Among { from: 4096, to: 8192 }));
    }
}
