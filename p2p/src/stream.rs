//! Byte streams within a connection: what users hold, and what implementors supply.

use std::{
    fmt,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::StreamError;

/// A stream's writing half, as a provider or layer supplies it. Users hold a [`SendStream`].
///
/// Dropping it without `finish` resets the stream with code 0.
///
/// A layer wraps the halves of the streams it passes on:
///
/// ```
/// use std::{sync::{Arc, atomic::{AtomicUsize, Ordering::Relaxed}}, task::{Context, Poll}};
/// use p2p::{P2PConnection, P2PProvider, P2PProviderExt, SendHalf, SendStream, StreamError, memory::MemoryNetwork};
///
/// /// Counts what is written.
/// #[derive(Debug)]
/// struct Counting { inner: Box<dyn SendHalf>, bytes: Arc<AtomicUsize> }
///
/// impl SendHalf for Counting {
///     fn poll_write(&mut self, cx: &mut Context<'_>, chunks: &mut [bytes::Bytes]) -> Poll<Result<usize, StreamError>> {
///         self.inner.poll_write(cx, chunks).map_ok(|written| {
///             self.bytes.fetch_add(written, Relaxed);
///             written
///         })
///     }
///     fn finish(&mut self) -> Result<(), StreamError> { self.inner.finish() }
///     fn poll_delivered(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> { self.inner.poll_delivered(cx) }
///     fn reset(&mut self, code: u32) { self.inner.reset(code) }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> p2p::Result<()> {
/// # let network = MemoryNetwork::new();
/// # let (alice, bob) = (network.provider("alice"), network.provider("bob"));
/// # let demo = "demo/1".parse()?;
/// # let listener = bob.listen(&demo).await?;
/// # let (ours, theirs) = tokio::try_join!(alice.connect(bob.local_peer_id(), &demo), listener.accept())?;
/// let bytes = Arc::new(AtomicUsize::new(0));
/// let inner = ours.open_stream().await?.send.into_half();
/// let mut send = SendStream::new(Counting { inner, bytes: bytes.clone() });
/// send.write_all(b"twelve bytes").await?;
/// assert_eq!(bytes.load(Relaxed), 12);
/// # drop(theirs); Ok(()) }
/// ```
pub trait SendHalf: Send + Sync + Unpin + fmt::Debug + 'static {
    /// Writes as much as fits now, in order, from the front of `chunks`.
    ///
    /// A chunk that was taken whole is left empty, one taken in part is advanced. Ready with the number of bytes, at least
    /// 1 unless all chunks are empty.
    ///
    /// # Errors
    /// [`StreamError::Stopped`], [`StreamError::Done`], [`StreamError::Connection`].
    fn poll_write(&mut self, cx: &mut Context<'_>, chunks: &mut [Bytes]) -> Poll<Result<usize, StreamError>>;

    /// Says that nothing more will be written. What was written still arrives.
    ///
    /// # Errors
    /// [`StreamError::Done`] if the stream was finished or reset before.
    fn finish(&mut self) -> Result<(), StreamError>;

    /// Ready with `Ok` when the stream was finished and everything has reached the peer's provider, or with the error that
    /// makes that impossible. Before `finish` it is ready only with an error.
    ///
    /// # Errors
    /// [`StreamError::Stopped`], [`StreamError::Done`] after a reset, [`StreamError::Connection`].
    fn poll_delivered(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>>;

    /// Abandons the stream: what was not delivered may be lost. Does nothing once the stream was finished or reset.
    fn reset(&mut self, code: u32);
}

/// A stream's reading half, as a provider or layer supplies it. Users hold a [`RecvStream`].
///
/// Dropping it before the end stops the stream with code 0.
///
/// ```
/// use std::task::{Context, Poll};
/// use p2p::{RecvHalf, RecvStream, StreamError};
///
/// /// A stream whose bytes are at hand, as a cache would serve them.
/// #[derive(Debug)]
/// struct AtHand(bytes::Bytes);
///
/// impl RecvHalf for AtHand {
///     fn poll_read(
///         &mut self, _cx: &mut Context<'_>, bytes_max: usize,
///     ) -> Poll<Result<Option<bytes::Bytes>, StreamError>> {
///         let next = self.0.split_to(bytes_max.min(self.0.len()));
///         Poll::Ready(Ok((!next.is_empty()).then_some(next)))
///     }
///     fn stop(&mut self, _code: u32) { self.0.clear() }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> p2p::Result<()> {
/// let mut stream = RecvStream::new(AtHand("cached".into()));
/// assert_eq!(stream.read_to_end(100).await?, b"cached");
/// # Ok(()) }
/// ```
pub trait RecvHalf: Send + Sync + Unpin + fmt::Debug + 'static {
    /// Reads the next bytes, at least 1 and at most `bytes_max`; `None` at the end.
    ///
    /// # Errors
    /// [`StreamError::Reset`], [`StreamError::Done`], [`StreamError::Connection`].
    fn poll_read(&mut self, cx: &mut Context<'_>, bytes_max: usize) -> Poll<Result<Option<Bytes>, StreamError>>;

    /// Tells the peer that nothing more will be read. Does nothing at or after the end.
    fn stop(&mut self, code: u32);
}

/// Both directions of a stream. Take it apart to use them from different tasks.
#[derive(Debug)]
pub struct BiStream {
    /// To the peer.
    pub send: SendStream,
    /// From the peer.
    pub recv: RecvStream,
}

impl BiStream {
    /// A stream of these two halves.
    pub fn new(send: impl SendHalf, recv: impl RecvHalf) -> Self {
        Self { send: SendStream::new(send), recv: RecvStream::new(recv) }
    }
}

/// The writing half of a stream; also an [`AsyncWrite`], whose `shutdown` is [`finish`](Self::finish).
///
/// Dropping it without finishing resets the stream with code 0, so a reader never takes a torn-off end for a whole one.
#[derive(Debug)]
pub struct SendStream(Box<dyn SendHalf>);

impl SendStream {
    /// A stream over that half.
    pub fn new(half: impl SendHalf) -> Self {
        Self(Box::new(half))
    }

    /// Writes all of `bytes`, waiting while the peer or the network is behind.
    ///
    /// # Errors
    /// [`StreamError::Stopped`] if the peer no longer reads, [`StreamError::Done`] after `finish` or `reset`,
    /// [`StreamError::Connection`].
    ///
    /// # Cancel safety
    /// Dropping the future may leave some of the bytes written. Use [`write_chunk`](Self::write_chunk) to know how many.
    pub async fn write_all(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        for part in bytes.chunks(COPY_BYTES) {
            let mut chunk = Bytes::copy_from_slice(part);
            while !chunk.is_empty() {
                self.write_chunk(&mut chunk).await?;
            }
        }
        Ok(())
    }

    /// Writes some of `chunk` without copying it, and advances it past what was written.
    ///
    /// # Errors
    /// As [`write_all`](Self::write_all).
    ///
    /// # Cancel safety
    /// Dropping the future has written nothing.
    pub async fn write_chunk(&mut self, chunk: &mut Bytes) -> Result<usize, StreamError> {
        poll_fn(|cx| self.0.poll_write(cx, std::slice::from_mut(chunk))).await
    }

    /// Says that nothing more will be written. Does not wait: [`delivered`](Self::delivered) does.
    ///
    /// # Errors
    /// [`StreamError::Done`] if the stream was finished or reset before.
    pub fn finish(&mut self) -> Result<(), StreamError> {
        self.0.finish()
    }

    /// Waits until everything written, and the end, has reached the peer's provider. Finish the stream first.
    ///
    /// # Errors
    /// [`StreamError::Stopped`], [`StreamError::Done`] after a reset, [`StreamError::Connection`].
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn delivered(&mut self) -> Result<(), StreamError> {
        poll_fn(|cx| self.0.poll_delivered(cx)).await
    }

    /// Abandons the stream with a code for the peer. What was not delivered may be lost. Does nothing after `finish`.
    pub fn reset(&mut self, code: u32) {
        self.0.reset(code);
    }

    /// The half within, for layers.
    pub fn into_half(self) -> Box<dyn SendHalf> {
        self.0
    }
}

/// The reading half of a stream; also an [`AsyncRead`].
///
/// Dropping it before the end tells the peer to stop, with code 0.
#[derive(Debug)]
pub struct RecvStream {
    half: Box<dyn RecvHalf>,
    /// What `AsyncRead` took from the half and its caller had no room for.
    rest: Bytes,
}

impl RecvStream {
    /// A stream over that half.
    pub fn new(half: impl RecvHalf) -> Self {
        Self { half: Box::new(half), rest: Bytes::new() }
    }

    /// Waits for the next bytes, at most `bytes_max` of them, without copying; `None` at the end.
    ///
    /// # Errors
    /// [`StreamError::Reset`] if the peer abandoned the stream, [`StreamError::Done`] after `stop`,
    /// [`StreamError::Connection`].
    ///
    /// # Cancel safety
    /// Dropping the future loses no bytes.
    pub async fn read_chunk(&mut self, bytes_max: usize) -> Result<Option<Bytes>, StreamError> {
        poll_fn(|cx| self.poll_read_chunk(cx, bytes_max)).await
    }

    /// [`read_chunk`](Self::read_chunk) for code that polls.
    ///
    /// # Errors
    /// As [`read_chunk`](Self::read_chunk).
    pub fn poll_read_chunk(
        &mut self,
        cx: &mut Context<'_>,
        bytes_max: usize,
    ) -> Poll<Result<Option<Bytes>, StreamError>> {
        if !self.rest.is_empty() {
            let len = self.rest.len().min(bytes_max);
            return Poll::Ready(Ok(Some(self.rest.split_to(len))));
        }
        self.half.poll_read(cx, bytes_max)
    }

    /// Reads to the end of the stream, which must come within `bytes_max` bytes.
    ///
    /// # Errors
    /// As [`read_chunk`](Self::read_chunk), and [`P2PError::LimitReached`](crate::P2PError::LimitReached) inside
    /// [`StreamError::Connection`] if there is more; the stream is stopped then.
    ///
    /// # Cancel safety
    /// Dropping the future loses what it had read.
    pub async fn read_to_end(&mut self, bytes_max: usize) -> Result<Vec<u8>, StreamError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.read_chunk(COPY_BYTES).await? {
            if bytes.len() + chunk.len() > bytes_max {
                self.stop(0);
                return Err(crate::P2PError::LimitReached { what: "bytes of a stream", limit: bytes_max }.into());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// Tells the peer, with a code, that nothing more will be read. Does nothing at the end.
    pub fn stop(&mut self, code: u32) {
        self.rest = Bytes::new();
        self.half.stop(code);
    }

    /// The half within, for layers. Bytes that an [`AsyncRead`] left over are lost, so use one or the other.
    pub fn into_half(self) -> Box<dyn RecvHalf> {
        self.half
    }
}

/// Bytes copied at once where a caller has a slice and not a [`Bytes`]: large enough that the cost of a call is
/// nothing beside the copy, small enough to stay in a core's cache.
const COPY_BYTES: usize = 64 * 1024;

impl AsyncWrite for SendStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let chunk = Bytes::copy_from_slice(&bytes[..bytes.len().min(COPY_BYTES)]);
        self.0.poll_write(cx, &mut [chunk]).map_err(io::Error::from)
    }

    /// Does nothing: what is written is on its way.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0.finish() {
            Ok(()) | Err(StreamError::Done) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

impl AsyncRead for RecvStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if self.rest.is_empty() {
            // Asking for more than fits keeps the halves from cutting their chunks to the caller's buffer.
            match ready!(self.half.poll_read(cx, buf.remaining().max(COPY_BYTES)))? {
                Some(chunk) => self.rest = chunk,
                None => return Poll::Ready(Ok(())),
            }
        }
        let len = self.rest.len().min(buf.remaining());
        buf.put_slice(&self.rest[..len]);
        self.rest.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for BiStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.recv).poll_read(cx, buf)
    }
}

impl AsyncWrite for BiStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.send).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.send).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.send).poll_shutdown(cx)
    }
}

// Both halves stand for the ends of a pipe, and tokio's helpers are what most callers want on them.
const _: () = {
    const fn is_tokio_io<S: AsyncReadExt, T: AsyncWriteExt>() {}
    is_tokio_io::<RecvStream, SendStream>();
};
