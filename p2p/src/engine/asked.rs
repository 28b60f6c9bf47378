//! What the driver was woken for, so that it looks at that and at nothing else.
//!
//! One task waits for all that can happen to a connection. What it waits for lies far apart in memory: with thousands of idle
//! connections, to look at all of it for each keepalive costs more than the keepalive.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::SeqCst},
    },
    task::{Wake, Waker},
};

use super::readers::Readers;

/// What a driver may be asked to look at: any of the constants, together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked(u8);

impl Asked {
    /// The control stream can be read.
    pub(crate) const CONTROL: Self = Self(1);
    /// Messages or finished streams, in either direction, or the connection's end.
    pub(crate) const MESSAGES: Self = Self(2);
    /// The transport's path, or its end.
    pub(crate) const TRANSPORT: Self = Self(4);
    const ALL: Self = Self(7);

    pub(crate) const fn includes(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// What was asked for since it was last taken. At first everything, as nothing waits yet.
#[derive(Debug)]
pub(crate) struct AskedSoFar(AtomicU8);

impl Default for AskedSoFar {
    fn default() -> Self {
        Self(AtomicU8::new(Asked::ALL.0))
    }
}

impl AskedSoFar {
    pub(crate) fn add(&self, what: Asked) {
        self.0.fetch_or(what.0, SeqCst);
    }

    /// Takes what is among `these`. Taken before it is looked at, so that nothing that comes meanwhile is forgotten.
    pub(crate) fn take(&self, these: Asked) -> Asked {
        if self.0.load(SeqCst) & these.0 == 0 {
            return Asked(0);
        }
        Asked(self.0.fetch_and(!these.0, SeqCst) & these.0)
    }

    pub(crate) fn take_all(&self) -> Asked {
        self.take(Asked::ALL)
    }
}

/// A waker that wakes the driver for one thing.
pub(crate) fn waker(readers: &Arc<Readers>, what: Asked) -> Waker {
    Waker::from(Arc::new(Ask { readers: readers.clone(), what }))
}

struct Ask {
    readers: Arc<Readers>,
    what: Asked,
}

impl Wake for Ask {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.readers.ask_driver(self.what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_told_once_and_the_rest_stays() {
        let asked = AskedSoFar::default();
        assert_eq!(asked.take_all(), Asked::ALL);
        assert_eq!(asked.take_all(), Asked(0));
        asked.add(Asked::CONTROL);
        asked.add(Asked::TRANSPORT);
        assert_eq!(asked.take(Asked::TRANSPORT), Asked::TRANSPORT);
        assert_eq!(asked.take(Asked::MESSAGES), Asked(0));
        assert_eq!(asked.take_all(), Asked::CONTROL);
    }

    #[test]
    fn whoever_asks_wakes_the_driver_that_ran_last() {
        let driver = Arc::new(Counted::default());
        let readers = Arc::<Readers>::default();
        let control = waker(&readers, Asked::CONTROL);
        // Before the driver has run there is nobody to wake, and it will look at everything when it does.
        control.wake_by_ref();
        readers.set_driver(&driver.clone().into());
        assert_eq!(readers.asked().take_all(), Asked::ALL);
        control.wake_by_ref();
        assert_eq!(driver.0.load(SeqCst), 1);
        assert_eq!(readers.asked().take_all(), Asked::CONTROL);
    }

    #[derive(Default)]
    struct Counted(AtomicU8);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }
}
