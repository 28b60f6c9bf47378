//! One task per connection: carries bytes between a byte stream and the streams in it, and ends the one with the other.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use p2p::{Runtime, SharedError, Timer, TransportClosed, protocol::close};
use tokio::io::ReadBuf;

use super::{
    mux::{Closed, Violation},
    transport::Shared,
};
use crate::connector::Io;

/// The future that the driver's task runs. It ends with the connection.
pub(super) struct Driver<I> {
    io: I,
    shared: Arc<Shared>,
    runtime: Arc<dyn Runtime>,
    outgoing: BytesMut,
    incoming: Box<[u8]>,
    unflushed: bool,
    phase: Phase,
    deadline: Box<dyn Timer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The connection was closed; the rest of what is to be sent says why.
    Closing,
    /// Everything was sent. Whoever drops a byte stream in which something still arrives may lose what was sent last, so this side
    /// reads on until the other has ended its side.
    Lingering,
}

impl<I: Io> Driver<I> {
    pub(super) fn new(io: I, shared: Arc<Shared>, runtime: Arc<dyn Runtime>) -> Self {
        Self {
            io,
            shared,
            deadline: runtime.timer(),
            runtime,
            outgoing: BytesMut::new(),
            incoming: vec![0; READ_BYTES].into(),
            unflushed: false,
            phase: Phase::Open,
        }
    }

    /// Reads what is there, as far as it has its turn.
    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        for _ in 0..READS_MAX {
            if self.shared.drive(|mux| mux.is_congested()) {
                return Poll::Pending;
            }
            let mut buffer = ReadBuf::new(&mut self.incoming);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            let (handled, closed) = self.shared.drive(|mux| {
                let handled = mux.handle(buffer.filled());
                if let Err(Violation(what)) = &handled {
                    mux.close(close::VIOLATION, what);
                }
                (handled, mux.closed().cloned())
            });
            if let Err(Violation(what)) = handled {
                self.shared.end(TransportClosed::Lost(format!("the peer broke the tunnel's protocol: {what}").into()));
            } else if let Some(Closed::There { code, reason }) = closed {
                self.shared.end(TransportClosed::Peer { code, reason });
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Sends what there is; ready when that is nothing.
    fn poll_outgoing(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.outgoing.is_empty() {
                self.shared.drive(|mux| mux.transmit(&mut self.outgoing, WRITE_BYTES));
            }
            if self.outgoing.is_empty() {
                break;
            }
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.outgoing))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.advance(written);
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when the connection is closed.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Reading first: what is read may have to be answered.
        if let Poll::Ready(Err(error)) = self.poll_incoming(cx) {
            return Poll::Ready(Err(error));
        }
        let congested = self.shared.drive(|mux| mux.is_congested());
        loop {
            let blocked = match self.poll_outgoing(cx) {
                Poll::Ready(sent) => {
                    sent?;
                    false
                }
                Poll::Pending => true,
            };
            if self.shared.is_closed() {
                return Poll::Ready(Ok(()));
            }
            if congested && !blocked {
                cx.waker().wake_by_ref();
            }
            if self.shared.rest(cx, blocked) {
                return Poll::Pending;
            }
        }
    }

    fn poll_lingering(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
        loop {
            let mut buffer = ReadBuf::new(&mut self.incoming);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Ready when the byte stream can be dropped.
    fn poll_phase(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.phase == Phase::Open && self.shared.is_closed() {
            self.phase = Phase::Closing;
            self.deadline.reset(Some(self.runtime.now() + CLOSE_TIMEOUT));
        }
        match self.phase {
            Phase::Open => ready!(self.poll_open(cx))?,
            Phase::Closing => {
                ready!(self.poll_outgoing(cx))?;
                self.phase = Phase::Lingering;
            }
            Phase::Lingering => return self.poll_lingering(cx),
        }
        self.poll_phase(cx)
    }
}

impl<I: Io> Future for Driver<I> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let ended = this.poll_phase(cx);
        if let Poll::Ready(Err(error)) = &ended {
            this.shared.end(TransportClosed::Lost(lost(error)));
        }
        match ended {
            Poll::Pending => this.deadline.poll_fired(cx),
            Poll::Ready(_) => Poll::Ready(()),
        }
    }
}

/// Says what it means that a byte stream failed: that TLS could not read it, for example, is an altered byte.
fn lost(error: &io::Error) -> SharedError {
    match error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
        Some(error) => format!("the bytes that came are not the peer's: {error}").into(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the byte stream between the peers ended without a word".into()
        }
        None => SharedError::new(io::Error::new(error.kind(), error.to_string())),
    }
}

impl<I> Drop for Driver<I> {
    /// The task was ended from without.
    fn drop(&mut self) {
        self.shared.end(TransportClosed::Lost("the connection's task was ended".into()));
    }
}

/// Bytes read at once: four records of TLS.
const READ_BYTES: usize = 64 * 1024;

/// Reads before the other direction and other tasks have their turn.
const READS_MAX: usize = 16;

/// Bytes handed to TLS at once.
const WRITE_BYTES: usize = 64 * 1024;

/// How long a closed connection's byte stream is kept to tell the peer.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
