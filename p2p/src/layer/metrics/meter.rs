//! What one connection, its streams and its lifetime count with.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use super::{
    labels::{Dir, Label, PathKind, What},
    series::Series,
};
use crate::{Instant, Runtime};

#[derive(Debug)]
pub(super) struct Meter {
    pub(super) series: Arc<Series>,
    pub(super) runtime: Arc<dyn Runtime>,
    /// The path in use, by its place in [`PathKind::ALL`]; bytes are counted by it.
    path: AtomicUsize,
}

impl Meter {
    pub(super) fn new(series: Arc<Series>, runtime: Arc<dyn Runtime>, path: PathKind) -> Self {
        Self { series, runtime, path: AtomicUsize::new(path.index()) }
    }

    pub(super) fn path(&self) -> PathKind {
        PathKind::ALL[self.path.load(Ordering::Relaxed)]
    }

    pub(super) fn set_path(&self, path: PathKind) {
        self.path.store(path.index(), Ordering::Relaxed);
    }

    pub(super) fn message(&self, dir: Dir, bytes: usize) {
        self.series.messages[dir].increment(1);
        self.bytes(dir, bytes);
    }

    pub(super) fn datagram(&self, dir: Dir, bytes: usize) {
        self.series.datagrams[dir].increment(1);
        self.bytes(dir, bytes);
    }

    pub(super) fn bytes(&self, dir: Dir, bytes: usize) {
        self.series.bytes[dir][self.path()].increment(bytes as u64);
    }

    /// Counts the time that `future` waits, from when it is found not to be ready.
    pub(super) async fn timed<F: Future>(self: &Arc<Self>, what: What, future: F) -> F::Output {
        let mut future = pin!(future);
        let mut wait = None;
        poll_fn(|cx| {
            let poll = future.as_mut().poll(cx);
            self.waits(&mut wait, what, &poll);
            poll
        })
        .await
    }

    /// Begins or ends `wait` as a poll turned out.
    pub(super) fn waits<T>(self: &Arc<Self>, wait: &mut Option<Wait>, what: What, poll: &Poll<T>) {
        if poll.is_ready() {
            *wait = None;
        } else if wait.is_none() {
            self.series.sends_waiting[what].increment(1);
            *wait = Some(Wait { meter: self.clone(), what, since: self.runtime.now() });
        }
    }
}

/// A wait for room, counted when it ends: with room, with an error, or because nobody waits any more.
#[derive(Debug)]
pub(super) struct Wait {
    meter: Arc<Meter>,
    what: What,
    since: Instant,
}

impl Drop for Wait {
    fn drop(&mut self) {
        let waited = self.meter.runtime.now() - self.since;
        self.meter.series.sends_waiting[self.what].decrement(1);
        self.meter.series.backpressure[self.what].add(waited);
    }
}
