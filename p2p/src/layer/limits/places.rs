//! Who takes up a place: connections from the dial or the handshake to their end.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;

use super::bounds::Bounds;
use crate::{ConnectionState, Instant, P2PError, PeerId, Result, Runtime, Watch};

/// How long a place is kept for a dialler who was welcomed: as long as the engine gives a handshake. Whoever is accepted
/// later has to find another.
const WELCOME: Duration = Duration::from_secs(10);

/// The state of the layer.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) bounds: Bounds,
    runtime: Arc<dyn Runtime>,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    peers: BTreeMap<PeerId, Vec<Place>>,
    /// All in `peers`.
    count: usize,
    dials: usize,
    /// The count at which places of ended connections are looked for, though nobody needs one.
    tidy_at: usize,
}

/// One place. What became free is noticed when somebody needs it, or the table has doubled, so that no connection needs a
/// task that waits for its end, and the table is at most twice what it has to be.
#[derive(Debug)]
enum Place {
    Dialling,
    Welcomed { since: Instant },
    Connected(Watch<ConnectionState>),
}

impl Place {
    fn is_free(&self, now: Instant) -> bool {
        match self {
            Self::Dialling => false,
            Self::Welcomed { since } => now - *since >= WELCOME,
            Self::Connected(state) => state.read(ConnectionState::is_closed),
        }
    }
}

impl Places {
    pub(super) fn new(bounds: Bounds, runtime: Arc<dyn Runtime>) -> Self {
        Self { bounds, runtime, taken: Mutex::default() }
    }

    /// Takes a place for a dial.
    pub(super) fn dial(self: &Arc<Self>, peer: PeerId) -> Result<Dial> {
        let mut taken = self.taken.lock();
        if let Some(limit) = self.bounds.dials.filter(|&limit| taken.dials >= limit) {
            return Err(P2PError::LimitReached { what: "dials in flight", limit });
        }
        self.take(&mut taken, peer, Place::Dialling)?;
        taken.dials += 1;
        Ok(Dial { places: self.clone(), peer, is_done: false })
    }

    /// Takes a place for a dialler, who is about to be welcomed.
    pub(super) fn welcome(&self, peer: PeerId) -> Result<()> {
        let since = self.runtime.now();
        self.take(&mut self.taken.lock(), peer, Place::Welcomed { since })
    }

    /// The dialler was refused by somebody else.
    pub(super) fn turn_away(&self, peer: PeerId) {
        self.taken.lock().remove(peer, |place| matches!(place, Place::Welcomed { .. }));
    }

    /// A dialler was accepted: its place is the connection's now.
    pub(super) fn accepted(&self, peer: PeerId, state: Watch<ConnectionState>) -> Result<()> {
        let mut taken = self.taken.lock();
        taken.remove(peer, |place| matches!(place, Place::Welcomed { .. }));
        self.take(&mut taken, peer, Place::Connected(state))
    }

    fn take(&self, taken: &mut Taken, peer: PeerId, place: Place) -> Result<()> {
        let now = self.runtime.now();
        if taken.count >= taken.tidy_at {
            taken.tidy(now);
            taken.tidy_at = 2 * taken.count.max(32);
        }
        if let Some(limit) = self.bounds.connections_per_peer.filter(|&limit| taken.of(peer) >= limit) {
            taken.tidy_peer(peer, now);
            if taken.of(peer) >= limit {
                return Err(P2PError::LimitReached { what: "connections with one peer", limit });
            }
        }
        if let Some(limit) = self.bounds.connections.filter(|&limit| taken.count >= limit) {
            taken.tidy(now);
            if taken.count >= limit {
                return Err(P2PError::LimitReached { what: "connections", limit });
            }
        }
        taken.peers.entry(peer).or_default().push(place);
        taken.count += 1;
        Ok(())
    }
}

impl Taken {
    fn of(&self, peer: PeerId) -> usize {
        self.peers.get(&peer).map_or(0, Vec::len)
    }

    /// Removes the peer's oldest place of that kind, if there is one.
    fn remove(&mut self, peer: PeerId, is_it: impl Fn(&Place) -> bool) {
        let Some(places) = self.peers.get_mut(&peer) else { return };
        if let Some(at) = places.iter().position(is_it) {
            places.remove(at);
            self.count -= 1;
        }
        if places.is_empty() {
            self.peers.remove(&peer);
        }
    }

    fn tidy(&mut self, now: Instant) {
        self.peers.retain(|_, places| {
            places.retain(|place| !place.is_free(now));
            !places.is_empty()
        });
        self.count = self.peers.values().map(Vec::len).sum();
    }

    fn tidy_peer(&mut self, peer: PeerId, now: Instant) {
        let Some(places) = self.peers.get_mut(&peer) else { return };
        let before = places.len();
        places.retain(|place| !place.is_free(now));
        self.count -= before - places.len();
        if places.is_empty() {
            self.peers.remove(&peer);
        }
    }
}

/// A dial in flight. Dropping it gives its place up.
#[derive(Debug)]
pub(super) struct Dial {
    places: Arc<Places>,
    peer: PeerId,
    is_done: bool,
}

impl Dial {
    /// The dial has led to a connection, which keeps the place until its end.
    pub(super) fn connected(mut self, state: Watch<ConnectionState>) {
        self.is_done = true;
        let mut taken = self.places.taken.lock();
        taken.dials -= 1;
        let ours = taken
            .peers
            .get_mut(&self.peer)
            .and_then(|places| places.iter_mut().find(|place| matches!(place, Place::Dialling)));
        *ours.expect("this dial has a place, which nobody else gives up") = Place::Connected(state);
    }
}

impl Drop for Dial {
    fn drop(&mut self) {
        if !self.is_done {
            let mut taken = self.places.taken.lock();
            taken.dials -= 1;
            taken.remove(self.peer, |place| matches!(place, Place::Dialling));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CloseReason, TokioRuntime, WatchSender};

    fn open() -> ConnectionState {
        ConnectionState::Connected { path: None }
    }

    // Ten thousand connections come and go, from as many peers, and nobody ever asks for a place that is not there.
    #[tokio::test]
    async fn without_bounds_the_table_still_forgets_who_has_left() {
        let places = Arc::new(Places::new(Bounds::NONE, Arc::new(TokioRuntime)));
        for number in 0..10_000 {
            let peer = PeerId::from_name(&number.to_string());
            let state = WatchSender::new(open());
            places.dial(peer).unwrap().connected(state.subscribe());
            state.set(ConnectionState::Closed { reason: CloseReason::TimedOut, unacknowledged: 0 });
            let taken = places.taken.lock();
            assert!(taken.count <= 64 && taken.peers.len() == taken.count, "{}", taken.count);
        }
    }
}
