//! What happened in a run: records, the hash over them, and where two runs part.

mod cause;
mod export;
mod file;
mod locate;
mod record;
mod recorder;
mod words;

use std::{collections::BTreeMap, fmt};

use crate::Fault;

pub use self::{
    export::VIEWER_RECORDS_MAX,
    file::TraceFileError,
    locate::{Difference, locate},
    record::{Event, Record, What},
    words::{FaultWords, NOTE_BYTES_MAX, NOTES_MAX},
};
pub(crate) use self::{record::payload_hash, recorder::Recorder};

/// What is remembered of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TraceMode {
    /// Nothing. For measuring what the rest costs.
    Off,
    /// The hash over all records, and checkpoints of it.
    #[default]
    Hash,
    /// The hash, the checkpoints, and the first [`RECORDS_KEPT_MAX`] records.
    Keep,
    /// The same, with the records from this number on: for what happened late in a long run.
    KeepFrom(u64),
}

/// Records kept in memory at most: 256 MB of them. Later ones still count for the hash.
pub const RECORDS_KEPT_MAX: usize = 4_000_000;

/// Records between two checkpoints of the hash.
pub const CHECKPOINT_RECORDS: u64 = 4096;

/// The hash over a trace's header and the records so far.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceHash(pub [u8; 32]);

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A run's trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Format version, seed and resolved settings: what the hash begins with.
    pub header: String,
    /// How many records the run made.
    pub records: u64,
    /// The hash over the header and all records.
    pub hash: TraceHash,
    /// The hash after every [`CHECKPOINT_RECORDS`] records.
    pub checkpoints: Vec<TraceHash>,
    /// The records, as far as they were kept.
    pub kept: Vec<Record>,
    /// The names of the peers, by their numbers in records. No part of the hash, as with all words.
    pub peers: BTreeMap<u64, String>,
    /// What the faults were, by their numbers in records.
    pub faults: BTreeMap<u64, FaultWords>,
    /// What programs noted, by the numbers of the records that stand for it: the first [`NOTES_MAX`], if records are kept.
    pub notes: BTreeMap<u64, String>,
}

impl Trace {
    /// The record of that number, if it was kept.
    pub fn record(&self, seq: u64) -> Option<&Record> {
        let first = self.kept.first()?.seq;
        self.kept.get(usize::try_from(seq.checked_sub(first)?).ok()?)
    }

    /// The records between these two peers, in both directions.
    pub fn between(&self, a: &str, b: &str) -> impl Iterator<Item = &Record> {
        let number = |name: &str| peer_number(p2p::PeerId::from_name(name));
        let (a, b) = (number(a), number(b));
        self.kept.iter().filter(move |record| [(a, b), (b, a)].contains(&(record.src, record.dst)))
    }

    /// A record in words.
    pub fn describe(&self, record: &Record) -> String {
        let name = |number: u64| match self.peers.get(&number) {
            Some(name) => name.clone(),
            None => format!("peer {number:016x}"),
        };
        let Record { t, seq, what, event, .. } = record;
        let mut words = format!("record {seq} at {}: {what} {event}", Seconds(*t));
        if record.dst != 0 {
            words += &format!(", {} → {}", name(record.src), name(record.dst));
        } else if record.src != 0 {
            words += &format!(", {}", name(record.src));
        }
        if (What::Connection as u8..=What::Close as u8).contains(&(*what as u8)) {
            words += &format!(", connection {}", record.conn / 2);
        }
        if (What::Data as u8..=What::Credit as u8).contains(&(*what as u8)) {
            words += &format!(", stream {}", record.stream);
        }
        if matches!(what, What::Fault | What::FaultEnd) {
            words += &match self.faults.get(&record.conn) {
                Some(fault) => format!(", {fault}"),
                None => {
                    let kind = Fault::NAMES.get(record.stream as usize).unwrap_or(&"unknown");
                    format!(", {kind}, number {}", record.conn)
                }
            };
        }
        if let Some(note) = self.notes.get(seq) {
            words += &format!(": {note}");
        }
        if record.len > 0 {
            words += &format!(", {} bytes ({:08x})", record.len, record.payload_hash);
        }
        if record.retransmissions > 0 {
            words += &format!(", {} retransmissions", record.retransmissions);
        }
        words
    }
}

/// Nanoseconds, printed as seconds with all their digits.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09} s", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// A peer's number in records.
pub(crate) fn peer_number(peer: p2p::PeerId) -> u64 {
    let first: [u8; 8] = peer.as_bytes()[..8].try_into().expect("8 of 32 bytes");
    u64::from_le_bytes(first)
}
