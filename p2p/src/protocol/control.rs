//! Frames of the control stream: a length, then a [`Control`] in the [`codec`]'s form.
//!
//! The stream begins with a [preface](Preface) in each direction, which is the one thing that no version may change.

use bytes::{Buf, BufMut, BytesMut};
use serde::{Deserialize, Serialize};

use super::{VERSION_MAX, VERSION_MIN, Violation, codec, handshake, varint};
use crate::Refusal;

/// What is said on the control stream. The order of the variants is part of the wire format; new ones go to the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control {
    /// The dialling side's first frame: what it wants.
    Handshake(handshake::Offer),
    /// The answering side takes the connection.
    Accept(handshake::Acceptance),
    /// The answering side does not.
    Refuse(Refusal),
    /// The sender lives. Answered by `KeepaliveAck` with the same number, which also measures the round trip.
    Keepalive {
        /// Counts up from 0.
        sequence: u64,
    },
    /// The answer to `Keepalive`.
    KeepaliveAck {
        /// The number that is answered.
        sequence: u64,
    },
    /// The sender will send no message after the first `messages` of the connection, and all its finished streams have
    /// arrived.
    Finish {
        /// Messages sent since the connection began.
        messages: u64,
    },
    /// The answer to `Finish`, once all those messages are here.
    Finished {
        /// The number that is answered.
        messages: u64,
    },
    /// The sender closes. For transports whose own close carries no code and reason; others never send it.
    Disconnect {
        /// As in [`close`](super::close).
        code: u64,
        /// The reason given.
        reason: String,
    },
}

/// Bytes of the largest control frame: a handshake with every capability at its full size fits.
pub const FRAME_BYTES_MAX: usize =
    super::CAPABILITIES_MAX * (super::CAPABILITY_BYTES_MAX + crate::ProtocolId::BYTES_MAX + 16) + 4096;

/// The first bytes in each direction: four that name the protocol, then the versions spoken, lowest and highest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preface {
    /// The lowest version spoken.
    pub version_min: u16,
    /// The highest version spoken.
    pub version_max: u16,
}

impl Preface {
    /// Bytes of a preface.
    pub const LEN: usize = 8;

    const MAGIC: [u8; 4] = *b"p2p\n";

    /// This side's.
    pub const OURS: Self = Self { version_min: VERSION_MIN, version_max: VERSION_MAX };

    /// Appends the preface.
    pub fn put(self, buf: &mut impl BufMut) {
        buf.put_slice(&Self::MAGIC);
        buf.put_u16(self.version_min);
        buf.put_u16(self.version_max);
    }

    fn get(mut bytes: &[u8]) -> Result<Self, Violation> {
        if !bytes.starts_with(&Self::MAGIC) {
            return Err(Violation::new(format_args!(
                "expected a p2p handshake, which begins with {:02x?}, and received {:02x?}",
                Self::MAGIC,
                &bytes[..Self::MAGIC.len()],
            )));
        }
        bytes.advance(Self::MAGIC.len());
        Ok(Self { version_min: bytes.get_u16(), version_max: bytes.get_u16() })
    }

    /// The highest version that both sides speak.
    ///
    /// # Errors
    /// A [`Violation`] that names both ranges if there is none.
    pub fn common_version(self, theirs: Self) -> Result<u16, Violation> {
        let highest = self.version_max.min(theirs.version_max);
        if highest >= self.version_min.max(theirs.version_min) {
            return Ok(highest);
        }
        Err(Violation::new(format_args!(
            "no common version of the wire protocol: the peer speaks {} to {}, this side {} to {}",
            theirs.version_min, theirs.version_max, self.version_min, self.version_max,
        )))
    }
}

/// Appends a frame.
pub fn put(frame: &Control, buf: &mut impl BufMut) {
    let bytes = codec::encode(frame);
    debug_assert!(bytes.len() <= FRAME_BYTES_MAX, "control frames are bounded by what is put in them");
    varint::put(bytes.len() as u64, buf);
    buf.put_slice(&bytes);
}

/// Takes the control stream apart as its bytes arrive.
#[derive(Debug, Default)]
pub struct ControlReader {
    buf: BytesMut,
}

impl ControlReader {
    /// Bytes that arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// The preface, once it is whole. Ask for it first, and until it comes.
    ///
    /// # Errors
    /// A [`Violation`] if the peer speaks something else.
    pub fn poll_preface(&mut self) -> Result<Option<Preface>, Violation> {
        if self.buf.len() < Preface::LEN {
            return Ok(None);
        }
        let preface = Preface::get(&self.buf)?;
        self.buf.advance(Preface::LEN);
        Ok(Some(preface))
    }

    /// The next frame, once it is whole.
    ///
    /// # Errors
    /// A [`Violation`] if a frame is too large or does not decode.
    pub fn poll_frame(&mut self) -> Result<Option<Control>, Violation> {
        let Some((len, prefix)) = varint::get(&self.buf) else { return Ok(None) };
        let Some(len) = usize::try_from(len).ok().filter(|&len| len <= FRAME_BYTES_MAX) else {
            return Err(Violation::new(format_args!(
                "a control frame of {len} bytes, over the limit of {FRAME_BYTES_MAX}"
            )));
        };
        if self.buf.len() < prefix + len {
            return Ok(None);
        }
        self.buf.advance(prefix);
        let frame = codec::decode(&self.buf[..len])
            .map_err(|error| Violation::new(format_args!("a control frame that does not decode: {error}")))?;
        self.buf.advance(len);
        if self.buf.is_empty() {
            // One large frame must not cost its size for as long as the connection lives.
            self.buf = BytesMut::new();
        }
        Ok(Some(frame))
    }
}
