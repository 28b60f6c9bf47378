//! Whom to wake when the message stream can be read.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Wake, Waker},
};

use parking_lot::Mutex;

use super::{
    asked::{Asked, AskedSoFar},
    waiters::{Waiters, wake_all},
};

/// The message stream's reading half is polled with this as its waker, by whoever polls it.
///
/// Transports wake it under locks of their own. So its locks are never held while a transport is called, and it holds
/// nothing of the connection's: to drop the last of a connection here would call the transport back.
#[derive(Debug)]
pub(crate) struct Readers {
    /// Those in `recv`.
    receivers: Mutex<Waiters>,
    /// Whether there are any, so that a burst of messages does not take their lock for each.
    receiving: AtomicBool,
    driver: Mutex<Option<Waker>>,
    /// What the driver is to look at when it runs.
    asked: AskedSoFar,
    /// Whether the stream may hold anything: it was woken, or gave something, since it was last found empty.
    readable: AtomicBool,
}

impl Default for Readers {
    fn default() -> Self {
        Self {
            receivers: Mutex::default(),
            receiving: AtomicBool::new(false),
            driver: Mutex::default(),
            asked: AskedSoFar::default(),
            readable: AtomicBool::new(true),
        }
    }
}

impl Readers {
    /// Waits in `recv`, at the place that `key` holds or at a new one at the end.
    pub(crate) fn register(&self, key: &mut Option<u64>, waker: &Waker) {
        let mut receivers = self.receivers.lock();
        receivers.register(key, waker);
        self.receiving.store(true, SeqCst);
    }

    /// A caller leaves `recv`. Says whether it was woken before.
    pub(crate) fn leave(&self, key: u64) -> bool {
        let mut receivers = self.receivers.lock();
        let woken = !receivers.remove(key);
        self.receiving.store(!receivers.is_empty(), SeqCst);
        woken
    }

    /// Something can be taken: the first in `recv` takes it. Says whether there is one.
    pub(crate) fn wake_receiver(&self) -> bool {
        if !self.receiving.load(SeqCst) {
            return false;
        }
        let receiver = {
            let mut receivers = self.receivers.lock();
            let first = receivers.take_one();
            self.receiving.store(!receivers.is_empty(), SeqCst);
            first
        };
        let found = receiver.is_some();
        receiver.into_iter().for_each(Waker::wake);
        found
    }

    /// Wakes all in `recv`.
    pub(crate) fn wake_receivers(&self) {
        wake_all(&self.receivers);
    }

    /// Something can be read: whoever waits in `recv` reads it, else the driver.
    pub(crate) fn wake_one(&self) {
        if !self.wake_receiver() {
            self.wake_driver();
        }
    }

    /// Lets the driver look at the messages.
    pub(crate) fn wake_driver(&self) {
        self.ask_driver(Asked::MESSAGES);
    }

    /// Lets the driver look at something.
    pub(crate) fn ask_driver(&self, what: Asked) {
        self.asked.add(what);
        let driver = self.driver.lock().clone();
        driver.into_iter().for_each(Waker::wake);
    }

    /// What the driver was asked to look at, for the driver, which says [who it is](Self::set_driver) first.
    pub(crate) const fn asked(&self) -> &AskedSoFar {
        &self.asked
    }

    /// Remembers how to wake the driver.
    pub(crate) fn set_driver(&self, waker: &Waker) {
        let mut driver = self.driver.lock();
        if !driver.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *driver = Some(waker.clone());
        }
    }

    /// Whether a read could yield anything. While it could not, the stream holds the waker.
    pub(crate) fn is_readable(&self) -> bool {
        self.readable.load(SeqCst)
    }

    /// Set to `false` before the stream is polled, so that a wake-up meanwhile is not forgotten, and to `true` after it
    /// gave something.
    pub(crate) fn set_readable(&self, readable: bool) {
        self.readable.store(readable, SeqCst);
    }
}

impl Wake for Readers {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.set_readable(true);
        self.wake_one();
    }
}
