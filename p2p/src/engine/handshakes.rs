//! The handshakes that are answered now: a bounded number, of which the slowest makes room when all places are taken.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;

use crate::{Instant, Watch, WatchSender};

/// Handshakes that are answered at once. The next dialler takes the place of one that has taken over a second; if there
/// is none, it is told that this side is busy, and may try again.
pub const HANDSHAKES_MAX: usize = 64;

/// How long a handshake keeps its place against newcomers: several round trips of any path. Without it, few peers that
/// say nothing would keep everybody out for as long as a handshake may take.
const UNDISTURBED: Duration = Duration::from_secs(1);

/// The places.
#[derive(Debug, Default)]
pub(super) struct Handshakes(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// When each began, by arrival. To drop the sender displaces it.
    going: BTreeMap<u64, (Instant, WatchSender<()>)>,
    arrivals: u64,
}

impl Handshakes {
    /// A place for one more, if one is free or can be made so.
    pub(super) fn begin(self: &Arc<Self>, now: Instant) -> Option<Handshake> {
        let mut inner = self.0.lock();
        let displaced = if inner.going.len() < HANDSHAKES_MAX {
            None
        } else {
            let oldest = inner.going.first_entry().filter(|oldest| now - oldest.get().0 >= UNDISTURBED)?;
            Some(oldest.remove())
        };
        inner.arrivals += 1;
        let (id, place) = (inner.arrivals, WatchSender::new(()));
        let kept = place.subscribe();
        inner.going.insert(id, (now, place));
        drop(inner);
        // Not under the lock: it wakes the handshake's task.
        drop(displaced);
        Some(Handshake { all: self.clone(), id, kept })
    }
}

/// A place, given up when dropped.
#[derive(Debug)]
pub(super) struct Handshake {
    all: Arc<Handshakes>,
    id: u64,
    kept: Watch<()>,
}

impl Handshake {
    /// Waits until the place is wanted for another.
    pub(super) async fn displaced(&self) {
        let _ = self.kept.clone().changed().await;
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        let place = self.all.0.lock().going.remove(&self.id);
        drop(place);
    }
}
