//! Who listens, who calls, and how many there are of each.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    sync::Arc,
};

use p2p::PeerId;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::{PeerBounds, proof::CallId};
use crate::{route::ClientId, socket::BoxSocket};

/// What the sockets share. Everything in it belongs to one client, and is found by that client alone.
pub(super) struct Registry {
    bounds: PeerBounds,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Bounded by the seats.
    peers: BTreeMap<(ClientId, PeerId), (u64, mpsc::Sender<CallId>)>,
    arrivals: u64,
    /// Bounded by the seats: each is a pipe that is being opened.
    calls: BTreeMap<(ClientId, CallId), oneshot::Sender<BoxSocket>>,
    seats: BTreeMap<ClientId, [usize; 2]>,
    pipes: usize,
}

/// There is no room.
#[derive(Debug)]
pub(super) struct Full;

impl Registry {
    pub(super) fn new(bounds: PeerBounds) -> Self {
        Self { bounds, inner: Mutex::default() }
    }

    /// A place for one more of that kind, if there is one.
    pub(super) fn seat(self: &Arc<Self>, client: &ClientId, kind: usize) -> Option<Seat> {
        let mut inner = self.inner.lock();
        let taken = inner.seats.get(client).map_or(0, |seats| seats[kind]);
        let is_pipe = kind == Seat::PIPE;
        let max = if is_pipe { self.bounds.pipes_per_client } else { self.bounds.peers_per_client };
        if taken >= max || is_pipe && inner.pipes >= self.bounds.pipes {
            return None;
        }
        inner.seats.entry(client.clone()).or_default()[kind] += 1;
        inner.pipes += usize::from(is_pipe);
        Some(Seat { registry: self.clone(), client: client.clone(), kind })
    }

    /// Makes a peer known, that proved its key. One that was known before by another socket is so no longer: its key is the same, and
    /// that socket may be dead.
    pub(super) fn listen(self: &Arc<Self>, client: &ClientId, peer: PeerId) -> Listening {
        let (sender, calls) = mpsc::channel(CALLS_WAITING_MAX);
        let mut inner = self.inner.lock();
        inner.arrivals += 1;
        let id = inner.arrivals;
        let key = (client.clone(), peer);
        let replaced = inner.peers.insert(key.clone(), (id, sender));
        drop(inner);
        drop(replaced);
        Listening { registry: self.clone(), key, id, calls }
    }

    pub(super) fn is_listening(&self, client: &ClientId, peer: PeerId) -> bool {
        self.inner.lock().peers.contains_key(&(client.clone(), peer))
    }

    /// Calls a peer; `None` if it does not listen.
    pub(super) fn call(self: &Arc<Self>, client: &ClientId, peer: PeerId, id: CallId) -> Result<Option<Call>, Full> {
        let (taker, taken) = oneshot::channel();
        let mut inner = self.inner.lock();
        let Some((_, calls)) = inner.peers.get(&(client.clone(), peer)) else { return Ok(None) };
        calls.try_send(id).map_err(|_| Full)?;
        let key = (client.clone(), id);
        inner.calls.insert(key.clone(), taker);
        drop(inner);
        Ok(Some(Call { registry: self.clone(), key, taken }))
    }

    pub(super) fn is_calling(&self, client: &ClientId, id: CallId) -> bool {
        self.inner.lock().calls.contains_key(&(client.clone(), id))
    }

    /// Takes a call with that socket, which comes back if nobody calls.
    pub(super) fn take(&self, client: &ClientId, id: CallId, socket: BoxSocket) -> Result<(), BoxSocket> {
        let call = self.inner.lock().calls.remove(&(client.clone(), id));
        match call {
            Some(taker) => taker.send(socket),
            None => Err(socket),
        }
    }
}

/// One of the places for peers or pipes, given up when dropped.
pub(super) struct Seat {
    registry: Arc<Registry>,
    client: ClientId,
    kind: usize,
}

impl Seat {
    pub(super) const PEER: usize = 0;
    pub(super) const PIPE: usize = 1;
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut inner = self.registry.inner.lock();
        inner.pipes -= usize::from(self.kind == Self::PIPE);
        if let Entry::Occupied(mut seats) = inner.seats.entry(self.client.clone()) {
            seats.get_mut()[self.kind] -= 1;
            if *seats.get() == [0; 2] {
                seats.remove();
            }
        }
    }
}

/// A peer that is known, until this is dropped.
pub(super) struct Listening {
    registry: Arc<Registry>,
    key: (ClientId, PeerId),
    id: u64,
    calls: mpsc::Receiver<CallId>,
}

impl Listening {
    /// The next call; `None` once a newer socket has taken the place.
    pub(super) async fn next_call(&mut self) -> Option<CallId> {
        self.calls.recv().await
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Entry::Occupied(known) = self.registry.inner.lock().peers.entry(self.key.clone())
            && known.get().0 == self.id
        {
            known.remove();
        }
    }
}

/// A call that waits to be taken, until this is dropped.
pub(super) struct Call {
    registry: Arc<Registry>,
    key: (ClientId, CallId),
    taken: oneshot::Receiver<BoxSocket>,
}

impl Call {
    /// The socket that took it; `None` if none will.
    pub(super) async fn taken(&mut self) -> Option<BoxSocket> {
        (&mut self.taken).await.ok()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let call = self.registry.inner.lock().calls.remove(&self.key);
        drop(call);
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.inner.lock();
        f.debug_struct("Registry")
            .field("peers", &inner.peers.len())
            .field("pipes", &inner.pipes)
            .finish_non_exhaustive()
    }
}

/// Calls that a peer has not heard of. One more is refused.
const CALLS_WAITING_MAX: usize = 64;
