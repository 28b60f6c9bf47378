//! Halves of streams whose bytes are limited.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;

use super::{account::Account, budget::Kind, gate::Gate};
use crate::{BiStream, ConnectionState, RecvHalf, RecvStream, SendHalf, SendStream, StreamError, Watch};

/// `stream` with its bytes limited; its halves as they are where they are not.
pub(super) fn wrap(stream: BiStream, account: &Arc<Account>, state: &Watch<ConnectionState>) -> BiStream {
    let BiStream { mut send, mut recv } = stream;
    let gate = || Gate::new(account.clone(), state.clone());
    if account.concerns(&[Kind::BytesSent]) {
        send = SendStream::new(RateLimitSend { inner: send.into_half(), gate: gate() });
    }
    if account.concerns(&[Kind::BytesReceived]) {
        recv = RecvStream::new(RateLimitRecv { inner: recv.into_half(), gate: gate() });
    }
    BiStream { send, recv }
}

#[derive(Debug)]
struct RateLimitSend {
    inner: Box<dyn SendHalf>,
    gate: Gate,
}

#[deny(clippy::missing_trait_methods)]
impl SendHalf for RateLimitSend {
    fn poll_write(&mut self, cx: &mut Context<'_>, chunks: &mut [Bytes]) -> Poll<Result<usize, StreamError>> {
        if self.gate.poll_take(cx, &[(Kind::BytesSent, 0)]).is_pending() {
            // Ready before `finish` only with an error, and so learns of a peer that has stopped reading.
            return match ready!(self.inner.poll_delivered(cx)) {
                Ok(()) => Poll::Ready(Err(StreamError::Done)),
                Err(error) => Poll::Ready(Err(error)),
            };
        }
        let written = ready!(self.inner.poll_write(cx, chunks))?;
        self.gate.account().take_late(Kind::BytesSent, written);
        Poll::Ready(Ok(written))
    }

    fn finish(&mut self) -> Result<(), StreamError> {
        self.inner.finish()
    }

    fn poll_delivered(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        self.inner.poll_delivered(cx)
    }

    fn reset(&mut self, code: u32) {
        self.inner.reset(code);
    }
}

#[derive(Debug)]
struct RateLimitRecv {
    inner: Box<dyn RecvHalf>,
    gate: Gate,
}

#[deny(clippy::missing_trait_methods)]
impl RecvHalf for RateLimitRecv {
    fn poll_read(&mut self, cx: &mut Context<'_>, bytes_max: usize) -> Poll<Result<Option<Bytes>, StreamError>> {
        ready!(self.gate.poll_take(cx, &[(Kind::BytesReceived, 0)]));
        let read = ready!(self.inner.poll_read(cx, bytes_max))?;
        if let Some(chunk) = &read {
            self.gate.account().take_late(Kind::BytesReceived, chunk.len());
        }
        Poll::Ready(Ok(read))
    }

    fn stop(&mut self, code: u32) {
        self.inner.stop(code);
    }
}
