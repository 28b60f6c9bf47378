//! A simulated connection as the engine drives it: the [`Transport`] of this crate.

use std::{fmt, future::poll_fn, sync::Arc};

use bytes::Bytes;
use p2p::{
    P2PError, Path, PeerId, Result, StreamError, Transport, Watch,
    transport::{TransportClosed, TransportStats},
};

use crate::{
    shared::Shared,
    stream::{SimulatorRecv, SimulatorSend, halves},
    world::conn::EndId,
};

/// One end of a simulated connection, before any handshake of ours.
///
/// Users hold the [`P2PConnection`](p2p::P2PConnection) that a [`SimulatorP2P`](crate::SimulatorP2P) makes of it. This is
/// for tests that play a peer which breaks the protocol. The connection closes with code 0 when this and all halves of its
/// streams are dropped.
pub struct SimulatorConnection {
    shared: Arc<Shared>,
    end: EndId,
    peer: PeerId,
    path: Watch<Option<Path>>,
}

impl SimulatorConnection {
    /// Takes over the caller's handle on the end.
    pub(crate) fn new(shared: Arc<Shared>, end: EndId) -> Self {
        let (peer, path) = shared.with(|world| (world.peer_of(end), world.path(end)));
        Self { shared, end, peer, path }
    }
}

impl Transport for SimulatorConnection {
    type Send = SimulatorSend;
    type Recv = SimulatorRecv;

    fn peer_id(&self) -> PeerId {
        self.peer
    }

    async fn open(&self) -> Result<(SimulatorSend, SimulatorRecv), StreamError> {
        let half = poll_fn(|cx| self.shared.with(|world| world.poll_open(self.end, cx.waker()))).await?;
        Ok(halves(&self.shared, half))
    }

    async fn accept(&self) -> Result<(SimulatorSend, SimulatorRecv), StreamError> {
        let half = poll_fn(|cx| self.shared.with(|world| world.poll_accept(self.end, cx.waker()))).await?;
        Ok(halves(&self.shared, half))
    }

    fn datagram_bytes_max(&self) -> Option<usize> {
        Some(self.shared.with(|world| world.datagram_bytes_max(self.end)))
    }

    fn send_datagram(&self, datagram: Bytes) -> Result<(), P2PError> {
        self.shared.with(|world| world.send_datagram(self.end, datagram))
    }

    async fn recv_datagram(&self) -> Result<Bytes, StreamError> {
        poll_fn(|cx| self.shared.with(|world| world.poll_datagram(self.end, cx.waker()))).await
    }

    fn path(&self) -> Watch<Option<Path>> {
        self.path.clone()
    }

    fn stats(&self) -> TransportStats {
        self.shared.with(|world| world.transport_stats(self.end))
    }

    fn close(&self, code: u64, reason: &str) {
        self.shared.with(|world| world.close(self.end, code, reason.as_bytes()));
    }

    async fn closed(&self) -> TransportClosed {
        poll_fn(|cx| self.shared.with(|world| world.poll_closed(self.end, cx.waker()))).await
    }
}

impl Drop for SimulatorConnection {
    fn drop(&mut self) {
        self.shared.with(|world| world.release_handle(self.end));
    }
}

impl fmt::Debug for SimulatorConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatorConnection").field("peer", &self.peer).finish_non_exhaustive()
    }
}
