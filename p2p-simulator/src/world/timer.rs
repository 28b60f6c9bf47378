//! Timers that can be set again and cancelled without leaving anything behind.
//!
//! A cancelled timer must not be there any more: if it were, it would still move virtual time to its deadline. So the
//! heap knows where each timer stands and takes it out.

use std::task::Waker;

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
    /// When, and the tie among equal times. Meaningful while it stands in the heap.
    due: (u64, u64),
    /// What it was set to by its peer's own clock.
    pub(super) deadline: u64,
    /// The record of what was handled when it was set.
    pub(super) cause: u64,
    /// Where it stands in the heap, if it is set.
    place: Option<u32>,
    pub(super) fired: bool,
    pub(super) waker: Option<Waker>,
}

/// All timers, the earliest first.
pub(crate) struct Timers {
    all: Slab<Timer>,
    /// A binary heap by `due`.
    heap: Vec<TimerKey>,
}

impl Timers {
    pub(super) const fn new() -> Self {
        Self { all: Slab::new(), heap: Vec::new() }
    }

    /// A timer that is not set.
    pub(super) fn create(&mut self, of: TimerOf) -> TimerKey {
        self.all.insert(Timer { of, due: (0, 0), deadline: 0, cause: 0, place: None, fired: false, waker: None })
    }

    pub(super) fn get_mut(&mut self, key: TimerKey) -> Option<&mut Timer> {
        self.all.get_mut(key)
    }

    /// Sets the timer, wherever it was before. Does nothing for one that is removed.
    pub(super) fn set(&mut self, key: TimerKey, at: u64, tie: u64) {
        let Some(timer) = self.all.get_mut(key) else {
            return;
        };
        timer.due = (at, tie);
        timer.fired = false;
        let place = match timer.place {
            Some(place) => place as usize,
            None => {
                self.heap.push(key);
                self.heap.len() - 1
            }
        };
        let place = self.rise(place);
        self.sink(place);
    }

    /// Takes the timer out of the heap.
    pub(super) fn unset(&mut self, key: TimerKey) {
        let Some(timer) = self.all.get_mut(key) else {
            return;
        };
        timer.fired = false;
        let Some(place) = timer.place.take() else {
            return;
        };
        let place = place as usize;
        self.heap.swap_remove(place);
        if place < self.heap.len() {
            let place = self.rise(place);
            self.sink(place);
        }
    }

    /// Removes the timer and returns whom it would have woken.
    pub(super) fn remove(&mut self, key: TimerKey) -> Option<Waker> {
        self.unset(key);
        self.all.remove(key)?.waker
    }

    /// When that timer is due, if it is set and did not fire.
    pub(super) fn due_at(&self, key: TimerKey) -> Option<u64> {
        let timer = self.all.get(key)?;
        timer.place.map(|_| timer.due.0)
    }

    /// When the earliest timer is due, and its tie.
    pub(super) fn next(&self) -> Option<(u64, u64)> {
        self.heap.first().map(|&key| self.due(key))
    }

    /// Takes the earliest timer out of the heap and marks it fired.
    pub(super) fn pop(&mut self) -> Option<TimerKey> {
        let &key = self.heap.first()?;
        self.unset(key);
        self.all.get_mut(key).expect("what stands in the heap exists").fired = true;
        Some(key)
    }

    /// The timers of that life that are set, with their deadlines.
    pub(super) fn set_of(&self, life: super::life::Life) -> Vec<(TimerKey, u64)> {
        let is_set = |timer: &Timer| matches!(timer.of, TimerOf::Task(of) if of == life) && timer.place.is_some();
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

    fn due(&self, key: TimerKey) -> (u64, u64) {
        self.all.get(key).expect("what stands in the heap exists").due
    }

    fn rise(&mut self, mut place: usize) -> usize {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.due(self.heap[parent]) <= self.due(self.heap[place]) {
                break;
            }
            self.heap.swap(parent, place);
            self.note(place);
            place = parent;
        }
        self.note(place);
        place
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let earlier = |heap: &Self, a: usize, b: usize| {
                b < heap.heap.len() && heap.due(heap.heap[b]) < heap.due(heap.heap[a])
            };
            let mut least = place;
            for child in [2 * place + 1, 2 * place + 2] {
                if earlier(self, least, child) {
                    least = child;
                }
            }
            if least == place {
                return self.note(place);
            }
            self.heap.swap(place, least);
            self.note(place);
            place = least;
        }
    }

    fn note(&mut self, place: usize) {
        let key = self.heap[place];
        self.all.get_mut(key).expect("what stands in the heap exists").place = Some(place as u32);
    }
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
