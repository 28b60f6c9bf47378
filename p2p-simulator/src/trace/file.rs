//! A trace as a file: how one process hands its run to another to compare.
//!
//! Lengths are little-endian, a text is a `u32` and UTF-8: eight bytes that name the format, the header (text), the peers
//! (`u32`, then number and text each), the faults (`u32`, then number, three texts, and a `u32` with as many numbers of peers
//! each), the notes (`u32`, then number and text each), the number of all records (`u64`) and of kept ones (`u64`), the kept
//! ones of 64 bytes, the checkpoints (`u32` and 32 bytes each), the hash. The viewer reads the same.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
};

use super::{FaultWords, Record, Trace, TraceHash};

/// Why a file is no trace.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceFileError {
    /// It could not be read, or ends early.
    #[error("the trace ends early or cannot be read")]
    Io(#[from] io::Error),
    /// It says something that a trace cannot say.
    #[error("not a trace: {0}")]
    Malformed(&'static str),
}

const MAGIC: &[u8; 8] = b"P2PSIM\0\x02";
/// Bytes of the longest text in a file.
const TEXT_BYTES_MAX: u32 = 64 * 1024;

impl Trace {
    /// Writes the trace.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_to(&self, mut out: impl Write) -> io::Result<()> {
        let count = |len: usize| u32::try_from(len).map_err(io::Error::other);
        out.write_all(MAGIC)?;
        write_text(&mut out, &self.header)?;
        out.write_all(&count(self.peers.len())?.to_le_bytes())?;
        for (number, name) in &self.peers {
            out.write_all(&number.to_le_bytes())?;
            write_text(&mut out, name)?;
        }
        out.write_all(&count(self.faults.len())?.to_le_bytes())?;
        for (number, FaultWords { id, what, place, peers }) in &self.faults {
            out.write_all(&number.to_le_bytes())?;
            [id, what, place].into_iter().try_for_each(|text| write_text(&mut out, text))?;
            out.write_all(&count(peers.len())?.to_le_bytes())?;
            peers.iter().try_for_each(|peer| out.write_all(&peer.to_le_bytes()))?;
        }
        out.write_all(&count(self.notes.len())?.to_le_bytes())?;
        for (number, note) in &self.notes {
            out.write_all(&number.to_le_bytes())?;
            write_text(&mut out, note)?;
        }
        out.write_all(&self.records.to_le_bytes())?;
        out.write_all(&(self.kept.len() as u64).to_le_bytes())?;
        for record in &self.kept {
            out.write_all(&record.to_bytes())?;
        }
        out.write_all(&count(self.checkpoints.len())?.to_le_bytes())?;
        for checkpoint in &self.checkpoints {
            out.write_all(&checkpoint.0)?;
        }
        out.write_all(&self.hash.0)
    }

    /// Reads a trace.
    ///
    /// # Errors
    /// [`TraceFileError`].
    pub fn read_from(mut input: impl Read) -> Result<Self, TraceFileError> {
        let input = &mut input;
        if &read::<8>(input)? != MAGIC {
            return Err(TraceFileError::Malformed("it does not begin as one"));
        }
        let header = read_text(input)?;
        let mut peers = BTreeMap::new();
        for _ in 0..u32::from_le_bytes(read(input)?) {
            peers.insert(u64::from_le_bytes(read(input)?), read_text(input)?);
        }
        let mut faults = BTreeMap::new();
        for _ in 0..u32::from_le_bytes(read(input)?) {
            let number = u64::from_le_bytes(read(input)?);
            let (id, what, place) = (read_text(input)?, read_text(input)?, read_text(input)?);
            let mut peers = Vec::new();
            for _ in 0..u32::from_le_bytes(read(input)?) {
                peers.push(u64::from_le_bytes(read(input)?));
            }
            faults.insert(number, FaultWords { id, what, place, peers });
        }
        let mut notes = BTreeMap::new();
        for _ in 0..u32::from_le_bytes(read(input)?) {
            notes.insert(u64::from_le_bytes(read(input)?), read_text(input)?);
        }
        let records = u64::from_le_bytes(read(input)?);
        // Grown as records are read: a length from a file sizes no allocation.
        let mut kept = Vec::new();
        for _ in 0..u64::from_le_bytes(read(input)?) {
            let record =
                Record::from_bytes(&read(input)?).ok_or(TraceFileError::Malformed("a record of an unknown kind"))?;
            kept.push(record);
        }
        let mut checkpoints = Vec::new();
        for _ in 0..u32::from_le_bytes(read(input)?) {
            checkpoints.push(TraceHash(read(input)?));
        }
        Ok(Self { header, records, hash: TraceHash(read(input)?), checkpoints, kept, peers, faults, notes })
    }
}

fn read<const N: usize>(input: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn read_text(input: &mut impl Read) -> Result<String, TraceFileError> {
    let len = u32::from_le_bytes(read(input)?);
    if len > TEXT_BYTES_MAX {
        return Err(TraceFileError::Malformed("a text of more than 64 KiB"));
    }
    let mut text = vec![0; len as usize];
    input.read_exact(&mut text)?;
    String::from_utf8(text).map_err(|_| TraceFileError::Malformed("a text that is not UTF-8"))
}

fn write_text(out: &mut impl Write, text: &str) -> io::Result<()> {
    let len = u32::try_from(text.len()).map_err(io::Error::other)?;
    out.write_all(&len.to_le_bytes())?;
    out.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Event, Recorder, TraceMode, What},
        *,
    };

    fn trace() -> Trace {
        let mut recorder = Recorder::new(TraceMode::Keep, "seed=1");
        recorder.name_peer(1, "alice");
        let words = |text: &str| text.to_string();
        let fault = FaultWords { id: words("cut-1"), what: words("partition"), place: words("alice"), peers: vec![1] };
        recorder.name_fault(7, fault);
        recorder.note(0, 0, 1, "hello");
        for t in 0..5000 {
            recorder.push(Record {
                t,
                seq: 0,
                parent: 0,
                event: Event::Fired,
                what: What::Timer,
                retransmissions: 0,
                stream: 0,
                src: 1,
                dst: 0,
                conn: 0,
                len: 0,
                payload_hash: 0,
            });
        }
        recorder.trace()
    }

    #[test]
    fn a_trace_reads_back_from_its_file() {
        let mut file = Vec::new();
        trace().write_to(&mut file).unwrap();
        assert_eq!(Trace::read_from(&file[..]).unwrap(), trace());
    }

    #[test]
    fn a_truncated_or_foreign_file_is_an_error() {
        let mut file = Vec::new();
        trace().write_to(&mut file).unwrap();
        let somewhere = (0..file.len()).step_by(9_973);
        for len in [7, 8, 20, 100, file.len() - 1].into_iter().chain(somewhere) {
            let error = Trace::read_from(&file[..len]).unwrap_err();
            assert!(error.to_string().contains("ends early"), "{len} of {} bytes: {error}", file.len());
        }
        file[0] = b'X';
        let error = Trace::read_from(&file[..]).unwrap_err();
        assert!(error.to_string().contains("does not begin as one"));
    }
}
