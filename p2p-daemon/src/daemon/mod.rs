//! The running daemon, as one value: what it forwards, with whom it is connected, what happened.
//!
//! [`Daemon`] is a handle that can be cloned and asked from anywhere: [`status`](Daemon::status) for how things are,
//! [`events`](Daemon::events) for what happened, [`apply`](Daemon::apply) for other rules. Whoever shows or changes
//! something does it by these, and needs to know nothing of how forwarding is done.
//!
//! # Map
//! - `apply`: from one set of rules to another. `active`: the rules at work.
//! - `peers`: connections. `events`: the last things that happened. `status`: all of it as plain data. `revoked`: what
//!   ends with a ticket.
//!
//! # Bounds
//! 256 connections that peers dialled, [`STREAMS_TOTAL_MAX`] streams in both directions
//! together, [`EVENTS_MAX`] events.

mod active;
mod apply;
mod events;
mod peers;
mod revoked;
mod status;

use std::{
    fmt,
    future::Future,
    sync::Arc,
    time::{Duration, SystemTime},
};

use p2p::{BiStream, CloseCode, ListenConfig, P2PConnection, P2PProvider, PeerAddr, PeerId, Ticket, Watch};
use parking_lot::{Mutex, RwLock};
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};
use tracing::{info, warn};

use self::active::Active;
use crate::{
    Error, Shutdown,
    access::{Access, Denied, Gate, Token, weightier},
    admin::MetricsExport,
    forward::{Failure, Header, Kind, Link, LinkState, Meter, Offer, ServiceName, Session, Shared, connection_config},
    rule::{Remote, Rules},
    stack::Stack,
};

pub(crate) use self::peers::Peers;
pub use self::{
    apply::Applied,
    events::{EVENTS_MAX, Event, EventKind, Events},
    status::{PeerStatus, RuleStatus, Status},
};

/// A running daemon. Clones are the same daemon.
#[derive(Debug, Clone)]
pub struct Daemon(Arc<Inner>);

/// What all parts of it share.
pub(crate) struct Inner {
    pub(crate) provider: Arc<dyn P2PProvider>,
    export: MetricsExport,
    access: Access,
    pub(crate) shutdown: Shutdown,
    pub(crate) events: Events,
    pub(crate) peers: Arc<Peers>,
    /// For streams that name no service they may use.
    pub(crate) strangers: Meter,
    /// For streams, in both directions.
    pub(crate) room: Arc<Semaphore>,
    active: RwLock<Active>,
    /// One change at a time.
    applying: tokio::sync::Mutex<()>,
    /// Where peers can dial, once they can.
    addr: Mutex<Option<PeerAddr>>,
    /// Everything that is open.
    streams: TaskTracker,
    /// Connections, accepting and watching.
    tasks: TaskTracker,
    abort: CancellationToken,
    since: SystemTime,
}

impl Daemon {
    /// A daemon without rules, over that stack.
    pub fn start(stack: &Stack, access: Access, shutdown: Shutdown) -> Self {
        let export = stack.export.clone();
        let strangers = Meter::new(export.recorder(), "none", None);
        let inner = Arc::new(Inner {
            provider: stack.provider.clone(),
            export,
            access,
            shutdown,
            events: Events::default(),
            peers: Arc::new(Peers::new()),
            strangers,
            room: Arc::new(Semaphore::new(STREAMS_TOTAL_MAX)),
            active: RwLock::default(),
            applying: tokio::sync::Mutex::default(),
            addr: Mutex::default(),
            streams: TaskTracker::new(),
            tasks: TaskTracker::new(),
            abort: CancellationToken::new(),
            since: SystemTime::now(),
        });
        // Whether there is an admin interface or not: what is counted is counted.
        let (upkeep, ending) = (inner.export.upkeep(), inner.abort.clone());
        inner.tasks.spawn(async move {
            ending.run_until_cancelled_owned(upkeep).await;
        });
        if inner.access.revoked().has_file() {
            inner.tasks.spawn(revoked::end_what_is_open(Arc::downgrade(&inner), inner.abort.clone()));
        }
        Self(inner)
    }

