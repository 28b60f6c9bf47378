//! Who is let in, and how much of this endpoint each may have.
//!
//! A peer passes three doors: [`knock`](Admission::knock), at its first packet and before any cryptography;
//! [`enter`](Admission::enter), once TLS has proved who it is; and the engine's handshake, which comes after. A dial passes
//! [`dial`](Admission::dial). Each gives a place, which is free again when it is dropped.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use iroh::{
    RelayUrl, TransportAddr,
    endpoint::{Connection, Incoming, IncomingAddr, VarInt, WeakConnectionHandle},
};
use p2p::{Instant, P2PError, PeerId, Result, Runtime, protocol::close};
use parking_lot::Mutex;

use crate::{
    AccessList, IrohConfig, addr,
    budget::{Budget, Loan},
    failover::Relays,
    limits::{IrohLimits, Level},
    metrics::{Telemetry, TurnedAway},
    window::Window,
};

/// The state of all doors.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: IrohLimits,
    access: AccessList,
    window_bytes_max: u32,
    /// All begin with the least, because TLS sessions are resumed.
    alike: bool,
    budget: Arc<Budget>,
    telemetry: Telemetry,
    relays: Arc<Relays>,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    /// Handshakes of peers that are going on, by where they come from.
    handshakes: HashMap<Origin, usize>,
    handshakes_count: usize,
    /// Connections, and whatever is about to become one.
    connections: usize,
    by_peer: HashMap<PeerId, usize>,
    open: HashMap<u64, Open>,
    next_id: u64,
    /// When room was last looked for.
    made_room: Option<Instant>,
}

#[derive(Debug)]
struct Open {
    peer: PeerId,
    connection: WeakConnectionHandle,
    window: Weak<Window>,
    /// Dialled by this side.
    chosen: bool,
    given_up: Arc<AtomicBool>,
}

impl Open {
    fn is_relayed_through(&self, relay: &RelayUrl) -> bool {
        let Some(connection) = self.connection.upgrade() else { return false };
        let through = |remote: &TransportAddr| matches!(remote, TransportAddr::Relay(url) if url == relay);
        connection.close_reason().is_none()
            && connection.paths().iter().any(|path| path.is_selected() && through(path.remote_addr()))
    }

    fn received_through(&self, relay: &RelayUrl) -> u64 {
        let Some(connection) = self.connection.upgrade() else { return 0 };
        let through = |remote: &TransportAddr| matches!(remote, TransportAddr::Relay(url) if url == relay);
        let paths = connection.paths();
        paths.iter().filter(|path| through(path.remote_addr())).map(|path| path.stats().udp_rx.bytes).sum()
    }
}

/// Where a handshake comes from, as far as an attacker would have to take trouble to be somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Origin {
    /// An IPv4 address, or the network of an IPv6 address: a customer has one of 64 bits at least (RFC 6177).
    Network(IpAddr),
    /// A relay knows who its clients are.
    Peer(PeerId),
    Other,
}

impl Origin {
    fn of(from: &IncomingAddr) -> Self {
        match from {
            IncomingAddr::Ip(addr) => Self::Network(match addr.ip().to_canonical() {
                IpAddr::V6(ip) => {
                    let [a, b, c, d, ..] = ip.segments();
                    Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
                }
                v4 => v4,
            }),
            IncomingAddr::Relay { endpoint_id, .. } => Self::Peer(addr::peer_id(*endpoint_id)),
            _ => Self::Other,
        }
    }
}

/// What becomes of a first packet.
#[derive(Debug)]
pub(crate) enum Knock {
    /// Shake hands.
    Answer(Handshake),
    /// Ask for proof of the address first.
    Prove,
    /// Say no.
    Refuse,
}

impl Admission {
    pub(crate) fn new(config: &IrohConfig) -> Arc<Self> {
        Arc::new(Self {
            limits: config.limits.clone(),
            access: config.access.clone(),
            window_bytes_max: config.receive_window_bytes,
            alike: config.zero_rtt,
            budget: Budget::new(config.limits.lent_bytes()),
            telemetry: Telemetry::default(),
            relays: Relays::new(config),
            inside: Mutex::default(),
        })
    }

    /// What is counted of connections, and of those that do not become any.
    pub(crate) fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// The relays that connections run through.
    pub(crate) fn relays(&self) -> &Arc<Relays> {
        &self.relays
    }

