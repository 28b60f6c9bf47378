//! Words for what stands in records as numbers. No part of a trace's hash.

use std::fmt;

/// What a fault was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FaultWords {
    /// Its name in the plan; empty if code began it.
    pub id: String,
    /// What went wrong, as it is written in plans.
    pub what: String,
    /// Where, as it is written in plans.
    pub place: String,
    /// The numbers of the peers at that place; empty if it is everywhere.
    pub peers: Vec<u64>,
}

/// Notes kept at most. Later ones still count for the hash.
pub const NOTES_MAX: usize = 100_000;
/// Bytes of a note that are kept at most.
pub const NOTE_BYTES_MAX: usize = 1024;

impl fmt::Display for FaultWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, what, place, .. } = self;
        match id.is_empty() {
            true => write!(f, "{what} at {place}"),
            false => write!(f, "{id}: {what} at {place}"),
        }
    }
}

/// A note, cut where it is too long.
pub(super) fn cut(note: &str) -> &str {
    let mut len = note.len().min(NOTE_BYTES_MAX);
    while !note.is_char_boundary(len) {
        len -= 1;
    }
    &note[..len]
}
