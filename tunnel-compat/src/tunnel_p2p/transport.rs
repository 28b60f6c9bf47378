//! One connection as the transport that the engine speaks over: what its halves and its driver share.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use p2p::{
    P2PError, Path, PeerId, RecvHalf, Result, SendHalf, StreamError, Transport, TransportClosed, Watch, WatchSender,
    protocol::close, transport::TransportStats,
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::mux::{Ended, Event, Mux, STREAMS_MAX, StreamKey};

/// A connection to a peer whose key proved who it is.
#[derive(Debug)]
pub(super) struct TunnelTransport {
    shared: Arc<Shared>,
    peer: PeerId,
    path: Watch<Option<Path>>,
}

impl TunnelTransport {
    /// The end that the driver of `shared` carries the bytes for.
    pub(super) fn new(shared: Arc<Shared>, peer: PeerId, relay: Arc<str>) -> Self {
        Self { shared, peer, path: Watch::constant(Some(Path::Relayed { relay })) }
    }
}

/// What a connection's transport, halves and driver share.
pub(super) struct Shared {
    state: Mutex<State>,
    /// Places for streams of this side.
    places: Semaphore,
    /// Streams that wait in `State::opened`.
    arrivals: Semaphore,
    ended: WatchSender<Option<TransportClosed>>,
}

struct State {
    mux: Mux,
    /// Bounded by the streams that are held.
    wakers: BTreeMap<StreamKey, Wakers>,
    /// Streams of the peer's that nobody has accepted. Bounded by [`STREAMS_MAX`].
    opened: VecDeque<StreamKey>,
    driver: Option<Waker>,
    driver_is_blocked: bool,
}

impl State {
    /// Whether there is something for the driver.
    fn has_work(&self) -> bool {
        self.mux.closed().is_some() || self.mux.has_output() && !self.driver_is_blocked
    }
}

#[derive(Default)]
struct Wakers {
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// One of both halves is gone.
    halved: bool,
}

