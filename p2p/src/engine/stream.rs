//! Application streams: the transport's halves, counted, bounded, and keeping the connection alive.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;

use super::core::{Core, Guard, count};
use crate::{BiStream, P2PError, RecvHalf, SendHalf, StreamError, Transport};

/// Wraps a stream that either side opened. `permit` is given back when both directions are done.
pub(super) fn wrap<T: Transport>(
    guard: &Arc<Guard<T>>,
    (send, recv): (T::Send, T::Recv),
    permit: Option<OwnedSemaphorePermit>,
) -> BiStream {
    let permit = permit.map(Arc::new);
    BiStream::new(
        EngineSend { writing: Writing::Open(send), guard: guard.clone(), permit: permit.clone(), why: None },
        EngineRecv { half: recv, ended: false, guard: guard.clone(), permit, why: None },
    )
}

#[derive(Debug)]
struct EngineSend<T: Transport> {
    writing: Writing<T::Send>,
    guard: Arc<Guard<T>>,
    permit: Option<Arc<OwnedSemaphorePermit>>,
    why: Option<u64>,
}

#[derive(Debug)]
enum Writing<S> {
    Open(S),
    /// The driver has the half now.
    Finished(Arc<Delivery>),
    Reset,
}

impl<T: Transport> EngineSend<T> {
    fn core(&self) -> &Core<T> {
        &self.guard.0
    }
}

impl<T: Transport> SendHalf for EngineSend<T> {
    fn poll_write(&mut self, cx: &mut Context<'_>, chunks: &mut [Bytes]) -> Poll<Result<usize, StreamError>> {
        let Writing::Open(half) = &mut self.writing else { return Poll::Ready(Err(StreamError::Done)) };
        let core = &self.guard.0;
        match ready!(half.poll_write(cx, chunks)) {
            Ok(written) => {
                count(&core.counters.bytes_sent, written);
                Poll::Ready(Ok(written))
            }
            Err(error) => core.poll_why(cx, &mut self.why, error).map(Err),
        }
    }

    fn finish(&mut self) -> Result<(), StreamError> {
        let Writing::Open(half) = &mut self.writing else { return Err(StreamError::Done) };
        half.finish()?;
        let delivery = Arc::new(Delivery::default());
        let Writing::Open(half) = std::mem::replace(&mut self.writing, Writing::Finished(delivery.clone())) else {
            unreachable!("it was open a line ago")
        };
        let finished = Finished { half, delivery, _permit: self.permit.take() };
        if let Some(streams) = &mut *self.core().finished_streams.lock() {
            streams.push(finished);
        }
        // With no driver left it was dropped just now, and the connection has ended.
        self.core().wake_driver();
        Ok(())
    }

    fn poll_delivered(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        match &mut self.writing {
            Writing::Open(half) => match ready!(half.poll_delivered(cx)) {
                Ok(()) => Poll::Ready(Ok(())),
                Err(error) => self.guard.0.poll_why(cx, &mut self.why, error).map(Err),
            },
            Writing::Finished(delivery) => match delivery.poll(cx) {
                Poll::Ready(Err(error)) => self.guard.0.poll_why(cx, &mut self.why, error).map(Err),
                other => other,
            },
            Writing::Reset => Poll::Ready(Err(StreamError::Done)),
        }
    }

    fn reset(&mut self, code: u32) {
        if let Writing::Open(half) = &mut self.writing {
            half.reset(code);
            self.writing = Writing::Reset;
            self.permit = None;
        }
    }
}

impl<T: Transport> Drop for EngineSend<T> {
    fn drop(&mut self) {
        // A torn-off end must not look like a whole one.
        self.reset(0);
    }
}

#[derive(Debug)]
struct EngineRecv<T: Transport> {
    half: T::Recv,
    ended: bool,
    guard: Arc<Guard<T>>,
    permit: Option<Arc<OwnedSemaphorePermit>>,
    why: Option<u64>,
}

impl<T: Transport> RecvHalf for EngineRecv<T> {
    fn poll_read(&mut self, cx: &mut Context<'_>, bytes_max: usize) -> Poll<Result<Option<Bytes>, StreamError>> {
        match ready!(self.half.poll_read(cx, bytes_max)) {
            Ok(Some(chunk)) => {
                count(&self.guard.0.counters.bytes_received, chunk.len());
                Poll::Ready(Ok(Some(chunk)))
            }
            Ok(None) => {
                self.ended = true;
                self.permit = None;
                Poll::Ready(Ok(None))
            }
            Err(error) => {
                self.permit = None;
                self.guard.0.poll_why(cx, &mut self.why, error).map(Err)
            }
        }
    }

    fn stop(&mut self, code: u32) {
        if !std::mem::replace(&mut self.ended, true) {
            self.half.stop(code);
            self.permit = None;
        }
    }
}

impl<T: Transport> Drop for EngineRecv<T> {
    fn drop(&mut self) {
        self.stop(0);
    }
}

/// A writing half that was finished. The driver polls it until it is delivered.
#[derive(Debug)]
pub(crate) struct Finished<S> {
    half: S,
    delivery: Arc<Delivery>,
    _permit: Option<Arc<OwnedSemaphorePermit>>,
}

impl<S: SendHalf> Future for Finished<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let outcome = ready!(self.half.poll_delivered(cx));
        self.delivery.set(outcome);
        Poll::Ready(())
    }
}

impl<S> Drop for Finished<S> {
    /// The connection ended first. What the caller is told is why it did.
    fn drop(&mut self) {
        self.delivery.set(Err(P2PError::ShutDown.into()));
    }
}

/// What became of a finished stream.
#[derive(Debug, Default)]
struct Delivery(Mutex<DeliveryState>);

#[derive(Debug, Default)]
struct DeliveryState {
    outcome: Option<Result<(), StreamError>>,
    waiting: Option<Waker>,
}

impl Delivery {
    fn set(&self, outcome: Result<(), StreamError>) {
        let mut state = self.0.lock();
        if state.outcome.is_none() {
            state.outcome = Some(outcome);
            let waiting = state.waiting.take();
            drop(state);
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        let mut state = self.0.lock();
        match &state.outcome {
            Some(outcome) => Poll::Ready(outcome.clone()),
            None => {
                state.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
