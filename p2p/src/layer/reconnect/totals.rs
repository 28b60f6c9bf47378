//! What the layer did, over all connections of a provider.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! totals {
    ($($(#[doc = $doc:literal])+ $name:ident),+ $(,)?) => {
        /// What the layer did since it was made, over all connections. They move as it happens.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        #[non_exhaustive]
        pub struct ReconnectTotals {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        #[derive(Debug, Default)]
        pub(super) struct Totals {
            $(pub(super) $name: Counter,)+
        }

        impl Totals {
            pub(super) fn get(&self) -> ReconnectTotals {
                ReconnectTotals { $($name: self.$name.0.load(Relaxed),)+ }
            }
        }
    };
}

totals! {
    /// Connections whose peer speaks no `resume`: they work, and end with their transport.
    plain,
    /// Transports lost.
    losses,
    /// Transports lost while something was not acknowledged.
    losses_with_unacknowledged,
    /// Transports ended for a better one, which count as lost, too.
    moved,
    /// Dials made to get another transport.
    attempts,
    /// Connections that got another transport.
    resumed,
    /// Parts in which peers told how far they had come with streams that a handshake had no room for.
    progress_parts,
    /// Attempts to resume that were refused here.
    refused,
    /// Connections that ended because no transport came in time, or no more could be kept.
    given_up,
    /// Messages sent again.
    messages_replayed,
    /// Bytes of messages and streams sent again.
    bytes_replayed,
    /// Messages and stream bytes that were not acknowledged, had arrived, and so were not sent again.
    duplicates_suppressed,
    /// Datagrams dropped for want of a transport.
    datagrams_dropped,
    /// Most bytes that one connection kept for a replay, entries' own cost included. Moves when a transport is lost or a
    /// connection ends. At most `replay_bytes_max`, one message, and for each
    /// stream 16 KiB, or with over 256 of them less, down to 1 KiB.
    replay_bytes_peak,
}

#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, by: u64) {
        self.0.fetch_add(by, Relaxed);
    }

    pub(super) fn raise(&self, to: u64) {
        self.0.fetch_max(to, Relaxed);
    }
}
