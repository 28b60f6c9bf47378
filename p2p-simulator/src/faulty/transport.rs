//! A transport in the weather: what arrives by it is held up, and now and then it is killed.

use std::{
    fmt,
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use p2p::{
    Instant, P2PConnection, P2PError, Path, PeerId, RecvHalf, Result, SendHalf, SharedError, StreamError, Timer,
    Transport, Watch,
    mock::{OverlayRecv, OverlaySend, OverlayTransport},
    transport::{TransportClosed, TransportStats},
};
use parking_lot::Mutex;

use super::{
    arrivals::{Arrivals, Gate},
    weather::Weather,
};

/// A connection of the provider below.
pub(super) struct FaultyTransport {
    inner: OverlayTransport,
    local: PeerId,
    since: Instant,
    /// From the peer to here.
    inwards: Gate,
    datagrams: Mutex<Arrivals<Bytes>>,
    datagrams_lost: AtomicU64,
}

/// The code by which one side tells the other that the plan killed the connection. Nobody else's: users' have 32 bits.
const KILLED: u64 = (1 << 32) + u32::MAX as u64;

impl FaultyTransport {
    pub(super) fn new(connection: Arc<dyn P2PConnection>, local: PeerId, weather: Weather) -> Self {
        let since = weather.now();
        let inwards = Gate { weather, from: connection.peer_id(), to: local };
        let datagrams = Mutex::new(Arrivals::new(inwards.clone()));
        let datagrams_lost = AtomicU64::new(0);
        Self { inner: OverlayTransport::new(connection), local, since, inwards, datagrams, datagrams_lost }
    }

    fn wrap(&self, (send, recv): (OverlaySend, OverlayRecv)) -> (FaultySend, FaultyRecv) {
        let timer = self.inwards.weather.runtime().timer();
        let send = FaultySend { inner: send, gate: self.inwards.clone(), timer: Mutex::new(timer) };
        let recv = FaultyRecv { inner: recv, arrivals: Mutex::new(Arrivals::new(self.inwards.clone())), ended: false };
        (send, recv)
    }
}

impl Transport for FaultyTransport {
    type Send = FaultySend;
    type Recv = FaultyRecv;

    fn peer_id(&self) -> PeerId {
        self.inner.peer_id()
    }

    async fn open(&self) -> Result<(FaultySend, FaultyRecv), StreamError> {
        Ok(self.wrap(self.inner.open().await?))
    }

    // A stream whose bytes wait may be seen: there is nothing in it yet.
    async fn accept(&self) -> Result<(FaultySend, FaultyRecv), StreamError> {
        Ok(self.wrap(self.inner.accept().await?))
    }

    fn datagram_bytes_max(&self) -> Option<usize> {
        self.inner.datagram_bytes_max()
    }

    fn send_datagram(&self, datagram: Bytes) -> Result<()> {
        if let Some(limit) = self.datagram_bytes_max()
            && datagram.len() <= limit
            && self.inwards.weather.loses_datagram(self.local, self.peer_id())
        {
            self.datagrams_lost.fetch_add(1, Relaxed);
            return Ok(());
        }
        self.inner.send_datagram(datagram)
    }

    async fn recv_datagram(&self) -> Result<Bytes, StreamError> {
        loop {
            // What is there first: otherwise many that arrive would keep it from being seen.
            let arrived = p2p::select! {
                seen = poll_fn(|cx| self.datagrams.lock().poll_next(cx)) => return Ok(seen),
                arrived = self.inner.recv_datagram() => arrived?,
            };
            if self.inwards.weather.on_link(self.inwards.from, self.inwards.to).is_cut {
                continue;
            }
            let mut datagrams = self.datagrams.lock();
            if datagrams.is_full() {
                datagrams.drop_oldest();
            }
            datagrams.push(arrived);
        }
    }

    fn path(&self) -> Watch<Option<Path>> {
        self.inner.path()
    }

    fn stats(&self) -> TransportStats {
        let stats = self.inner.stats();
        let lost = self.datagrams_lost.load(Relaxed);
        TransportStats {
            packets_lost: stats.packets_lost.map(|packets| packets + lost),
            packets_sent: stats.packets_sent.map(|packets| packets + lost),
            ..stats
        }
    }

    fn close(&self, code: u64, reason: &str) {
        self.inner.close(code, reason);
    }

    async fn closed(&self) -> TransportClosed {
        let weather = &self.inwards.weather;
        let mut timer = weather.runtime().timer();
        timer.reset(weather.next_kill(self.local, self.peer_id(), self.since));
        let closed = p2p::select! {
            closed = self.inner.closed() => closed,
            () = poll_fn(|cx| timer.poll_fired(cx)) => {
                self.inner.close(KILLED, "killed by the plan");
                return killed();
            }
        };
        match closed {
            TransportClosed::Peer { code: KILLED, .. } => killed(),
            TransportClosed::Peer { .. } => {
                // Nor does the word that the peer has closed pass a closed gate.
                poll_fn(|cx| self.inwards.poll_open(&mut timer, cx)).await;
                closed
            }
            other => other,
        }
    }
}

fn killed() -> TransportClosed {
    TransportClosed::Lost(SharedError::new("the plan killed the connection"))
}

impl fmt::Debug for FaultyTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyTransport").field("inner", &self.inner).finish_non_exhaustive()
    }
}

