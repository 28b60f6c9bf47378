//! Time, tasks and randomness of one simulated peer.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, Waker},
    time::SystemTime,
};

use p2p::{BoxFuture, Instant, Rng, Runtime, TaskHandle, Timer};

use crate::{
    shared::Shared,
    tasks,
    world::{clock::NodeClock, life::Life, timer::TimerKey},
};

/// The [`Runtime`] of one life of a simulated peer.
///
/// Its clock is the network's unless a fault says otherwise, its timers are events of the network, and its tasks are known by name and node.
pub(crate) struct NodeRuntime {
    shared: Arc<Shared>,
    life: Life,
    clock: Arc<NodeClock>,
}

impl NodeRuntime {
    pub(crate) fn new(shared: Arc<Shared>, life: Life) -> Self {
        let clock = shared.with(|world| world.clock_of(life.node).clone());
        Self { shared, life, clock }
    }
}

impl Runtime for NodeRuntime {
    fn now(&self) -> Instant {
        shown(&self.clock, &self.shared)
    }

    fn wall_time(&self) -> SystemTime {
        let shown = self.shared.wall_time(self.now());
        match self.clock.wall_is_off_by() {
            (true, ahead) => shown + ahead,
            (false, behind) => shown - behind,
        }
    }

    fn timer(&self) -> Box<dyn Timer> {
        let (shared, clock) = (self.shared.clone(), self.clock.clone());
        Box::new(NodeTimer { shared, clock, life: self.life, key: None, deadline: None, waiting: None })
    }

    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) -> TaskHandle {
        tasks::spawn(&self.shared, self.life, name, task)
    }

    fn rng(&self, label: &str) -> Rng {
        self.shared.with(|world| world.peer_rng(self.life, label))
    }
}

impl fmt::Debug for NodeRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeRuntime").field("now", &self.now()).finish_non_exhaustive()
    }
}

/// Now, as the peer's own clock has it.
fn shown(clock: &NodeClock, shared: &Shared) -> Instant {
    let now = shared.now();
    // Looked at first, because it is at hand, and the peer's clock is not.
    if !shared.clocks_are_off.load(Relaxed) {
        return now;
    }
    Instant::from_nanos(clock.shown_at(now.as_nanos()))
}

/// A timer that is an event of the world while it is set.
struct NodeTimer {
    shared: Arc<Shared>,
    clock: Arc<NodeClock>,
    life: Life,
    /// Made when it is set for the first time.
    key: Option<TimerKey>,
    deadline: Option<Instant>,
    /// Whom the world wakes. Known here too, so that polling again before the time does not lock the world.
    waiting: Option<Waker>,
}

impl Timer for NodeTimer {
    fn reset(&mut self, deadline: Option<Instant>) {
        if self.deadline == deadline {
            return;
        }
        self.deadline = deadline;
        let at = deadline.map(Instant::as_nanos);
        let (key, life) = (&mut self.key, self.life);
        let is_awaited = self.shared.with(|world| {
            let key = *key.get_or_insert_with(|| world.create_timer(life));
            world.set_timer(key, at);
            world.is_timer_awaited(key)
        });
        // If it fired and nobody has polled it since, the world has let go of whom it woke.
        if !is_awaited {
            self.waiting = None;
        }
    }

    fn poll_fired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (Some(key), Some(deadline)) = (self.key, self.deadline) else {
            return Poll::Pending;
        };
        let waits = self.waiting.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if waits && shown(&self.clock, &self.shared) < deadline {
            return Poll::Pending;
        }
        let fired = self.shared.with(|world| world.poll_timer(key, cx.waker()));
        self.waiting = fired.is_pending().then(|| cx.waker().clone());
        fired
    }
}

impl Drop for NodeTimer {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.shared.with(|world| world.remove_timer(key));
        }
    }
}

impl fmt::Debug for NodeTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeTimer").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}