impl Shared {
    pub(super) fn new(dialler: bool) -> Arc<Self> {
        let state = State {
            mux: Mux::new(dialler),
            wakers: BTreeMap::new(),
            opened: VecDeque::new(),
            driver: None,
            driver_is_blocked: false,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            places: Semaphore::new(STREAMS_MAX),
            arrivals: Semaphore::new(0),
            ended: WatchSender::new(None),
        })
    }

    /// Works on the streams, and wakes whom that lets go on: the driver if there is something to send.
    fn with<R>(&self, work: impl FnOnce(&mut State) -> R) -> R {
        let (mut arrived, mut freed, mut wakers) = (0, 0, Vec::new());
        let mut state = self.state.lock();
        let result = work(&mut state);
        while let Some(event) = state.mux.poll_event() {
            match event {
                Event::Opened(key) => {
                    state.opened.push_back(key);
                    arrived += 1;
                }
                Event::Readable(key) => wakers.extend(state.wakers.get_mut(&key).and_then(|of| of.reader.take())),
                Event::Writable(key) => wakers.extend(state.wakers.get_mut(&key).and_then(|of| of.writer.take())),
                Event::Freed => freed += 1,
            }
        }
        if state.has_work() {
            wakers.extend(state.driver.take());
        }
        drop(state);
        self.arrivals.add_permits(arrived);
        self.places.add_permits(freed);
        wakers.into_iter().for_each(Waker::wake);
        result
    }

    /// The same for the driver, which looks at what there is to send by itself.
    pub(super) fn drive<R>(&self, work: impl FnOnce(&mut Mux) -> R) -> R {
        self.with(|state| {
            state.driver = None;
            work(&mut state.mux)
        })
    }

    /// Wakes the driver when there is something for it to do, which it cannot while it is `blocked`, unless the connection is closed.
    /// False if there is now.
    pub(super) fn rest(&self, cx: &Context<'_>, blocked: bool) -> bool {
        let mut state = self.state.lock();
        state.driver = Some(cx.waker().clone());
        state.driver_is_blocked = blocked;
        !state.has_work()
    }

    /// The connection has ended, if it had not yet.
    pub(super) fn end(&self, how: TransportClosed) {
        let mut first = false;
        self.ended.modify(|ended| {
            first = ended.is_none();
            ended.get_or_insert(how);
            first
        });
        if !first {
            return;
        }
        let mut wakers = Vec::new();
        {
            let mut state = self.state.lock();
            // Whoever ends it has said so to the peer, if there is still a way to.
            state.mux.close(close::HANDSHAKE_ABANDONED, "");
            for of in state.wakers.values_mut() {
                wakers.extend(of.reader.take().into_iter().chain(of.writer.take()));
            }
        }
        wakers.into_iter().for_each(Waker::wake);
        self.places.close();
        self.arrivals.close();
    }

    /// Whether either side has closed, or both are out of each other's reach.
    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().mux.closed().is_some()
    }

    fn has_ended(&self) -> bool {
        self.ended.read(Option::is_some)
    }

    fn close(&self, code: u64, reason: &str) {
        if !self.has_ended() {
            self.with(|state| state.mux.close(code, reason));
            self.end(TransportClosed::Local);
        }
    }

    fn halves(self: &Arc<Self>, key: StreamKey) -> (TunnelSend, TunnelRecv) {
        let half = || Half { shared: self.clone(), key };
        (TunnelSend(half()), TunnelRecv(half()))
    }

    fn open(self: &Arc<Self>) -> Result<(TunnelSend, TunnelRecv), StreamError> {
        let key = self.with(|state| {
            let key = state.mux.open()?;
            state.wakers.insert(key, Wakers::default());
            Some(key)
        });
        // With a place there is room, so what lacks is a number.
        let used_up = || P2PError::LimitReached { what: "streams of one connection, ever", limit: 1 << 31 };
        Ok(self.halves(key.ok_or_else(used_up)?))
    }

    fn accept(self: &Arc<Self>) -> Option<(TunnelSend, TunnelRecv)> {
        let mut state = self.state.lock();
        let key = state.opened.pop_front()?;
        state.wakers.insert(key, Wakers::default());
        drop(state);
        Some(self.halves(key))
    }
}

impl Transport for TunnelTransport {
    type Send = TunnelSend;
    type Recv = TunnelRecv;

    fn peer_id(&self) -> PeerId {
        self.peer
    }

    async fn open(&self) -> Result<(TunnelSend, TunnelRecv), StreamError> {
        self.shared.places.acquire().await.map_err(|_| gone())?.forget();
        self.shared.open()
    }

    async fn accept(&self) -> Result<(TunnelSend, TunnelRecv), StreamError> {
        if let Ok(arrival) = self.shared.arrivals.acquire().await {
            arrival.forget();
        }
        self.shared.accept().ok_or_else(gone)
    }

    fn datagram_bytes_max(&self) -> Option<usize> {
        None
    }

    fn send_datagram(&self, _: Bytes) -> Result<()> {
        Err(P2PError::DatagramsUnsupported)
    }

    async fn recv_datagram(&self) -> Result<Bytes, StreamError> {
        let _ = self.shared.ended.subscribe().wait_for(Option::is_some).await;
        Err(gone())
    }

    fn path(&self) -> Watch<Option<Path>> {
        self.path.clone()
    }

    fn stats(&self) -> TransportStats {
        TransportStats::default()
    }

    fn close(&self, code: u64, reason: &str) {
        self.shared.close(code, reason);
    }

    async fn closed(&self) -> TransportClosed {
        let ended = self.shared.ended.subscribe().wait_for(Option::is_some).await;
        ended.ok().flatten().unwrap_or_else(|| TransportClosed::Lost("the connection's task is gone".into()))
    }
}

/// A transport that is dropped is given up.
impl Drop for TunnelTransport {
    fn drop(&mut self) {
        self.shared.close(close::HANDSHAKE_ABANDONED, "");
    }
}

