//! Whom to wake, collected while the world is locked and woken when it no longer is.

use std::task::Waker;

use p2p::{Path, WatchSender};

/// Wakers that left the world.
///
/// Waking, and even dropping, a waker may run code that wants the world, so neither happens while it is locked.
#[derive(Default)]
pub(crate) struct Wakes {
    /// To be woken, in this order.
    pub(crate) due: Vec<Waker>,
    /// To be dropped.
    pub(crate) discarded: Vec<Waker>,
    /// Paths to be made known.
    pub(crate) paths: Vec<(WatchSender<Option<Path>>, Option<Path>)>,
}

impl Wakes {
    pub(crate) fn is_empty(&self) -> bool {
        self.due.is_empty() && self.discarded.is_empty() && self.paths.is_empty()
    }

    /// Whether a task may have something to do when these have run.
    pub(crate) fn wake_somebody(&self) -> bool {
        !self.due.is_empty() || !self.paths.is_empty()
    }

    /// Wakes and drops them all. Never call this while the world is locked.
    pub(crate) fn run(&mut self) {
        self.due.drain(..).for_each(Waker::wake);
        self.discarded.clear();
        self.paths.drain(..).for_each(|(sender, path)| sender.set(path));
    }

    /// Puts a waker into its slot.
    pub(super) fn put(&mut self, slot: &mut Option<Waker>, waker: &Waker) {
        match slot {
            Some(old) if old.will_wake(waker) => {}
            _ => self.discarded.extend(slot.replace(waker.clone())),
        }
    }

    /// Wakes whoever is in the slot.
    pub(super) fn wake(&mut self, slot: &mut Option<Waker>) {
        self.due.extend(slot.take());
    }
}

/// Tasks that wait for the same thing. All are woken, in the order they came, and those that get nothing wait again.
pub(crate) struct Waiting(Vec<Waker>);

impl Waiting {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn wait(&mut self, waker: &Waker, wakes: &mut Wakes) {
        if self.0.iter().any(|waiting| waiting.will_wake(waker)) {
            return;
        }
        if self.0.len() == WAITING_MAX {
            // The oldest is woken and comes back if it still lives, so tasks that are gone do not add up.
            wakes.due.push(self.0.remove(0));
        }
        self.0.push(waker.clone());
    }

    pub(super) fn wake(&mut self, wakes: &mut Wakes) {
        wakes.due.append(&mut self.0);
    }
}

/// Wakers kept for one thing.
const WAITING_MAX: usize = 1024;