    /// Makes `rules` the ones that hold. Streams that are open go on by the rule they began with; rules that stay the same
    /// are not touched. One that fails changes nothing.
    ///
    /// # Errors
    /// [`Error::Rules`] if they do not go together, [`Error::Listen`] if an address cannot be listened on, and what keeps
    /// the provider from listening.
    pub async fn apply(&self, rules: Rules) -> Result<Applied, Error> {
        apply::apply(&self.0, rules).await
    }

    /// The rules that hold.
    pub fn rules(&self) -> Rules {
        self.0.active.read().rules.clone()
    }

    /// Everything as it is now.
    pub fn status(&self) -> Status {
        let inner = &self.0;
        let active = inner.active.read();
        let status = inner.provider.status().get();
        let peers = inner.peers.all();
        Status {
            peer: inner.provider.local_peer_id(),
            addr: inner.addr.lock().clone().unwrap_or(status.addr),
            stack: inner.provider.to_string(),
            version: env!("CARGO_PKG_VERSION"),
            since: inner.since,
            draining: inner.shutdown.is_requested(),
            checks: status.checks,
            rules: active.status(),
            peers: peers.iter().map(|session| PeerStatus::of(session, active.name_of(session.peer))).collect(),
        }
    }

    /// What happened lately.
    pub fn events(&self) -> &Events {
        &self.0.events
    }

    /// Writes down that a configuration could not be used.
    pub fn note_reload_failed(&self, problem: impl Into<String>) {
        self.0.events.note(Event::new(EventKind::ReloadFailed, problem));
    }

    /// Who decides, and makes tokens for tickets.
    pub fn access(&self) -> &Access {
        &self.0.access
    }

    /// The metrics.
    pub fn export(&self) -> &MetricsExport {
        &self.0.export
    }

    /// The stack.
    pub fn provider(&self) -> &Arc<dyn P2PProvider> {
        &self.0.provider
    }

    /// When it is to end.
    pub fn shutdown(&self) -> &Shutdown {
        &self.0.shutdown
    }

    /// A ticket for the services that tickets count for, as long as they are shared. The same each time.
    pub fn ticket(&self) -> Ticket {
        let shares = self.0.active.read().rules.shares.clone();
        let for_tickets: Vec<_> = shares.iter().filter(|share| share.allow.ticket).collect();
        let services: Vec<_> = for_tickets.iter().map(|share| share.name.clone()).collect();
        let token = self.0.access.standing(&services);
        let offers: Vec<_> = shares.iter().map(Offer::of).collect();
        let ticket = Offer::into_ticket(Ticket::new(self.addr()), &offers);
        if for_tickets.is_empty() { ticket } else { token.into_ticket(ticket) }
    }

    /// Where peers can dial this daemon, as far as is known now.
    pub fn addr(&self) -> PeerAddr {
        self.0.addr.lock().clone().unwrap_or_else(|| self.0.provider.status().get().addr)
    }

    /// How a rule that connects stands with its peer; nothing if the peer dials, or there is no such rule.
    pub fn link(&self, rule: &ServiceName) -> Option<Watch<LinkState>> {
        self.0.active.read().link(rule)
    }

    /// All links, by rule.
    pub fn links(&self) -> Vec<(String, Watch<LinkState>)> {
        self.0.active.read().links()
    }

    /// Where a rule that connects listens, for instance `tcp://127.0.0.1:9000`.
    pub fn listens(&self, rule: &ServiceName) -> Vec<String> {
        self.0.active.read().listens(rule)
    }

    /// The first address of the network where a rule that connects listens.
    pub fn local_addr(&self, rule: &ServiceName) -> Option<std::net::SocketAddr> {
        self.0.active.read().local_addr(rule)
    }

