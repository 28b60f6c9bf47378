//! Notices, by the clock on the wall, that virtual time stands still because a task never waits.
//!
//! Virtual time moves when all tasks wait. A task that spins keeps that from ever happening, and nothing inside the run
//! could notice. This thread decides nothing else, so it makes no difference to a run that is well.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

/// A thread that watches until it is dropped.
pub(super) struct Watchdog {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    ended: Mutex<bool>,
    end: Condvar,
}

impl Watchdog {
    /// Calls `bark` when `progress` stood still for `patience`, and `bite` when it still does after as long again.
    pub(super) fn start(
        patience: Duration,
        progress: Arc<AtomicU64>,
        bark: impl Fn() + Send + 'static,
        bite: impl Fn() + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared { ended: Mutex::new(false), end: Condvar::new() });
        let watching = shared.clone();
        let watch = move || {
            let mut seen = progress.load(Relaxed);
            let mut barked = false;
            let mut ended = watching.ended.lock();
            while !*ended {
                if !watching.end.wait_for(&mut ended, patience).timed_out() {
                    continue;
                }
                let now = progress.load(Relaxed);
                match (now == seen, barked) {
                    (false, _) => barked = false,
                    (true, false) => {
                        barked = true;
                        bark();
                    }
                    (true, true) => bite(),
                }
                seen = now;
            }
        };
        let thread = std::thread::Builder::new().name("simulation watchdog".into()).spawn(watch);
        // Without a thread to spare the run goes on unwatched.
        Self { shared, thread: thread.ok() }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        *self.shared.ended.lock() = true;
        self.shared.end.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
