//! Datagrams that wait for the application.
//!
//! noq bounds its own queue by the bytes of the datagrams, but each keeps the buffer its packet came in, and the kernel hands
//! over packets by the dozen: one byte can keep 64 KiB. Here they are copied out, so the bound is what is really kept.

use std::{collections::VecDeque, pin::pin};

use bytes::Bytes;
use p2p::P2PError;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::limits::DATAGRAM_BYTES_MAX;

/// A queue that drops its oldest.
#[derive(Debug, Default)]
pub(crate) struct Datagrams {
    queue: Mutex<Queue>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Bytes>,
    bytes: usize,
    ended: Option<P2PError>,
}

impl Datagrams {
    /// Adds one, and drops the oldest while there are too many.
    pub(crate) fn push(&self, datagram: &[u8]) {
        let datagram = Bytes::copy_from_slice(datagram);
        let mut queue = self.queue.lock();
        queue.bytes += kept(&datagram);
        queue.waiting.push_back(datagram);
        while queue.bytes > DATAGRAM_BYTES_MAX as usize {
            let oldest = queue.waiting.pop_front().expect("the bytes are those of datagrams in here");
            queue.bytes -= kept(&oldest);
        }
        drop(queue);
        self.arrived.notify_one();
    }

    /// No more will come.
    pub(crate) fn end(&self, error: P2PError) {
        self.queue.lock().ended.get_or_insert(error);
        self.arrived.notify_waiters();
    }

    /// Waits for the oldest.
    ///
    /// # Cancel safety
    /// Dropping the future loses no datagram.
    pub(crate) async fn pop(&self) -> Result<Bytes, P2PError> {
        loop {
            let mut arrived = pin!(self.arrived.notified());
            // Before the look, so that nothing falls between the two.
            arrived.as_mut().enable();
            {
                let mut queue = self.queue.lock();
                if let Some(datagram) = queue.waiting.pop_front() {
                    queue.bytes -= kept(&datagram);
                    let more = !queue.waiting.is_empty();
                    drop(queue);
                    // One word may stand for several datagrams, and be taken by whoever is not the one to read them all.
                    if more {
                        self.arrived.notify_one();
                    }
                    return Ok(datagram);
                }
                if let Some(error) = &queue.ended {
                    return Err(error.clone());
                }
            }
            arrived.await;
        }
    }
}

/// What a datagram takes here, beside its own bytes: its handle in the queue, and the header of an allocation.
const fn kept(datagram: &Bytes) -> usize {
    datagram.len() + size_of::<Bytes>() + 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_go_first_and_what_is_left_arrives_in_order() {
        let datagrams = Datagrams::default();
        let count = 10_000_u32;
        for number in 0..count {
            datagrams.push(&number.to_le_bytes());
        }
        datagrams.end(P2PError::ShutDown);
        let mut kept = Vec::new();
        while let Ok(datagram) = datagrams.pop().await {
            kept.push(u32::from_le_bytes(datagram[..].try_into().unwrap()));
        }
        assert!(kept.len() > 1000 && kept.len() < DATAGRAM_BYTES_MAX as usize / 36, "{}", kept.len());
        assert!(kept.iter().copied().eq(count - kept.len() as u32..count));
    }

    #[tokio::test]
    async fn two_readers_both_hear_of_datagrams_that_came_at_once() {
        let datagrams = Datagrams::default();
        let both = async { tokio::join!(datagrams.pop(), datagrams.pop()) };
        let push = async {
            datagrams.push(b"one");
            datagrams.push(b"two");
        };
        let ((one, two), ()) = tokio::join!(both, push);
        let mut both = [one.unwrap(), two.unwrap()];
        both.sort();
        assert_eq!(both, ["one", "two"]);
    }
}
