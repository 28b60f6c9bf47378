//! What a user asks of the layer.

use std::time::Duration;

use super::{
    backoff::Backoff,
    progress::{ENTRIES_MAX, ENTRIES_MIN},
};
use crate::P2PError;

/// How long, how often and with how much memory connections are kept alive beyond their transports.
#[derive(Debug, Clone, PartialEq)]
pub struct ReconnectConfig {
    /// How long a connection may be without a transport, from when the loss is noticed. Defaults to 30 s.
    ///
    /// The accepting side keeps its half for this and its idle timeout, because the dialling side may notice later.
    pub grace: Duration,
    /// When to dial again.
    pub backoff: Backoff,
    /// Bytes of messages and streams, per connection, that are kept until the peer acknowledges them. Defaults to 8 MiB.
    ///
    /// Also what one connection has under way at most, so it should exceed bandwidth × round trip. A queue that nobody
    /// empties gets half of what others leave. Worst case: this, one message, and for each stream 16 KiB,
    /// or with over 256 of them less, down to 1 KiB.
    pub replay_bytes_max: usize,
    /// Connections without a transport that the accepting side keeps. Defaults to 1,024; the one that waited longest is
    /// ended for the next.
    pub suspended_max: usize,
    /// The same for the connections of one peer. Defaults to 64.
    pub suspended_per_peer_max: usize,
    /// Bytes that connections without a transport hold together, on the accepting side. Defaults to 256 MiB; those that
    /// waited longest are ended first.
    pub suspended_bytes_max: usize,
    /// For this crate's tests: entries of one part of a progress, at least 3. Few make many parts.
    #[doc(hidden)]
    pub part_entries_max: usize,
    /// For this crate's tests: what to get wrong.
    #[doc(hidden)]
    pub mutant: Option<Mutant>,
}

impl Default for ReconnectConfig {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(30),
            backoff: Backoff::default(),
            replay_bytes_max: 8 * 1024 * 1024,
            suspended_max: 1024,
            suspended_per_peer_max: 64,
            suspended_bytes_max: 256 * 1024 * 1024,
            part_entries_max: ENTRIES_MAX,
            mutant: None,
        }
    }
}

impl ReconnectConfig {
    /// Sets how long a connection may be without a transport.
    #[must_use]
    pub const fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets when to dial again.
    #[must_use]
    pub const fn with_backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Sets how many bytes per connection are kept for a replay.
    #[must_use]
    pub const fn with_replay_bytes_max(mut self, bytes: usize) -> Self {
        self.replay_bytes_max = bytes;
        self
    }

    /// Sets how many connections without a transport are kept: in total, of one peer, and by the bytes they hold.
    #[must_use]
    pub const fn with_suspended_max(mut self, connections: usize, per_peer: usize, bytes: usize) -> Self {
        self.suspended_max = connections;
        self.suspended_per_peer_max = per_peer;
        self.suspended_bytes_max = bytes;
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn with_part_entries_max(mut self, entries: usize) -> Self {
        self.part_entries_max = entries;
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn with_mutant(mut self, mutant: Mutant) -> Self {
        self.mutant = Some(mutant);
        self
    }

    pub(super) fn validate(&self) -> Result<(), P2PError> {
        let zero = [("replay_bytes_max", self.replay_bytes_max), ("suspended_max", self.suspended_max)]
            .into_iter()
            .find(|(_, value)| *value == 0);
        let entries = self.part_entries_max;
        match zero {
            Some((name, _)) => Err(P2PError::invalid_input(format_args!("{name} = 0"), "at least 1")),
            None if !(ENTRIES_MIN..=ENTRIES_MAX).contains(&entries) => {
                let expected = format!("from {ENTRIES_MIN} to {ENTRIES_MAX}");
                Err(P2PError::invalid_input(format_args!("part_entries_max = {entries}"), expected))
            }
            None => self.backoff.validate(),
        }
    }
}

/// A way to get the layer wrong, each of which its sweep in the simulator has to find.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// Sends everything again that is not acknowledged, whatever the peer says that it has.
    NoDuplicateCheck,
    /// Forgets messages once a transport took them.
    EarlyAcknowledgement,
    /// Says that it received one byte more of each stream than it did.
    WrongOffset,
    /// Takes what was under way when the transport was lost for received.
    LostWindow,
    /// Says how far it came before it took what had arrived.
    AnswersBeforeDraining,
    /// Throws away what had arrived on the old transport.
    NoDraining,
    /// Forgets after a loss that a stream was finished.
    ForgetsFinish,
    /// Forgets after a loss that a stream was reset.
    ForgetsReset,
}
