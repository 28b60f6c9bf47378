//! A connection between two peers of one process.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use parking_lot::Mutex;

use super::pipe::Pipe;
use crate::{
    P2PError, Path, PeerId, RecvHalf, Result, SendHalf, StreamError, Transport, TransportClosed, TransportStats, Watch,
    engine::Waiters,
};

/// Both ends of a new connection: the dialling side's, then the other's.
pub(crate) fn pair(dialler: PeerId, callee: PeerId, datagrams: bool) -> (MemoryTransport, MemoryTransport) {
    let wire = Arc::new(Mutex::new(Wire::default()));
    let end = |side, peer| MemoryTransport {
        wire: wire.clone(),
        side,
        peer,
        datagrams,
        path: Watch::constant(Some(Path::Direct { remote: "memory".into() })),
    };
    (end(0, callee), end(1, dialler))
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct MemoryTransport {
    wire: Arc<Mutex<Wire>>,
    side: usize,
    peer: PeerId,
    datagrams: bool,
    path: Watch<Option<Path>>,
}

/// What both ends share. Of each pair, index 0 is the dialling side's.
#[derive(Debug, Default)]
struct Wire {
    /// Streams that one side opened and the other has not seen yet, in order.
    opened: [VecDeque<Shared>; 2],
    /// Streams, to be woken when the connection ends.
    streams: Vec<std::sync::Weak<Mutex<[Pipe; 2]>>>,
    datagrams: [VecDeque<Bytes>; 2],
    waiting: [Waiting; 2],
    closed: Option<Closed>,
}

/// A stream's pipes: from the opener and to it.
type Shared = Arc<Mutex<[Pipe; 2]>>;

#[derive(Debug, Default)]
struct Waiting {
    accept: Waiters,
    datagram: Waiters,
    closed: Waiters,
}

#[derive(Debug, Clone)]
struct Closed {
    side: usize,
    code: u64,
    reason: String,
}

/// Bytes of the largest datagram: what remains of an Ethernet frame over IPv6 and UDP.
const DATAGRAM_BYTES_MAX: usize = 1452;

/// Datagrams that wait for a reader; the oldest are dropped beyond it.
const DATAGRAMS_MAX: usize = 1024;

impl MemoryTransport {
    fn theirs(&self) -> usize {
        1 - self.side
    }

    fn gone() -> StreamError {
        P2PError::Network { during: "in-memory transport", source: "the connection was closed".into() }.into()
    }
}

impl Transport for MemoryTransport {
    type Send = MemorySend;
    type Recv = MemoryRecv;

    fn peer_id(&self) -> PeerId {
        self.peer
    }

    async fn open(&self) -> Result<(MemorySend, MemoryRecv), StreamError> {
        let stream = Shared::default();
        let mut wire = self.wire.lock();
        if wire.closed.is_some() {
            return Err(Self::gone());
        }
        wire.streams.retain(|stream| stream.strong_count() > 0);
        wire.streams.push(Arc::downgrade(&stream));
        let opener = End { wire: self.wire.clone(), stream, from_opener: true, side: self.side };
        Ok((MemorySend { end: opener.clone(), announced: false }, MemoryRecv(opener)))
    }

    async fn accept(&self) -> Result<(MemorySend, MemoryRecv), StreamError> {
        let mut place = Place { transport: self, queue: |waiting| &mut waiting.accept, key: None };
        poll_fn(|cx| {
            let mut wire = self.wire.lock();
            if let Some(stream) = wire.opened[self.theirs()].pop_front() {
                let end = End { wire: self.wire.clone(), stream, from_opener: false, side: self.side };
                return Poll::Ready(Ok((MemorySend { end: end.clone(), announced: true }, MemoryRecv(end))));
            }
            place.wait(&mut wire, cx)
        })
        .await
    }

    fn datagram_bytes_max(&self) -> Option<usize> {
        self.datagrams.then_some(DATAGRAM_BYTES_MAX)
    }

    fn send_datagram(&self, datagram: Bytes) -> Result<()> {
        let reader = {
            let mut wire = self.wire.lock();
            let queue = &mut wire.datagrams[self.side];
            if queue.len() == DATAGRAMS_MAX {
                queue.pop_front();
            }
            queue.push_back(datagram);
            wire.waiting[self.theirs()].datagram.take_one()
        };
        reader.into_iter().for_each(Waker::wake);
        Ok(())
    }

    async fn recv_datagram(&self) -> Result<Bytes, StreamError> {
        let mut place = Place { transport: self, queue: |waiting| &mut waiting.datagram, key: None };
        poll_fn(|cx| {
            let mut wire = self.wire.lock();
            match wire.datagrams[self.theirs()].pop_front() {
                Some(datagram) => Poll::Ready(Ok(datagram)),
                None => place.wait(&mut wire, cx),
            }
        })
        .await
    }

    fn path(&self) -> Watch<Option<Path>> {
        self.path.clone()
    }

    fn stats(&self) -> TransportStats {
        TransportStats::default()
    }

    fn close(&self, code: u64, reason: &str) {
        let mut wakers = Vec::new();
        {
            let mut wire = self.wire.lock();
            if wire.closed.is_some() {
                return;
            }
            wire.closed = Some(Closed { side: self.side, code, reason: reason.to_owned() });
            for stream in wire.streams.drain(..).filter_map(|stream| stream.upgrade()) {
                wakers.extend(stream.lock().iter_mut().flat_map(Pipe::wakers));
            }
            for waiting in &mut wire.waiting {
                for queue in [&mut waiting.accept, &mut waiting.datagram, &mut waiting.closed] {
                    wakers.extend(queue.take_all().into_values());
                }
            }
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    async fn closed(&self) -> TransportClosed {
        let mut key = None;
        poll_fn(|cx| {
            let mut wire = self.wire.lock();
            match &wire.closed {
                Some(closed) if closed.side == self.side => Poll::Ready(TransportClosed::Local),
                Some(Closed { code, reason, .. }) => {
                    Poll::Ready(TransportClosed::Peer { code: *code, reason: reason.clone().into() })
                }
                None => {
                    wire.waiting[self.side].closed.register(&mut key, cx.waker());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Drop for MemoryTransport {
    fn drop(&mut self) {
        self.close(crate::protocol::close::HANDSHAKE_ABANDONED, "");
    }
}

/// A place in one of a side's queues. One who was woken and leaves passes the call on.
struct Place<'a> {
    transport: &'a MemoryTransport,
    queue: fn(&mut Waiting) -> &mut Waiters,
    key: Option<u64>,
}

impl Place<'_> {
    fn wait<O>(&mut self, wire: &mut Wire, cx: &mut Context<'_>) -> Poll<Result<O, StreamError>> {
        if wire.closed.is_some() {
            return Poll::Ready(Err(MemoryTransport::gone()));
        }
        (self.queue)(&mut wire.waiting[self.transport.side]).register(&mut self.key, cx.waker());
        Poll::Pending
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let next = {
            let mut wire = self.transport.wire.lock();
            let queue = (self.queue)(&mut wire.waiting[self.transport.side]);
            if queue.remove(key) { None } else { queue.take_one() }
        };
        next.into_iter().for_each(Waker::wake);
    }
}

/// One side's end of a stream.
#[derive(Clone)]
struct End {
    wire: Arc<Mutex<Wire>>,
    stream: Shared,
    from_opener: bool,
    side: usize,
}

impl End {
    /// Works on the pipe that this side writes to, and wakes whom that lets go on.
    fn outgoing<R>(&self, work: impl FnOnce(&mut Pipe) -> (R, Option<Waker>)) -> R {
        self.with(usize::from(!self.from_opener), work)
    }

    /// Works on the pipe that this side reads from.
    fn incoming<R>(&self, work: impl FnOnce(&mut Pipe) -> (R, Option<Waker>)) -> R {
        self.with(usize::from(self.from_opener), work)
    }

    fn with<R>(&self, pipe: usize, work: impl FnOnce(&mut Pipe) -> (R, Option<Waker>)) -> R {
        let (result, waker) = work(&mut self.stream.lock()[pipe]);
        waker.into_iter().for_each(Waker::wake);
        result
    }

    fn is_closed(&self) -> bool {
        self.wire.lock().closed.is_some()
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stream.fmt(f)
    }
}

/// The writing half.
#[derive(Debug)]
pub(crate) struct MemorySend {
    end: End,
    /// Whether the peer can accept the stream; it can from the first byte or the end.
    announced: bool,
}

impl MemorySend {
    fn announce(&mut self) {
        if self.announced || self.end.stream.lock()[0].is_untouched() {
            return;
        }
        self.announced = true;
        let acceptor = {
            let mut wire = self.end.wire.lock();
            if wire.closed.is_some() {
                return;
            }
            wire.opened[self.end.side].push_back(self.end.stream.clone());
            wire.waiting[1 - self.end.side].accept.take_one()
        };
        acceptor.into_iter().for_each(Waker::wake);
    }
}

impl SendHalf for MemorySend {
    fn poll_write(&mut self, cx: &mut Context<'_>, chunks: &mut [Bytes]) -> Poll<Result<usize, StreamError>> {
        if self.end.is_closed() {
            return Poll::Ready(Err(MemoryTransport::gone()));
        }
        let written = self.end.outgoing(|pipe| pipe.poll_write(cx, chunks));
        self.announce();
        if written.is_pending() && self.end.is_closed() {
            return Poll::Ready(Err(MemoryTransport::gone()));
        }
        written
    }

    fn finish(&mut self) -> Result<(), StreamError> {
        let finished = self.end.outgoing(Pipe::finish);
        self.announce();
        finished
    }

    fn poll_delivered(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        let delivered = self.end.outgoing(|pipe| (pipe.poll_delivered(cx), None));
        if delivered.is_pending() && self.end.is_closed() {
            return Poll::Ready(Err(MemoryTransport::gone()));
        }
        delivered
    }

    fn reset(&mut self, code: u32) {
        // After the end nothing travels any more, and what has arrived stays readable.
        if !self.end.is_closed() {
            self.end.outgoing(|pipe| ((), pipe.reset(code)));
        }
        // The peer never saw the stream and need not see its end.
        self.announced = true;
    }
}

/// The reading half.
#[derive(Debug)]
pub(crate) struct MemoryRecv(End);

impl RecvHalf for MemoryRecv {
    fn poll_read(&mut self, cx: &mut Context<'_>, bytes_max: usize) -> Poll<Result<Option<Bytes>, StreamError>> {
        let read = self.0.incoming(|pipe| pipe.poll_read(cx, bytes_max));
        if read.is_pending() && self.0.is_closed() {
            return Poll::Ready(Err(MemoryTransport::gone()));
        }
        read
    }

    fn stop(&mut self, code: u32) {
        self.0.incoming(|pipe| ((), pipe.stop(code)));
    }
}

impl Drop for MemorySend {
    fn drop(&mut self) {
        self.reset(0);
    }
}

impl Drop for MemoryRecv {
    fn drop(&mut self) {
        self.stop(0);
    }
}
