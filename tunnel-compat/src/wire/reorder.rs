//! Puts a response's packets in order.

use std::{collections::BTreeMap, time::Duration};

use p2p::Instant;

use super::{Packet, WireError};

/// The packets of one response, in whatever order they come, handed out by number.
///
/// Home sides send the smallest packet first and not the first, and each packet takes a way of its own through the legacy
/// server. So packets wait here for those before them, within a bound of bytes and of time.
///
/// ```
/// use p2p::Instant;
/// use tunnel_compat::wire::{Packet, Reorder, ResponseHead};
///
/// let first = Packet {
///     request_id: 7,
///     packet_id: 1,
///     last: false,
///     head: Some(ResponseHead { status: 200, headers: [].into() }),
///     body: "to".into(),
/// };
/// let last = Packet { packet_id: 2, last: true, head: None, body: "gether".into(), ..first.clone() };
///
/// let mut reorder = Reorder::default();
/// reorder.push(last, Instant::ZERO)?;
/// assert_eq!(reorder.pop(Instant::ZERO), None);
/// reorder.push(first, Instant::ZERO)?;
/// let bodies: Vec<_> = std::iter::from_fn(|| reorder.pop(Instant::ZERO)).map(|packet| packet.body).collect();
/// assert_eq!(bodies, ["to", "gether"]);
/// assert!(reorder.is_finished());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Reorder {
    config: ReorderConfig,
    /// The number of the packet that is handed out next. Wide enough for one more than the last number.
    next: u64,
    /// Packets that are here, by number.
    waiting: BTreeMap<u32, Packet>,
    waiting_bytes: usize,
    /// Since when the next packet has been missing while later ones are here.
    gap_since: Option<Instant>,
    finished: bool,
}

/// Bounds of a [`Reorder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReorderConfig {
    /// Bytes of packets that wait for an earlier one. Defaults to 1 MiB: 16 full packets.
    pub waiting_bytes_max: usize,
    /// How long a missing packet is waited for. Defaults to 15 s: the legacy home side holds packets back for up to 5 s, until
    /// its next ping.
    pub gap_max: Duration,
}

impl Default for ReorderConfig {
    fn default() -> Self {
        Self { waiting_bytes_max: 1024 * 1024, gap_max: Duration::from_secs(15) }
    }
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is kept, to be handed out in its turn.
    Kept,
    /// It changes nothing.
    Ignored(Ignored),
}

/// Why a packet changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// It came before.
    Duplicate,
    /// It has the number 0, which stands before the first.
    Zero,
    /// It follows the last one.
    AfterLast,
}

/// Why a response cannot be put in order.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ReorderError {
    /// More waits for a missing packet than may.
    #[error("packet {missing} is missing, and more than {waiting_bytes_max} bytes wait for it")]
    TooMuchWaits {
        /// The missing packet's number.
        missing: u64,
        /// The bound.
        waiting_bytes_max: usize,
    },
    /// A missing packet did not come.
    #[error("packet {missing} has been missing for {gap_max:?}")]
    Gap {
        /// The missing packet's number.
        missing: u64,
        /// The bound.
        gap_max: Duration,
    },
    /// The first packet, of a sender of 32 bits, has a head that cannot be read.
    #[error("the first packet cannot be read")]
    Head {
        /// What is wrong with it.
        #[source]
        source: WireError,
    },
}

impl Reorder {
    /// Nothing yet of a response.
    pub fn new(config: ReorderConfig) -> Self {
        Self { config, next: 1, waiting: BTreeMap::new(), waiting_bytes: 0, gap_since: None, finished: false }
    }

    /// Takes a packet.
    ///
    /// # Errors
    /// A [`ReorderError`] if the response cannot go on. What can be handed out still is.
    pub fn push(&mut self, packet: Packet, now: Instant) -> Result<Taken, ReorderError> {
        let packet = self.as_meant(packet)?;
        let number = u64::from(packet.packet_id);
        if self.finished || self.last().is_some_and(|last| number > last) {
            return Ok(Taken::Ignored(Ignored::AfterLast));
        }
        if number == 0 {
            return Ok(Taken::Ignored(Ignored::Zero));
        }
        if number < self.next || self.waiting.contains_key(&packet.packet_id) {
            return Ok(Taken::Ignored(Ignored::Duplicate));
        }
        let bytes = cost(&packet);
        // What is next does not wait: it is handed out before anything else comes.
        if number > self.next && self.waiting_bytes + bytes > self.config.waiting_bytes_max {
            let waiting_bytes_max = self.config.waiting_bytes_max;
            return Err(ReorderError::TooMuchWaits { missing: self.next, waiting_bytes_max });
        }
        if packet.last {
            // What is beyond the end will never be handed out.
            for (_, beyond) in self.waiting.split_off(&packet.packet_id) {
                self.waiting_bytes -= cost(&beyond);
            }
        }
        self.waiting_bytes += bytes;
        self.waiting.insert(packet.packet_id, packet);
        self.note_gap(now);
        Ok(Taken::Kept)
    }

