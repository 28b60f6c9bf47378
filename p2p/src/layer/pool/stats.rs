//! What a pool did so far.

/// Counters of a pool, and what it has now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PoolStats {
    /// Connections now, without those being dialled.
    pub connections: usize,
    /// Those of them that nobody uses.
    pub idle: usize,
    /// Dials, and checks before reuse, under way now.
    pub pending: usize,
    /// Calls of `get` that found a connection.
    pub hits: u64,
    /// Calls of `get` that joined a dial or a check begun by another.
    pub joined: u64,
    /// Dials begun.
    pub dials: u64,
    /// Dials that failed.
    pub dial_failures: u64,
    /// Connections given up because nobody used them for long enough.
    pub evicted_idle: u64,
    /// Connections given up, unused, to make room for others.
    pub evicted_for_room: u64,
    /// Connections found closed, lost, or failing their check, and let go of.
    pub found_dead: u64,
    /// Calls of `get` that failed because all connections were in use.
    pub refused: u64,
}
