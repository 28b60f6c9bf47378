//! The halves of a stream, over noq's. No byte is copied in either direction.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use iroh::endpoint::{ReadError, RecvStream, SendStream, StoppedError, VarInt, WriteError};
use p2p::{RecvHalf, SendHalf, StreamError};

use crate::{error, window::Window};

/// The writing half.
pub(crate) struct IrohSend {
    stream: SendStream,
    state: Writing,
    /// Kept between polls, because a waker is forgotten with the future it was given to.
    stopped: Option<Pin<Box<Stopped>>>,
}

type Stopped = dyn Future<Output = Result<Option<VarInt>, StoppedError>> + Send + Sync;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    Open,
    Finished,
    Reset,
}

impl IrohSend {
    pub(crate) fn new(stream: SendStream) -> Self {
        Self { stream, state: Writing::Open, stopped: None }
    }
}

impl SendHalf for IrohSend {
    fn poll_write(&mut self, cx: &mut Context<'_>, chunks: &mut [Bytes]) -> Poll<Result<usize, StreamError>> {
        if self.state != Writing::Open {
            return Poll::Ready(Err(StreamError::Done));
        }
        // noq takes nothing of nothing to be blocked.
        if chunks.iter().all(Bytes::is_empty) {
            return Poll::Ready(Ok(0));
        }
        // A new future for each poll: it keeps nothing, the stream remembers the waker, and dropping it has written
        // nothing.
        let mut rest = chunks;
        pin!(self.stream.write_many_chunks(&mut rest)).poll(cx).map_err(write_error)
    }

    fn finish(&mut self) -> Result<(), StreamError> {
        if self.state != Writing::Open {
            return Err(StreamError::Done);
        }
        self.state = Writing::Finished;
        self.stream.finish().map_err(|_| StreamError::Done)
    }

    fn poll_delivered(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        if self.state == Writing::Reset {
            return Poll::Ready(Err(StreamError::Done));
        }
        let stopped = self.stopped.get_or_insert_with(|| Box::pin(self.stream.stopped()));
        let outcome = ready!(stopped.as_mut().poll(cx));
        self.stopped = None;
        Poll::Ready(match outcome {
            Ok(None) => Ok(()),
            Ok(Some(code)) => Err(StreamError::Stopped { code: code32(code) }),
            Err(error) => Err(write_error(error.into())),
        })
    }

    fn reset(&mut self, code: u32) {
        if self.state == Writing::Open {
            self.state = Writing::Reset;
            // Fails only if the peer was told already.
            self.stream.reset(code.into()).ok();
        }
    }
}

/// noq finishes a stream that is dropped, and the peer would take the torn-off end for a whole.
impl Drop for IrohSend {
    fn drop(&mut self) {
        self.reset(0);
    }
}

impl fmt::Debug for IrohSend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IrohSend").field("id", &self.stream.id()).field("state", &self.state).finish_non_exhaustive()
    }
}

/// The reading half. Dropping it before the end stops the stream with code 0, as noq does by itself.
pub(crate) struct IrohRecv {
    stream: RecvStream,
    /// What was read along with what was asked for: each turn at noq's lock, which the driver of the connection wants
    /// as well, brings all the packets that are there.
    ahead: VecDeque<Bytes>,
    /// Kept here, because noq reports a reset once and an ordinary end from then on.
    ended: Option<Result<(), StreamError>>,
    window: Arc<Window>,
}

/// Packets read in one turn, and so the bytes of a stream, about 23 KiB, that are read before anybody asks for them.
const CHUNKS_AHEAD: usize = 16;

impl IrohRecv {
    pub(crate) fn new(stream: RecvStream, window: Arc<Window>) -> Self {
        Self { stream, ahead: VecDeque::new(), ended: None, window }
    }

    fn take_ahead(&mut self, bytes_max: usize) -> Option<Bytes> {
        let front = self.ahead.front_mut()?;
        if front.len() <= bytes_max { self.ahead.pop_front() } else { Some(front.split_to(bytes_max)) }
    }
}

impl RecvHalf for IrohRecv {
    fn poll_read(&mut self, cx: &mut Context<'_>, bytes_max: usize) -> Poll<Result<Option<Bytes>, StreamError>> {
        let bytes_max = bytes_max.max(1);
        if let Some(bytes) = self.take_ahead(bytes_max) {
            return Poll::Ready(Ok(Some(bytes)));
        }
        if let Some(ended) = &self.ended {
            return Poll::Ready(ended.clone().map(|()| None));
        }
        // A new future for each poll, as in `poll_write`.
        let mut chunks = [const { Bytes::new() }; CHUNKS_AHEAD];
        let read = ready!(pin!(self.stream.read_many_chunks(&mut chunks)).poll(cx));
        match read {
            Ok(Some(read)) => {
                self.window.read(chunks[..read].iter().map(Bytes::len).sum());
                self.ahead.extend(chunks.into_iter().take(read));
                Poll::Ready(Ok(self.take_ahead(bytes_max)))
            }
            Ok(None) => {
                self.ended = Some(Ok(()));
                Poll::Ready(Ok(None))
            }
            Err(error) => {
                let error = read_error(error);
                self.ended = Some(Err(error.clone()));
                Poll::Ready(Err(error))
            }
        }
    }

    fn stop(&mut self, code: u32) {
        self.ahead.clear();
        if self.ended.is_none() {
            self.ended = Some(Err(StreamError::Done));
            // Fails only if the peer has ended the stream.
            self.stream.stop(code.into()).ok();
        }
    }
}

impl fmt::Debug for IrohRecv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IrohRecv").field("id", &self.stream.id()).field("ended", &self.ended).finish()
    }
}

fn write_error(error: WriteError) -> StreamError {
    match error {
        WriteError::Stopped(code) => StreamError::Stopped { code: code32(code) },
        WriteError::ConnectionLost(error) => error::closed(error).into(),
        // 0-RTT is never used, so this stands for a stream that is gone.
        WriteError::ClosedStream | WriteError::ZeroRttRejected => StreamError::Done,
    }
}

fn read_error(error: ReadError) -> StreamError {
    match error {
        ReadError::Reset(code) => StreamError::Reset { code: code32(code) },
        ReadError::ConnectionLost(error) => error::closed(error).into(),
        ReadError::ClosedStream | ReadError::ZeroRttRejected => StreamError::Done,
    }
}

/// A peer's code. QUIC carries 62 bits; who sends more than 32 does not speak our protocol.
fn code32(code: VarInt) -> u32 {
    u32::try_from(code.into_inner()).unwrap_or(u32::MAX)
}