    /// The first door. Allocates nothing for who is refused.
    pub(crate) fn knock(self: &Arc<Self>, incoming: &Incoming, now: Instant) -> Knock {
        let origin = Origin::of(&incoming.remote_addr());
        if let Origin::Peer(peer) = origin
            && !self.access.admits(peer)
        {
            self.telemetry.turned_away(TurnedAway::Access);
            return Knock::Refuse;
        }
        let mut inside = self.inside.lock();
        let limits = &self.limits;
        let of_origin = inside.handshakes.get(&origin).copied().unwrap_or(0);
        if inside.handshakes_count >= limits.handshakes_max
            || of_origin >= limits.handshakes_per_address_max
            || inside.connections >= limits.connections_max
        {
            self.telemetry.turned_away(TurnedAway::Full);
            return Knock::Refuse;
        }
        let must_prove = matches!(origin, Origin::Network(_)) && !incoming.remote_addr_validated();
        if must_prove && inside.handshakes_count >= limits.handshakes_max / 2 {
            return Knock::Prove;
        }
        *inside.handshakes.entry(origin).or_default() += 1;
        inside.handshakes_count += 1;
        inside.connections += 1;
        drop(inside);
        let going = Going { admission: self.clone(), origin };
        Knock::Answer(Handshake { seat: self.seat(now), going })
    }

    /// The second door: TLS has proved who the peer is.
    ///
    /// # Errors
    /// The code and the words to close with.
    pub(crate) fn enter(&self, handshake: Handshake, peer: PeerId) -> Result<Place, (u64, &'static str)> {
        if !self.access.admits(peer) {
            self.telemetry.turned_away(TurnedAway::Access);
            return Err((close::REJECTED, "this identity is not admitted here"));
        }
        let Handshake { seat, going } = handshake;
        drop(going);
        seat.of_peer(peer, false).ok_or_else(|| {
            self.telemetry.turned_away(TurnedAway::PerPeer);
            (close::BUSY, "too many connections with one peer")
        })
    }

    /// The door for dials.
    pub(crate) fn dial(self: &Arc<Self>, peer: PeerId, now: Instant) -> Result<Place> {
        if self.access.denies(peer) {
            return Err(P2PError::invalid_input(
                format_args!("peer {peer} (it is on the deny-list)"),
                "a peer that is not denied",
            ));
        }
        {
            let mut inside = self.inside.lock();
            let limit = self.limits.connections_max;
            if inside.connections >= limit {
                return Err(P2PError::LimitReached { what: "connections", limit });
            }
            inside.connections += 1;
        }
        let limit = self.limits.connections_per_peer_max;
        self.seat(now).of_peer(peer, true).ok_or(P2PError::LimitReached { what: "connections with one peer", limit })
    }

    /// Closes the connections of those whom the access list does not admit any more.
    pub(crate) fn close_the_denied(&self) {
        self.close_where(close::REJECTED, "this identity is no longer admitted here", |open| {
            !open.chosen && !self.access.admits(open.peer) || self.access.denies(open.peer)
        });
    }

    /// Whether a connection runs through that relay now.
    pub(crate) fn is_relayed_through(&self, relay: &RelayUrl) -> bool {
        self.inside.lock().open.values().any(|open| open.is_relayed_through(relay))
    }

    /// How many bytes the connections that are open have received through that relay.
    pub(crate) fn received_through(&self, relay: &RelayUrl) -> u64 {
        self.inside.lock().open.values().map(|open| open.received_through(relay)).sum()
    }

    /// Ends the connections that run through that relay, as lost. Their peers do not hear of it.
    pub(crate) fn give_up_relayed(&self, relay: &RelayUrl) {
        self.close_where(close::TIMED_OUT, "the relay failed", |open| {
            let relayed = open.is_relayed_through(relay);
            if relayed {
                open.given_up.store(true, Relaxed);
            }
            relayed
        });
    }

    /// How large a window may become.
    pub(crate) fn window_bytes_max(&self) -> u32 {
        self.window_bytes_max
    }

    pub(crate) fn access(&self) -> &AccessList {
        &self.access
    }

    /// Closes strangers who hold on to what they borrowed and do not use it, those first who did not for longest, until
    /// there is room for a full window. Called when somebody found too little left; looks around ten times a second at
    /// most.
    pub(crate) fn make_room(&self, now: Instant) {
        let idle: Vec<_> = {
            let mut inside = self.inside.lock();
            if inside.made_room.is_some_and(|at| now - at < LOOK_AROUND_INTERVAL) {
                return;
            }
            inside.made_room = Some(now);
            let idle = inside.open.values().filter_map(|open| {
                let (since, bytes) = open.window.upgrade()?.stands_still()?;
                let is_long = now - since >= self.limits.standstill_max;
                let stranger = is_long && !open.chosen && !self.access.names(open.peer);
                stranger.then(|| Some((since, bytes, open.connection.upgrade()?))).flatten()
            });
            idle.collect()
        };
        let mut idle = idle;
        idle.sort_by_key(|(since, ..)| *since);
        let mut room = 0;
        for (_, bytes, connection) in idle {
            if room < 2 * u64::from(self.window_bytes_max) {
                room += bytes;
                close(&connection, close::BUSY, "the memory of this connection is needed for others");
            }
        }
    }

