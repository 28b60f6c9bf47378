//! Which messages are worth a try, and what came of it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{CompressionConfig, CompressionTotals, frame};

/// Decides for one connection. After a message that compression did not help, one is passed over, then two, then four:
/// as many as did not help in a row, in powers of two up to [`PASSED_OVER_MAX`].
#[derive(Debug, Default)]
pub(super) struct Worth {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Messages still to be passed over.
    left: u32,
    /// How many will be passed over after the next that is not helped.
    next: u32,
}

/// With as many, a connection on which nothing helps tries one message in 65.
const PASSED_OVER_MAX: u32 = 64;

impl Worth {
    /// The frame for a message.
    pub(super) fn frame(&self, message: &[u8], config: &CompressionConfig, totals: &Totals) -> Bytes {
        if message.len() < config.threshold_bytes || !self.is_worth_a_try() {
            return frame::plain(message);
        }
        let compressed = frame::compressed(message);
        self.learn(compressed.is_some());
        match compressed {
            Some(frame) => {
                totals.compressed.fetch_add(1, Relaxed);
                frame
            }
            None => {
                totals.not_helped.fetch_add(1, Relaxed);
                frame::plain(message)
            }
        }
    }

    fn is_worth_a_try(&self) -> bool {
        let mut state = self.state.lock();
        let left = state.left;
        state.left = left.saturating_sub(1);
        left == 0
    }

    fn learn(&self, helped: bool) {
        let mut state = self.state.lock();
        *state = if helped {
            State::default()
        } else {
            let left = state.next.max(1);
            State { left, next: (left * 2).min(PASSED_OVER_MAX) }
        };
    }
}

#[derive(Debug, Default)]
pub(super) struct Totals {
    compressed: AtomicU64,
    not_helped: AtomicU64,
    message_bytes: AtomicU64,
    wire_bytes: AtomicU64,
}

impl Totals {
    /// A message was accepted, and went as so many bytes.
    pub(super) fn accepted(&self, message_bytes: usize, wire_bytes: usize) {
        self.message_bytes.fetch_add(message_bytes as u64, Relaxed);
        self.wire_bytes.fetch_add(wire_bytes as u64, Relaxed);
    }

    pub(super) fn get(&self) -> CompressionTotals {
        CompressionTotals {
            compressed: self.compressed.load(Relaxed),
            not_helped: self.not_helped.load(Relaxed),
            message_bytes: self.message_bytes.load(Relaxed),
            wire_bytes: self.wire_bytes.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_help_is_tried_ever_less_often_until_it_helps() {
        let (worth, totals, config) = (Worth::default(), Totals::default(), CompressionConfig::default());
        // No four bytes of it come twice, as in what is encrypted.
        let noise: Vec<u8> =
            (0..1_000_u32).flat_map(|at| blake3::hash(&at.to_le_bytes()).as_bytes()[..8].to_vec()).collect();
        for _ in 0..1_000 {
            worth.frame(&noise, &config, &totals);
        }
        let tried = totals.get().not_helped;
        assert!((15..30).contains(&tried), "{tried} of 1,000 were tried");
        for _ in 0..200 {
            worth.frame(&[7; 1_000], &config, &totals);
        }
        assert!(totals.get().compressed >= 200 - u64::from(PASSED_OVER_MAX), "{:?}", totals.get());
    }

    #[test]
    fn small_messages_are_not_tried() {
        let (worth, totals, config) = (Worth::default(), Totals::default(), CompressionConfig::default());
        worth.frame(&[7; 511], &config, &totals);
        assert_eq!(totals.get().compressed, 0);
        worth.frame(&[7; 512], &config, &totals);
        assert_eq!(totals.get().compressed, 1);
    }
}
