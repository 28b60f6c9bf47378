//! One connection of iroh's as the transport that the engine speaks over.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use iroh::endpoint::{Connection, SendDatagramError, VarInt, WeakConnectionHandle};
use p2p::{
    P2PError, Path, PeerId, Result, Runtime, StreamError, TaskHandle, Transport, Watch, WatchSender,
    protocol::close,
    transport::{TransportClosed, TransportStats},
};
use tracing::info;

use crate::{
    addr,
    admission::Place,
    datagrams::Datagrams,
    error,
    failover::Relays,
    metrics::Telemetry,
    peers::Peers,
    stream::{IrohRecv, IrohSend},
    window::Window,
};

/// A connection to a peer, over whichever of its paths is best now.
#[derive(Debug)]
pub(crate) struct IrohConnection {
    connection: Connection,
    peer: PeerId,
    path: Watch<Option<Path>>,
    datagrams: Arc<Datagrams>,
    window: Arc<Window>,
    place: Place,
    journey: Arc<Journey>,
    /// End with the connection.
    _tasks: [TaskHandle; 2],
}

impl IrohConnection {
    pub(crate) fn new(connection: Connection, mut place: Place, runtime: &Arc<dyn Runtime>) -> Self {
        // Subscribed before the first look, so no change falls between the two.
        let mut events = connection.path_events();
        let relays = place.relays().clone();
        relays.guard(&connection);
        let first = selected_path(&connection);
        let journey = Arc::new(Journey {
            began_relayed: first.as_ref().is_some_and(|path| !path.is_direct()),
            was_direct: AtomicBool::new(first.as_ref().is_some_and(Path::is_direct)),
        });
        let path = WatchSender::new(first);
        let watch = path.subscribe();
        let (weak, followed) = (connection.weak_handle(), journey.clone());
        let telemetry = place.telemetry().clone();
        let follow = async move {
            // Whatever happened, the list of paths says what is so now, also after events were missed.
            while events.next().await.is_some() && update(&weak, &path, &followed, &telemetry, &relays) {}
        };
        let datagrams = Arc::new(Datagrams::default());
        Self {
            peer: addr::peer_id(connection.remote_id()),
            path: watch,
            window: place.seat(&connection, runtime),
            place,
            journey,
            _tasks: [
                runtime.spawn("iroh path", Box::pin(follow)),
                runtime.spawn("iroh datagrams", Box::pin(read_datagrams(connection.clone(), datagrams.clone()))),
            ],
            datagrams,
            connection,
        }
    }

    /// Makes the peer known. Returns the path's kind, for the log.
    pub(crate) fn introduce(&self, peers: &Peers, runtime: &dyn Runtime) -> &'static str {
        peers.connected(self.peer, self.path.clone(), runtime.now());
        self.path.read(|path| path.as_ref().map_or("none", Path::kind))
    }
}

/// What a connection has gone through, for its metrics.
#[derive(Debug)]
struct Journey {
    began_relayed: bool,
    was_direct: AtomicBool,
}

impl Transport for IrohConnection {
    type Send = IrohSend;
    type Recv = IrohRecv;

    fn peer_id(&self) -> PeerId {
        self.peer
    }

    async fn open(&self) -> Result<(IrohSend, IrohRecv), StreamError> {
        let (send, recv) = self.connection.open_bi().await.map_err(error::closed)?;
        Ok((IrohSend::new(send), IrohRecv::new(recv, self.window.clone())))
    }

    async fn accept(&self) -> Result<(IrohSend, IrohRecv), StreamError> {
        let (send, recv) = self.connection.accept_bi().await.map_err(error::closed)?;
        Ok((IrohSend::new(send), IrohRecv::new(recv, self.window.clone())))
    }

    fn datagram_bytes_max(&self) -> Option<usize> {
        self.connection.max_datagram_size()
    }

