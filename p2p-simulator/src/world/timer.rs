//! Timers that can be set again and cancelled without leaving anything behind.
//!
//! A timer that is set again leaves its old entry in the heap, to be dropped when it comes to the top; so entries know nothing of
//! their place, and sifting touches the heap alone, not thousands of timers all over the memory. An entry that means nothing never
//! stands at the top: if it did, a cancelled timer would still move virtual time to its deadline.

use std::{cmp::Reverse, collections::BinaryHeap, task::Waker};

use super::slab::{Key, Slab};

/// A timer's name.
pub(crate) type TimerKey = Key<Timer>;

/// Whom a timer serves.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TimerOf {
    /// A task of a peer, in that life of it.
    Task(super::life::Life),
    /// An entry of the plan.
    Plan(u32),
    /// Writers that wait for room in a link's queue.
    LinkRoom(super::link::LinkIx),
    /// A connection's end whose data is not getting through.
    Unacknowledged(super::conn::EndId),
    /// A connection's end that looks for a direct path, or keeps one.
    Path(super::conn::EndId),
}

/// One timer.
pub(crate) struct Timer {
    pub(super) of: TimerOf,
    /// When, and the tie among equal times, if it is set. The tie is nobody else's, so it tells its entry in the heap.
    due: Option<(u64, u64)>,
    /// What it was set to by its peer's own clock.
    pub(super) deadline: u64,
    /// The record of what was handled when it was set.
    pub(super) cause: u64,
    pub(super) fired: bool,
    pub(super) waker: Option<Waker>,
}

/// All timers, the earliest first.
pub(crate) struct Timers {
    all: Slab<Timer>,
    /// Time, tie, timer.
    heap: BinaryHeap<Reverse<(u64, u64, TimerKey)>>,
    /// Entries of `heap` that mean nothing any more: at most as many as others, and [`STALE_MAX`].
    stale: usize,
}

/// Entries without a meaning that are never worth looking for.
const STALE_MAX: usize = 64;

impl Timers {
    pub(super) const fn new() -> Self {
        Self { all: Slab::new(), heap: BinaryHeap::new(), stale: 0 }
    }

    /// A timer that is not set.
    pub(super) fn create(&mut self, of: TimerOf) -> TimerKey {
        self.all.insert(Timer { of, due: None, deadline: 0, cause: 0, fired: false, waker: None })
    }

    pub(super) fn get_mut(&mut self, key: TimerKey) -> Option<&mut Timer> {
        self.all.get_mut(key)
    }

    /// Sets the timer, whatever it was set to before. `tie` was never used before. Does nothing for a timer that is removed.
    pub(super) fn set(&mut self, key: TimerKey, at: u64, tie: u64) {
        let Some(timer) = self.all.get_mut(key) else {
            return;
        };
        timer.fired = false;
        let before = timer.due.replace((at, tie));
        self.heap.push(Reverse((at, tie, key)));
        self.forget(before);
    }

    /// Makes the timer one that is not set.
    pub(super) fn unset(&mut self, key: TimerKey) {
        let Some(timer) = self.all.get_mut(key) else {
            return;
        };
        timer.fired = false;
        let before = timer.due.take();
        self.forget(before);
    }

    /// Removes the timer and returns whom it would have woken.
    pub(super) fn remove(&mut self, key: TimerKey) -> Option<Waker> {
        let timer = self.all.remove(key)?;
        self.forget(timer.due);
        timer.waker
    }

    /// When that timer is due, if it is set and did not fire.
    pub(super) fn due_at(&self, key: TimerKey) -> Option<u64> {
        self.all.get(key)?.due.map(|(at, _)| at)
    }

    /// When the earliest timer is due, and its tie.
    pub(super) fn next(&self) -> Option<(u64, u64)> {
        self.heap.peek().map(|Reverse((at, tie, _))| (*at, *tie))
    }

