//! No more bytes per second than a rule may carry.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use crate::rule::Bandwidth;

/// One direction of one rule, for all of its streams together: each takes its turn in the order of asking (GCRA).
///
/// The clock is tokio's, because what is limited are sockets of this machine.
#[derive(Debug)]
pub(super) struct Throttle {
    bandwidth: Bandwidth,
    /// When what was let pass so far is paid for.
    paid: Mutex<Instant>,
}

impl Throttle {
    pub(super) fn new(bandwidth: Bandwidth) -> Self {
        Self { bandwidth, paid: Mutex::new(Instant::now()) }
    }

    /// Waits until `bytes` more may pass.
    pub(super) async fn pace(&self, bytes: usize) {
        let cost = Duration::from_secs_f64(bytes as f64 / self.bandwidth.get() as f64);
        let turn = {
            let (mut paid, now) = (self.paid.lock(), Instant::now());
            let from = (*paid).max(now.checked_sub(BURST).unwrap_or(now));
            *paid = from + cost;
            *paid
        };
        sleep_until(turn).await;
    }

    /// Whether a datagram of `bytes` may pass now; one that may not is dropped and costs nothing.
    pub(super) fn admits(&self, bytes: usize) -> bool {
        let cost = Duration::from_secs_f64(bytes as f64 / self.bandwidth.get() as f64);
        let (mut paid, now) = (self.paid.lock(), Instant::now());
        let from = (*paid).max(now.checked_sub(BURST).unwrap_or(now));
        let fits = from <= now + BURST;
        if fits {
            *paid = from + cost;
        }
        fits
    }
}

/// What may pass at once after a pause, as time at the full rate: too short for a person to notice, long beside a timer's
/// millisecond.
const BURST: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_streams_share_one_rate() {
        let throttle = Throttle::new(Bandwidth::bytes_per_second(1_000_000).unwrap());
        let start = Instant::now();
        let stream = async {
            for _ in 0..100 {
                throttle.pace(10_000).await;
            }
        };
        tokio::join!(stream, async {
            for _ in 0..100 {
                throttle.pace(10_000).await;
            }
        });
        // 2 MB at 1 MB/s, less the burst.
        let took = start.elapsed().as_secs_f64();
        assert!((1.9..2.1).contains(&took), "{took}");
    }

    #[tokio::test(start_paused = true)]
    async fn datagrams_beyond_the_rate_are_refused() {
        let throttle = Throttle::new(Bandwidth::bytes_per_second(100_000).unwrap());
        let admitted = (0..1000).filter(|_| throttle.admits(1000)).count();
        assert!((5..=15).contains(&admitted), "{admitted}");
    }
}
