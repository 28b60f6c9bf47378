//! How much an endpoint lets its peers have.

use std::time::Duration;

use p2p::{P2PError, Result};

/// Bounds of an [`IrohP2P`](crate::IrohP2P), all of them kept before anything expensive is done for whoever exceeds them.
///
/// | what there is too much of | what happens, and when |
/// |---|---|
/// | handshakes, of one address or in all | the dialler is refused at its first packet, before any cryptography |
/// | half of all handshakes | whoever has not proved its address is asked to, which costs this side no memory |
/// | connections in all | as handshakes; dialling is [`P2PError::LimitReached`] |
/// | connections with one peer | closed as soon as TLS has proved who it is; dialling is `LimitReached` |
/// | bytes that nobody reads, or acknowledges | the peer's windows do not grow, and those who only hold theirs give them up |
///
/// A dialler that was refused finds [`RefusalCode::Busy`](p2p::RefusalCode::Busy), and may come again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IrohLimits {
    /// Connections at once, dialled and accepted, those included whose handshake is going on. Defaults to 1,024.
    pub connections_max: usize,
    /// Connections at once with one peer. Defaults to 128.
    pub connections_per_peer_max: usize,
    /// Handshakes of peers that are answered at once: at most so many in TLS, and so many in what comes after it. Defaults to
    /// 256.
    pub handshakes_max: usize,
    /// Those of one IPv4 address, one IPv6 network of 64 bits, or one peer at a relay. Defaults to 32, so that no address
    /// takes more than an eighth of the places.
    pub handshakes_per_address_max: usize,
    /// Bytes that all connections together may keep in windows and queues: received and not read, sent and not
    /// acknowledged. Defaults to 896 MiB.
    ///
    /// Every connection has [`CONNECTION_BYTES_MIN`] of it for sure; the rest is lent. With the defaults, the first 26
    /// connections borrow enough to begin with a quarter of
    /// [`receive_window_bytes`](crate::IrohConfig::receive_window_bytes) and an eighth for each stream; those who come when
    /// there is less begin with less, down to a sixty-fourth. A window then grows while what arrives is read as fast as it
    /// comes. No loan takes more than half of what is left, so there is always something for the next. When it is too little,
    /// strangers whose loan carries nothing are closed after [`standstill_max`](Self::standstill_max), as many as are
    /// needed.
    pub buffer_bytes_max: u64,
    /// How long a stranger may hold a grown window and send nothing that is read, while others find nothing left to borrow.
    /// Then its connection is closed, with the word that the room is needed; it may come again. Peers that this side dialled,
    /// and those [allowed by name](crate::AccessList::only), are not. Defaults to 10 s.
    pub standstill_max: Duration,
}

/// Bytes in windows and queues that every connection has for sure: 256 KiB each to receive and to send, and 128 KiB of
/// datagrams that wait to be read.
pub const CONNECTION_BYTES_MIN: u64 = (2 * WINDOW_BYTES_MIN + DATAGRAM_BYTES_MAX) as u64;

/// What every connection may have under way in each direction, with nothing borrowed.
pub(crate) const WINDOW_BYTES_MIN: u32 = 256 * 1024;

/// Bytes of the smallest window that may be configured: an eighth of it has to carry a few of the largest packets.
pub(crate) const RECEIVE_WINDOW_BYTES_MIN: u32 = 128 * 1024;

/// Datagrams that are kept for the application, by bytes; the oldest go first. About 100 full ones.
pub(crate) const DATAGRAM_BYTES_MAX: u32 = 128 * 1024;

impl Default for IrohLimits {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            connections_per_peer_max: 128,
            handshakes_max: 256,
            handshakes_per_address_max: 32,
            buffer_bytes_max: 896 * 1024 * 1024,
            standstill_max: Duration::from_secs(10),
        }
    }
}

impl IrohLimits {
    /// Sets how many connections there may be at once.
    #[must_use]
    pub const fn with_connections_max(mut self, connections: usize) -> Self {
        self.connections_max = connections;
        self
    }

    /// Sets how many connections one peer may have at once.
    #[must_use]
    pub const fn with_connections_per_peer_max(mut self, connections: usize) -> Self {
        self.connections_per_peer_max = connections;
        self
    }

