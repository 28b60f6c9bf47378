//! Tasks that wait for the same thing, woken in the order they came.

use std::{collections::BTreeMap, task::Waker};

use parking_lot::Mutex;

/// A queue of wakers.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    waiting: BTreeMap<u64, Waker>,
    arrivals: u64,
}

impl Waiters {
    /// Waits, at the place that `key` holds or at a new one at the end.
    pub(crate) fn register(&mut self, key: &mut Option<u64>, waker: &Waker) {
        let key = *key.get_or_insert_with(|| {
            self.arrivals += 1;
            self.arrivals
        });
        self.waiting.insert(key, waker.clone());
    }

    /// Gives a place up. Says whether it still was in the queue, which it is not once it was woken.
    pub(crate) fn remove(&mut self, key: u64) -> bool {
        self.waiting.remove(&key).is_some()
    }

    /// The first in the queue, to be woken when no lock is held.
    pub(crate) fn take_one(&mut self) -> Option<Waker> {
        self.waiting.pop_first().map(|(_, waker)| waker)
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// All in the queue, in order.
    pub(crate) fn take_all(&mut self) -> BTreeMap<u64, Waker> {
        std::mem::take(&mut self.waiting)
    }
}

/// Wakes all that wait, after the lock is released.
pub(crate) fn wake_all(waiters: &Mutex<Waiters>) {
    let waiting = waiters.lock().take_all();
    waiting.into_values().for_each(Waker::wake);
}