pub(super) struct FaultySend {
    inner: OverlaySend,
    /// From the reader to here.
    gate: Gate,
    /// The lock is there for `Sync`, and never taken.
    timer: Mutex<Box<dyn Timer>>,
}

impl FaultySend {
    /// What the reader's side says waits at the gate.
    fn hold_up<T>(&mut self, cx: &mut Context<'_>, result: Result<T, StreamError>) -> Poll<Result<T, StreamError>> {
        if matches!(&result, Err(StreamError::Stopped { .. } | StreamError::Connection(P2PError::Closed { .. }))) {
            ready!(self.gate.poll_open(self.timer.get_mut(), cx));
        }
        Poll::Ready(result)
    }
}

impl SendHalf for FaultySend {
    fn poll_write(&mut self, cx: &mut Context<'_>, chunks: &mut [Bytes]) -> Poll<Result<usize, StreamError>> {
        let written = ready!(self.inner.poll_write(cx, chunks));
        self.hold_up(cx, written)
    }

    fn finish(&mut self) -> Result<(), StreamError> {
        self.inner.finish()
    }

    fn poll_delivered(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        ready!(self.gate.poll_open(self.timer.get_mut(), cx));
        self.inner.poll_delivered(cx)
    }

    fn reset(&mut self, code: u32) {
        self.inner.reset(code);
    }
}

impl fmt::Debug for FaultySend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FaultySend").field(&self.inner).finish()
    }
}

pub(super) struct FaultyRecv {
    inner: OverlayRecv,
    /// The lock is there for `Sync`, and never taken.
    arrivals: Mutex<Arrivals<Result<Option<Bytes>, StreamError>>>,
    /// Whether the last thing that arrived was an end.
    ended: bool,
}

impl RecvHalf for FaultyRecv {
    fn poll_read(&mut self, cx: &mut Context<'_>, bytes_max: usize) -> Poll<Result<Option<Bytes>, StreamError>> {
        let arrivals = self.arrivals.get_mut();
        while !self.ended && !arrivals.is_full() {
            let Poll::Ready(read) = self.inner.poll_read(cx, bytes_max) else {
                break;
            };
            self.ended = !matches!(read, Ok(Some(_)));
            arrivals.push(read);
        }
        let mut read = ready!(arrivals.poll_next(cx));
        match &mut read {
            Ok(Some(chunk)) if chunk.len() > bytes_max => {
                let rest = chunk.split_off(bytes_max);
                arrivals.put_back(Ok(Some(rest)));
            }
            Ok(Some(_)) => {}
            // Whoever reads on is told by the stream itself.
            _ => self.ended = false,
        }
        Poll::Ready(read)
    }

    fn stop(&mut self, code: u32) {
        self.inner.stop(code);
    }
}

impl fmt::Debug for FaultyRecv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FaultyRecv").field(&self.inner).finish()
    }
}
