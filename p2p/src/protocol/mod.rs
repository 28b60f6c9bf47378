//! The bytes on the wire, as codecs and state machines without I/O: they are handed bytes and time, and own no task.
//!
//! `docs/PROTOCOL.md` describes them byte by byte. The dialling side opens two streams before any other: first the
//! *control* stream ([`control`]), which carries the [`handshake`] and then what [`session`] says, then the *message*
//! stream ([`message`]). Every later stream is the application's, and none of our bytes are on it.
//!
//! - [`codec`]: values to bytes and back.
//! - [`mod@varint`], the form of lengths.
//! - [`control`]: the frames of the control stream.
//! - [`handshake`]: what is said first, and how it is answered.
//! - [`message`]: messages on their stream.
//! - [`session`]: keepalive, idle timeout, `finish`.
//! - [`close`]: codes that end a transport.

pub mod close;
pub mod codec;
pub mod control;
pub mod handshake;
pub mod message;
pub mod session;
pub mod varint;

/// The ALPN, and the generation of this wire protocol, for transports that negotiate one.
pub const ALPN: &[u8] = b"p2p/1";

/// The lowest version of the wire protocol that this side speaks.
pub const VERSION_MIN: u16 = 1;

/// The highest version of the wire protocol that this side speaks.
pub const VERSION_MAX: u16 = 1;

/// Bytes of data that one capability may carry in a handshake.
pub const CAPABILITY_BYTES_MAX: usize = 16 * 1024;

/// Capabilities that one side may name in a handshake.
pub const CAPABILITIES_MAX: usize = 32;

/// The peer sent something that is not allowed. Ends the connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Violation(pub String);

impl Violation {
    /// Cut to what can be told, since a peer's own words may be in it.
    pub(crate) fn new(what: impl std::fmt::Display) -> Self {
        Self(close::truncate(&what.to_string()).to_owned())
    }
}