fn gone() -> StreamError {
    P2PError::Network { during: "tunnel transport", source: "the connection was closed".into() }.into()
}

fn failed(ended: Ended) -> StreamError {
    match ended {
        Ended::Reset(code) => StreamError::Reset { code },
        Ended::Stopped(code) => StreamError::Stopped { code },
        Ended::Done => StreamError::Done,
        Ended::Closed => gone(),
    }
}

/// What both halves of a stream are made of.
struct Half {
    shared: Arc<Shared>,
    key: StreamKey,
}

impl Half {
    fn with<R>(&self, work: impl FnOnce(&mut Mux, StreamKey, &mut Wakers) -> R) -> R {
        self.shared.with(|state| {
            let mut none = Wakers::default();
            work(&mut state.mux, self.key, state.wakers.get_mut(&self.key).unwrap_or(&mut none))
        })
    }

    fn release(&self, release: fn(&mut Mux, StreamKey)) {
        self.shared.with(|state| {
            release(&mut state.mux, self.key);
            if state.wakers.get_mut(&self.key).is_some_and(|of| std::mem::replace(&mut of.halved, true)) {
                state.wakers.remove(&self.key);
            }
        });
    }

    /// What a call yields that has nothing yet: the connection may have ended in another way than by a close.
    fn pending<T>(&self) -> Poll<Result<T, StreamError>> {
        if self.shared.has_ended() { Poll::Ready(Err(gone())) } else { Poll::Pending }
    }
}

impl fmt::Debug for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)
    }
}

/// The writing half.
#[derive(Debug)]
pub(super) struct TunnelSend(Half);

impl SendHalf for TunnelSend {
    fn poll_write(&mut self, cx: &mut Context<'_>, chunks: &mut [Bytes]) -> Poll<Result<usize, StreamError>> {
        if self.0.shared.has_ended() {
            return Poll::Ready(Err(gone()));
        }
        let written = self.0.with(|mux, key, wakers| {
            let written = mux.write(key, chunks);
            if written == Ok(0) {
                wakers.writer = Some(cx.waker().clone());
            }
            written
        });
        match written {
            Ok(0) if chunks.iter().any(|chunk| !chunk.is_empty()) => self.0.pending(),
            written => Poll::Ready(written.map_err(failed)),
        }
    }

    fn finish(&mut self) -> Result<(), StreamError> {
        self.0.with(|mux, key, _| mux.finish(key)).map_err(failed)
    }

    fn poll_delivered(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        let delivered = self.0.with(|mux, key, wakers| {
            let delivered = mux.delivered(key);
            if delivered.is_none() {
                wakers.writer = Some(cx.waker().clone());
            }
            delivered
        });
        delivered.map_or_else(|| self.0.pending(), |delivered| Poll::Ready(delivered.map_err(failed)))
    }

    fn reset(&mut self, code: u32) {
        self.0.with(|mux, key, _| mux.reset(key, code));
    }
}

impl Drop for TunnelSend {
    fn drop(&mut self) {
        self.0.release(Mux::release_send);
    }
}

/// The reading half.
#[derive(Debug)]
pub(super) struct TunnelRecv(Half);

impl RecvHalf for TunnelRecv {
    fn poll_read(&mut self, cx: &mut Context<'_>, bytes_max: usize) -> Poll<Result<Option<Bytes>, StreamError>> {
        let read = self.0.with(|mux, key, wakers| {
            let read = mux.read(key, bytes_max);
            if read.is_none() {
                wakers.reader = Some(cx.waker().clone());
            }
            read
        });
        read.map_or_else(|| self.0.pending(), |read| Poll::Ready(read.map_err(failed)))
    }

    fn stop(&mut self, code: u32) {
        self.0.with(|mux, key, _| mux.stop(key, code));
    }
}

impl Drop for TunnelRecv {
    fn drop(&mut self) {
        self.0.release(Mux::release_recv);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("ended", &self.ended.read(Option::clone)).finish_non_exhaustive()
    }
}