    /// Takes the earliest timer and marks it fired.
    pub(super) fn pop(&mut self) -> Option<TimerKey> {
        let Reverse((_, _, key)) = self.heap.pop()?;
        let timer = self.all.get_mut(key).expect("what stands at the top exists");
        (timer.due, timer.fired) = (None, true);
        self.drop_stale();
        Some(key)
    }

    /// The timers of that life that are set, with their deadlines.
    pub(super) fn set_of(&self, life: super::life::Life) -> Vec<(TimerKey, u64)> {
        let is_set = |timer: &Timer| matches!(timer.of, TimerOf::Task(of) if of == life) && timer.due.is_some();
        let deadline = |key| self.all.get(key).expect("just found").deadline;
        self.all.keys_where(is_set).into_iter().map(|key| (key, deadline(key))).collect()
    }

    /// Takes all timers of that life out of the heap.
    pub(super) fn unset_all_of(&mut self, life: super::life::Life) {
        let of_life = |timer: &Timer| matches!(timer.of, TimerOf::Task(of) if of == life);
        for key in self.all.keys_where(of_life) {
            self.unset(key);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// An entry means nothing any more, if there was one.
    fn forget(&mut self, entry: Option<(u64, u64)>) {
        if entry.is_none() {
            return;
        }
        self.stale += 1;
        self.drop_stale();
        if self.stale > STALE_MAX && self.stale > self.heap.len() / 2 {
            let all = &self.all;
            self.heap.retain(|Reverse(entry)| is_current(all, entry));
            self.stale = 0;
        }
    }

    /// Clears the top of what means nothing.
    fn drop_stale(&mut self) {
        while self.stale > 0 && self.heap.peek().is_some_and(|Reverse(entry)| !is_current(&self.all, entry)) {
            self.heap.pop();
            self.stale -= 1;
        }
    }
}

/// Whether that is what the timer is set to.
fn is_current(all: &Slab<Timer>, &(at, tie, key): &(u64, u64, TimerKey)) -> bool {
    all.get(key).is_some_and(|timer| timer.due == Some((at, tie)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::draw::{Draws, Purpose};
    use p2p::PeerId;

    // A reference model beside the heap: a plain vector that is searched.
    #[test]
    fn timers_fire_in_order_whatever_was_set_again_or_cancelled() {
        let mut all = Draws::new(3);
        let peer = PeerId::from_name("a");
        let mut draws = all.on_link(Purpose::Jitter, peer, peer);
        let mut timers = Timers::new();
        let mut model: Vec<(TimerKey, Option<(u64, u64)>)> =
            (0..50).map(|_| (timers.create(TimerOf::LinkRoom(0)), None)).collect();
        for step in 0..20_000 {
            let draw = draws.at(&mut all, step);
            let (key, due) = &mut model[(draw % 50) as usize];
            match draw >> 60 {
                0..10 => {
                    *due = Some((draw >> 32 & 0xff, step));
                    timers.set(*key, draw >> 32 & 0xff, step);
                }
                10..13 => {
                    *due = None;
                    timers.unset(*key);
                }
                _ => {
                    let least = model.iter_mut().filter(|(_, due)| due.is_some());
                    let expected = least.min_by_key(|(_, due)| *due);
                    assert_eq!(timers.next(), expected.as_ref().and_then(|(_, due)| *due));
                    let popped = timers.pop();
                    assert_eq!(popped, expected.as_ref().map(|(key, _)| *key));
                    if let Some((_, due)) = expected {
                        *due = None;
                    }
                }
            }
        }
    }

    #[test]
    fn a_cancelled_timer_leaves_nothing_that_could_move_time() {
        let mut timers = Timers::new();
        let (first, second) = (timers.create(TimerOf::LinkRoom(0)), timers.create(TimerOf::LinkRoom(0)));
        timers.set(first, 10, 0);
        timers.set(second, 20, 1);
        timers.unset(first);
        assert_eq!(timers.next(), Some((20, 1)));
        timers.remove(second);
        assert_eq!((timers.next(), timers.pop()), (None, None));
        assert_eq!(timers.len(), 1);
    }
}
