//! What every provider shares: dialling, listening, the set of open connections, shutdown.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    connection::Connection,
    core::{Core, Managed, Parts},
    driver::Driver,
    handshake::{self, Caller, ControlStream, Failure},
    handshakes::Handshakes,
    listener::{Listener, Listeners},
};
use crate::{
    ConnectionConfig, ConnectionState, ListenConfig, P2PConnection, P2PError, P2PListener, PeerAddr, PeerId, Result,
    Runtime, RuntimeExt, SharedError, Transport, Watch, WatchSender,
    protocol::{close, handshake::unknown_protocol},
};

/// Connections that one provider has open at once, dialled and accepted. A dialler beyond them is told that this side is
/// busy; dialling beyond them is [`P2PError::LimitReached`].
pub const CONNECTIONS_MAX: usize = 131_072;

/// How long an answering side gives a dialler for the whole handshake. The default of
/// [`ConnectionConfig::handshake_timeout`], since which listener is meant is only known at its end.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What every provider shares. See the [module](super).
pub struct Hub {
    local: PeerId,
    runtime: Arc<dyn Runtime>,
    pub(super) listeners: Listeners,
    connections: Mutex<Connections>,
    handshakes: Arc<Handshakes>,
    phase: WatchSender<Phase>,
    weak: Weak<Self>,
}

#[derive(Default)]
struct Connections {
    open: BTreeMap<u64, (PeerId, Arc<dyn Managed>)>,
    by_peer: BTreeMap<PeerId, usize>,
    next_id: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    ShuttingDown,
    Down,
}

impl Hub {
    /// A hub for the provider of that identity, which answers [`HANDSHAKES_MAX`](super::HANDSHAKES_MAX) handshakes at once.
    pub fn new(local: PeerId, runtime: Arc<dyn Runtime>) -> Arc<Self> {
        Self::with_handshakes_max(local, runtime, super::HANDSHAKES_MAX)
    }

    /// [`new`](Self::new), for a transport that has a bound of its own on how many may knock at once.
    pub fn with_handshakes_max(local: PeerId, runtime: Arc<dyn Runtime>, handshakes_max: usize) -> Arc<Self> {
        Arc::new_cyclic(|weak| Self {
            local,
            runtime,
            listeners: Listeners::default(),
            connections: Mutex::default(),
            handshakes: Arc::new(Handshakes::new(handshakes_max)),
            phase: WatchSender::new(Phase::Running),
            weak: weak.clone(),
        })
    }

    /// Dials: checks the settings, awaits `dialing` for a transport to `peer`, then shakes hands over it, all within
    /// `config.handshake_timeout`.
    ///
    /// # Errors
    /// As [`connect_with`](crate::P2PProvider::connect_with), and those of `dialing`.
    ///
    /// # Cancel safety
    /// As [`connect_with`](crate::P2PProvider::connect_with).
    pub async fn connect<T: Transport>(
        &self,
        peer: PeerId,
        config: ConnectionConfig,
        dialing: impl Future<Output = Result<T>> + Send,
    ) -> Result<Arc<dyn P2PConnection>> {
        config.validate()?;
        if peer == self.local {
            return Err(P2PError::invalid_input(format_args!("peer {peer}"), "another peer than this provider itself"));
        }
        self.check_room()?;
        let after = config.handshake_timeout;
        let shaking = async {
            let transport = dialing.await?;
            let proved = transport.peer_id();
            if proved != peer {
                let source = SharedError::new(format!("the other side is peer {proved}"));
                return Err(P2PError::AuthenticationFailed { expected: peer, source });
            }
            handshake::dial(transport, peer, config).await
        };
        let mut phase = self.phase.subscribe();
        let shaken = crate::select! {
            _ = phase.wait_for(|phase| *phase != Phase::Running) => return Err(P2PError::ShutDown),
            shaken = self.runtime.timeout(after, shaking) => shaken,
        };
        match shaken {
            Ok(shaken) => {
                let (parts, control) = shaken?;
                self.open(parts, control)
            }
            Err(_) => Err(P2PError::Timeout { during: "connecting", after }),
        }
    }

    /// Registers a listener. `local_addr` tells the address to dial, at any later time.
    ///
    /// # Errors
    /// As [`listen_with`](crate::P2PProvider::listen_with).
    pub fn listen(
        &self,
        config: ListenConfig,
        local_addr: impl Fn() -> PeerAddr + Send + Sync + 'static,
    ) -> Result<Box<dyn P2PListener>> {
        config.connection.validate()?;
        if config.backlog_max == 0 {
            return Err(P2PError::invalid_input("backlog_max = 0", "at least 1"));
        }
        if self.is_shut_down() {
            return Err(P2PError::ShutDown);
        }
        let queue = self.listeners.add(config)?;
        Ok(Box::new(Listener { queue, hub: self.weak.clone(), local_addr: Box::new(local_addr) }))
    }

    /// Takes a transport that a peer opened: answers its handshake in a task of its own and hands the connection to the
    /// listener of its protocol. Never waits; a peer beyond the bounds is told to come again.
    pub fn incoming<T: Transport>(&self, transport: T) {
        let room = self.check_room().ok().and_then(|()| self.handshakes.begin(self.runtime.now()));
        let (Some(place), Some(hub)) = (room, self.weak.upgrade()) else {
            transport.close(if self.is_shut_down() { close::SHUT_DOWN } else { close::BUSY }, "");
            return;
        };
        let answering = async move {
            let mut phase = hub.phase.subscribe();
            crate::select! {
                _ = phase.wait_for(|phase| *phase != Phase::Running) => {}
                _ = place.displaced() => tracing::debug!("A slow handshake made room for another."),
                _ = hub.runtime.timeout(ANSWER_TIMEOUT, hub.answer(transport)) => {}
            }
            drop(place);
        };
        self.runtime.spawn("handshake", Box::pin(answering)).detach();
    }

