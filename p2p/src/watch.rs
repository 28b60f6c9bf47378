//! A value that others can read and wait on, waking them in the order they came.
//!
//! Tokio's `watch` wakes its receivers in random order, which a replayed run cannot repeat. This one is smaller, and
//! deterministic.

use std::{
    collections::BTreeMap,
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Poll, Waker},
};

use parking_lot::Mutex;

/// The writing end. When the last clone is dropped, waiting readers learn that no change will come.
pub struct WatchSender<T>(Arc<SenderGuard<T>>);

/// The reading end. Clones see the same value and each remember on their own what they have seen.
pub struct Watch<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

/// No change will come any more: the writing end is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the watched value will not change any more")]
pub struct WatchEnded;

struct Shared<T>(Mutex<Inner<T>>);

struct Inner<T> {
    value: T,
    version: u64,
    ended: bool,
    /// Keyed by arrival, so that they are woken in that order.
    waiting: BTreeMap<u64, Waker>,
    arrivals: u64,
}

struct SenderGuard<T>(Arc<Shared<T>>);

impl<T> WatchSender<T> {
    /// A value with nobody watching yet.
    pub fn new(value: T) -> Self {
        let inner = Inner { value, version: 0, ended: false, waiting: BTreeMap::new(), arrivals: 0 };
        Self(Arc::new(SenderGuard(Arc::new(Shared(Mutex::new(inner))))))
    }

    /// A reader, which has seen the present value.
    pub fn subscribe(&self) -> Watch<T> {
        let shared = self.0.0.clone();
        let seen = shared.0.lock().version;
        Watch { shared, seen }
    }

    /// Replaces the value and wakes readers, if it is different.
    pub fn set(&self, value: T)
    where
        T: PartialEq,
    {
        self.modify(|old| {
            let changed = *old != value;
            if changed {
                *old = value;
            }
            changed
        });
    }

    /// Changes the value in place. `change` says whether it did; only then are readers woken.
    pub fn modify(&self, change: impl FnOnce(&mut T) -> bool) {
        let mut inner = self.0.0.0.lock();
        if !change(&mut inner.value) {
            return;
        }
        inner.version += 1;
        let waiting = std::mem::take(&mut inner.waiting);
        drop(inner);
        waiting.into_values().for_each(Waker::wake);
    }

    /// Looks at the value.
    pub fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.0.0.0.lock().value)
    }
}

impl<T> Drop for SenderGuard<T> {
    fn drop(&mut self) {
        let mut inner = self.0.0.lock();
        inner.ended = true;
        let waiting = std::mem::take(&mut inner.waiting);
        drop(inner);
        waiting.into_values().for_each(Waker::wake);
    }
}

impl<T> Watch<T> {
    /// A value that never changes.
    pub fn constant(value: T) -> Self {
        WatchSender::new(value).subscribe()
    }

    /// The value now. Does not count as seeing it: [`changed`](Self::changed) still reports it.
    pub fn get(&self) -> T
    where
        T: Clone,
    {
        self.read(T::clone)
    }

    /// Looks at the value now.
    pub fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.shared.0.lock().value)
    }

    /// Waits for a value that this reader has not seen, and returns the newest.
    ///
    /// # Errors
    /// [`WatchEnded`] if the writing end is gone and everything was seen.
    ///
    /// # Cancel safety
    /// Dropping the future misses no change.
    pub async fn changed(&mut self) -> Result<T, WatchEnded>
    where
        T: Clone,
    {
        let mut waiting = Waiting { shared: self.shared.clone(), key: None };
        let (version, value) = poll_fn(|cx| {
            let mut inner = waiting.shared.0.lock();
            if inner.version != self.seen {
                return Poll::Ready(Ok((inner.version, inner.value.clone())));
            }
            if inner.ended {
                return Poll::Ready(Err(WatchEnded));
            }
            let key = *waiting.key.get_or_insert_with(|| {
                inner.arrivals += 1;
                inner.arrivals
            });
            inner.waiting.insert(key, cx.waker().clone());
            Poll::Pending
        })
        .await?;
        self.seen = version;
        Ok(value)
    }

    /// Waits until `wanted` holds, now or after some change, and returns that value.
    ///
    /// # Errors
    /// [`WatchEnded`] if it does not hold and no change will come.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn wait_for(&mut self, mut wanted: impl FnMut(&T) -> bool) -> Result<T, WatchEnded>
    where
        T: Clone,
    {
        loop {
            {
                let inner = self.shared.0.lock();
                self.seen = inner.version;
                if wanted(&inner.value) {
                    return Ok(inner.value.clone());
                }
            }
            let value = self.changed().await?;
            if wanted(&value) {
                return Ok(value);
            }
        }
    }
}

/// A place in the queue, given up when the future is dropped.
struct Waiting<T> {
    shared: Arc<Shared<T>>,
    key: Option<u64>,
}

impl<T> Drop for Waiting<T> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.shared.0.lock().waiting.remove(&key);
        }
    }
}

impl<T> Clone for WatchSender<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Clone for Watch<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), seen: self.seen }
    }
}

impl<T: fmt::Debug> fmt::Debug for WatchSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read(|value| f.debug_tuple("WatchSender").field(value).finish())
    }
}

impl<T: fmt::Debug> fmt::Debug for Watch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read(|value| f.debug_tuple("Watch").field(value).finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn readers_wake_in_the_order_they_came() {
        let sender = WatchSender::new(0);
        let order = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..20)
            .map(|reader| {
                let (mut watch, order) = (sender.subscribe(), order.clone());
                tokio::spawn(async move {
                    watch.changed().await.unwrap();
                    order.lock().push(reader);
                })
            })
            .collect();
        tokio::task::yield_now().await;
        sender.set(1);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock(), (0..20).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn only_the_newest_value_is_seen_and_an_equal_one_is_no_change() {
        let sender = WatchSender::new(0);
        let mut watch = sender.subscribe();
        sender.set(1);
        sender.set(2);
        assert_eq!(watch.changed().await, Ok(2));
        sender.set(2);
        drop(sender);
        assert_eq!(watch.changed().await, Err(WatchEnded));
    }

    #[tokio::test]
    async fn waiting_for_a_value_sees_the_present_one_and_ends_with_the_sender() {
        let sender = WatchSender::new(5);
        let mut watch = sender.subscribe();
        assert_eq!(watch.wait_for(|value| *value == 5).await, Ok(5));
        let waiter = tokio::spawn(async move { watch.wait_for(|value| *value == 9).await });
        tokio::task::yield_now().await;
        sender.set(6);
        drop(sender);
        assert_eq!(waiter.await.unwrap(), Err(WatchEnded));
    }
}
