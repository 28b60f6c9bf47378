//! What tokio calls when no task can run: lets the next thing happen.

use std::{
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::failure::{Failure, Waiting};
use crate::{
    shared::{Shared, Step},
    world::wakes::Wakes,
};

/// What happens when no task can run.
pub(super) struct Idle {
    /// Weak, because the world's executor holds this.
    world: OnceLock<Weak<Shared>>,
    limit: u64,
    /// Kept between turns, so that they allocate nothing.
    wakes: Mutex<Wakes>,
    /// How often virtual time had its turn, for the watchdog.
    turns: Arc<AtomicU64>,
}

impl Idle {
    pub(super) fn new(limit: u64) -> Self {
        Self { world: OnceLock::new(), limit, wakes: Mutex::default(), turns: Arc::default() }
    }

    /// From now on it lets things happen there.
    pub(super) fn start(&self, world: &Arc<Shared>) {
        self.world.get_or_init(|| Arc::downgrade(world));
    }

    /// How often it had its turn: grows as long as the run gets on.
    pub(super) fn turns(&self) -> Arc<AtomicU64> {
        self.turns.clone()
    }

    /// Lets things happen until somebody is woken, or says why that will never be.
    pub(super) fn turn(&self) {
        let Some(shared) = self.world.get().and_then(Weak::upgrade) else {
            return;
        };
        let Some(verdict) = shared.verdict() else {
            return;
        };
        self.turns.fetch_add(1, Relaxed);
        let mut wakes = self.wakes.lock();
        loop {
            match shared.step(self.limit, &mut wakes) {
                Step::Done { changed_tasks } => {
                    let woken = changed_tasks || wakes.wake_somebody();
                    wakes.run();
                    if woken {
                        // A task that is woken may have ended before. So that the executor looks for work in any case:
                        return verdict.nudge();
                    }
                }
                Step::Nothing => return verdict.fail(Failure::Stalled { waiting: Waiting::of(&shared) }),
                Step::BeyondLimit => {
                    let limit = Duration::from_nanos(self.limit);
                    return verdict.fail(Failure::TimeLimit { limit, waiting: Waiting::of(&shared) });
                }
            }
        }
    }
}
