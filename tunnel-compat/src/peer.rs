//! Byte streams between peers: each is a stream of a connection of any [`P2PProvider`], the simulator's included.
//!
//! ```
//! use p2p::{P2PListener, P2PProvider, P2PProviderExt, memory::MemoryNetwork};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tunnel_compat::{connector::{Acceptor, Connector}, peer::{Allowed, PeerAcceptor, PeerConnector}};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let network = MemoryNetwork::new();
//! let (home, app) = (network.provider("home"), network.provider("app"));
//! let allowed = Allowed::Only([app.local_peer_id()].into());
//! let listener = home.listen(&tunnel_compat::peer::bridge_protocol()).await?;
//! let connector = PeerConnector::new(app, listener.local_addr());
//! let acceptor = PeerAcceptor::new(home.runtime(), listener, allowed);
//!
//! let mut ours = connector.connect().await?;
//! ours.write_all(b"hello").await?; // A stream is seen by the peer at its first byte.
//! let mut hello = [0; 5];
//! acceptor.accept().await?.read_exact(&mut hello).await?;
//! # Ok(()) }
//! ```

use std::{collections::BTreeSet, io, sync::Arc};

use async_trait::async_trait;
use p2p::{
    CloseCode, P2PConnection, P2PListener, P2PProvider, PeerAddr, PeerId, ProtocolId, Runtime, TaskHandle,
    layer::{Pool, PoolConfig},
};
use tokio::sync::{Mutex, Semaphore, mpsc};

use crate::connector::{Acceptor, BoxIo, Connector};

/// What the home side of the bridge listens for: HTTP/1.1, on each stream of a connection.
pub fn bridge_protocol() -> ProtocolId {
    "http-bridge/1".parse().expect("a valid name")
}

/// Opens streams to one peer, on one connection that is dialled when it is needed, shared, and dialled again when it is gone.
#[derive(Debug, Clone)]
pub struct PeerConnector {
    pool: Pool,
    addr: PeerAddr,
    protocol: ProtocolId,
}

impl PeerConnector {
    /// To that peer's home side of the bridge.
    pub fn new(provider: impl P2PProvider, addr: impl Into<PeerAddr>) -> Self {
        let pool = Pool::new(provider, PoolConfig::default());
        Self { pool, addr: addr.into(), protocol: bridge_protocol() }
    }
}

#[async_trait]
impl Connector for PeerConnector {
    async fn connect(&self) -> io::Result<BoxIo> {
        let connection = self.pool.get(self.addr.clone(), &self.protocol).await.map_err(io::Error::other)?;
        Ok(Box::new(connection.open_stream().await.map_err(io::Error::other)?))
    }
}

/// Who may open streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// These peers. Others are turned away with a reason.
    Only(BTreeSet<PeerId>),
    /// Whoever knows the address.
    Everyone,
}

impl Allowed {
    /// Whether that peer may.
    pub fn allows(&self, peer: PeerId) -> bool {
        match self {
            Self::Only(peers) => peers.contains(&peer),
            Self::Everyone => true,
        }
    }
}

/// Takes the streams that allowed peers open.
#[derive(Debug)]
pub struct PeerAcceptor {
    streams: Mutex<mpsc::Receiver<BoxIo>>,
    _accepting: TaskHandle,
}

impl PeerAcceptor {
    /// Takes those of `listener`'s connections, in tasks that end with this.
    pub fn new(runtime: &Arc<dyn Runtime>, listener: Box<dyn P2PListener>, allowed: Allowed) -> Self {
        let (sender, receiver) = mpsc::channel(STREAMS_WAITING_MAX);
        let accepting = accept_connections(runtime.clone(), listener, allowed, sender);
        let accepting = runtime.spawn("a bridge's connections", Box::pin(accepting));
        Self { streams: Mutex::new(receiver), _accepting: accepting }
    }
}

#[async_trait]
impl Acceptor for PeerAcceptor {
    async fn accept(&self) -> io::Result<BoxIo> {
        let stream = self.streams.lock().await.recv().await;
        stream.ok_or_else(|| io::Error::new(io::ErrorKind::NotConnected, "the provider was shut down"))
    }
}

async fn accept_connections(
    runtime: Arc<dyn Runtime>,
    listener: Box<dyn P2PListener>,
    allowed: Allowed,
    streams: mpsc::Sender<BoxIo>,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(connection) = listener.accept().await {
        let peer = connection.peer_id();
        if !allowed.allows(peer) {
            tracing::warn!(%peer, "A peer that is not allowed was turned away.");
            connection.close(NOT_ALLOWED, "this peer is not allowed here");
            continue;
        }
        let Ok(place) = room.clone().try_acquire_owned() else {
            connection.close(FULL, "there are as many connections as may be");
            continue;
        };
        let streams = streams.clone();
        let accepting = async move {
            accept_streams(connection, streams).await;
            drop(place);
        };
        runtime.spawn("a bridge's streams", Box::pin(accepting)).detach();
    }
}

/// Passes a connection's streams on until it ends, or nobody takes them any longer.
async fn accept_streams(connection: Arc<dyn P2PConnection>, streams: mpsc::Sender<BoxIo>) {
    loop {
        let stream = p2p::select! {
            () = streams.closed() => return,
            stream = connection.accept_stream() => stream,
        };
        let Ok(stream) = stream else { return };
        if streams.send(Box::new(stream)).await.is_err() {
            return;
        }
    }
}

/// Streams that wait to be accepted; beyond that the peers wait.
const STREAMS_WAITING_MAX: usize = 64;

/// Connections at once. One more is closed with a reason.
const CONNECTIONS_MAX: usize = 256;

/// Closes the connection of a peer that is not allowed.
const NOT_ALLOWED: CloseCode = CloseCode(403);

/// Closes a connection for which there is no room.
const FULL: CloseCode = CloseCode(503);