    fn close_where(&self, code: u64, why: &str, is_it: impl Fn(&Open) -> bool) {
        let found: Vec<_> = {
            let inside = self.inside.lock();
            inside.open.values().filter(|open| is_it(open)).filter_map(|open| open.connection.upgrade()).collect()
        };
        found.iter().for_each(|connection| close(connection, code, why));
    }

    fn seat(self: &Arc<Self>, now: Instant) -> Seat {
        let loan = self.budget.open();
        let levels = Level::all(self.window_bytes_max);
        let mut levels = levels.filter(|level| !self.alike || level.borrowed() == 0);
        let best = levels.clone().next();
        let level = levels.find(|level| loan.extend(level.borrowed(), NEWCOMERS_SHARE));
        if level != best {
            self.make_room(now);
        }
        // What the least of them borrows is nothing, which is never refused.
        let level = level.expect("nothing can always be borrowed");
        Seat { admission: self.clone(), peer: None, id: None, level, loan: Some(loan) }
    }
}

/// Ends a connection with a code of the protocol's.
pub(crate) fn close(connection: &Connection, code: u64, why: &str) {
    connection.close(VarInt::from_u64(code).expect("our codes fit into 62 bits"), why.as_bytes());
}

/// What a connection takes up from its first packet to its end.
#[derive(Debug)]
struct Seat {
    admission: Arc<Admission>,
    peer: Option<PeerId>,
    id: Option<u64>,
    level: Level,
    /// Its window's, from when it has one.
    loan: Option<Loan>,
}

impl Seat {
    /// Counts it for that peer, unless that has its share.
    fn of_peer(mut self, peer: PeerId, chosen: bool) -> Option<Place> {
        {
            let mut inside = self.admission.inside.lock();
            let count = inside.by_peer.entry(peer).or_default();
            if *count >= self.admission.limits.connections_per_peer_max {
                return None;
            }
            *count += 1;
        }
        self.peer = Some(peer);
        Some(Place { seat: self, chosen, given_up: Arc::default() })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut inside = self.admission.inside.lock();
        inside.connections -= 1;
        if let Some(id) = self.id {
            inside.open.remove(&id);
        }
        if let Some(peer) = self.peer
            && let Some(count) = inside.by_peer.get_mut(&peer)
        {
            *count -= 1;
            if *count == 0 {
                inside.by_peer.remove(&peer);
            }
        }
    }
}

/// A handshake that a peer began.
#[derive(Debug)]
pub(crate) struct Handshake {
    seat: Seat,
    going: Going,
}

impl Handshake {
    /// What the connection begins with.
    pub(crate) fn level(&self) -> Level {
        self.seat.level
    }
}

/// A handshake is counted as long as this lives.
#[derive(Debug)]
struct Going {
    admission: Arc<Admission>,
    origin: Origin,
}

impl Drop for Going {
    fn drop(&mut self) {
        let mut inside = self.admission.inside.lock();
        inside.handshakes_count -= 1;
        if let Some(count) = inside.handshakes.get_mut(&self.origin) {
            *count -= 1;
            if *count == 0 {
                inside.handshakes.remove(&self.origin);
            }
        }
    }
}

/// A connection's place.
#[derive(Debug)]
pub(crate) struct Place {
    seat: Seat,
    chosen: bool,
    given_up: Arc<AtomicBool>,
}

impl Place {
    /// What the connection begins with.
    pub(crate) fn level(&self) -> Level {
        self.seat.level
    }

    /// What is counted of the connection.
    pub(crate) fn telemetry(&self) -> &Telemetry {
        &self.seat.admission.telemetry
    }

    /// The relays that connections run through.
    pub(crate) fn relays(&self) -> &Arc<Relays> {
        &self.seat.admission.relays
    }

    /// Takes the place up with a connection, and gives that its window.
    pub(crate) fn seat(&mut self, connection: &Connection, runtime: &Arc<dyn Runtime>) -> Arc<Window> {
        let admission = &self.seat.admission;
        let loan = self.seat.loan.take().expect("a place is taken up once");
        let window = Window::new(connection, self.seat.level, loan, admission, runtime);
        let mut inside = admission.inside.lock();
        let id = inside.next_id;
        inside.next_id += 1;
        inside.open.insert(
            id,
            Open {
                peer: self.seat.peer.expect("a place is a peer's"),
                connection: connection.weak_handle(),
                window: Arc::downgrade(&window),
                chosen: self.chosen,
                given_up: self.given_up.clone(),
            },
        );
        drop(inside);
        self.seat.id = Some(id);
        window
    }

    /// Whether this side gave the connection up because its relay failed.
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Relaxed)
    }
}

/// The part of what is left that a newcomer may borrow: it has shown nothing yet.
const NEWCOMERS_SHARE: u64 = 8;

/// How often is looked, at most, for strangers who hold what they do not use.
const LOOK_AROUND_INTERVAL: Duration = Duration::from_millis(100);
