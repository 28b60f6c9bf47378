//! How much there may be at once: plain data.

/// How much there may be at once; nothing means as much as the provider takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bounds {
    /// Connections, dialled and accepted, those being established included. Defaults to 1,024.
    pub connections: Option<usize>,
    /// Connections with each peer, likewise. Defaults to 16.
    ///
    /// A connection counts until this side knows of its end, which for a peer that vanished is the idle timeout. Where
    /// something above dials again after a loss, leave room for the lost one and the new.
    pub connections_per_peer: Option<usize>,
    /// Dials in flight. Defaults to 64.
    pub dials: Option<usize>,
    /// Streams on one connection that this side opened and that have not ended; and as many that it accepted. Defaults
    /// to 256.
    ///
    /// The peer is told this as [`streams_max`](crate::ConnectionConfig::streams_max) where that is not lower already,
    /// and waits.
    pub streams: Option<usize>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { connections: Some(1024), connections_per_peer: Some(16), dials: Some(64), streams: Some(256) }
    }
}

impl Bounds {
    /// No bound on anything.
    pub const NONE: Self = Self { connections: None, connections_per_peer: None, dials: None, streams: None };

    /// Bounds connections.
    #[must_use]
    pub const fn with_connections(mut self, most: usize) -> Self {
        self.connections = Some(most);
        self
    }

    /// Bounds connections with each peer.
    #[must_use]
    pub const fn with_connections_per_peer(mut self, most: usize) -> Self {
        self.connections_per_peer = Some(most);
        self
    }

    /// Bounds dials in flight.
    #[must_use]
    pub const fn with_dials(mut self, most: usize) -> Self {
        self.dials = Some(most);
        self
    }

    /// Bounds streams on one connection, in each direction of opening.
    #[must_use]
    pub const fn with_streams(mut self, most: usize) -> Self {
        self.streams = Some(most);
        self
    }
}
