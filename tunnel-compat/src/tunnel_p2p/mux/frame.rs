//! The frames, byte for byte.
//!
//! Every frame begins with nine bytes: its kind, a stream's number and a value, both big-endian.
//!
//! | kind | name | stream | value | then |
//! |---|---|---|---|---|
//! | 1 | data | of whom | number of bytes, 1 to [`DATA_BYTES_MAX`] | the bytes |
//! | 2 | finish | of whom | 0 | |
//! | 3 | delivered | of whom | 0 | |
//! | 4 | credit | of whom | further bytes that may be sent, at least 1 | |
//! | 5 | reset | of whom | a code | |
//! | 6 | stop | of whom | a code | |
//! | 7 | done | of whom | 0 | |
//! | 8 | close | 0 | bytes of the reason, at most [`CLOSE_REASON_BYTES_MAX`] | a code of 8 bytes, then the reason |

use bytes::{Buf, BufMut, Bytes, BytesMut};
use p2p::CLOSE_REASON_BYTES_MAX;

use super::Violation;

/// Bytes of the largest data frame's payload: with its head it fills one record of TLS (RFC 8446 §5.1).
pub const DATA_BYTES_MAX: usize = 16 * 1024 - HEAD_BYTES;

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Bytes of a stream, in order.
    Data {
        /// The stream.
        stream: u32,
        /// At least 1, at most [`DATA_BYTES_MAX`].
        bytes: Bytes,
    },
    /// The sender of this writes nothing more to the stream.
    Finish {
        /// The stream.
        stream: u32,
    },
    /// Everything up to the finish has arrived.
    Delivered {
        /// The stream.
        stream: u32,
    },
    /// The receiver of this may send that many bytes more.
    Credit {
        /// The stream.
        stream: u32,
        /// At least 1.
        bytes: u32,
    },
    /// The sender of this gave its direction up.
    Reset {
        /// The stream.
        stream: u32,
        /// The application's.
        code: u32,
    },
    /// The sender of this reads no more.
    Stop {
        /// The stream.
        stream: u32,
        /// The application's.
        code: u32,
    },
    /// The stream has ended in both directions, and its place is free again. From the side that did not open it.
    Done {
        /// The stream.
        stream: u32,
    },
    /// The connection ends.
    Close {
        /// An application's code, or one of [`p2p::protocol::close`].
        code: u64,
        /// At most [`CLOSE_REASON_BYTES_MAX`] bytes.
        reason: Bytes,
    },
}

impl Frame {
    /// Writes the frame.
    ///
    /// # Panics
    /// If it has more bytes than its kind may.
    pub fn write(&self, to: &mut BytesMut) {
        let mut head = |kind, stream, value| {
            to.put_u8(kind);
            to.put_u32(stream);
            to.put_u32(value);
        };
        match self {
            Self::Data { stream, bytes } => {
                assert!((1..=DATA_BYTES_MAX).contains(&bytes.len()), "a data frame of {} bytes", bytes.len());
                head(DATA, *stream, bytes.len() as u32);
                to.put_slice(bytes);
            }
            Self::Finish { stream } => head(FINISH, *stream, 0),
            Self::Delivered { stream } => head(DELIVERED, *stream, 0),
            Self::Credit { stream, bytes } => head(CREDIT, *stream, *bytes),
            Self::Reset { stream, code } => head(RESET, *stream, *code),
            Self::Stop { stream, code } => head(STOP, *stream, *code),
            Self::Done { stream } => head(DONE, *stream, 0),
            Self::Close { code, reason } => {
                assert!(reason.len() <= CLOSE_REASON_BYTES_MAX, "a reason of {} bytes", reason.len());
                head(CLOSE, 0, reason.len() as u32);
                to.put_u64(*code);
                to.put_slice(reason);
            }
        }
    }
}

/// Takes frames out of bytes, however they are cut. Holds at most one frame that is not whole beside what was pushed last.
#[derive(Debug, Default)]
pub struct FrameReader(BytesMut);

impl FrameReader {
    /// Adds bytes behind those that are here.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next frame; `None` until more bytes are pushed.
    ///
    /// # Errors
    /// A [`Violation`] that says what came. What follows it cannot be read.
    pub fn poll_frame(&mut self) -> Result<Option<Frame>, Violation> {
        let Some(head) = self.0.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        let mut fields = &head[1..];
        let (kind, stream, value) = (head[0], fields.get_u32(), fields.get_u32());
        let frame = match kind {
            DATA => return self.poll_data(stream, value),
            CLOSE => return self.poll_close(stream, value),
            FINISH | DELIVERED | DONE if value != 0 => {
                return Err(Violation::new(format!("a frame of kind {kind} with {value} where 0 belongs")));
            }
            FINISH => Frame::Finish { stream },
            DELIVERED => Frame::Delivered { stream },
            DONE => Frame::Done { stream },
            CREDIT if value == 0 => return Err(Violation::new("a credit of 0 bytes")),
            CREDIT => Frame::Credit { stream, bytes: value },
            RESET => Frame::Reset { stream, code: value },
            STOP => Frame::Stop { stream, code: value },
            _ => return Err(Violation::new(format!("a frame of the unknown kind {kind}"))),
        };
        self.0.advance(HEAD_BYTES);
        Ok(Some(frame))
    }

    fn poll_data(&mut self, stream: u32, len: u32) -> Result<Option<Frame>, Violation> {
        let len = len as usize;
        if !(1..=DATA_BYTES_MAX).contains(&len) {
            return Err(Violation::new(format!("a data frame of {len} bytes; 1 to {DATA_BYTES_MAX} expected")));
        }
        if self.0.len() < HEAD_BYTES + len {
            return Ok(None);
        }
        self.0.advance(HEAD_BYTES);
        Ok(Some(Frame::Data { stream, bytes: self.0.split_to(len).freeze() }))
    }

    fn poll_close(&mut self, stream: u32, len: u32) -> Result<Option<Frame>, Violation> {
        let len = len as usize;
        if stream != 0 || len > CLOSE_REASON_BYTES_MAX {
            let what = format!("a close of stream {stream} with a reason of {len} bytes");
            return Err(Violation::new(format!("{what}; 0 and at most {CLOSE_REASON_BYTES_MAX} expected")));
        }
        if self.0.len() < HEAD_BYTES + 8 + len {
            return Ok(None);
        }
        self.0.advance(HEAD_BYTES);
        let code = self.0.get_u64();
        Ok(Some(Frame::Close { code, reason: self.0.split_to(len).freeze() }))
    }
}

/// Bytes before a frame's own.
pub(super) const HEAD_BYTES: usize = 9;

pub(super) const DATA: u8 = 1;
const FINISH: u8 = 2;
const DELIVERED: u8 = 3;
const CREDIT: u8 = 4;
const RESET: u8 = 5;
const STOP: u8 = 6;
const DONE: u8 = 7;
const CLOSE: u8 = 8;
