//! A runtime's time, for hyper.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::rt::Sleep;
use p2p::{Runtime, Timer};
use parking_lot::Mutex;

/// hyper counts in the standard library's instants: here they are the runtime's, from any beginning.
#[derive(Debug, Clone)]
pub(super) struct RuntimeTimer {
    runtime: Arc<dyn Runtime>,
    beginning: Instant,
}

impl RuntimeTimer {
    pub(super) fn new(runtime: Arc<dyn Runtime>) -> Self {
        Self { runtime, beginning: Instant::now() }
    }

    fn of(&self, instant: Instant) -> p2p::Instant {
        p2p::Instant::ZERO + instant.saturating_duration_since(self.beginning)
    }
}

impl hyper::rt::Timer for RuntimeTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let mut timer = self.runtime.timer();
        timer.reset(Some(self.of(deadline)));
        Box::pin(RuntimeSleep(Mutex::new(timer)))
    }

    fn now(&self) -> Instant {
        self.beginning + self.runtime.now().saturating_since(p2p::Instant::ZERO)
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<RuntimeSleep>() {
            Some(sleep) => sleep.0.lock().reset(Some(self.of(deadline))),
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

/// The lock is never contended: hyper wants to share what only one polls.
struct RuntimeSleep(Mutex<Box<dyn Timer>>);

impl Future for RuntimeSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.lock().poll_fired(cx)
    }
}

impl Sleep for RuntimeSleep {}