    /// Sets how many handshakes are answered at once, and how many of them for one address.
    #[must_use]
    pub const fn with_handshakes_max(mut self, in_all: usize, per_address: usize) -> Self {
        self.handshakes_max = in_all;
        self.handshakes_per_address_max = per_address;
        self
    }

    /// Sets the bytes that all connections together may keep.
    #[must_use]
    pub const fn with_buffer_bytes_max(mut self, bytes: u64) -> Self {
        self.buffer_bytes_max = bytes;
        self
    }

    /// Sets how long a stranger may hold a grown window that others need.
    #[must_use]
    pub const fn with_standstill_max(mut self, standstill: Duration) -> Self {
        self.standstill_max = standstill;
        self
    }

    /// Bytes that are lent.
    pub(crate) const fn lent_bytes(&self) -> u64 {
        self.buffer_bytes_max.saturating_sub(self.connections_max as u64 * CONNECTION_BYTES_MIN)
    }

    pub(crate) fn validate(&self, receive_window_bytes: u32) -> Result<()> {
        for (name, value) in [
            ("connections_max", self.connections_max),
            ("connections_per_peer_max", self.connections_per_peer_max),
            ("handshakes_max", self.handshakes_max),
            ("handshakes_per_address_max", self.handshakes_per_address_max),
        ] {
            if value == 0 {
                return Err(P2PError::invalid_input(format_args!("{name} = 0"), "at least 1"));
            }
        }
        // A loan takes half of what is left at most, so this is what one full window needs.
        let room = 2 * u64::from(receive_window_bytes);
        let needed = (self.connections_max as u64).saturating_mul(CONNECTION_BYTES_MIN).saturating_add(room);
        if self.buffer_bytes_max < needed {
            return Err(P2PError::invalid_input(
                format_args!("buffer_bytes_max = {}", self.buffer_bytes_max),
                format_args!(
                    "at least {needed}: {CONNECTION_BYTES_MIN} for each of {} connections and twice a full window, or \
                     fewer connections",
                    self.connections_max
                ),
            ));
        }
        Ok(())
    }
}

/// What a connection begins with, which QUIC cannot change later, apart from its whole receive window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level {
    /// Bytes under way on one stream towards this side.
    pub(crate) stream: u32,
    /// Bytes under way in each direction. Towards this side twice a stream's at least, since a stream that nobody reads
    /// must not stop another.
    pub(crate) connection: u32,
}

impl Level {
    /// All of them, the best first. A stream has an eighth of the full window at best.
    pub(crate) fn all(receive_window_bytes: u32) -> impl Iterator<Item = Self> + Clone {
        let best = receive_window_bytes / STREAMS_TO_FILL_THE_WINDOW;
        let least = best.min(WINDOW_BYTES_MIN / 2);
        std::iter::successors(Some(best), move |stream| (*stream > least).then(|| (stream / 2).max(least))).map(
            move |stream| Self { stream, connection: (2 * stream).max(WINDOW_BYTES_MIN.min(receive_window_bytes)) },
        )
    }

    /// What has to be borrowed for it.
    pub(crate) fn borrowed(self) -> u64 {
        2 * u64::from(self.connection.saturating_sub(WINDOW_BYTES_MIN))
    }
}

/// Stalled streams that use a connection's full window up.
const STREAMS_TO_FILL_THE_WINDOW: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u32 = 1024;

    #[test]
    fn the_levels_of_the_default_go_down_to_what_everybody_has() {
        let levels: Vec<_> =
            Level::all(16 * 1024 * KIB).map(|level| (level.stream / KIB, level.connection / KIB)).collect();
        assert_eq!(levels, [(2048, 4096), (1024, 2048), (512, 1024), (256, 512), (128, 256)]);
        assert_eq!(Level::all(16 * 1024 * KIB).last().unwrap().borrowed(), 0);
    }

    #[test]
    fn a_stream_never_fills_a_connection_whatever_is_configured() {
        for window in [RECEIVE_WINDOW_BYTES_MIN, 200 * KIB, 1000 * KIB, 3 << 20, 100 << 20, u32::MAX] {
            for level in Level::all(window) {
                assert!(level.stream <= level.connection / 2 && level.connection <= window, "{level:?} of {window}");
            }
            assert_eq!(Level::all(window).last().unwrap().borrowed(), 0);
        }
    }
}
