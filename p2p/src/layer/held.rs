//! Streams that keep hold of something until they have ended: a place under a limit, a lease of a pooled connection.

use std::{
    fmt,
    task::{Context, Poll},
};

use bytes::Bytes;

use crate::{BiStream, RecvHalf, RecvStream, SendHalf, SendStream, StreamError};

/// `stream`, each half of which holds a clone of `held` until its direction has ended, failed or been dropped.
pub(super) fn hold<H>(stream: BiStream, held: H) -> BiStream
where
    H: Clone + fmt::Debug + Send + Sync + Unpin + 'static,
{
    BiStream {
        send: SendStream::new(HeldSend { inner: stream.send.into_half(), held: Some(held.clone()) }),
        recv: RecvStream::new(HeldRecv { inner: stream.recv.into_half(), held: Some(held) }),
    }
}

#[derive(Debug)]
struct HeldSend<H> {
    inner: Box<dyn SendHalf>,
    held: Option<H>,
}

#[deny(clippy::missing_trait_methods)]
impl<H: fmt::Debug + Send + Sync + Unpin + 'static> SendHalf for HeldSend<H> {
    fn poll_write(&mut self, cx: &mut Context<'_>, chunks: &mut [Bytes]) -> Poll<Result<usize, StreamError>> {
        let poll = self.inner.poll_write(cx, chunks);
        if let Poll::Ready(Err(_)) = &poll {
            self.held = None;
        }
        poll
    }

    fn finish(&mut self) -> Result<(), StreamError> {
        self.held = None;
        self.inner.finish()
    }

    fn poll_delivered(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        self.inner.poll_delivered(cx)
    }

    fn reset(&mut self, code: u32) {
        self.held = None;
        self.inner.reset(code);
    }
}

#[derive(Debug)]
struct HeldRecv<H> {
    inner: Box<dyn RecvHalf>,
    held: Option<H>,
}

#[deny(clippy::missing_trait_methods)]
impl<H: fmt::Debug + Send + Sync + Unpin + 'static> RecvHalf for HeldRecv<H> {
    fn poll_read(&mut self, cx: &mut Context<'_>, bytes_max: usize) -> Poll<Result<Option<Bytes>, StreamError>> {
        let poll = self.inner.poll_read(cx, bytes_max);
        if let Poll::Ready(Ok(None) | Err(_)) = &poll {
            self.held = None;
        }
        poll
    }

    fn stop(&mut self, code: u32) {
        self.held = None;
        self.inner.stop(code);
    }
}
