//! One direction of one stream: a bounded queue of chunks with an end, a reset and a stop.

use std::{
    collections::VecDeque,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

use crate::StreamError;

/// Bytes that a pipe holds before the writer waits. Four times what the engine gathers in one write.
pub(super) const PIPE_BYTES: usize = 64 * 1024;

/// The state of a pipe. Calls return the waker of whoever can go on, to be woken when no lock is held.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    finished: bool,
    reset: Option<u32>,
    stopped: Option<u32>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    /// Takes what fits, from the front of `chunks`.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> (Poll<Result<usize, StreamError>>, Option<Waker>) {
        if let Some(code) = self.stopped {
            return (Poll::Ready(Err(StreamError::Stopped { code })), None);
        }
        if self.finished || self.reset.is_some() {
            return (Poll::Ready(Err(StreamError::Done)), None);
        }
        let before = self.bytes;
        for chunk in chunks.iter_mut().filter(|chunk| !chunk.is_empty()) {
            let room = PIPE_BYTES - self.bytes;
            if room == 0 {
                break;
            }
            let taken = chunk.split_to(room.min(chunk.len()));
            self.bytes += taken.len();
            self.chunks.push_back(taken);
        }
        let written = self.bytes - before;
        if written == 0 && chunks.iter().any(|chunk| !chunk.is_empty()) {
            self.writer = Some(cx.waker().clone());
            return (Poll::Pending, None);
        }
        (Poll::Ready(Ok(written)), self.reader.take())
    }

    /// The next bytes, the end, or the reset.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        bytes_max: usize,
    ) -> (Poll<Result<Option<Bytes>, StreamError>>, Option<Waker>) {
        if self.stopped.is_some() {
            return (Poll::Ready(Err(StreamError::Done)), None);
        }
        if let Some(code) = self.reset {
            return (Poll::Ready(Err(StreamError::Reset { code })), None);
        }
        if let Some(front) = self.chunks.front_mut() {
            let read = if front.len() <= bytes_max {
                self.chunks.pop_front().expect("it was just seen")
            } else {
                front.split_to(bytes_max)
            };
            self.bytes -= read.len();
            return (Poll::Ready(Ok(Some(read))), self.writer.take());
        }
        if self.finished {
            return (Poll::Ready(Ok(None)), None);
        }
        self.reader = Some(cx.waker().clone());
        (Poll::Pending, None)
    }

    /// The writer is done.
    pub(super) fn finish(&mut self) -> (Result<(), StreamError>, Option<Waker>) {
        if self.finished || self.reset.is_some() {
            return (Err(StreamError::Done), None);
        }
        self.finished = true;
        (Ok(()), self.reader.take())
    }

    /// Whether everything is with the reader's provider, which is the same memory.
    pub(super) fn poll_delivered(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        match (self.stopped, self.reset) {
            (Some(code), _) => Poll::Ready(Err(StreamError::Stopped { code })),
            (None, Some(_)) => Poll::Ready(Err(StreamError::Done)),
            (None, None) if self.finished => Poll::Ready(Ok(())),
            (None, None) => {
                self.writer = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The writer gives up.
    pub(super) fn reset(&mut self, code: u32) -> Option<Waker> {
        if self.finished || self.reset.is_some() {
            return None;
        }
        self.reset = Some(code);
        self.chunks.clear();
        self.bytes = 0;
        self.reader.take()
    }

    /// The reader gives up.
    pub(super) fn stop(&mut self, code: u32) -> Option<Waker> {
        let ended = self.finished && self.chunks.is_empty() || self.reset.is_some();
        if ended || self.stopped.is_some() {
            return None;
        }
        self.stopped = Some(code);
        self.chunks.clear();
        self.bytes = 0;
        self.writer.take()
    }

    /// Whoever waits, when the connection ends.
    pub(super) fn wakers(&mut self) -> impl Iterator<Item = Waker> {
        self.reader.take().into_iter().chain(self.writer.take())
    }

    /// Whether there is anything for the other side to see.
    pub(super) fn is_untouched(&self) -> bool {
        self.chunks.is_empty() && !self.finished && self.reset.is_none()
    }
}
