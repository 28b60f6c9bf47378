//! One event of a run, in 64 bytes that never change their meaning.

use std::fmt;

/// One event. Its bytes, little-endian and in this order, are what a run's hash is made of.
///
/// Numbers of peers and connections do not depend on what else is in the network: a peer's is the first eight bytes of
/// its identity, a connection's counts the dials over its link. Only `seq` and `parent` count across the whole run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// When, in nanoseconds of virtual time.
    pub t: u64,
    /// The record's number in the run, from 0.
    pub seq: u64,
    /// The record that caused this one: of an arrival its sending, of a sending what was last handled.
    pub parent: u64,
    /// What happened.
    pub event: Event,
    /// What it happened to.
    pub what: What,
    /// Retransmissions that the packet will need, as drawn when it was sent.
    pub retransmissions: u16,
    /// The stream, if one is concerned: twice its number, plus one if the accepting side opened it. Of a fault its kind, of
    /// a path 0 by the relay and 1 direct.
    pub stream: u32,
    /// Where it comes from.
    pub src: u64,
    /// Where it goes.
    pub dst: u64,
    /// The connection, if one is concerned: twice the number of the dial over its link, plus one if `src` is the side
    /// that was dialled. Of one that may go by a relay, the number's upper half is a hash of both peers. Of a crash or a restart the peer's incarnation, of a fault its number.
    pub conn: u64,
    /// Bytes of payload.
    pub len: u32,
    /// A hash of the payload, so that two runs that send different bytes of equal length differ.
    pub payload_hash: u32,
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Event {
    /// A peer joined, a link was set, a fault began or ended.
    Changed = 1,
    /// A packet left.
    Sent = 2,
    /// A packet arrived.
    Arrived = 3,
    /// A packet met a partition and waits to be sent again, or waits at the end of a clogged link.
    Held = 4,
    /// A packet is gone for good.
    Lost = 5,
    /// A peer's timer fired.
    Fired = 6,
    /// A connection was given up, because its data was held too long.
    GaveUp = 7,
    /// A program said something.
    Said = 8,
}

/// What an event happens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum What {
    Peer = 1,
    Link = 2,
    Partition = 3,
    Heal = 4,
    Timer = 5,
    Connection = 6,
    Dial = 7,
    DialAnswer = 8,
    Data = 9,
    Finish = 10,
    Acknowledgement = 11,
    Reset = 12,
    Stop = 13,
    Credit = 14,
    StreamReleased = 15,
    Datagram = 16,
    Close = 17,
    Crash = 18,
    Restart = 19,
    Fault = 20,
    FaultEnd = 21,
    ReachOut = 22,
    Probe = 23,
    ProbeAnswer = 24,
    Path = 25,
    Note = 40,
}

impl Record {
    /// Bytes of a record.
    pub const LEN: usize = 64;

    /// A record that concerns no packet. The recorder numbers it.
    pub(crate) const fn new(t: u64, parent: u64, event: Event, what: What, src: u64, dst: u64) -> Self {
        Self {
            t,
            seq: 0,
            parent,
            event,
            what,
            retransmissions: 0,
            stream: 0,
            src,
            dst,
            conn: 0,
            len: 0,
            payload_hash: 0,
        }
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[0..8].copy_from_slice(&self.t.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.seq.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.parent.to_le_bytes());
        bytes[24] = self.event as u8;
        bytes[25] = self.what as u8;
        bytes[26..28].copy_from_slice(&self.retransmissions.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.stream.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.src.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.dst.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.conn.to_le_bytes());
        bytes[56..60].copy_from_slice(&self.len.to_le_bytes());
        bytes[60..64].copy_from_slice(&self.payload_hash.to_le_bytes());
        bytes
    }

    /// The record of these bytes; nothing if they name no known kind of event.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Option<Self> {
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        Some(Self {
            t: u64_at(0),
            seq: u64_at(8),
            parent: u64_at(16),
            event: Event::ALL.into_iter().find(|e| *e as u8 == bytes[24])?,
            what: What::ALL.into_iter().find(|w| *w as u8 == bytes[25])?,
            retransmissions: u16::from_le_bytes([bytes[26], bytes[27]]),
            stream: u32_at(28),
            src: u64_at(32),
            dst: u64_at(40),
            conn: u64_at(48),
            len: u32_at(56),
            payload_hash: u32_at(60),
        })
    }
}

