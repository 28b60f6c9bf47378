//! The halves of a stream that a user holds. What they do is in the session's state.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;

use super::session::{Guard, Session, count};
use crate::{BiStream, RecvHalf, SendHalf, StreamError};

/// Both halves of stream `id`, which keep the session open.
pub(super) fn wrap(guard: &Arc<Guard>, id: u64) -> BiStream {
    BiStream::new(ReconnectSend { guard: guard.clone(), id }, ReconnectRecv { guard: guard.clone(), id })
}

#[derive(Debug)]
struct ReconnectSend {
    guard: Arc<Guard>,
    id: u64,
}

impl ReconnectSend {
    fn session(&self) -> &Session {
        &self.guard.0
    }
}

#[deny(clippy::missing_trait_methods)]
impl SendHalf for ReconnectSend {
    fn poll_write(&mut self, cx: &mut Context<'_>, chunks: &mut [Bytes]) -> Poll<Result<usize, StreamError>> {
        let written = self.session().lock().poll_write(self.id, cx, chunks);
        if let Poll::Ready(Ok(bytes)) = written {
            count(&self.session().counters.bytes_sent, bytes);
        }
        written
    }

    fn finish(&mut self) -> Result<(), StreamError> {
        self.session().lock().finish_stream(self.id)
    }

    fn poll_delivered(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        self.session().lock().poll_delivered(self.id, cx)
    }

    fn reset(&mut self, code: u32) {
        self.session().lock().reset_stream(self.id, code);
    }
}

impl Drop for ReconnectSend {
    fn drop(&mut self) {
        self.session().lock().drop_send(self.id);
    }
}

#[derive(Debug)]
struct ReconnectRecv {
    guard: Arc<Guard>,
    id: u64,
}

impl ReconnectRecv {
    fn session(&self) -> &Session {
        &self.guard.0
    }
}

#[deny(clippy::missing_trait_methods)]
impl RecvHalf for ReconnectRecv {
    fn poll_read(&mut self, cx: &mut Context<'_>, bytes_max: usize) -> Poll<Result<Option<Bytes>, StreamError>> {
        let read = self.session().lock().poll_read(self.id, cx, bytes_max);
        if let Poll::Ready(Ok(Some(bytes))) = &read {
            count(&self.session().counters.bytes_received, bytes.len());
        }
        read
    }

    fn stop(&mut self, code: u32) {
        self.session().lock().stop_stream(self.id, code);
    }
}

impl Drop for ReconnectRecv {
    fn drop(&mut self) {
        self.session().lock().drop_recv(self.id);
    }
}
