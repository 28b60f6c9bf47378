//! The streams of a saboteur.

use std::{
    mem,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

use super::{A_MOMENT, Call, Fault, Shared};
use crate::{BiStream, P2PConnection, P2PError, RecvHalf, RuntimeExt, SendHalf, StreamError};

/// What the streams of one connection share.
#[derive(Debug)]
pub(super) struct Streams {
    fault: Fault,
    connection: Weak<dyn P2PConnection>,
    open: AtomicUsize,
    stalled: AtomicUsize,
    first: Mutex<Option<SharedHalf>>,
    kept: Mutex<Vec<Box<dyn RecvHalf>>>,
}

type SharedHalf = Arc<Mutex<Box<dyn SendHalf>>>;

impl Streams {
    pub(super) fn new(fault: Fault, connection: Weak<dyn P2PConnection>) -> Self {
        Self {
            fault,
            connection,
            open: AtomicUsize::new(0),
            stalled: AtomicUsize::new(0),
            first: Mutex::default(),
            kept: Mutex::default(),
        }
    }

    pub(super) fn wrap(self: &Arc<Self>, stream: BiStream) -> BiStream {
        self.open.fetch_add(1, SeqCst);
        let ended = Arc::new(AtomicBool::new(false));
        let own = Arc::new(Mutex::new(stream.send.into_half()));
        let send = SabotagedSend {
            inner: own.clone(),
            mixed: match self.fault {
                Fault::MixesStreams => self.first.lock().get_or_insert(own).clone(),
                _ => own,
            },
            streams: self.clone(),
            ended: ended.clone(),
            hidden: Vec::new(),
            written: false,
            stalled: false,
        };
        let recv = SabotagedRecv { inner: Some(stream.recv.into_half()), streams: self.clone(), ended };
        BiStream::new(send, recv)
    }

    /// Streams whose writing half is alive.
    pub(super) fn open(&self) -> usize {
        self.open.load(SeqCst)
    }

    /// Waits until nothing else waits for room.
    pub(super) async fn wait_for_stalled(&self, shared: &Shared) {
        while self.stalled.load(SeqCst) > 0 {
            shared.runtime.sleep(A_MOMENT).await;
        }
    }

    /// Something waits for room, and is not going to stop.
    pub(super) fn stall(&self) {
        self.stalled.fetch_add(1, SeqCst);
    }

    /// The connection's end, if nothing can be read after it.
    fn discarded(&self) -> Option<StreamError> {
        let reason = self.connection.upgrade()?.close_reason()?;
        let discards = self.has(Fault::DiscardsOnClose);
        discards.then(|| P2PError::Closed { reason }.into())
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }
}

#[derive(Debug)]
struct SabotagedSend {
    inner: SharedHalf,
    /// Where written bytes go: to `inner`, unless streams are mixed.
    mixed: SharedHalf,
    streams: Arc<Streams>,
    /// That one direction ended, for the other.
    ended: Arc<AtomicBool>,
    hidden: Vec<Bytes>,
    written: bool,
    stalled: bool,
}

impl SabotagedSend {
    fn set_stalled(&mut self, stalled: bool) {
        match (mem::replace(&mut self.stalled, stalled), stalled) {
            (false, true) => _ = self.streams.stalled.fetch_add(1, SeqCst),
            (true, false) => _ = self.streams.stalled.fetch_sub(1, SeqCst),
            _ => {}
        }
    }
}

impl SendHalf for SabotagedSend {
    fn poll_write(&mut self, cx: &mut Context<'_>, chunks: &mut [Bytes]) -> Poll<Result<usize, StreamError>> {
        let take = |chunks: &mut [Bytes]| chunks.iter_mut().map(|chunk| mem::take(chunk).len()).sum();
        if self.streams.has(Fault::HidesUnfinishedStreams) {
            self.hidden.extend(chunks.iter().cloned());
            return Poll::Ready(Ok(take(chunks)));
        }
        self.written = true;
        let written = self.mixed.lock().poll_write(cx, chunks);
        self.set_stalled(written.is_pending());
        match (written, self.streams.fault) {
            (Poll::Pending, Fault::BuffersStreamsWithoutBound) => Poll::Ready(Ok(take(chunks))),
            (Poll::Ready(Err(StreamError::Done)), Fault::WritesAfterTheEnd) => Poll::Ready(Ok(take(chunks))),
            (Poll::Ready(Err(StreamError::Stopped { .. })), Fault::HidesStops) => Poll::Pending,
            (Poll::Ready(Err(error)), fault) => told(fault, Call::StreamWrite, error),
            (written, _) => written,
        }
    }

    fn finish(&mut self) -> Result<(), StreamError> {
        match self.streams.fault {
            Fault::ResetsFinishedStreams => return Ok(()),
            Fault::SwallowsEmptyStreams if !self.written => return Ok(()),
            Fault::EndsBothDirections => self.ended.store(true, SeqCst),
            _ => {}
        }
        let mut inner = self.inner.lock();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        while !self.hidden.is_empty() && inner.poll_write(&mut cx, &mut self.hidden).is_ready() {
            self.hidden.retain(|chunk| !chunk.is_empty());
        }
        inner.finish()
    }

    fn poll_delivered(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        let delivered = self.inner.lock().poll_delivered(cx);
        match (delivered, self.streams.fault) {
            (_, Fault::DeliversTooSoon) => Poll::Ready(Ok(())),
            (_, Fault::NeverDelivers) => Poll::Pending,
            (Poll::Ready(Err(error)), fault) => told(fault, Call::StreamDelivered, error),
            (delivered, _) => delivered,
        }
    }

    fn reset(&mut self, code: u32) {
        self.inner.lock().reset(code);
    }
}

impl Drop for SabotagedSend {
    fn drop(&mut self) {
        self.set_stalled(false);
        self.streams.open.fetch_sub(1, SeqCst);
        if matches!(self.streams.fault, Fault::FinishesDroppedStreams | Fault::ResetsFinishedStreams) {
            let _ = self.inner.lock().finish();
        }
    }
}

#[derive(Debug)]
struct SabotagedRecv {
    /// Nothing only while it is being dropped.
    inner: Option<Box<dyn RecvHalf>>,
    streams: Arc<Streams>,
    ended: Arc<AtomicBool>,
}

impl RecvHalf for SabotagedRecv {
    fn poll_read(&mut self, cx: &mut Context<'_>, mut bytes_max: usize) -> Poll<Result<Option<Bytes>, StreamError>> {
        let fault = self.streams.fault;
        if self.ended.load(SeqCst) {
            return Poll::Ready(Ok(None));
        }
        if let Some(error) = self.streams.discarded() {
            return Poll::Ready(Err(error));
        }
        if fault == Fault::ReadsTooMuch {
            bytes_max = usize::MAX;
        }
        let inner = self.inner.as_mut().expect("it is there until it is dropped");
        match ready!(inner.poll_read(cx, bytes_max)) {
            Err(StreamError::Done) if fault == Fault::EndsStoppedStreams => Poll::Ready(Ok(None)),
            Ok(Some(chunk)) if fault == Fault::DamagesStreams && chunk.len() > 100 => {
                let mut bytes = BytesMut::from(&chunk[..]);
                bytes[50] ^= 1;
                Poll::Ready(Ok(Some(bytes.freeze())))
            }
            Err(error) => told(fault, Call::StreamRead, error),
            read => Poll::Ready(read),
        }
    }

    fn stop(&mut self, code: u32) {
        self.inner.as_mut().expect("it is there until it is dropped").stop(code);
    }
}

impl Drop for SabotagedRecv {
    fn drop(&mut self) {
        if self.streams.has(Fault::KeepsDroppedReaders) {
            self.streams.kept.lock().extend(self.inner.take());
        }
    }
}

/// The error as that fault tells it.
fn told<T>(fault: Fault, call: Call, error: StreamError) -> Poll<Result<T, StreamError>> {
    let is_closed = matches!(error, StreamError::Connection(P2PError::Closed { .. }));
    match (fault, error) {
        (Fault::HangsOnClose(hanging), _) if is_closed && hanging == call => Poll::Pending,
        (Fault::ForgetsStreamCodes, StreamError::Reset { .. }) => Poll::Ready(Err(StreamError::Reset { code: 0 })),
        (Fault::ForgetsStreamCodes, StreamError::Stopped { .. }) => Poll::Ready(Err(StreamError::Stopped { code: 0 })),
        (_, error) => Poll::Ready(Err(error)),
    }
}

/// A stream that takes everything and yields nothing.
pub(super) fn to_nowhere() -> BiStream {
    #[derive(Debug)]
    struct Nowhere;
    impl SendHalf for Nowhere {
        fn poll_write(&mut self, _: &mut Context<'_>, chunks: &mut [Bytes]) -> Poll<Result<usize, StreamError>> {
            Poll::Ready(Ok(chunks.iter_mut().map(|chunk| mem::take(chunk).len()).sum()))
        }
        fn finish(&mut self) -> Result<(), StreamError> {
            Ok(())
        }
        fn poll_delivered(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
            Poll::Ready(Ok(()))
        }
        fn reset(&mut self, _: u32) {}
    }
    impl RecvHalf for Nowhere {
        fn poll_read(&mut self, _: &mut Context<'_>, _: usize) -> Poll<Result<Option<Bytes>, StreamError>> {
            Poll::Pending
        }
        fn stop(&mut self, _: u32) {}
    }
    BiStream::new(Nowhere, Nowhere)
}