impl Event {
    pub(super) const ALL: [Self; 8] =
        [Self::Changed, Self::Sent, Self::Arrived, Self::Held, Self::Lost, Self::Fired, Self::GaveUp, Self::Said];
}

impl What {
    pub(super) const ALL: [Self; 26] = [
        Self::Peer,
        Self::Link,
        Self::Partition,
        Self::Heal,
        Self::Timer,
        Self::Connection,
        Self::Dial,
        Self::DialAnswer,
        Self::Data,
        Self::Finish,
        Self::Acknowledgement,
        Self::Reset,
        Self::Stop,
        Self::Credit,
        Self::StreamReleased,
        Self::Datagram,
        Self::Close,
        Self::Crash,
        Self::Restart,
        Self::Fault,
        Self::FaultEnd,
        Self::ReachOut,
        Self::Probe,
        Self::ProbeAnswer,
        Self::Path,
        Self::Note,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Peer => "a peer",
            Self::Link => "a link",
            Self::Partition => "a partition",
            Self::Heal => "the end of a partition",
            Self::Timer => "a timer",
            Self::Connection => "a connection",
            Self::Dial => "a dial",
            Self::DialAnswer => "the answer to a dial",
            Self::Data => "data",
            Self::Finish => "the end of a stream",
            Self::Acknowledgement => "an acknowledgement",
            Self::Reset => "a stream's reset",
            Self::Stop => "a reader's stop",
            Self::Credit => "room to write",
            Self::StreamReleased => "the release of a stream",
            Self::Datagram => "a datagram",
            Self::Close => "a close",
            Self::Crash => "a crash",
            Self::Restart => "a restart",
            Self::Fault => "a fault",
            Self::FaultEnd => "the end of a fault",
            Self::ReachOut => "a peer's addresses",
            Self::Probe => "a probe of a path",
            Self::ProbeAnswer => "the answer to a probe",
            Self::Path => "a path",
            Self::Note => "a note",
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Changed => "changed",
            Self::Sent => "sent",
            Self::Arrived => "arrived",
            Self::Held => "held up",
            Self::Lost => "lost",
            Self::Fired => "fired",
            Self::GaveUp => "gave up",
            Self::Said => "said",
        })
    }
}

/// A 32-bit hash of a payload: the same on every machine, and fast on short ones. It guards against accidents, not
/// against enemies.
pub(crate) fn payload_hash(payload: &[u8]) -> u32 {
    // The multiplier is that of splitmix64's first round; any odd number with well spread bits does.
    const SPREAD: u64 = 0xbf58_476d_1ce4_e5b9;
    let mix = |state: u64, word: u64| ((state ^ word).wrapping_mul(SPREAD)).rotate_left(29);
    let mut words = payload.chunks_exact(8);
    let mut state = payload.len() as u64;
    for word in &mut words {
        state = mix(state, u64::from_le_bytes(word.try_into().expect("8 bytes")));
    }
    let mut rest = [0; 8];
    rest[..words.remainder().len()].copy_from_slice(words.remainder());
    state = mix(state, u64::from_le_bytes(rest));
    state = (state ^ (state >> 31)).wrapping_mul(SPREAD);
    (state >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_64_bytes_that_read_back() {
        let record = Record {
            t: 1,
            seq: 2,
            parent: 3,
            event: Event::Arrived,
            what: What::Datagram,
            retransmissions: 4,
            stream: 5,
            src: 6,
            dst: 7,
            conn: 8,
            len: 9,
            payload_hash: 10,
        };
        assert_eq!(Record::from_bytes(&record.to_bytes()), Some(record));
        let mut unknown = record.to_bytes();
        unknown[25] = 99;
        assert_eq!(Record::from_bytes(&unknown), None);
    }

    #[test]
    fn payload_hashes_see_every_bit_and_the_length() {
        let payload = [7u8; 64];
        for bit in 0..512 {
            let mut other = payload;
            other[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(payload_hash(&payload), payload_hash(&other));
        }
        assert_ne!(payload_hash(&[0; 3]), payload_hash(&[0; 4]));
    }
}
