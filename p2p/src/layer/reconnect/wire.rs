//! What two layers say to each other: the capability, the header of each stream, the frames of the control stream.
//!
//! The dialling side offers a [`Hello`] in the `resume` capability, the accepting side answers with a [`Welcome`]. The
//! first stream that the dialling side opens on each transport is the control stream; each begins with a [`Header`], and
//! on the control stream [`Frame`]s follow, in both directions.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::seen::Seen;
use crate::{
    Capability,
    protocol::{codec, varint},
};

/// The capability's name.
pub(super) const RESUME: &str = "resume";

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

/// How far one side has come. Nothing more is received on an old transport once it was said.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Messages received.
    pub(super) messages: u64,
    /// Streams whose end was not received.
    pub(super) streams: Vec<StreamProgress>,
    /// Which of the other side's streams were seen. One that was, and is not among `streams`, was received to its end.
    pub(super) seen: Seen,
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

/// Streams that each side may have open at once, so that a [`Progress`] fits into a capability: 512 entries of at most 24
/// bytes and a [`Seen`] of at most 256 holes, of the 16 KiB there are.
pub(super) const STREAMS_MAX: usize = 256;

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
}

/// Bytes of the largest frame: an acknowledgement of every stream there can be fits many times over.
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
    use super::*;

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
    fn the_largest_progress_fits_into_a_capability() {
        let entry = |id| StreamProgress { id, offset: u64::MAX >> 2, stopped: Some(u32::MAX) };
        let mut seen = Seen::default();
        // As many streams as there can be are open and were never written to, each followed by a row of others.
        let mut next = 1;
        for row in 0..STREAMS_MAX as u64 {
            let end = next + 1000 + row;
            assert!((next..end).all(|number| seen.insert(number)));
            next = end + 1;
        }
        assert_eq!(seen.holes(), STREAMS_MAX);
        let streams = (0..2 * STREAMS_MAX as u64).map(|number| entry((u64::MAX >> 2) - number)).collect();
        let progress = Progress { messages: u64::MAX, streams, seen };
        let hello = Hello::Resume { session: [255; 16], attempt: u32::MAX, progress };
        let len = capability(&hello).data.len();
        assert!(len <= crate::protocol::CAPABILITY_BYTES_MAX, "{len} bytes");
    }

    #[test]
    fn frames_read_back_in_order_from_any_cut() {
        let frames = [
            Frame::Ack { messages: 1 << 40, streams: vec![(3, 4)], done: vec![5] },
            Frame::Reset { stream: 1, code: 2 },
            Frame::Stop { stream: 3, code: u32::MAX },
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
        let progress = Progress {
            messages: 300,
            streams: vec![StreamProgress { id: 2, offset: 5, stopped: Some(7) }],
            seen: [0, 2].into_iter().fold(Seen::default(), |mut seen, number| {
                seen.insert(number);
                seen
            }),
        };
        let session = [0xab; 16];
        let name = "ab".repeat(16);
        check(&capability(&Hello::New { session, budget_bytes: 9 }).data, &format!("00 {name} 09"));
        let tail = "fb2c01 01 02 05 01 07 02 00 01 01 01";
        let resume = Hello::Resume { session, attempt: 1, progress: progress.clone() };
        check(&capability(&resume).data, &format!("01 {name} 01 {tail}"));
        let welcome = Welcome { session, attempt: 1, budget_bytes: 9, progress };
        check(&capability(&welcome).data, &format!("{name} 01 09 {tail}"));
        let mut frames = BytesMut::new();
        put_frame(&Frame::Ack { messages: 3, streams: vec![(2, 5)], done: vec![1] }, &mut frames);
        put_frame(&Frame::Reset { stream: 2, code: 7 }, &mut frames);
        put_frame(&Frame::Stop { stream: 2, code: 7 }, &mut frames);
        check(&frames, "07 00 03 01 02 05 01 01  03 01 02 07  03 02 02 07");
        check(&Header::Control.encode(), "00");
        check(&Header::Stream { id: 2, offset: Some(5) }.encode(), "03 06");
        check(&Header::Stream { id: 2, offset: None }.encode(), "03 00");
    }
}
