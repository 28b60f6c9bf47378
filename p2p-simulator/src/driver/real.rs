//! Time as tokio's clock has it: one task sleeps until the next event is due.
#![allow(clippy::disallowed_methods, reason = "this driver follows tokio's clock")]

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};

use tokio::{sync::Notify, time::Instant};

use crate::shared::{Clock, Shared};

/// Tokio's clock, and the task that follows it.
pub(crate) struct RealClock {
    origin: Instant,
    wall_origin: SystemTime,
    /// When the pump wakes by itself.
    pump_due: AtomicU64,
    pump: Arc<Notify>,
}

impl RealClock {
    pub(crate) fn new() -> Self {
        Self {
            origin: Instant::now(),
            wall_origin: SystemTime::now(),
            pump_due: AtomicU64::new(u64::MAX),
            pump: Arc::new(Notify::new()),
        }
    }

    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(crate) const fn wall_origin(&self) -> SystemTime {
        self.wall_origin
    }

    /// Something is due then; the pump is told if it would sleep past it.
    pub(crate) fn due(&self, at: u64) {
        if self.pump_due.fetch_min(at, SeqCst) > at {
            self.pump.notify_one();
        }
    }

    /// The world is gone.
    pub(crate) fn end(&self) {
        self.pump.notify_one();
    }

    /// Starts the task that lets things happen when they are due. It ends with the world.
    pub(crate) fn start_pump(shared: &Arc<Shared>) {
        let Clock::Real(clock) = &shared.clock else {
            unreachable!("only a real clock has a pump");
        };
        tokio::spawn(pump(Arc::downgrade(shared), clock.pump.clone(), clock.origin));
    }
}

async fn pump(world: Weak<Shared>, woken: Arc<Notify>, origin: Instant) {
    while let Some(next) = turn(&world) {
        p2p::select! {
            () = woken.notified() => {}
            () = sleep_until(origin, next) => {}
        }
    }
}

/// Lets happen what is due, and says when the next thing is; nothing if the world is gone.
fn turn(world: &Weak<Shared>) -> Option<u64> {
    let shared = world.upgrade()?;
    let Clock::Real(clock) = &shared.clock else {
        return None;
    };
    // While it is awake nobody need wake it.
    clock.pump_due.store(0, SeqCst);
    let next = shared.with(|world| world.next_at()).unwrap_or(u64::MAX);
    clock.pump_due.store(next, SeqCst);
    // Whatever came up in between is told again, now that it counts.
    shared.with(|_| ());
    Some(next)
}

async fn sleep_until(origin: Instant, at: u64) {
    match origin.checked_add(Duration::from_nanos(at)) {
        Some(at) if at < Instant::now() + FAR => tokio::time::sleep_until(at).await,
        _ => std::future::pending().await,
    }
}

/// Beyond what is worth a timer: 30 years.
const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);
