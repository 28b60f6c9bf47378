//! One world, shared by all that live in it: the lock around it, the clock that moves it, and its tasks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use p2p::Instant;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::{
    SimulatorConfig,
    claims::Claimed,
    driver::{Failure, RealClock, Verdict},
    programs::Programs,
    tasks::Tasks,
    trace::TraceMode,
    world::{World, life::Order, wakes::Wakes},
};

/// What a [`Network`](crate::Network) is a handle of.
pub(crate) struct Shared {
    world: Mutex<World>,
    /// The world's time, readable without its lock.
    now: AtomicU64,
    /// Whether peers' clocks have to be asked what they show.
    pub(crate) clocks_are_off: Arc<AtomicBool>,
    pub(crate) clock: Clock,
    pub(crate) tasks: Tasks,
    pub(crate) programs: Programs,
    pub(crate) claimed: Claimed,
    executor: Handle,
    pub(crate) seed: u64,
}

/// What moves time.
pub(crate) enum Clock {
    /// The next event, whenever all tasks wait; and where the run's failure is told.
    Virtual(Arc<Verdict>),
    /// Tokio's clock.
    Real(RealClock),
}

/// When virtual time begins, for those who ask what a clock on the wall shows: 2025-01-01T00:00:00Z.
const VIRTUAL_EPOCH: Duration = Duration::from_secs(1_735_689_600);

impl Shared {
    pub(crate) fn new(config: SimulatorConfig, trace: TraceMode, clock: Clock, executor: Handle) -> Arc<Self> {
        let seed = config.seed;
        let world = World::new(config, trace);
        Arc::new(Self {
            clocks_are_off: world.clocks_are_off.clone(),
            world: Mutex::new(world),
            now: AtomicU64::new(0),
            clock,
            tasks: Tasks::default(),
            programs: Programs::default(),
            claimed: Claimed::default(),
            executor,
            seed,
        })
    }

    /// Does something in the world, then wakes whom it concerns, when the world is no longer locked.
    pub(crate) fn with<R>(self: &Arc<Self>, act: impl FnOnce(&mut World) -> R) -> R {
        let mut world = self.world.lock();
        if let Clock::Real(clock) = &self.clock {
            world.advance_to(clock.now());
        }
        let result = act(&mut world);
        let mut wakes = if world.wakes.is_empty() { Wakes::default() } else { std::mem::take(&mut world.wakes) };
        let orders = std::mem::take(&mut world.orders);
        let next = match &self.clock {
            Clock::Virtual(_) => None,
            Clock::Real(_) => world.next_at(),
        };
        drop(world);
        wakes.run();
        if !orders.is_empty() {
            self.obey(orders);
        }
        if let (Clock::Real(clock), Some(next)) = (&self.clock, next) {
            clock.due(next);
        }
        result
    }

    /// Does what the world cannot, as it knows no tasks. Never call this while the world is locked.
    #[cold]
    fn obey(self: &Arc<Self>, orders: Vec<Order>) {
        for order in orders {
            match order {
                Order::Kill(node) => self.tasks.abort_all_of(node),
                Order::Start(node) => self.programs.start(self, node),
                Order::Fail(reason) => self.fail_plan(reason),
            }
        }
    }

    #[expect(clippy::print_stderr, reason = "in real time there is no run to fail, and nobody else is left to say it")]
    fn fail_plan(&self, reason: String) {
        match self.verdict() {
            Some(verdict) => verdict.fail(Failure::Plan { reason }),
            None => eprintln!("the simulated network cannot follow its plan: {reason}"),
        }
    }

    /// Lets the next thing happen, if it is due by `limit`, and fills `wakes`, which the caller runs.
    pub(crate) fn step(self: &Arc<Self>, limit: u64, wakes: &mut Wakes) -> Step {
        let mut world = self.world.lock();
        match world.next_at() {
            None => return Step::Nothing,
            Some(at) if at > limit => return Step::BeyondLimit,
            Some(_) => {}
        }
        world.step();
        self.now.store(world.now(), Relaxed);
        std::mem::swap(&mut world.wakes, wakes);
        let orders = std::mem::take(&mut world.orders);
        drop(world);
        if orders.is_empty() {
            return Step::Done { changed_tasks: false };
        }
        self.obey(orders);
        Step::Done { changed_tasks: true }
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_nanos(match &self.clock {
            Clock::Virtual(_) => self.now.load(Relaxed),
            Clock::Real(clock) => clock.now(),
        })
    }

    /// What a clock on the wall shows then.
    pub(crate) fn wall_time(&self, then: Instant) -> SystemTime {
        let since = Duration::from_nanos(then.as_nanos());
        match &self.clock {
            Clock::Virtual(_) => SystemTime::UNIX_EPOCH + VIRTUAL_EPOCH + since,
            Clock::Real(clock) => clock.wall_origin() + since,
        }
    }

    pub(crate) fn executor(&self) -> &Handle {
        &self.executor
    }

    /// Where a run's failure is told; nothing on a real clock, where a run has no end to fail.
    pub(crate) fn verdict(&self) -> Option<&Arc<Verdict>> {
        match &self.clock {
            Clock::Virtual(verdict) => Some(verdict),
            Clock::Real(_) => None,
        }
    }
}

/// What [`Shared::step`] did.
pub(crate) enum Step {
    /// It happened, and perhaps tasks were ended or started with it.
    Done { changed_tasks: bool },
    /// Nothing is due, ever.
    Nothing,
    /// The next thing is due after the limit.
    BeyondLimit,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Clock::Real(clock) = &self.clock {
            clock.end();
        }
    }
}