    /// The next packet, if it is here.
    pub fn pop(&mut self, now: Instant) -> Option<Packet> {
        let number = u32::try_from(self.next).ok()?;
        let packet = self.waiting.remove(&number)?;
        self.waiting_bytes -= cost(&packet);
        self.next += 1;
        self.finished = packet.last;
        // The gap that this packet closed is over; the next one begins now.
        self.gap_since = None;
        self.note_gap(now);
        Some(packet)
    }

    /// Whether the last packet was handed out.
    pub const fn is_finished(&self) -> bool {
        self.finished
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called, unless something changes.
    pub fn deadline(&self) -> Option<Instant> {
        self.gap_since.map(|since| since + self.config.gap_max)
    }

    /// Says whether a packet has been missing for too long.
    ///
    /// # Errors
    /// [`ReorderError::Gap`] if it has.
    pub fn handle_timeout(&self, now: Instant) -> Result<(), ReorderError> {
        match self.deadline() {
            Some(deadline) if now >= deadline => {
                Err(ReorderError::Gap { missing: self.next, gap_max: self.config.gap_max })
            }
            _ => Ok(()),
        }
    }

    /// The last packet's number, if it is here.
    fn last(&self) -> Option<u64> {
        self.waiting.last_key_value().filter(|(_, packet)| packet.last).map(|(number, _)| u64::from(*number))
    }

    fn note_gap(&mut self, now: Instant) {
        let missing = self.waiting.keys().next().is_some_and(|first| u64::from(*first) != self.next);
        self.gap_since = missing.then(|| self.gap_since.unwrap_or(now));
    }

    /// The packet with the number that its sender meant, which differs with senders of 32 bits: see
    /// [`Packet::of_32_bit_sender`]. A number so far beyond what is missing that no bound would let it wait is one of theirs.
    fn as_meant(&self, packet: Packet) -> Result<Packet, ReorderError> {
        if u64::from(packet.packet_id) < self.next + FAR_PACKETS {
            return Ok(packet);
        }
        let meant = packet.of_32_bit_sender().map_err(|source| ReorderError::Head { source })?;
        Ok(meant.unwrap_or(packet))
    }
}

impl Default for Reorder {
    fn default() -> Self {
        Self::new(ReorderConfig::default())
    }
}

/// What a packet costs while it waits: its bytes, and what holds it.
fn cost(packet: &Packet) -> usize {
    let headers = packet.head.iter().flat_map(|head| &head.headers);
    let headers: usize = headers.map(|(name, value)| name.len() + value.len() + 2 * size_of::<String>()).sum();
    packet.body.len() + headers + size_of::<Packet>()
}

/// This far beyond the next packet's number nothing can be but a number that was written wrongly.
const FAR_PACKETS: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{super::ResponseHead, *};

    fn packet(packet_id: u32, last: bool) -> Packet {
        let head = (packet_id == 1).then(|| ResponseHead { status: 200, headers: [].into() });
        Packet { request_id: 7, packet_id, last, head, body: Bytes::from(packet_id.to_string()) }
    }

    fn drain(reorder: &mut Reorder) -> Vec<u32> {
        std::iter::from_fn(|| reorder.pop(Instant::ZERO)).map(|packet| packet.packet_id).collect()
    }

    fn at(secs: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(secs)
    }

    #[test]
    fn packets_come_out_by_number_and_nothing_twice() {
        let mut reorder = Reorder::default();
        for (number, last, taken) in [
            (4, true, Taken::Kept),
            (2, false, Taken::Kept),
            (0, false, Taken::Ignored(Ignored::Zero)),
            (2, false, Taken::Ignored(Ignored::Duplicate)),
            (5, false, Taken::Ignored(Ignored::AfterLast)),
            (1, false, Taken::Kept),
        ] {
            assert_eq!(reorder.push(packet(number, last), Instant::ZERO).unwrap(), taken, "packet {number}");
        }
        assert_eq!(drain(&mut reorder), [1, 2]);
        assert_eq!(reorder.push(packet(1, true), Instant::ZERO).unwrap(), Taken::Ignored(Ignored::Duplicate));
        reorder.push(packet(3, false), Instant::ZERO).unwrap();
        assert_eq!(drain(&mut reorder), [3, 4]);
        assert!(reorder.is_finished());
        assert_eq!(reorder.push(packet(9, false), Instant::ZERO).unwrap(), Taken::Ignored(Ignored::AfterLast));
    }