    /// Connects with a peer, without any rule. Waits for as long as the peer cannot be reached but may be.
    ///
    /// # Errors
    /// What no other dial will change.
    pub(crate) async fn dial(&self, remote: Remote) -> Result<Dialled, Error> {
        let link = Link::start(&self.0, remote);
        let mut state = link.state();
        let known = state.wait_for(|state| matches!(state, LinkState::Up { .. } | LinkState::Failed { .. })).await;
        if let Ok(LinkState::Failed { error }) = known {
            return Err(error.into());
        }
        let session = link.session().await.map_err(broke)?;
        Ok(Dialled { session, _link: link })
    }

    /// Opens a stream to a service of a peer, without any rule, as [`dial`](Self::dial) connects.
    ///
    /// # Errors
    /// As [`dial`](Self::dial); and if the peer does not take the stream.
    pub(crate) async fn open(&self, remote: Remote, service: ServiceName) -> Result<Opened, Error> {
        let dialled = self.dial(remote).await?;
        let header = Header { service, kind: Kind::Bytes { port_offset: 0 } };
        let (stream, _token) = dialled.session.open(&header).await.map_err(broke)?;
        Ok(Opened { stream, _token, _dialled: dialled })
    }

    /// Waits for the shutdown; then lets what is open end within its drain, and ends the rest. Says how many those were.
    pub async fn run(&self) -> usize {
        let inner = &self.0;
        inner.shutdown.requested().await;
        inner.events.note(Event::new(EventKind::Draining, "what is open may end"));
        inner.stop_listening();
        inner.streams.close();
        timeout(inner.shutdown.drain(), inner.streams.wait()).await.ok();
        let left = inner.streams.len();
        if left > 0 {
            warn!(streams = left, "Ended connections that were still open.");
        }
        self.end().await;
        left
    }

    /// Ends everything now.
    pub async fn end(&self) {
        let inner = &self.0;
        inner.stop_listening();
        inner.abort.cancel();
        inner.streams.close();
        inner.streams.wait().await;
        // Connections finish: what was written before is on its way.
        inner.tasks.close();
        timeout(FINISH, inner.tasks.wait()).await.ok();
        *inner.active.write() = Active::default();
    }
}

impl Inner {
    /// A connection that came about, served from now on. Nothing if there are too many.
    pub(crate) fn add(self: &Arc<Self>, connection: Arc<dyn P2PConnection>, dialled: bool) -> Option<Arc<Session>> {
        let session = self.peers.add(connection, dialled)?;
        let (name, peer) = (self.name_of(session.peer), session.peer);
        let path = session.connection.state().read(|state| state.path().map(ToString::to_string));
        info!(?peer, name, path, dialled, "A peer connected.");
        let text = path.unwrap_or_default();
        self.events.note(Event::of_peer(EventKind::PeerConnected, peer, name, text));
        let (served, inner) = (session.clone(), Arc::downgrade(self));
        self.tasks.spawn(async move {
            let (id, reason) = (served.id, served.clone().run(inner.clone()).await);
            if let Some(inner) = inner.upgrade() {
                inner.peers.remove(id);
                inner.events.note(Event::of_peer(EventKind::PeerGone, peer, inner.name_of(peer), reason));
            }
        });
        Some(session)
    }

    /// Whether a dialler may use anything.
    pub(crate) fn admits(&self, peer: PeerId, token: Option<&Token>) -> Result<(), Denied> {
        let active = self.active.read();
        if active.awaits(peer) {
            return Ok(());
        }
        let mut reason = Denied::NoRule;
        for shared in active.shares.values() {
            match self.access.decide(&shared.rule.name, &shared.rule.allow, peer, token) {
                Ok(_) => return Ok(()),
                Err(denied) => reason = weightier(reason, denied),
            }
        }
        Err(reason)
    }

