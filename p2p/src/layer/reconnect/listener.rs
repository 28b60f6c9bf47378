//! The accepting side: answers diallers, gives returning ones their session, and queues new ones.

use std::{
    collections::{BTreeMap, VecDeque},
    future::poll_fn,
    sync::Arc,
    task::{Poll, Waker},
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::{
    config::Mutant,
    connection::ReconnectConnection,
    driver,
    progress::Progress,
    replace::KNOWN,
    session::{Role, Session},
    shared::Shared,
    state::REPLACED,
    wire::{self, Hello, RESUME, SessionId, Welcome},
};
use crate::{
    Answer, BoxFuture, Capability, CloseCode, ConnectionConfig, Instant, P2PConnection, P2PError, P2PListener,
    PeerAddr, PeerId, ProtocolId, Refusal, RefusalCode, Result, TaskHandle, engine::Waiters,
    protocol::handshake::unknown_protocol,
};

/// What [`Reconnect::listen_with`](super::Reconnect) returns.
#[derive(Debug)]
pub(super) struct ReconnectListener {
    pub(super) queue: Arc<Queue>,
    pub(super) shared: Arc<Shared>,
    pub(super) inner: Arc<dyn P2PListener>,
    /// `None` only while this is dropped.
    pub(super) accepting: Option<Accepting>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl P2PListener for ReconnectListener {
    fn protocol(&self) -> &ProtocolId {
        self.inner.protocol()
    }

    fn local_addr(&self) -> PeerAddr {
        self.inner.local_addr()
    }

    async fn accept(&self) -> Result<Arc<dyn P2PConnection>> {
        let mut waiting = Waiting { queue: &self.queue, key: None };
        poll_fn(|cx| {
            let mut inner = waiting.queue.0.lock();
            match inner.ready.pop_front() {
                Some(connection) => Poll::Ready(Ok(connection)),
                None if inner.closed => Poll::Ready(Err(P2PError::ShutDown)),
                None => {
                    inner.acceptors.register(&mut waiting.key, cx.waker());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Drop for ReconnectListener {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(accepting) = self.accepting.take() {
            self.shared.retain(self.inner.protocol(), accepting);
        }
    }
}

/// New connections that wait for `accept`. Bounded: diallers beyond are refused when they are answered.
#[derive(Debug)]
pub(super) struct Queue(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    ready: VecDeque<Arc<dyn P2PConnection>>,
    /// New sessions that were answered and whose connection is not here yet.
    greeted: BTreeMap<(PeerId, SessionId), Greeting>,
    backlog_max: usize,
    closed: bool,
    acceptors: Waiters,
}

#[derive(Debug)]
struct Greeting {
    budget_bytes: u64,
    until: Instant,
}

/// How long a handshake that was answered counts against the backlog: a provider ends it before.
const GREETING_MAX: Duration = Duration::from_secs(30);

impl Queue {
    pub(super) fn new(backlog_max: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Inner {
            ready: VecDeque::new(),
            greeted: BTreeMap::new(),
            backlog_max,
            closed: false,
            acceptors: Waiters::default(),
        })))
    }

    /// Ends the queue: those that wait in it are closed, and whoever waits for them learns it.
    pub(super) fn close(&self) {
        let (abandoned, acceptors) = {
            let mut inner = self.0.lock();
            inner.closed = true;
            (std::mem::take(&mut inner.ready), inner.acceptors.take_all())
        };
        drop(abandoned);
        acceptors.into_values().for_each(Waker::wake);
    }

    /// Whether there is a place for one more dialler.
    fn check_room(&self, protocol: &ProtocolId, now: Instant) -> Result<(), Refusal> {
        let mut inner = self.0.lock();
        inner.greeted.retain(|_, greeting| greeting.until > now);
        if inner.closed {
            return Err(unknown_protocol(protocol));
        }
        if inner.ready.len() + inner.greeted.len() >= inner.backlog_max {
            return Err(Refusal::new(RefusalCode::Busy, "too many connections wait to be accepted"));
        }
        Ok(())
    }

    /// Puts a connection where `accept` finds it. The place that `greeted` kept for it becomes that of the connection.
    fn push(&self, connection: Arc<dyn P2PConnection>, greeted: Option<(PeerId, SessionId)>) {
        let acceptor = {
            let mut inner = self.0.lock();
            greeted.and_then(|key| inner.greeted.remove(&key));
            if inner.closed || inner.ready.len() >= inner.backlog_max {
                drop(inner);
                connection.close(CloseCode::OK, "too many connections wait to be accepted");
                return;
            }
            inner.ready.push_back(connection);
            inner.acceptors.take_one()
        };
        acceptor.into_iter().for_each(Waker::wake);
    }
}

/// A caller of `accept`. One who was woken and leaves passes the call on.
struct Waiting<'a> {
    queue: &'a Queue,
    key: Option<u64>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let next = {
            let mut inner = self.queue.0.lock();
            let was_woken = !inner.acceptors.remove(key);
            if was_woken && !inner.ready.is_empty() { inner.acceptors.take_one() } else { None }
        };
        next.into_iter().for_each(Waker::wake);
    }
}

/// This layer's say in a handshake, with the application's inside.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: Arc<Queue>,
    pub(super) protocol: ProtocolId,
    /// The application's own say.
    pub(super) answer: Option<Arc<dyn Answer>>,
    /// What the application takes if it has none.
    pub(super) known: Vec<Capability>,
}

impl Answer for Gate {
    fn answer(&self, peer: PeerId, offered: &[Capability]) -> Result<Vec<Capability>, Refusal> {
        let (resume, offered): (Vec<_>, Vec<_>) =
            offered.iter().cloned().partition(|capability| capability.name == RESUME);
        let hello = match resume.first().map(wire::decode::<Hello>) {
            None => None,
            Some(Ok(hello)) => Some(hello),
            Some(Err(problem)) => return Err(self.refuse(problem)),
        };
        match hello {
            Some(Hello::Resume { session, attempt, progress }) => {
                Ok(vec![wire::capability(&self.resume(peer, session, attempt, progress)?)])
            }
            Some(Hello::New { session, budget_bytes }) => {
                let mut taken = self.admit(peer, &offered)?;
                taken.push(wire::capability(&self.greet(peer, session, budget_bytes)?));
                Ok(taken)
            }
            None => self.admit(peer, &offered),
        }
    }
}

impl Gate {
    /// Asks the application about a new dialler.
    fn admit(&self, peer: PeerId, offered: &[Capability]) -> Result<Vec<Capability>, Refusal> {
        self.queue.check_room(&self.protocol, self.shared.runtime.now())?;
        match &self.answer {
            Some(answer) => answer.answer(peer, offered),
            None => {
                let known = |offered: &&Capability| self.known.iter().any(|own| own.name == offered.name);
                Ok(offered.iter().filter(known).cloned().collect())
            }
        }
    }

    fn greet(&self, peer: PeerId, session: SessionId, budget_bytes: u64) -> Result<Welcome, Refusal> {
        let until = self.shared.runtime.now() + GREETING_MAX;
        let known = self.shared.accepted(peer, session).is_some();
        let greeting = Greeting { budget_bytes, until };
        if known || self.queue.0.lock().greeted.insert((peer, session), greeting).is_some() {
            return Err(self.refuse("this session was begun before"));
        }
        let budget_bytes = self.shared.config.replay_bytes_max as u64;
        Ok(Welcome { session, attempt: 0, budget_bytes, progress: Progress::default() })
    }

    /// Ends a session's old transport, if it has one, and says how far the session came on it.
    fn resume(&self, peer: PeerId, id: SessionId, attempt: u32, theirs: Progress) -> Result<Welcome, Refusal> {
        // Whose session it is, is part of how it is found. A stranger learns nothing of it.
        let session = self.shared.accepted(peer, id);
        let session = session.filter(|session| session.negotiated.protocol == self.protocol);
        let Some(session) = session else {
            return Err(self.refuse("no such session of this peer's is known"));
        };
        let progress = {
            let mut state = session.lock();
            if state.closed.is_some() {
                return Err(self.refuse("the session is over"));
            }
            if attempt == 0 {
                return Err(Refusal::new(RefusalCode::Rejected, KNOWN));
            }
            if attempt <= state.attempt {
                return Err(self.refuse(format!("attempt {attempt} was used; {} was the last", state.attempt)));
            }
            state.check(&theirs).map_err(|violation| self.refuse(violation))?;
            let early = state.progress();
            session.suspend(&mut state);
            state.attempt = attempt;
            state.expected = Some((attempt, theirs));
            match self.shared.config.mutant {
                Some(Mutant::AnswersBeforeDraining) => early,
                _ => state.progress(),
            }
        };
        Ok(Welcome { session: id, attempt, budget_bytes: self.shared.config.replay_bytes_max as u64, progress })
    }

    fn refuse(&self, reason: impl Into<String>) -> Refusal {
        self.shared.totals.refused.add(1);
        Refusal::new(RefusalCode::Rejected, reason)
    }
}

/// The task that takes connections from the provider's listener, so that a session resumes while nobody is in `accept`.
/// Dropping this drops the listener at once.
#[derive(Debug)]
pub(super) struct Accepting {
    slot: Arc<Mutex<Option<Slot>>>,
    _task: TaskHandle,
}

/// A listener, and the call of its `accept` that is under way.
struct Slot {
    call: BoxFuture<'static, Result<Arc<dyn P2PConnection>>>,
    listener: Arc<dyn P2PListener>,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.listener.fmt(f)
    }
}

