//! What two layers say to each other: the capability, the header of each stream, the frames of the control stream.
//!
//! The dialling side offers a [`Hello`] in the `resume2` capability, the accepting side answers with a [`Welcome`]. The
//! first stream that the dialling side opens on each transport is the control stream; each begins with a [`Header`], and
//! on the control stream [`Frame`]s follow, in both directions.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::progress::{Part, Progress};
use crate::{
    Capability,
    protocol::{codec, varint},
};

/// The capability's name, with a number that another form on the wire counts up.
pub(super) const RESUME: &str = "resume2";

/// A session's name: random, and known to the two sides only, whose keys are proved before it is said.
pub(super) type SessionId = [u8; 16];

/// What the dialling side offers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Hello {
    /// A new session.
    New {
        session: SessionId,
        /// Bytes that this side may have under way.
        budget_bytes: u64,
    },
    /// A session goes on.
    Resume {
        session: SessionId,
        /// Counts up from 1; each is taken once.
        attempt: u32,
        progress: Progress,
    },
}

/// What the accepting side answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Welcome {
    pub(super) session: SessionId,
    /// 0 for a new session.
    pub(super) attempt: u32,
    pub(super) budget_bytes: u64,
    pub(super) progress: Progress,
}

/// Streams that each side may have open at once, whatever it was allowed: each costs both sides memory, and some bytes of
/// the control stream when a session goes on.
pub(super) const STREAMS_MAX: usize = 16 * 1024;

/// A capability that carries `value`.
pub(super) fn capability(value: &impl Serialize) -> Capability {
    Capability::new(RESUME).with_data(codec::encode(value))
}

/// What a capability carries.
pub(super) fn decode<T: DeserializeOwned>(capability: &Capability) -> Result<T, String> {
    codec::decode(&capability.data).map_err(|error| format!("a resume capability that does not decode: {error}"))
}

/// What is said on the control stream. The order of the variants is part of the wire format; new ones go to the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Frame {
    /// How far the sender of the frame has come.
    Ack {
        /// Messages received since the session began.
        messages: u64,
        /// Bytes received of streams, for those that moved.
        streams: Vec<(u64, u64)>,
        /// Streams received to their end.
        done: Vec<u64>,
    },
    /// The sender of the frame abandoned its direction of a stream.
    Reset {
        /// The stream.
        stream: u64,
        /// The writer's code.
        code: u32,
    },
    /// The sender of the frame reads no more of a stream.
    Stop {
        /// The stream.
        stream: u64,
        /// The reader's code.
        code: u32,
    },
    /// How far the sender of the frame had come with the streams that the handshake did not tell of. While there are such,
    /// nothing else is said.
    Progress(Part),
}

/// Streams in one acknowledgement, of those that moved as of those that ended; for more there is another. At most 27 bytes
/// for each such two.
pub(super) const ACK_STREAMS_MAX: usize = 1024;

/// Bytes of the largest frame: twice what the largest acknowledgement has.
const FRAME_BYTES_MAX: usize = 64 * 1024;

/// Appends a frame.
pub(super) fn put_frame(frame: &Frame, buf: &mut BytesMut) {
    let bytes = codec::encode(frame);
    varint::put(bytes.len() as u64, buf);
    buf.put_slice(&bytes);
}

/// Takes the next frame off the front of `buf`, once it is whole.
pub(super) fn take_frame(buf: &mut BytesMut) -> Result<Option<Frame>, String> {
    let Some((len, prefix)) = varint::get(buf) else { return Ok(None) };
    let Some(len) = usize::try_from(len).ok().filter(|&len| len <= FRAME_BYTES_MAX) else {
        return Err(format!("a frame of {len} bytes on the resume stream, over the limit of {FRAME_BYTES_MAX}"));
    };
    if buf.len() < prefix + len {
        return Ok(None);
    }
    buf.advance(prefix);
    let frame = codec::decode(&buf[..len])
        .map_err(|error| format!("a frame on the resume stream that does not decode: {error}"))?;
    buf.advance(len);
    Ok(Some(frame))
}

/// The first bytes on each stream, in its opener's direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Header {
    /// The control stream.
    Control,
    /// A stream of the application's.
    Stream {
        /// Even for those that the dialling side opened, odd for the others.
        id: u64,
        /// The place of the first byte that follows. Nothing if none will, because the writer reset the stream.
        offset: Option<u64>,
    },
}

impl Header {
    /// A header's bytes: 0 for the control stream, else the number plus one, then 0 or the offset plus one.
    pub(super) fn encode(self) -> Bytes {
        let mut buf = BytesMut::with_capacity(2 * varint::LEN_MAX);
        match self {
            Self::Control => varint::put(0, &mut buf),
            Self::Stream { id, offset } => {
                varint::put(id + 1, &mut buf);
                varint::put(offset.map_or(0, |offset| offset + 1), &mut buf);
            }
        }
        buf.freeze()
    }

