//! How good a connection is, in one word, from what [`ConnectionStats`] has measured.

use std::time::Duration;

use serde::Serialize;

use super::ConnectionStats;

/// How good a connection is for two people who talk over it, the strictest common use.
///
/// The bounds are those of conversational voice in ITU-T G.1010, table I.1, which gives delays one way: preferred
/// below 150 ms, never above 400 ms, at most 3 % of the packets lost. A round trip is taken as two equal ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[non_exhaustive]
pub enum Quality {
    /// The round trip is above 800 ms, or more than 3 % of the packets were lost.
    Poor,
    /// The round trip is above 300 ms.
    Fair,
    /// Neither.
    Good,
}

impl ConnectionStats {
    /// How good the connection is; `None` until a round trip has been measured.
    ///
    /// Loss counts over the connection's whole life, and from the 100th packet on: before that, a few lost ones say
    /// little. A transport that does not count packets is judged by its round trip alone.
    pub fn quality(&self) -> Option<Quality> {
        let rtt = self.rtt?;
        Some(if rtt > RTT_MAX || self.loses_too_much() {
            Quality::Poor
        } else if rtt > RTT_PREFERRED {
            Quality::Fair
        } else {
            Quality::Good
        })
    }

    fn loses_too_much(&self) -> bool {
        let (Some(lost), Some(sent)) = (self.packets_lost, self.packets_sent) else { return false };
        sent >= LOSS_PACKETS_MIN && u128::from(lost) * 100 > u128::from(sent) * LOSS_PERCENT_MAX
    }
}

/// Twice 150 ms, ITU-T G.1010, table I.1.
const RTT_PREFERRED: Duration = Duration::from_millis(300);
/// Twice 400 ms, from the same row.
const RTT_MAX: Duration = Duration::from_millis(800);
/// From the same row.
const LOSS_PERCENT_MAX: u128 = 3;
/// With as many, one lost packet is 1 %.
const LOSS_PACKETS_MIN: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rtt_ms: u64, lost: u64, sent: u64, expected: Quality) {
        let stats = ConnectionStats {
            rtt: Some(Duration::from_millis(rtt_ms)),
            packets_lost: Some(lost),
            packets_sent: Some(sent),
            ..Default::default()
        };
        assert_eq!(stats.quality(), Some(expected), "{rtt_ms} ms, {lost} of {sent} lost");
    }

    // Each bound is tried on both of its sides, so a bound that moves fails here.
    #[test]
    fn each_bound_is_where_it_is_documented() {
        check(300, 0, 1_000, Quality::Good);
        check(301, 0, 1_000, Quality::Fair);
        check(800, 0, 1_000, Quality::Fair);
        check(801, 0, 1_000, Quality::Poor);
        check(20, 30, 1_000, Quality::Good);
        check(20, 31, 1_000, Quality::Poor);
        check(20, 50, 99, Quality::Good);
        check(20, 50, 100, Quality::Poor);
        check(20, u64::MAX, u64::MAX, Quality::Poor);
    }

    #[test]
    fn nothing_is_said_before_a_round_trip_is_known() {
        assert_eq!(ConnectionStats::default().quality(), None);
    }
}