fn call(listener: &Arc<dyn P2PListener>) -> BoxFuture<'static, Result<Arc<dyn P2PConnection>>> {
    let listener = listener.clone();
    Box::pin(async move { listener.accept().await })
}

impl Accepting {
    pub(super) fn start(
        listener: Arc<dyn P2PListener>,
        queue: Arc<Queue>,
        shared: Arc<Shared>,
        config: ConnectionConfig,
    ) -> Self {
        let runtime = shared.runtime.clone();
        let slot = Arc::new(Mutex::new(Some(Slot { call: call(&listener), listener })));
        let task = {
            let slot = slot.clone();
            async move {
                while let Some(Ok(connection)) = poll_fn(|cx| {
                    let mut slot = slot.lock();
                    let Some(Slot { call: pending, listener }) = &mut *slot else { return Poll::Ready(None) };
                    let accepted = std::task::ready!(pending.as_mut().poll(cx));
                    *pending = call(listener);
                    Poll::Ready(Some(accepted))
                })
                .await
                {
                    dispatch(connection, &queue, &shared, &config);
                }
                queue.close();
            }
        };
        Self { slot, _task: runtime.spawn("accept for reconnect", Box::pin(task)) }
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        let slot = self.slot.lock().take();
        drop(slot);
    }
}

