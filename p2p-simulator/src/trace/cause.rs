//! What is likely to be the cause when the same seed ran in two ways.

use super::{Difference, Record, What};

impl Difference {
    /// What in the program is likely to be the cause, judged by the first record that differs.
    pub fn likely_cause(&self) -> &'static str {
        match self {
            Self::Header { .. } => "the runs had other settings, or were made by other versions",
            Self::Among { .. } => "unknown, as the records in question were not kept",
            Self::Record { left: Some(left), right: Some(right), .. } => between(left, right),
            Self::Record { .. } => {
                "one run went on and the other ended: a decision to stop that a clock on the wall, a thread, or chance of \
                 its own has made"
            }
        }
    }
}

fn between(left: &Record, right: &Record) -> &'static str {
    let act = |record: &Record| (record.event, record.what);
    let way = |record: &Record| (record.src, record.dst, record.conn, record.stream);
    let content = |record: &Record| (record.len, record.payload_hash);
    if left.t != right.t {
        return match left.what == What::Timer || right.what == What::Timer {
            true => {
                "a wait of another length: a timer set by a clock on the wall, or for a while that was drawn from elsewhere \
                 than Runtime::rng"
            }
            false => "something at another moment: what a clock on the wall, a thread, or real I/O has set off",
        };
    }
    if act(left) == act(right) && way(left) == way(right) && content(left) != content(right) {
        return "other bytes in the same message: randomness from elsewhere than Runtime::rng, a clock on the wall, an address \
                in memory, or an unordered map that was written out";
    }
    if left.src == right.src {
        return "the same peer does another thing first: an iteration over a HashMap or HashSet, a select! without biased, or \
                tokio's watch";
    }
    "another peer acts first at the same moment: tasks woken in an order that is not the run's, by a thread, spawn_blocking, or \
     an unordered map of peers"
}
