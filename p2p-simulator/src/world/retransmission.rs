//! When a lost segment is sent again.

/// The least time before a segment is sent again: 10 ms, so that a link without latency does not flood.
const RETRANSMIT_AFTER_MIN_NS: u64 = 10_000_000;
/// The most time between two tries: 2 s. Stacks back off further, but other packets' acknowledgements make them try
/// sooner.
const RETRANSMIT_AFTER_MAX_NS: u64 = 2_000_000_000;

/// Time after which a segment is sent again for the first time: a round trip and a quarter of one.
pub(super) fn first_after(round_trip: u64) -> u64 {
    (round_trip + round_trip / 4).max(RETRANSMIT_AFTER_MIN_NS)
}

/// How long after it was first sent a segment is sent for the `times`-th time more.
pub(super) fn backoff(first: u64, times: u32) -> u64 {
    (0..times).map(|time| first.saturating_mul(1 << time.min(32)).min(RETRANSMIT_AFTER_MAX_NS.max(first))).sum()
}

/// When a packet first sent at `sent_at` is sent again, not before `now`.
pub(super) fn next_try(sent_at: u64, first: u64, now: u64) -> u64 {
    let (mut at, mut pause) = (sent_at, first);
    let pause_max = RETRANSMIT_AFTER_MAX_NS.max(first);
    while at < now && pause < pause_max {
        at = at.saturating_add(pause);
        pause = pause.saturating_mul(2).min(pause_max);
    }
    at + now.saturating_sub(at).div_ceil(pause_max) * pause_max
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_bound() {
        let seconds = |times| backoff(500_000_000, times) as f64 / 1e9;
        assert_eq!([0, 1, 2, 3, 4, 5].map(seconds), [0.0, 0.5, 1.5, 3.5, 5.5, 7.5]);
    }

    #[test]
    fn after_a_partition_the_next_try_is_one_of_the_backoff() {
        let first = 500_000_000;
        for now in [0, 1, 499_999_999, 3_400_000_000, 5_500_000_000, 5_500_000_001] {
            let tries = (0..9).map(|times| backoff(first, times));
            let expected = tries.into_iter().find(|&at| at >= now).unwrap();
            assert_eq!(next_try(7, first, now + 7), expected + 7);
        }
    }
}
