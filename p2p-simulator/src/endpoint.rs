//! A peer's place on the network: where it dials from and is dialled, without any handshake of ours.

use std::{fmt, future::poll_fn, sync::Arc};

use p2p::{P2PError, PeerId, Result, Runtime, SharedError};

use crate::{
    SimulatorConnection,
    runtime::NodeRuntime,
    shared::Shared,
    world::{
        conn::{DialAnswer, EndId},
        life::Life,
    },
};

/// Dials and is dialled under one identity. What [`SimulatorP2P`](crate::SimulatorP2P) is built on.
///
/// By itself it is for tests that play a peer which breaks the protocol, or says nothing. While it lives, connections to
/// its peer come here; dropping it ends that.
pub struct SimulatorEndpoint {
    shared: Arc<Shared>,
    life: Life,
    number: u32,
    peer: PeerId,
}

impl SimulatorEndpoint {
    /// # Panics
    /// If the peer is down, or a relay.
    pub(crate) fn new(shared: Arc<Shared>, name: &str) -> Self {
        let place = shared.with(|world| {
            let node = world.node(name);
            if world.is_relay(node) {
                return Err("is a relay, and no peer");
            }
            let up = !world.is_down(node);
            up.then(|| (world.life(node), world.start_answering(node), world.node_peer(node)))
                .ok_or("is down; restart it first")
        });
        let (life, number, peer) = place.unwrap_or_else(|why| panic!("peer {name:?} {why}"));
        Self { shared, life, number, peer }
    }

    /// The identity that peers see.
    pub const fn peer_id(&self) -> PeerId {
        self.peer
    }

    /// The peer's time, tasks and randomness.
    pub fn runtime(&self) -> Arc<dyn Runtime> {
        Arc::new(NodeRuntime::new(self.shared.clone(), self.life))
    }

    /// Dials. Takes one round trip; over a partition it takes until that ends.
    ///
    /// # Errors
    /// - [`PeerNotFound`](P2PError::PeerNotFound): no such peer is on this network, or it takes no connections.
    /// - [`ConnectionFailed`](P2PError::ConnectionFailed): the configured failure rate struck, or too many connections
    ///   wait at the peer.
    /// - [`AuthenticationFailed`](P2PError::AuthenticationFailed): a [wrong record](crate::Fault::WrongRecord) led to
    ///   somebody else.
    /// - [`InvalidInput`](P2PError::InvalidInput): the peer is this one.
    /// - [`ShutDown`](P2PError::ShutDown): this peer crashed; what is left of that life reaches nobody.
    ///
    /// # Cancel safety
    /// Dropping the future gives the attempt up. The peer may see a connection that closes at once.
    pub async fn dial(&self, peer: PeerId) -> Result<SimulatorConnection> {
        if peer == self.peer {
            return Err(P2PError::invalid_input(format_args!("peer {peer}"), "another peer than this one"));
        }
        if !self.shared.with(|world| world.is_alive(self.life)) {
            return Err(P2PError::ShutDown);
        }
        let end = self.shared.with(|world| world.find_node(peer).map(|dst| world.dial(self.life.node, dst)));
        let Some(end) = end else {
            let source = SharedError::new("no such peer is on the simulated network");
            return Err(P2PError::PeerNotFound { peer, source });
        };
        let dialling = Dialling { shared: &self.shared, end: Some(end) };
        let answer = poll_fn(|cx| self.shared.with(|world| world.poll_dial(end, cx.waker()))).await;
        match answer {
            DialAnswer::Accepted => Ok(SimulatorConnection::new(self.shared.clone(), dialling.keep())),
            DialAnswer::NobodyAnswers => {
                Err(P2PError::PeerNotFound { peer, source: "nobody answers at the simulated peer".into() })
            }
            DialAnswer::Full => {
                Err(P2PError::ConnectionFailed { peer, source: "too many connections wait at the peer".into() })
            }
            DialAnswer::Failed => {
                Err(P2PError::ConnectionFailed { peer, source: "the simulated network failed the dial".into() })
            }
            DialAnswer::SomebodyElse => Err(P2PError::AuthenticationFailed {
                expected: peer,
                source: "another simulated peer is at the address that was found".into(),
            }),
            DialAnswer::NoFileDescriptors => {
                Err(P2PError::ConnectionFailed { peer, source: "no file descriptor is left at this peer".into() })
            }
        }
    }

    /// Waits for the next connection that a peer opened; nothing once another endpoint of this name, or a shutdown, took
    /// the place of this one.
    ///
    /// # Cancel safety
    /// Dropping the future loses no connection.
    pub async fn accept(&self) -> Option<SimulatorConnection> {
        let accepted =
            poll_fn(|cx| self.shared.with(|world| world.poll_incoming(self.life.node, self.number, cx.waker()))).await;
        accepted.map(|end| SimulatorConnection::new(self.shared.clone(), end))
    }

    /// Takes no more connections. Those that are open stay so.
    pub fn close(&self) {
        self.shared.with(|world| world.stop_answering(self.life.node, self.number));
    }

    pub(crate) const fn life(&self) -> Life {
        self.life
    }

    /// Whether the network knows a peer.
    pub(crate) fn knows(&self, peer: PeerId) -> bool {
        self.shared.with(|world| world.find_node(peer)).is_some()
    }
}

impl Drop for SimulatorEndpoint {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for SimulatorEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatorEndpoint").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// Gives a dial up when its future is dropped.
struct Dialling<'a> {
    shared: &'a Arc<Shared>,
    end: Option<EndId>,
}

impl Dialling<'_> {
    fn keep(mut self) -> EndId {
        self.end.take().expect("kept only once")
    }
}

impl Drop for Dialling<'_> {
    fn drop(&mut self) {
        if let Some(end) = self.end {
            self.shared.with(|world| world.release_handle(end));
        }
    }
}
