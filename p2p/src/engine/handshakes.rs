//! The handshakes that are answered now: a bounded number, of which the slowest makes room when all places are taken.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;

use crate::{Instant, Watch, WatchSender};

/// Handshakes that are answered at once, if the provider does not say otherwise. The next dialler takes the place of one that has taken over a second; if there
/// is none, it is told that this side is busy, and may try again.
pub const HANDSHAKES_MAX: usize = 64;

/// How long a handshake keeps its place against newcomers: several round trips of any path. Without it, few peers that
/// say nothing would keep everybody out for as long as a handshake may take.
const UNDISTURBED: Duration = Duration::from_secs(1);

/// The places.
#[derive(Debug)]
pub(super) struct Handshakes {
    max: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// When each began, by arrival. To drop the sender displaces it.
    going: BTreeMap<u64, (Instant, WatchSender<()>)>,
    arrivals: u64,
}

impl Handshakes {
    /// That many places.
    pub(super) fn new(max: usize) -> Self {
        Self { max, inner: Mutex::default() }
    }

    /// A place for one more, if one is free or can be made so.
    pub(super) fn begin(self: &Arc<Self>, now: Instant) -> Option<Handshake> {
        let mut inner = self.inner.lock();
        let displaced = if inner.going.len() < self.max {
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
        let place = self.all.inner.lock().going.remove(&self.id);
        drop(place);
    }
}
