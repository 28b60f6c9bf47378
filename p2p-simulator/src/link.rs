//! What a link is like: its settings.

use std::{fmt, time::Duration};

use crate::{Latency, Probability};

/// What one directed link is like, from one peer to another.
///
/// Links of real networks are in [`Profile`](crate::Profile).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkConfig {
    /// Time from leaving one peer to arriving at the other. Defaults to 50 ms.
    pub latency: Latency,
    /// At most so much is added to the latency of each packet, evenly spread. Defaults to nothing.
    pub jitter: Duration,
    /// How often a segment of [`mtu_bytes`](Self::mtu_bytes) is lost. Defaults to 0.01.
    ///
    /// On a stream that means delay, as it is sent again; a datagram is gone.
    pub loss: Probability,
    /// How often a dial over this link fails. Defaults to 0.001.
    pub dial_failure: Probability,
    /// Bytes per second; nothing means no bound. Defaults to 12,500,000, which is 100 Mbit/s.
    pub bandwidth: Option<u64>,
    /// Bytes that wait in front of a busy link. Defaults to 256 KiB. Beyond it, stream writers wait and datagrams are
    /// dropped. Means nothing without `bandwidth`.
    pub queue_bytes_max: u64,
    /// How often a segment is overtaken by those behind it: it arrives later by up to its latency. Defaults to never.
    pub reorder: Probability,
    /// How often a segment arrives twice. Defaults to never.
    ///
    /// The receiver knows the copy and drops it, so all it costs is its share of the bandwidth.
    pub duplication: Probability,
    /// How often a segment is corrupted on the way. Defaults to never.
    ///
    /// The receiver notices and drops it, so it counts as lost, on top of `loss`.
    pub corruption: Probability,
    /// Bytes of a segment, the unit of loss and the largest datagram. Defaults to [`SEGMENT_BYTES`].
    pub mtu_bytes: u32,
}

/// Bytes of a segment unless a link says otherwise: what an IPv6 packet of minimal size leaves for QUIC (RFC 9000 §14).
pub const SEGMENT_BYTES: usize = 1200;
/// The least [`LinkConfig::mtu_bytes`]: what IPv4 guarantees to any host (RFC 791 §3.1), less headers.
pub const MTU_BYTES_MIN: u32 = 512;
/// The most: what a UDP packet holds.
pub const MTU_BYTES_MAX: u32 = 65_507;

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            latency: Latency::Fixed(Duration::from_millis(50)),
            jitter: Duration::ZERO,
            loss: Probability::percent(1),
            dial_failure: Probability::per_million(1000),
            bandwidth: Some(12_500_000),
            queue_bytes_max: 256 * 1024,
            reorder: Probability::NEVER,
            duplication: Probability::NEVER,
            corruption: Probability::NEVER,
            mtu_bytes: SEGMENT_BYTES as u32,
        }
    }
}

impl LinkConfig {
    /// A link with latency and nothing else: no loss, no failures, no bound on bandwidth.
    pub fn ideal(latency: impl Into<Latency>) -> Self {
        Self {
            latency: latency.into(),
            loss: Probability::NEVER,
            dial_failure: Probability::NEVER,
            bandwidth: None,
            ..Self::default()
        }
    }

    /// Sets the time from one end to the other.
    #[must_use]
    pub fn with_latency(mut self, latency: impl Into<Latency>) -> Self {
        self.latency = latency.into();
        self
    }

    /// Sets how much may be added to the latency.
    #[must_use]
    pub const fn with_jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// Sets how often a segment is lost.
    #[must_use]
    pub const fn with_loss(mut self, loss: Probability) -> Self {
        self.loss = loss;
        self
    }

    /// Sets how often a dial fails.
    #[must_use]
    pub const fn with_dial_failure(mut self, failure: Probability) -> Self {
        self.dial_failure = failure;
        self
    }

    /// Sets bytes per second, and how many bytes may wait for their turn.
    ///
    /// # Panics
    /// If either is 0: nothing would ever pass.
    #[must_use]
    pub const fn with_bandwidth(mut self, bytes_per_second: u64, queue_bytes_max: u64) -> Self {
        assert!(bytes_per_second > 0 && queue_bytes_max > 0, "a link lets something pass");
        self.bandwidth = Some(bytes_per_second);
        self.queue_bytes_max = queue_bytes_max;
        self
    }

    /// Sets how often a segment is overtaken.
    #[must_use]
    pub const fn with_reorder(mut self, reorder: Probability) -> Self {
        self.reorder = reorder;
        self
    }

    /// Sets how often a segment arrives twice.
    #[must_use]
    pub const fn with_duplication(mut self, duplication: Probability) -> Self {
        self.duplication = duplication;
        self
    }

    /// Sets how often a segment is corrupted.
    #[must_use]
    pub const fn with_corruption(mut self, corruption: Probability) -> Self {
        self.corruption = corruption;
        self
    }

    /// Sets the bytes of a segment.
    ///
    /// # Panics
    /// Outside [`MTU_BYTES_MIN`] to [`MTU_BYTES_MAX`].
    #[must_use]
    pub const fn with_mtu(mut self, bytes: u32) -> Self {
        assert!(bytes >= MTU_BYTES_MIN && bytes <= MTU_BYTES_MAX, "a segment fits into a UDP packet");
        self.mtu_bytes = bytes;
        self
    }

    /// Whether it needs draws that most links never do.
    pub(crate) const fn is_rare(&self) -> bool {
        !(matches!(self.latency, Latency::Fixed(_))
            && self.reorder.is_never()
            && self.duplication.is_never()
            && self.corruption.is_never())
    }
}

impl fmt::Display for LinkConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "latency_ns={} jitter_ns={} loss={} dial_failure={} bandwidth={} queue_bytes_max={} reorder={} \
             duplication={} corruption={} mtu_bytes={}",
            self.latency,
            self.jitter.as_nanos(),
            self.loss,
            self.dial_failure,
            self.bandwidth.unwrap_or(0),
            self.queue_bytes_max,
            self.reorder,
            self.duplication,
            self.corruption,
            self.mtu_bytes,
        )
    }
}