    fn send_datagram(&self, datagram: Bytes) -> Result<()> {
        let size = datagram.len();
        self.connection.send_datagram(datagram).map_err(|error| match error {
            SendDatagramError::TooLarge => match self.connection.max_datagram_size() {
                Some(limit) => P2PError::DatagramTooLarge { size, limit },
                None => P2PError::DatagramsUnsupported,
            },
            SendDatagramError::UnsupportedByPeer | SendDatagramError::Disabled => P2PError::DatagramsUnsupported,
            SendDatagramError::ConnectionLost(error) => error::closed(error),
        })
    }

    async fn recv_datagram(&self) -> Result<Bytes, StreamError> {
        Ok(self.datagrams.pop().await?)
    }

    fn path(&self) -> Watch<Option<Path>> {
        self.path.clone()
    }

    fn stats(&self) -> TransportStats {
        let total = self.connection.stats();
        let paths = self.connection.paths();
        // Between two paths none is selected; the round trip of either is better than none.
        let path = paths.iter().find(|path| path.is_selected()).or_else(|| paths.iter().next());
        TransportStats {
            rtt: path.map(|path| path.rtt()),
            packets_lost: Some(total.lost_packets),
            packets_sent: Some(total.sent_packets),
        }
    }

    fn close(&self, code: u64, reason: &str) {
        let code = VarInt::from_u64(code).unwrap_or(VarInt::MAX);
        self.connection.close(code, reason.as_bytes());
    }

    async fn closed(&self) -> TransportClosed {
        let ended = self.connection.closed().await;
        match self.place.is_given_up() {
            true => TransportClosed::Lost("the relay it ran through failed".into()),
            false => error::ended(ended),
        }
    }
}

/// A transport that is dropped is given up, also where a stream's half still keeps iroh's connection alive.
impl Drop for IrohConnection {
    fn drop(&mut self) {
        let stayed_relayed = self.journey.began_relayed && !self.journey.was_direct.load(Relaxed);
        self.place.telemetry().ended(stayed_relayed, &self.connection.stats());
        Transport::close(self, close::HANDSHAKE_ABANDONED, "");
    }
}

/// Keeps noq's own queue of datagrams empty, which would keep more than it counts.
async fn read_datagrams(connection: Connection, datagrams: Arc<Datagrams>) {
    loop {
        match connection.read_datagram().await {
            Ok(datagram) => datagrams.push(&datagram),
            Err(error) => return datagrams.end(error::closed(error)),
        }
        let mut more = [const { Bytes::new() }; DATAGRAMS_AT_ONCE];
        while let Some(Ok(count)) = connection.read_many_datagrams(&mut more).now_or_never() {
            more[..count].iter().for_each(|datagram| datagrams.push(datagram));
        }
    }
}

/// Datagrams taken in one turn at noq's lock.
const DATAGRAMS_AT_ONCE: usize = 32;

/// Brings the path up to date; false once the connection is gone.
fn update(
    connection: &WeakConnectionHandle,
    path: &WatchSender<Option<Path>>,
    journey: &Journey,
    telemetry: &Telemetry,
    relays: &Relays,
) -> bool {
    let Some(connection) = connection.upgrade() else {
        return false;
    };
    relays.guard(&connection);
    let now = selected_path(&connection);
    let is_direct = now.as_ref().is_some_and(Path::is_direct);
    if is_direct && !journey.was_direct.swap(true, Relaxed) && journey.began_relayed {
        telemetry.punched();
    }
    if let Some(new) = now.as_ref().filter(|new| path.read(|old| old.as_ref() != Some(*new))) {
        let rtt = connection.paths().iter().find(|path| path.is_selected()).map(|path| path.rtt());
        let peer = addr::peer_id(connection.remote_id());
        info!(%peer, path = new.kind(), latency_ms = rtt.map(millis), "The path changed.");
    }
    path.set(now);
    true
}

/// Milliseconds for a log line, with three digits behind the point.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

fn selected_path(connection: &Connection) -> Option<Path> {
    let paths = connection.paths();
    let selected = paths.iter().find(|path| path.is_selected())?;
    Some(addr::path(selected.remote_addr()))
}
