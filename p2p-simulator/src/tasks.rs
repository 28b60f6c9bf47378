//! The tasks of simulated peers: by name, so that a report can tell them, and with their panics.

use std::{
    any::Any,
    collections::BTreeMap,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use p2p::{BoxFuture, TaskHandle};
use parking_lot::Mutex;
use tokio::task::AbortHandle;

use crate::{
    driver::Failure,
    shared::Shared,
    world::{life::Life, node::NodeIx},
};

/// All tasks of a network.
#[derive(Default)]
pub(crate) struct Tasks {
    live: Mutex<Live>,
    /// The one polled last, plus one.
    last_polled: AtomicU64,
}

#[derive(Default)]
struct Live {
    next: u64,
    /// By number, so in the order they were started.
    tasks: BTreeMap<u64, Entry>,
}

struct Entry {
    node: NodeIx,
    name: &'static str,
    /// Set once the executor has it.
    abort: Option<AbortHandle>,
}

impl Tasks {
    fn register(&self, node: NodeIx, name: &'static str) -> u64 {
        let mut live = self.live.lock();
        let id = live.next;
        live.next += 1;
        live.tasks.insert(id, Entry { node, name, abort: None });
        id
    }

    /// How many live tasks of each name each node has.
    pub(crate) fn counts(&self) -> BTreeMap<(NodeIx, &'static str), usize> {
        let mut counts = BTreeMap::new();
        for task in self.live.lock().tasks.values() {
            *counts.entry((task.node, task.name)).or_default() += 1;
        }
        counts
    }

    /// The task that was polled last, if it still lives.
    pub(crate) fn last_polled(&self) -> Option<(NodeIx, &'static str)> {
        let id = self.last_polled.load(Relaxed).checked_sub(1)?;
        self.named(id)
    }

    /// Ends all tasks of a node, in the order they were started. Each is dropped when the executor comes to it.
    pub(crate) fn abort_all_of(&self, node: NodeIx) {
        let tasks = &self.live.lock().tasks;
        tasks
            .values()
            .filter(|task| task.node == node)
            .filter_map(|task| task.abort.as_ref())
            .for_each(AbortHandle::abort);
    }

    fn named(&self, id: u64) -> Option<(NodeIx, &'static str)> {
        self.live.lock().tasks.get(&id).map(|task| (task.node, task.name))
    }
}

/// Starts a task of that life of a peer; in one that is over, nothing starts.
pub(crate) fn spawn(shared: &Arc<Shared>, life: Life, name: &'static str, task: BoxFuture<'static, ()>) -> TaskHandle {
    let is_over = || !shared.with(|world| world.is_alive(life));
    if is_over() {
        return TaskHandle::new(|| ());
    }
    let id = shared.tasks.register(life.node, name);
    let task = shared.executor().spawn(Task { future: task, place: Place { id, shared: shared.clone() } });
    if let Some(entry) = shared.tasks.live.lock().tasks.get_mut(&id) {
        entry.abort = Some(task.abort_handle());
    }
    // On several threads the peer may have crashed just now, without finding this task.
    if is_over() {
        task.abort();
    }
    TaskHandle::new(move || task.abort())
}

/// A task that is known by name.
struct Task {
    future: BoxFuture<'static, ()>,
    /// Dropped after the future.
    place: Place,
}

struct Place {
    id: u64,
    shared: Arc<Shared>,
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { future, place } = &mut *self;
        place.shared.tasks.last_polled.store(place.id + 1, Relaxed);
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(polled) => polled,
            Err(panic) => {
                place.panicked(panic);
                Poll::Ready(())
            }
        }
    }
}

impl Place {
    /// In virtual time a panic fails the run; in real time it is the executor's, as everywhere.
    fn panicked(&self, panic: Box<dyn Any + Send>) {
        let Some(verdict) = self.shared.verdict() else {
            resume_unwind(panic);
        };
        let task = self.shared.tasks.named(self.id);
        let (node, task) = task.expect("a task is registered while it lives");
        let node = self.shared.with(|world| world.node_name(node).to_string());
        verdict.fail(Failure::Panicked { node: Some(node), task: task.into(), message: panic_message(&*panic) });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.tasks.live.lock().tasks.remove(&self.id);
    }
}

/// What a panic said, if it said it in words.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without words").into()
}
