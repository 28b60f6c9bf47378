//! A connection that outlives its transports: the state, and how one waits for it to change.

use std::{
    future::poll_fn,
    ops::{Deref, DerefMut},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Semaphore;

use super::{
    progress::Progress,
    shared::Shared,
    state::{Finish, Link, REPLACED, State, Terms},
    wire::SessionId,
};
use crate::{
    CloseCode, CloseReason, ConnectionConfig, ConnectionState, Instant, Negotiated, P2PConnection, P2PProvider,
    PeerAddr, PeerId, Result, RoundTrips, Runtime, WatchSender, engine::Waiters, protocol::close, stats::Meter,
};

/// One session. Handles, streams and its driver share it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) peer: PeerId,
    pub(super) role: Role,
    pub(super) config: ConnectionConfig,
    pub(super) shared: Arc<Shared>,
    /// What the first handshake settled, without this layer's capability.
    pub(super) negotiated: Negotiated,
    pub(super) message_bytes_max: usize,
    pub(super) streams_max: usize,
    /// Streams that this side may still open.
    pub(super) streams: Arc<Semaphore>,
    pub(super) watch: WatchSender<ConnectionState>,
    pub(super) counters: Counters,
    pub(super) meter: Mutex<Meter>,
    /// Largest datagram of the last transport.
    pub(super) datagram_bytes_max: Mutex<Option<usize>>,
    state: Mutex<State>,
}

/// Which side of the session this is.
#[derive(Debug)]
pub(super) enum Role {
    /// The one that dials again.
    Dialler {
        provider: Arc<dyn P2PProvider>,
        addr: PeerAddr,
    },
    Accepter,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) messages_sent: AtomicU64,
    pub(super) messages_received: AtomicU64,
    pub(super) bytes_sent: AtomicU64,
    pub(super) bytes_received: AtomicU64,
    pub(super) datagrams_sent: AtomicU64,
    pub(super) datagrams_received: AtomicU64,
    pub(super) datagrams_dropped: AtomicU64,
    /// Packets that earlier transports lost and sent.
    pub(super) earlier_packets: [AtomicU64; 2],
    /// Round trips over earlier transports.
    pub(super) earlier_round_trips: Mutex<RoundTrips>,
}

pub(super) fn count(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Relaxed);
}

impl Session {
    /// A new session over its first transport.
    pub(super) fn new(
        id: SessionId,
        role: Role,
        config: ConnectionConfig,
        connection: Arc<dyn P2PConnection>,
        peer_budget_bytes: u64,
        shared: Arc<Shared>,
    ) -> Arc<Self> {
        let mut negotiated = connection.negotiated().clone();
        negotiated.capabilities.retain(|capability| capability.name != super::wire::RESUME);
        let limits = connection.limits();
        let dialler = matches!(role, Role::Dialler { .. });
        // The dialling side's control stream is one of those that the accepting side allows.
        let streams_max = limits.streams_max.saturating_sub(usize::from(dialler)).min(super::wire::STREAMS_MAX);
        let terms = Terms {
            dialler,
            replay_bytes_max: shared.config.replay_bytes_max,
            peer_budget_bytes,
            streams_max: config.streams_max.min(super::wire::STREAMS_MAX),
            streams_max_here: streams_max,
            part_entries_max: shared.config.part_entries_max,
            mutant: shared.config.mutant,
        };
        let mut state = State::new(&terms, shared.runtime.clone(), shared.totals.clone());
        let path = connection.state().read(|state| state.path().cloned());
        let peer = connection.peer_id();
        state.attach(connection, &Progress::default()).expect("a new session is at the beginning");
        Arc::new(Self {
            id,
            peer,
            role,
            config,
            negotiated,
            message_bytes_max: limits.message_bytes_max,
            streams_max,
            streams: Arc::new(Semaphore::new(streams_max)),
            watch: WatchSender::new(ConnectionState::Connected { path }),
            counters: Counters::default(),
            meter: Mutex::new(Meter::new(shared.runtime.now())),
            datagram_bytes_max: Mutex::new(limits.datagram_bytes_max),
            state: Mutex::new(state),
            shared,
        })
    }

