//! How much a peer may send before it is read: a part at first, more while what it sends is read as fast as it comes.
//!
//! QUIC's credit cannot be taken back, so a window that was given counts until its connection and the last of its streams
//! are gone. That is why it has to be earned: a peer whose data nobody reads keeps what it began with.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use iroh::endpoint::{Connection, VarInt, WeakConnectionHandle};
use p2p::{Instant, Runtime};
use parking_lot::Mutex;

use crate::{admission::Admission, budget::Loan, limits::Level};

/// One connection's window, shared by its streams.
pub(crate) struct Window {
    connection: WeakConnectionHandle,
    runtime: Arc<dyn Runtime>,
    bytes_max: u64,
    /// Bytes read so far, on all streams.
    read: AtomicU64,
    /// Where the next look at the clock is due.
    look_at: AtomicU64,
    growth: Mutex<Growth>,
    /// What lies beyond the smallest window.
    loan: Loan,
    /// Whom to ask for room when there is nothing left to borrow.
    admission: Weak<Admission>,
}

struct Growth {
    bytes: u64,
    looked: Instant,
    /// The bytes read when this was last examined for a standstill, and since when they are the same.
    examined: Option<(u64, Instant)>,
}

impl Window {
    pub(crate) fn new(
        connection: &Connection,
        level: Level,
        loan: Loan,
        admission: &Arc<Admission>,
        runtime: &Arc<dyn Runtime>,
    ) -> Arc<Self> {
        let bytes = u64::from(level.connection);
        Arc::new(Self {
            connection: connection.weak_handle(),
            runtime: runtime.clone(),
            bytes_max: admission.window_bytes_max().into(),
            read: AtomicU64::new(0),
            look_at: AtomicU64::new(bytes / 2),
            growth: Mutex::new(Growth { bytes, looked: runtime.now(), examined: None }),
            loan,
            admission: Arc::downgrade(admission),
        })
    }

    /// Notes that so many bytes were read. Costs an addition, except for two looks at the clock per window.
    pub(crate) fn read(&self, bytes: usize) {
        let read = self.read.fetch_add(bytes as u64, Relaxed) + bytes as u64;
        if read >= self.look_at.load(Relaxed) {
            self.look(read);
        }
    }

    /// Since when nothing was read, as far as the calls of this function can tell, and the bytes that are borrowed
    /// meanwhile. Nothing if none are, or there was something to read since the last call.
    pub(crate) fn stands_still(&self) -> Option<(Instant, u64)> {
        let (now, read) = (self.runtime.now(), self.read.load(Relaxed));
        let mut growth = self.growth.lock();
        match growth.examined {
            Some((before, since)) if before == read => Some((since, self.loan.bytes())).filter(|(_, bytes)| *bytes > 0),
            _ => {
                growth.examined = Some((read, now));
                None
            }
        }
    }

    fn look(&self, read: u64) {
        let mut growth = self.growth.lock();
        // Somebody else was faster.
        if read < self.look_at.load(Relaxed) {
            return;
        }
        let now = self.runtime.now();
        let mut is_starved = false;
        let took = now - std::mem::replace(&mut growth.looked, now);
        if growth.bytes < self.bytes_max
            && let Some(connection) = self.connection.upgrade()
        {
            let rtt = connection.paths().iter().find(|path| path.is_selected()).map(|path| path.rtt());
            // Half a window within two round trips: the window is what holds the peer back, or soon will.
            if took <= (rtt.unwrap_or_default() * 2).max(ROUND_TRIPS_MIN) {
                is_starved = !self.grow(&mut growth, &connection);
            }
        }
        self.look_at.store(read + growth.bytes / 2, Relaxed);
        drop(growth);
        // Not under the lock: it looks at other windows, and at this one.
        if is_starved && let Some(admission) = self.admission.upgrade() {
            admission.make_room(now);
        }
    }

    /// Doubles the window if there is something left to borrow.
    fn grow(&self, growth: &mut Growth, connection: &Connection) -> bool {
        let wanted = (growth.bytes * 2).min(self.bytes_max);
        let lent = self.loan.extend(wanted - growth.bytes, 2);
        if lent {
            growth.bytes = wanted;
            connection.set_receive_window(VarInt::try_from(wanted).expect("a window is given as 32 bits"));
        }
        lent
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window").field("read", &self.read).field("lent", &self.loan.bytes()).finish_non_exhaustive()
    }
}

/// Two round trips of the shortest path that windows are made for, so that data that flows on a local network goes on at its
/// pace should the path become longer.
const ROUND_TRIPS_MIN: Duration = Duration::from_millis(100);