    #[test]
    fn what_lies_beyond_an_early_end_is_forgotten() {
        let mut reorder = Reorder::default();
        reorder.push(packet(7, false), Instant::ZERO).unwrap();
        reorder.push(packet(2, true), Instant::ZERO).unwrap();
        reorder.push(packet(1, false), Instant::ZERO).unwrap();
        assert_eq!(drain(&mut reorder), [1, 2]);
        assert!(reorder.is_finished());
        assert_eq!(reorder.waiting_bytes, 0);
    }

    #[test]
    fn a_missing_packet_is_waited_for_so_long() {
        let mut reorder = Reorder::default();
        assert_eq!(reorder.deadline(), None, "nothing is missing before anything came");
        reorder.push(packet(3, false), at(10)).unwrap();
        reorder.push(packet(5, false), at(20)).unwrap();
        assert_eq!(reorder.deadline(), Some(at(25)), "the first gap counts");
        reorder.push(packet(1, false), at(22)).unwrap();
        reorder.push(packet(2, false), at(22)).unwrap();
        while reorder.pop(at(22)).is_some() {}
        assert_eq!(reorder.deadline(), Some(at(37)), "packet 4 has been missing since 3 was handed out");
        reorder.handle_timeout(at(36)).unwrap();
        let error = reorder.handle_timeout(at(37)).unwrap_err();
        assert_eq!(error.to_string(), "packet 4 has been missing for 15s");
    }

    #[test]
    fn a_sender_cannot_make_it_keep_more_than_its_bound() {
        let config = ReorderConfig { waiting_bytes_max: 64 * 1024, ..ReorderConfig::default() };
        let mut reorder = Reorder::new(config);
        let refused = (2..).find_map(|number| reorder.push(packet(number, false), Instant::ZERO).err());
        assert!(reorder.waiting_bytes <= config.waiting_bytes_max);
        let expected = "packet 1 is missing, and more than 65536 bytes wait for it";
        assert_eq!(refused.unwrap().to_string(), expected);
        // Empty packets count too, or millions of them would fit.
        assert!(reorder.waiting.len() < 1_000);
    }

    #[test]
    fn the_last_packet_of_a_sender_of_32_bits_is_understood() {
        let mut reorder = Reorder::default();
        reorder.push(packet(1, false), Instant::ZERO).unwrap();
        reorder.push(packet(0x0100_0002, false), Instant::ZERO).unwrap();
        assert_eq!(drain(&mut reorder), [1, 2]);
        assert!(reorder.is_finished());

        // A whole response in one packet: the head stands where it always does, behind a number that is not 1.
        let mut frame = vec![0, 0, 0, 0, 0, 0, 0, 7, 1, 0, 0, 1, 0, 0, 200, 0, 0, 0, 2];
        frame.extend_from_slice(b"{}hello");
        let mut reorder = Reorder::default();
        reorder.push(Packet::from_bytes(frame.into()).unwrap(), Instant::ZERO).unwrap();
        let whole = reorder.pop(Instant::ZERO).unwrap();
        assert_eq!((whole.head.unwrap().status, &whole.body[..]), (200, &b"hello"[..]));
        assert!(reorder.is_finished());
    }

    #[test]
    fn a_response_may_be_longer_than_the_number_that_they_write_wrongly() {
        let mut reorder = Reorder { next: 0x0100_0002, ..Reorder::default() };
        reorder.push(packet(0x0100_0002, false), Instant::ZERO).unwrap();
        assert_eq!(drain(&mut reorder), [0x0100_0002]);
        assert!(!reorder.is_finished());
    }

    #[test]
    fn the_last_number_there_is_ends_a_response() {
        let mut reorder = Reorder { next: u32::MAX.into(), ..Reorder::default() };
        reorder.push(packet(u32::MAX, false), Instant::ZERO).unwrap();
        assert_eq!(drain(&mut reorder), [u32::MAX]);
        assert_eq!(reorder.pop(Instant::ZERO), None);
    }
}