    /// The service of that name, if the peer of that connection may use it. Each decision is written down.
    pub(crate) fn share_for(&self, service: &ServiceName, session: &Session) -> Option<Arc<Shared>> {
        let active = self.active.read();
        let shared = active.shares.get(service);
        let decision = match shared {
            None => Err(Denied::NoRule),
            Some(shared) if session.dialled && shared.is_for_dialled(session.peer) => Ok(crate::access::By::Peer),
            Some(shared) => self.access.decide(service, &shared.rule.allow, session.peer, session.token.as_ref()),
        };
        session.audit.note(session.peer, active.name_of(session.peer).as_deref(), service, &decision);
        if let Err(reason) = &decision {
            tracing::debug!(peer = ?session.peer, %service, %reason, "A service was asked for in vain.");
        }
        shared.filter(|_| decision.is_ok()).cloned()
    }

    pub(crate) fn name_of(&self, peer: PeerId) -> Option<String> {
        self.active.read().name_of(peer)
    }

    /// Runs a stream that a peer opened, to its end or the daemon's.
    pub(crate) fn spawn_stream(&self, session: &Session, serving: impl Future<Output = ()> + Send + 'static) {
        let serving = session.streams.track_future(serving);
        self.spawn_local(serving);
    }

    /// Runs a local connection, to its end or the daemon's.
    pub(crate) fn spawn_local(&self, carrying: impl Future<Output = ()> + Send + 'static) {
        let abort = self.abort.clone();
        self.streams.spawn(async move {
            abort.run_until_cancelled_owned(carrying).await;
        });
    }

    /// Accepts peers from now on, if it does not yet. Resolves when they can dial, or at a deadline.
    async fn start_listening(self: &Arc<Self>) -> Result<(), Error> {
        if self.addr.lock().is_some() {
            return Ok(());
        }
        let gate = Arc::new(Gate(Arc::downgrade(self)));
        let listen =
            ListenConfig { ready_timeout: READY_TIMEOUT, ..ListenConfig::from(connection_config()) }.with_answer(gate);
        let listener = self.provider.listen_with(listen).await?;
        *self.addr.lock() = Some(listener.local_addr());
        let (daemon, shutdown, abort) = (Arc::downgrade(self), self.shutdown.clone(), self.abort.clone());
        self.tasks.spawn(async move {
            loop {
                let connection = p2p::select! {
                    () = shutdown.requested() => return,
                    () = abort.cancelled() => return,
                    accepted = listener.accept() => match accepted {
                        Ok(connection) => connection,
                        // The provider ended, and with it the daemon does.
                        Err(_) => return,
                    },
                };
                let Some(daemon) = daemon.upgrade() else { return };
                if daemon.add(connection.clone(), false).is_none() {
                    warn!(peer = ?connection.peer_id(), "Turned a peer away: {} are connected.", peers::ACCEPTED_MAX);
                    connection.close(CLOSED_FULL, "as many peers are connected as are served at once");
                }
            }
        });
        Ok(())
    }

    /// Takes nothing new: closes local listeners and dials nobody any more. Open streams keep their connections.
    fn stop_listening(&self) {
        self.active.write().connects.clear();
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Daemon").field("provider", &self.provider.to_string()).finish_non_exhaustive()
    }
}

/// A connection with a peer, and what keeps it.
#[derive(Debug)]
pub(crate) struct Dialled {
    pub(crate) session: Arc<Session>,
    _link: Arc<Link>,
}

/// A stream, and what keeps its connection.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) stream: BiStream,
    _token: TaskTrackerToken,
    _dialled: Dialled,
}

fn broke(failure: Failure) -> Error {
    Error::Pipe { problem: p2p::chain(&failure).to_string() }
}

/// Streams of all peers and all local connections at once. Of peers' the next is reset as busy; a local connection waits.
pub const STREAMS_TOTAL_MAX: usize = 8192;

/// How long to wait for a relay before a ticket is made without it.
const READY_TIMEOUT: Duration = Duration::from_secs(5);

/// For connections to say that they end.
const FINISH: Duration = Duration::from_secs(2);

/// What a peer sees that is turned away.
const CLOSED_FULL: CloseCode = CloseCode(1);