    pub(super) fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.shared.runtime
    }

    pub(super) fn lock(&self) -> Locked<'_> {
        Locked { guard: Some(self.state.lock()) }
    }

    pub(super) fn close_reason(&self) -> Option<CloseReason> {
        self.lock().closed.clone()
    }

    /// Closes from this side, if nobody has yet.
    pub(super) fn close(&self, code: CloseCode, reason: &str) {
        let reason = close::truncate(reason);
        self.end(CloseReason::Local { code, reason: reason.to_owned() }, (code, reason));
    }

    /// Ends the session, if nothing has yet: sets the reason, ends the transport, resolves every pending call.
    pub(super) fn end(&self, reason: CloseReason, wire: (CloseCode, &str)) {
        let unacknowledged = {
            let mut state = self.lock();
            if state.closed.is_some() {
                return;
            }
            let unacknowledged = match state.finish {
                Finish::Done => 0,
                Finish::No | Finish::Begun => state.messages.unacknowledged(),
            };
            self.note_measurements(state.link.as_ref());
            self.meter.lock().end(self.runtime().now());
            state.end(reason.clone(), wire);
            unacknowledged
        };
        self.streams.close();
        self.watch.set(ConnectionState::Closed { reason, unacknowledged });
        self.shared.forget(self);
    }

    /// Ends the session because it could not go on.
    pub(super) fn give_up(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) {
        self.shared.totals.given_up.add(1);
        self.end(CloseReason::Lost { source: crate::SharedError::new(source) }, REPLACED);
    }

    /// Ends the session because the peer broke this layer's protocol.
    pub(super) fn violated(&self, violation: String) {
        let text = close::truncate(&violation).to_owned();
        self.end(CloseReason::Protocol { violation }, (VIOLATION, &text));
    }

    /// That transport is lost: the session goes on without one.
    pub(super) fn lose(&self, link: &Link) {
        let mut state = self.lock();
        if state.is_on(link) {
            self.suspend(&mut state);
        }
    }

    /// Lets go of the present transport, if there is one, taking what had arrived.
    pub(super) fn suspend(&self, state: &mut State) {
        let Some(link) = &state.link else { return };
        self.note_measurements(Some(link));
        let totals = &self.shared.totals;
        totals.losses.add(1);
        if state.has_unacknowledged() {
            totals.losses_with_unacknowledged.add(1);
        }
        state.detach(REPLACED);
        let since = self.runtime().now();
        state.since = Some(since);
        self.watch.set(ConnectionState::Reconnecting { since, attempt: 0 });
    }

    fn note_measurements(&self, link: Option<&Link>) {
        let Some(link) = link else { return };
        let stats = link.connection.stats();
        for (counter, packets) in self.counters.earlier_packets.iter().zip([stats.packets_lost, stats.packets_sent]) {
            count(counter, packets.unwrap_or(0) as usize);
        }
        self.counters.earlier_round_trips.lock().extend(&stats.round_trips);
    }

    /// Another transport is here. `theirs` is how far the peer says that it has come; on the accepting side it said so
    /// when it was answered.
    pub(super) fn resume(&self, connection: Arc<dyn P2PConnection>, attempt: u32, theirs: Option<Progress>) {
        let path = connection.state().read(|state| state.path().cloned());
        let limit = connection.limits().datagram_bytes_max;
        let attached = {
            let mut state = self.lock();
            if let Some(reason) = &state.closed {
                let (code, text) = wire_of(reason);
                connection.close(code, close::truncate(&text));
                return;
            }
            let expected = state.expected.take_if(|(expected, _)| *expected == attempt).map(|(_, theirs)| theirs);
            let Some(theirs) = theirs.or(expected) else {
                // A higher attempt was answered meanwhile.
                connection.close(REPLACED.0, REPLACED.1);
                return;
            };
            let attached = state.attach(connection.clone(), &theirs);
            state.wake_senders(self.config.send_buffer_bytes);
            attached
        };
        match attached {
            Ok(_) => {
                *self.datagram_bytes_max.lock() = limit;
                self.shared.totals.resumed.add(1);
                self.set_connected(path);
            }
            Err(violation) => {
                connection.close(VIOLATION, close::truncate(&violation));
                self.violated(violation);
            }
        }
    }

    /// Tells those who watch, unless the session is over.
    pub(super) fn set_connected(&self, path: Option<crate::Path>) {
        self.watch.modify(|state| {
            let connected = ConnectionState::Connected { path };
            let changed = !state.is_closed() && *state != connected;
            if changed {
                *state = connected;
            }
            changed
        });
    }

    /// Tells those who watch which attempt this is.
    pub(super) fn set_attempt(&self, since: Instant, attempt: u32) {
        self.watch.modify(|state| {
            let changed = !state.is_closed();
            if changed {
                *state = ConnectionState::Reconnecting { since, attempt };
            }
            changed
        });
    }

    /// Waits for a transport, other than `after` if that is given.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(super) async fn link(&self, after: Option<&Link>) -> Result<Link> {
        let mut place = Place::new(self, |state| &mut state.waiting);
        poll_fn(|cx| {
            let mut state = self.lock();
            if let Some(error) = state.closed_error() {
                return Poll::Ready(Err(error));
            }
            match &state.link {
                Some(link) if after.is_none_or(|after| after.epoch != link.epoch) => Poll::Ready(Ok(link.clone())),
                _ => {
                    place.wait(&mut state, cx);
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Waits for the next message.
    pub(super) async fn recv(&self) -> Result<Bytes> {
        let mut place = Place::new(self, |state| &mut state.waiting);
        loop {
            let link = {
                let mut state = self.lock();
                if let Some(message) = state.try_recv()? {
                    return Ok(message);
                }
                state.link.clone()
            };
            let received = match &link {
                // The inner future is polled under the lock, so that a message is counted as it is taken.
                Some(link) => {
                    let mut recv = link.connection.recv();
                    let mut failed = false;
                    poll_fn(|cx| {
                        let mut state = self.lock();
                        if !state.is_on(link) {
                            return Poll::Ready(None);
                        }
                        if !failed && let Poll::Ready(received) = recv.as_mut().poll(cx) {
                            match received {
                                Ok(message) => {
                                    state.note_message(message.len());
                                    return Poll::Ready(Some(message));
                                }
                                // Lost or closed; the driver will say which.
                                Err(_) => failed = true,
                            }
                        }
                        place.wait(&mut state, cx);
                        Poll::Pending
                    })
                    .await
                }
                None => {
                    poll_fn(|cx| {
                        let mut state = self.lock();
                        if state.link.is_some() || state.closed.is_some() {
                            return Poll::Ready(None);
                        }
                        place.wait(&mut state, cx);
                        Poll::Pending
                    })
                    .await
                }
            };
            if let Some(message) = received {
                return Ok(message);
            }
        }
    }

    /// Sends nothing more and closes once the peer's provider has everything.
    pub(super) fn start_finish(&self) {
        let mut state = self.lock();
        if state.finish == Finish::No && state.closed.is_none() {
            state.finish = Finish::Begun;
            let senders = state.senders.take_all();
            state.wakes.extend(senders.into_values());
            state.wake_driver();
        }
    }

    pub(super) async fn closed(&self) -> CloseReason {
        let _ = self.watch.subscribe().wait_for(ConnectionState::is_closed).await;
        self.close_reason().expect("the state says closed only after the reason is set")
    }
}

/// With which code the layer ends a transport whose peer broke its protocol; the reason says how.
pub(super) const VIOLATION: CloseCode = CloseCode(u32::MAX - 1);

/// What tells a peer, over a transport that comes too late, how the session ended.
fn wire_of(reason: &CloseReason) -> (CloseCode, String) {
    match reason {
        CloseReason::Local { code, reason } => (*code, reason.clone()),
        other => (CloseCode::OK, other.to_string()),
    }
}

/// The state, locked. Whoever can go on is woken when it no longer is.
pub(super) struct Locked<'a> {
    guard: Option<MutexGuard<'a, State>>,
}

impl Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        self.guard.as_ref().expect("it is there until the drop")
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        self.guard.as_mut().expect("it is there until the drop")
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let wakes = std::mem::take(&mut self.wakes);
        self.guard = None;
        wakes.into_iter().for_each(Waker::wake);
    }
}

/// A place in one of the queues, given up when dropped. In `senders` and `acceptors` one who was woken and leaves passes
/// the turn on; in `waiting` all are woken together.
pub(super) struct Place<'a> {
    session: &'a Session,
    queue: fn(&mut State) -> &mut Waiters,
    key: Option<u64>,
}

impl<'a> Place<'a> {
    pub(super) const fn new(session: &'a Session, queue: fn(&mut State) -> &mut Waiters) -> Self {
        Self { session, queue, key: None }
    }

    pub(super) fn wait(&mut self, state: &mut State, cx: &Context<'_>) {
        (self.queue)(state).register(&mut self.key, cx.waker());
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let mut state = self.session.lock();
        let was_woken = !(self.queue)(&mut state).remove(key);
        if was_woken && state.has_incoming() {
            let next = state.acceptors.take_one();
            state.wakes.extend(next);
        }
    }
}

/// Held by every handle and every stream; the last to go closes the session.
#[derive(Debug)]
pub(super) struct Guard(pub(super) Arc<Session>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.close(CloseCode::OK, "");
    }
}
