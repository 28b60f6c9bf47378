//! The end of the program, as a value that can be awaited.

use std::{io, time::Duration};

use p2p::{Watch, WatchSender};

/// Tells every part of the program when to stop, and how long it may take over what is open.
#[derive(Debug, Clone)]
pub struct Shutdown {
    requested: Watch<bool>,
    drain: Duration,
    /// Where signals request it, others may, too.
    trigger: Option<ShutdownTrigger>,
}

/// Requests the end. Dropping the last clone requests it too, because nobody could any more.
#[derive(Debug, Clone)]
pub struct ShutdownTrigger(WatchSender<bool>);

impl ShutdownTrigger {
    /// Asks everybody to stop.
    pub fn request(&self) {
        self.0.set(true);
    }
}

impl Shutdown {
    /// A shutdown that waits for its trigger. What is open then gets `drain` to end by itself.
    pub fn new(drain: Duration) -> (ShutdownTrigger, Self) {
        let requested = WatchSender::new(false);
        let shutdown = Self { requested: requested.subscribe(), drain, trigger: None };
        (ShutdownTrigger(requested), shutdown)
    }

    /// A shutdown at the first SIGINT (Ctrl-C) or SIGTERM. The second ends the process at once.
    ///
    /// # Errors
    /// If the system does not let signals be handled.
    pub fn on_signals(drain: Duration) -> io::Result<Self> {
        let (trigger, mut shutdown) = Self::new(drain);
        shutdown.trigger = Some(trigger.clone());
        let mut signals = Signals::new()?;
        tokio::spawn(async move {
            signals.next().await;
            trigger.request();
            // 128 and the signal's number, as shells report a program that a signal ended.
            std::process::exit(128 + signals.next().await);
        });
        Ok(shutdown)
    }

    /// Waits until the end is requested.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn requested(&self) {
        // An error means that the trigger is gone.
        self.requested.clone().wait_for(|requested| *requested).await.ok();
    }

    /// Whether the end was requested, for who waits for it in another way.
    pub(crate) fn watch(&self) -> Watch<bool> {
        self.requested.clone()
    }

    /// Requests the end, if it is one [`on_signals`](Self::on_signals). Of others, who has the trigger decides.
    pub(crate) fn request(&self) {
        if let Some(trigger) = &self.trigger {
            trigger.request();
        }
    }

    /// Whether the end was requested.
    pub fn is_requested(&self) -> bool {
        self.requested.read(|requested| *requested)
    }

    /// How long what is open may take to end by itself.
    pub const fn drain(&self) -> Duration {
        self.drain
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next and returns its number.
    async fn next(&mut self) -> i32 {
        p2p::select! {
            _ = self.interrupt.recv() => 2,
            _ = self.terminate.recv() => 15,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> i32 {
        tokio::signal::ctrl_c().await.ok();
        2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dropped_trigger_requests_the_end() {
        let (trigger, shutdown) = Shutdown::new(Duration::ZERO);
        assert!(!shutdown.is_requested());
        drop(trigger);
        shutdown.requested().await;
    }
}
