//! A response's body between a home's socket and an app, bounded in bytes.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http_body::Frame;
use parking_lot::Mutex;

use super::home::Home;
use crate::route::BodyError;

/// What lies between the two. Bounded by the writer, which asks for [room](Self::room) or keeps to the window it was granted.
#[derive(Debug, Default)]
pub(super) struct Pipe(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    end: Option<Result<(), String>>,
    is_abandoned: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    pub(super) fn push(&self, chunk: Bytes) {
        let mut state = self.0.lock();
        if chunk.is_empty() || state.is_abandoned {
            return;
        }
        state.bytes += chunk.len();
        state.chunks.push_back(chunk);
        wake(&mut state.reader);
    }

    /// Ends the body, or breaks it off. The first end counts.
    pub(super) fn end(&self, outcome: Result<(), String>) {
        let mut state = self.0.lock();
        if state.end.is_none() {
            state.end = Some(outcome);
        }
        wake(&mut state.reader);
    }

    /// Bytes that wait for the reader.
    pub(super) fn bytes(&self) -> usize {
        self.0.lock().bytes
    }

    /// Waits until less than that waits for the reader, or nobody reads any more.
    pub(super) async fn room(&self, bytes_max: usize) {
        poll_fn(|cx| {
            let mut state = self.0.lock();
            if state.bytes < bytes_max || state.is_abandoned {
                return Poll::Ready(());
            }
            state.writer = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn abandon(&self) {
        let mut state = self.0.lock();
        state.is_abandoned = true;
        state.chunks.clear();
        state.bytes = 0;
        wake(&mut state.writer);
    }

    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, String>>> {
        let mut state = self.0.lock();
        if let Some(chunk) = state.chunks.pop_front() {
            state.bytes -= chunk.len();
            wake(&mut state.writer);
            return Poll::Ready(Some(Ok(chunk)));
        }
        match &state.end {
            Some(Ok(())) => Poll::Ready(None),
            Some(Err(why)) => Poll::Ready(Some(Err(why.clone()))),
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// The app's end. Dropping it before the body has ended aborts the request.
#[derive(Debug)]
pub(super) struct BodyReader {
    home: Arc<Home>,
    request_id: u64,
    pipe: Arc<Pipe>,
    /// Read, and not yet granted anew to the home.
    read: u64,
}

impl BodyReader {
    pub(super) const fn new(home: Arc<Home>, request_id: u64, pipe: Arc<Pipe>) -> Self {
        Self { home, request_id, pipe, read: 0 }
    }
}

impl http_body::Body for BodyReader {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let next = std::task::ready!(self.pipe.poll_next(cx));
        if let Some(Ok(chunk)) = &next {
            self.read += chunk.len() as u64;
            // A quarter at a time: often enough that the home never waits for an app that keeps up.
            if self.read >= self.home.config().body_bytes_max as u64 / 4 {
                let read = std::mem::take(&mut self.read);
                self.home.grant(self.request_id, read);
            }
        }
        Poll::Ready(next.map(|chunk| chunk.map(Frame::data).map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        let state = self.pipe.0.lock();
        state.chunks.is_empty() && state.end == Some(Ok(()))
    }
}

impl Drop for BodyReader {
    fn drop(&mut self) {
        self.pipe.abandon();
        self.home.abandon(self.request_id);
    }
}