    async fn answer<T: Transport>(&self, transport: T) {
        let peer = transport.peer_id();
        let caller = match Caller::hear(transport).await {
            Ok(caller) => caller,
            Err((transport, failure)) => return give_up(&transport, peer, &failure),
        };
        let protocol = caller.protocol().clone();
        let place = match self.listeners.get(&protocol) {
            Some(queue) => queue.reserve().map(|place| (queue, place)),
            None => Err(unknown_protocol(&protocol)),
        };
        let (queue, place) = match place {
            Ok(place) => place,
            Err(refusal) => {
                tracing::debug!(?peer, %protocol, %refusal, "Refused a connection.");
                return caller.refuse(refusal).await;
            }
        };
        match caller.accept(&queue.config).await {
            Ok((parts, control)) => match self.open(parts, control) {
                Ok(connection) => place.fill(connection),
                Err(error) => tracing::debug!(?peer, %error, "Dropped a connection."),
            },
            Err((transport, failure)) => give_up(&transport, peer, &failure),
        }
    }

    /// Makes the connection and starts its driver.
    fn open<T: Transport>(&self, parts: Parts<T>, control: ControlStream<T>) -> Result<Arc<dyn P2PConnection>> {
        let peer = parts.transport.peer_id();
        let core = {
            let mut connections = self.connections.lock();
            let id = connections.next_id;
            connections.next_id += 1;
            let core = Core::new(parts, self.runtime.clone(), self.weak.clone(), id);
            connections.open.insert(id, (peer, core.clone()));
            *connections.by_peer.entry(peer).or_default() += 1;
            core
        };
        if self.is_shut_down() {
            core.shut_down();
            return Err(P2PError::ShutDown);
        }
        let (streams, reader) = control;
        self.runtime.spawn("connection", Box::pin(Driver::new(core.clone(), streams, reader))).detach();
        Ok(Arc::new(Connection::new(core)))
    }

    /// A connection has ended.
    pub(super) fn forget(&self, id: u64) {
        let ended = {
            let mut connections = self.connections.lock();
            let Some((peer, ended)) = connections.open.remove(&id) else { return };
            if let Some(open) = connections.by_peer.get_mut(&peer) {
                *open -= 1;
                if *open == 0 {
                    connections.by_peer.remove(&peer);
                }
            }
            ended
        };
        // Not under the lock: dropping the last of a connection may wake others.
        drop(ended);
    }

    /// Connections open to a peer now.
    pub fn connections(&self, peer: PeerId) -> usize {
        self.connections.lock().by_peer.get(&peer).copied().unwrap_or(0)
    }

    /// Whether [`shutdown`](Self::shutdown) was called.
    pub fn is_shut_down(&self) -> bool {
        self.phase.read(|phase| *phase != Phase::Running)
    }

    /// Ends listeners, lets connections finish until the deadline, then closes them. The provider closes its sockets
    /// afterwards. A second call waits for the first.
    ///
    /// # Cancel safety
    /// The shutdown goes on even if the future is dropped.
    pub async fn shutdown(&self, deadline: Duration) {
        let mut first = false;
        self.phase.modify(|phase| {
            first = *phase == Phase::Running;
            if first {
                *phase = Phase::ShuttingDown;
            }
            first
        });
        if let (true, Some(hub)) = (first, self.weak.upgrade()) {
            self.listeners.close();
            let ending = async move { hub.end_connections(deadline).await };
            self.runtime.spawn("shutdown", Box::pin(ending)).detach();
        }
        let _ = self.phase.subscribe().wait_for(|phase| *phase == Phase::Down).await;
    }

    async fn end_connections(&self, deadline: Duration) {
        let open: Vec<_> = self.connections.lock().open.values().map(|(_, connection)| connection.clone()).collect();
        open.iter().for_each(|connection| connection.start_finish());
        let states: Vec<Watch<ConnectionState>> = open.iter().map(|connection| connection.watch()).collect();
        let finishing = async {
            for mut state in states {
                let _ = state.wait_for(ConnectionState::is_closed).await;
            }
        };
        let _ = self.runtime.timeout(deadline, finishing).await;
        open.iter().for_each(|connection| connection.shut_down());
        self.phase.set(Phase::Down);
    }

    fn check_room(&self) -> Result<()> {
        if self.is_shut_down() {
            return Err(P2PError::ShutDown);
        }
        if self.connections.lock().open.len() >= CONNECTIONS_MAX {
            return Err(P2PError::LimitReached { what: "connections", limit: CONNECTIONS_MAX });
        }
        Ok(())
    }
}

/// A provider that is dropped listens no more. Its connections live on.
impl Drop for Hub {
    fn drop(&mut self) {
        self.listeners.close();
    }
}

fn give_up(transport: &impl Transport, peer: PeerId, failure: &Failure) {
    tracing::debug!(?peer, ?failure, "A handshake failed.");
    handshake::close_after(transport, failure);
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("local", &self.local)
            .field("listeners", &self.listeners)
            .field("connections", &self.connections.lock().open.len())
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}
