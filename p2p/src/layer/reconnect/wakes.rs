//! Which of many things can go on, when one task waits for all of them.

use std::{
    collections::BTreeSet,
    sync::Arc,
    task::{Wake, Waker},
};

use parking_lot::Mutex;

/// The things that can go on. Each has a waker of its own, so that the task looks at what was woken, and not at all of
/// thousands. Its lock is the innermost: a waker may be called under any other.
#[derive(Debug, Default)]
pub(super) struct Wakes(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// At most one entry for each thing there is, or was since the last look.
    ready: BTreeSet<u64>,
    task: Option<Waker>,
}

impl Wakes {
    /// Notes who looks after all of them. To be called before [`take`](Self::take), so that no wake is missed.
    pub(super) fn register(&self, task: &Waker) {
        let mut inner = self.0.lock();
        if !inner.task.as_ref().is_some_and(|known| known.will_wake(task)) {
            inner.task = Some(task.clone());
        }
    }

    /// That one is to be looked at the next time, whenever that is.
    pub(super) fn add(&self, key: u64) {
        self.0.lock().ready.insert(key);
    }

    /// Those that are to be looked at, once: one that is woken while it is looked at has its turn when the task has.
    pub(super) fn take(&self) -> BTreeSet<u64> {
        std::mem::take(&mut self.0.lock().ready)
    }

    /// These were taken and not looked at.
    pub(super) fn put_back(&self, rest: impl IntoIterator<Item = u64>) {
        self.0.lock().ready.extend(rest);
    }

    /// What wakes the task for that one.
    pub(super) fn waker(self: &Arc<Self>, key: u64) -> Waker {
        Arc::new(One { all: self.clone(), key }).into()
    }
}

struct One {
    all: Arc<Wakes>,
    key: u64,
}

impl Wake for One {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let task = {
            let mut inner = self.all.0.lock();
            inner.ready.insert(self.key);
            inner.task.clone()
        };
        task.iter().for_each(Waker::wake_by_ref);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn a_task_learns_which_of_many_to_look_at() {
        let (wakes, count) = (Arc::new(Wakes::default()), Arc::new(Count::default()));
        let [first, _, third] = [1, 2, 3].map(|key| wakes.waker(key));
        first.wake_by_ref();
        wakes.register(&count.clone().into());
        third.wake_by_ref();
        third.wake();
        assert_eq!(count.0.load(Relaxed), 2, "once for each wake since there is a task");
        wakes.add(0);
        let mut ready = wakes.take();
        assert_eq!(ready, BTreeSet::from([0, 1, 3]));
        assert!(wakes.take().is_empty(), "each is looked at once");
        ready.pop_first();
        wakes.put_back(ready);
        assert_eq!(wakes.take(), BTreeSet::from([1, 3]));
        assert_eq!(count.0.load(Relaxed), 2, "an addition wakes nobody");
    }
}
