//! The peers that prove who they are just now: a bounded number, of whom the slowest makes room when all places are taken.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use p2p::{Instant, Runtime, TaskHandle};
use parking_lot::Mutex;

/// The tasks, by the order in which they began.
#[derive(Debug, Default)]
pub(super) struct Handshakes(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    going: BTreeMap<u64, (Instant, TaskHandle)>,
    arrivals: u64,
}

impl Handshakes {
    /// Runs one more, if there is or can be made a place; drops it otherwise, and with it the byte stream.
    pub(super) fn begin(
        self: &Arc<Self>,
        runtime: &Arc<dyn Runtime>,
        handshake: impl Future<Output = ()> + Send + 'static,
    ) {
        let mut inner = self.0.lock();
        let displaced = if inner.going.len() < HANDSHAKES_MAX {
            None
        } else {
            let oldest = inner.going.first_entry().filter(|oldest| runtime.now() - oldest.get().0 >= UNDISTURBED);
            let Some(oldest) = oldest else { return };
            Some(oldest.remove())
        };
        inner.arrivals += 1;
        let (id, all) = (inner.arrivals, self.clone());
        let going = async move {
            handshake.await;
            let ended = all.0.lock().going.remove(&id);
            if let Some((_, task)) = ended {
                task.detach();
            }
        };
        // Under the lock, which the task needs to end.
        let task = runtime.spawn("tunnel handshake", Box::pin(going));
        inner.going.insert(id, (runtime.now(), task));
        drop(inner);
        drop(displaced);
    }
}

/// Handshakes at once.
const HANDSHAKES_MAX: usize = 64;

/// How long one keeps its place against newcomers: several round trips of any way.
const UNDISTURBED: Duration = Duration::from_secs(1);