/// Gives a connection that was answered to whom it is for.
fn dispatch(connection: Arc<dyn P2PConnection>, queue: &Queue, shared: &Arc<Shared>, config: &ConnectionConfig) {
    let peer = connection.peer_id();
    let Some(answered) = connection.negotiated().capability(RESUME) else {
        shared.totals.plain.add(1);
        tracing::debug!(?peer, "The peer does not resume; this connection ends with its transport.");
        return queue.push(connection, None);
    };
    let welcome: Welcome = wire::decode(answered).expect("it is this side's own answer");
    if welcome.attempt > 0 {
        match shared.accepted(peer, welcome.session) {
            Some(session) => session.resume(connection, welcome.attempt, None),
            None => connection.close(REPLACED.0, REPLACED.1),
        }
        return;
    }
    let key = (peer, welcome.session);
    let budget_bytes = queue.0.lock().greeted.get(&key).map(|greeting| greeting.budget_bytes);
    let Some(budget_bytes) = budget_bytes else {
        return connection.close(REPLACED.0, REPLACED.1);
    };
    let session =
        Session::new(welcome.session, Role::Accepter, config.clone(), connection, budget_bytes, shared.clone());
    shared.add(&session);
    driver::start(&session);
    queue.push(ReconnectConnection::handle(session), Some(key));
}
