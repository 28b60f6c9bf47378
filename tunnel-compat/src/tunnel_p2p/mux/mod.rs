//! Many streams on one pair of byte streams: a state machine that is handed bytes and hands out bytes. No socket, no task, no clock.
//!
//! - [`Frame`]: what is on the wire. `docs/TUNNEL.md` has it byte by byte.
//! - [`Mux`]: one end of a connection. `stream`: one stream of it, in both directions.
//!
//! Streams are numbered by the side that opens them, in the order in which their first frames leave: the dialling side has 0, 2, 4 …,
//! the other 1, 3, 5 …. So a stream that was never written to is not on the wire at all.
//!
//! Whoever writes may send what it has credit for: [`STREAM_BYTES`] to begin with, and more as the reader reads. The window of a stream
//! that is read doubles up to [`STREAM_BYTES_MAX`], out of [`LENT_BYTES_MAX`] for all of a connection's streams. So streams that nobody
//! reads cost little and stop no other, and those that are read are not slowed down by the way's length.

mod frame;
mod machine;
mod stream;

pub use self::{
    frame::{DATA_BYTES_MAX, Frame, FrameReader},
    machine::{Closed, Ended, Event, Mux, StreamKey},
};

/// Streams that each side may have open at once. A stream's place is free when both directions have ended and were read.
pub const STREAMS_MAX: usize = 258;

/// Bytes of a new stream that may be under way or wait to be read.
pub const STREAM_BYTES: u32 = 32 * 1024;

/// Bytes of a stream that is read all the time: 100 Mbit/s at a round trip of 80 ms.
pub const STREAM_BYTES_MAX: u32 = 1024 * 1024;

/// Bytes by which the windows of all streams of a connection may have grown.
pub const LENT_BYTES_MAX: u32 = 4 * 1024 * 1024;

/// Bytes that a stream takes from its writer before they are sent.
pub const QUEUE_BYTES_MAX: usize = 64 * 1024;

/// The other side sent what no frame is, or what does not belong there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Violation(pub String);

impl Violation {
    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}
