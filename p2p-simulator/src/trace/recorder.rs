//! Takes records as they come: hashes them in batches, and keeps what is asked for.

use std::collections::BTreeMap;

use super::{
    CHECKPOINT_RECORDS, Event, FaultWords, NOTES_MAX, RECORDS_KEPT_MAX, Record, Trace, TraceHash, TraceMode, What,
    payload_hash, words::cut,
};

/// The writing end of a trace.
pub(crate) struct Recorder {
    mode: TraceMode,
    header: String,
    hasher: blake3::Hasher,
    /// Records not hashed yet. Hashing many at once is several times faster than one by one.
    batch: Vec<u8>,
    records: u64,
    checkpoints: Vec<TraceHash>,
    kept: Vec<Record>,
    peers: BTreeMap<u64, String>,
    /// As many as there are faults.
    faults: BTreeMap<u64, FaultWords>,
    notes: BTreeMap<u64, String>,
}

/// Records hashed at once: 16 KiB, where BLAKE3 reaches its speed. Divides [`CHECKPOINT_RECORDS`].
const BATCH_RECORDS: usize = 256;

impl Recorder {
    pub(crate) fn new(mode: TraceMode, config: &str) -> Self {
        let header = format!("p2p-simulator trace 1 {config}\n");
        let mut hasher = blake3::Hasher::new();
        hasher.update(header.as_bytes());
        Self {
            mode,
            header,
            hasher,
            batch: Vec::with_capacity(BATCH_RECORDS * Record::LEN),
            records: 0,
            checkpoints: Vec::new(),
            kept: Vec::new(),
            peers: BTreeMap::new(),
            faults: BTreeMap::new(),
            notes: BTreeMap::new(),
        }
    }

    pub(crate) fn name_peer(&mut self, number: u64, name: &str) {
        self.peers.insert(number, name.into());
    }

    pub(crate) fn name_fault(&mut self, number: u64, fault: FaultWords) {
        self.faults.insert(number, fault);
    }

    /// Says what the plan calls a fault.
    pub(crate) fn name_fault_id(&mut self, number: u64, id: &str) {
        if let Some(fault) = self.faults.get_mut(&number) {
            fault.id = id.into();
        }
    }

    /// Takes what a peer's program said.
    pub(crate) fn note(&mut self, t: u64, cause: u64, peer: u64, note: &str) {
        let record = Record {
            len: note.len() as u32,
            payload_hash: payload_hash(note.as_bytes()),
            ..Record::new(t, cause, Event::Said, What::Note, peer, 0)
        };
        let seq = self.push(record);
        if self.keeps() && self.notes.len() < NOTES_MAX {
            self.notes.insert(seq, cut(note).into());
        }
    }

    const fn keeps(&self) -> bool {
        matches!(self.mode, TraceMode::Keep | TraceMode::KeepFrom(_))
    }

    /// Takes a record, gives it its number, and returns that.
    pub(crate) fn push(&mut self, mut record: Record) -> u64 {
        record.seq = self.records;
        self.records += 1;
        if self.mode == TraceMode::Off {
            return record.seq;
        }
        self.batch.extend_from_slice(&record.to_bytes());
        if self.batch.len() == BATCH_RECORDS * Record::LEN {
            self.hasher.update(&self.batch);
            self.batch.clear();
            if self.records.is_multiple_of(CHECKPOINT_RECORDS) {
                self.checkpoints.push(TraceHash(*self.hasher.finalize().as_bytes()));
            }
        }
        let keep = match self.mode {
            TraceMode::Keep => true,
            TraceMode::KeepFrom(first) => record.seq >= first,
            TraceMode::Off | TraceMode::Hash => false,
        };
        if keep && self.kept.len() < RECORDS_KEPT_MAX {
            self.kept.push(record);
        }
        record.seq
    }

    /// The trace up to now.
    pub(crate) fn trace(&self) -> Trace {
        let hash = self.hasher.clone().update(&self.batch).finalize();
        Trace {
            header: self.header.clone(),
            records: self.records,
            hash: TraceHash(*hash.as_bytes()),
            checkpoints: self.checkpoints.clone(),
            kept: self.kept.clone(),
            peers: self.peers.clone(),
            faults: self.faults.clone(),
            notes: self.notes.clone(),
        }
    }
}