    /// Takes a header off the front of `bytes`; nothing if it is cut short.
    pub(super) fn take(bytes: &mut BytesMut) -> Option<Self> {
        let (kind, first) = varint::get(bytes)?;
        let (header, len) = match kind.checked_sub(1) {
            None => (Self::Control, first),
            Some(id) => {
                let (offset, second) = varint::get(&bytes[first..])?;
                (Self::Stream { id, offset: offset.checked_sub(1) }, first + second)
            }
        };
        bytes.advance(len);
        Some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            progress::{ENTRIES_MAX, ENTRIES_MIN, StreamProgress},
            seen::Seen,
        },
        *,
    };

    #[test]
    fn headers_read_back_and_cut_ones_are_none() {
        let stream = |id, offset| Header::Stream { id, offset };
        for header in [Header::Control, stream(0, Some(0)), stream(99, Some(1 << 40)), stream(1, None)] {
            let bytes = header.encode();
            for len in 0..bytes.len() {
                assert_eq!(Header::take(&mut BytesMut::from(&bytes[..len])), None);
            }
            let mut more = BytesMut::from(&bytes[..]);
            more.put_slice(b"payload");
            assert_eq!(Header::take(&mut more), Some(header));
            assert_eq!(&more[..], b"payload");
        }
    }

    #[test]
    fn the_largest_part_fits_into_a_capability_and_the_largest_acknowledgement_into_a_frame() {
        const FIRST: u64 = u64::MAX >> 2;
        let streams = (0..ENTRIES_MAX as u64).map(|number| FIRST + 4 * number + 1).chain([u64::MAX]);
        let streams = streams.map(|id| StreamProgress { id, offset: u64::MAX >> 1, stopped: Some(u32::MAX) });
        // Streams as they are when nothing of their openers' was seen, and rows where every number is followed by a hole.
        let rows = (0..ENTRIES_MAX as u64).map(|row| (FIRST + row * (1 << 33), FIRST + row * (1 << 33) + (1 << 32)));
        for part in [
            Part::gather(0, streams, &Seen::default(), ENTRIES_MAX),
            Part::gather(0, std::iter::empty(), &rows.collect(), ENTRIES_MAX),
        ] {
            assert!(part.until.is_some() && part.entries() > ENTRIES_MAX - ENTRIES_MIN, "{}", part.entries());
            let progress = Progress { messages: u64::MAX, part };
            let hello = Hello::Resume { session: [255; 16], attempt: u32::MAX, progress };
            let len = capability(&hello).data.len();
            assert!(len <= crate::protocol::CAPABILITY_BYTES_MAX, "{len} bytes");
        }
        let streams = vec![(u64::MAX, u64::MAX); ACK_STREAMS_MAX];
        let ack = Frame::Ack { messages: u64::MAX, streams, done: vec![u64::MAX; ACK_STREAMS_MAX] };
        let mut wire = BytesMut::new();
        put_frame(&ack, &mut wire);
        assert_eq!(take_frame(&mut wire), Ok(Some(ack)));
    }

    #[test]
    fn frames_read_back_in_order_from_any_cut() {
        let frames = [
            Frame::Ack { messages: 1 << 40, streams: vec![(3, 4)], done: vec![5] },
            Frame::Reset { stream: 1, code: 2 },
            Frame::Stop { stream: 3, code: u32::MAX },
            Frame::Progress(Part { seen: [(0, 3)].into_iter().collect(), until: Some(9), ..Part::default() }),
        ];
        let mut wire = BytesMut::new();
        frames.iter().for_each(|frame| put_frame(frame, &mut wire));
        let (mut buf, mut read) = (BytesMut::new(), Vec::new());
        for byte in wire {
            buf.put_u8(byte);
            read.extend(take_frame(&mut buf).unwrap());
        }
        assert_eq!(read, frames);
        take_frame(&mut BytesMut::from(&[0xff; 9][..])).unwrap_err();
        take_frame(&mut BytesMut::from(&[1, 99][..])).unwrap_err();
    }

    // A change here is a change of what layers of two versions say to each other: it needs another capability name.
    #[test]
    fn the_bytes_are_those_that_were_written_down() {
        let check = |bytes: &[u8], expected: &str| {
            assert_eq!(data_encoding::HEXLOWER.encode(bytes), expected.replace(' ', ""));
        };
        let part = Part {
            streams: vec![StreamProgress { id: 2, offset: 5, stopped: Some(7) }],
            seen: [(0, 1), (2, 3)].into_iter().collect(),
            until: Some(9),
        };
        let progress = Progress { messages: 300, part: part.clone() };
        let session = [0xab; 16];
        let name = "ab".repeat(16);
        check(&capability(&Hello::New { session, budget_bytes: 9 }).data, &format!("00 {name} 09"));
        let tail = "fb2c01 01 02 05 01 07 02 00 01 01 01 01 09";
        let resume = Hello::Resume { session, attempt: 1, progress: progress.clone() };
        check(&capability(&resume).data, &format!("01 {name} 01 {tail}"));
        let welcome = Welcome { session, attempt: 1, budget_bytes: 9, progress };
        check(&capability(&welcome).data, &format!("{name} 01 09 {tail}"));
        let mut frames = BytesMut::new();
        put_frame(&Frame::Ack { messages: 3, streams: vec![(2, 5)], done: vec![1] }, &mut frames);
        put_frame(&Frame::Reset { stream: 2, code: 7 }, &mut frames);
        put_frame(&Frame::Stop { stream: 2, code: 7 }, &mut frames);
        put_frame(&Frame::Progress(part), &mut frames);
        check(&frames, "07 00 03 01 02 05 01 01  03 01 02 07  03 02 02 07  0d 03 01 02 05 01 07 02 00 01 01 01 01 09");
        check(&Header::Control.encode(), "00");
        check(&Header::Stream { id: 2, offset: Some(5) }.encode(), "03 06");
        check(&Header::Stream { id: 2, offset: None }.encode(), "03 00");
    }
}
