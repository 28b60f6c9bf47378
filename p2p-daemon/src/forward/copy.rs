//! The bytes of one local connection and one stream, both ways.

use std::{collections::VecDeque, future::poll_fn, io::IoSlice, task::Poll};

use bytes::{Buf, Bytes, BytesMut};
use p2p::{BiStream, RecvStream, SendStream, StreamError};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{failure::Failure, local::Source, meter::Meter};

/// Copies until both directions have ended, or one of them broke, which ends both.
///
/// After an error the stream is reset; the local connection is the caller's to reset.
pub(crate) async fn copy(
    mut read: impl Source,
    mut write: impl AsyncWrite + Unpin + Send,
    mut stream: BiStream,
    meter: &Meter,
) -> Result<(), Failure> {
    let out = outwards(&mut read, &mut stream.send, meter);
    let inwards = inwards(&mut stream.recv, &mut write, meter);
    let result = tokio::try_join!(out, inwards).map(|_| ());
    if let Err(failure) = &result {
        abandon(&mut stream, failure);
    }
    result
}

/// Resets a stream in both directions, with the reason.
pub(crate) fn abandon(stream: &mut BiStream, failure: &Failure) {
    let code = failure.reset_code().code();
    stream.send.reset(code);
    stream.recv.stop(code);
}

/// From the local connection to the peer.
async fn outwards(read: &mut impl Source, send: &mut SendStream, meter: &Meter) -> Result<(), Failure> {
    let mut buffer = BytesMut::new();
    loop {
        let len = p2p::select! {
            read = read.read_some(&mut buffer) => read.map_err(Failure::Local)?,
            ended = send.delivered() => return no_longer_read(ended),
        };
        if len == 0 {
            send.finish()?;
            return Ok(());
        }
        let mut chunk = buffer.split().freeze();
        meter.pace_out(chunk.len()).await;
        while !chunk.is_empty() {
            match send.write_chunk(&mut chunk).await {
                Ok(written) => meter.bytes_out(written),
                Err(error) => return no_longer_read(Err(error)),
            }
        }
    }
}

/// A peer that stops reading ends this direction alone: what it sends may still be on its way.
fn no_longer_read(ended: Result<(), StreamError>) -> Result<(), Failure> {
    match ended {
        Ok(()) | Err(StreamError::Stopped { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// From the peer to the local connection.
async fn inwards(recv: &mut RecvStream, write: &mut (impl AsyncWrite + Unpin), meter: &Meter) -> Result<(), Failure> {
    let mut gathered = VecDeque::new();
    while gather(recv, &mut gathered).await? {
        meter.pace_in(gathered.iter().map(Bytes::len).sum()).await;
        while !gathered.is_empty() {
            let Some(written) = write_some(write, &gathered).await else {
                // Nobody reads here any more, which the peer should know. Whether that is an ordinary end or a broken
                // connection shows in the other direction.
                recv.stop(super::reset_code::ResetCode::LocalBroke.code());
                return Ok(());
            };
            meter.bytes_in(written);
            advance(&mut gathered, written);
        }
    }
    // Fails only if the connection is gone, and then there is nobody to be told.
    write.shutdown().await.ok();
    Ok(())
}

/// Waits for bytes, and takes what else is there, so that a packet's worth does not cost a call of the system. Says
/// whether there are any: not at the end, and an error comes only once what was before it is written.
async fn gather(recv: &mut RecvStream, gathered: &mut VecDeque<Bytes>) -> Result<bool, Failure> {
    let mut room = COPY_BYTES;
    poll_fn(|cx| {
        while room > 0 && gathered.len() < CHUNKS_MAX {
            match recv.poll_read_chunk(cx, room) {
                Poll::Ready(Ok(Some(chunk))) => {
                    room -= chunk.len();
                    gathered.push_back(chunk);
                }
                // The next call finds the same.
                Poll::Pending | Poll::Ready(_) if !gathered.is_empty() => break,
                Poll::Ready(Ok(None)) => return Poll::Ready(Ok(false)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(true))
    })
    .await
}

/// Writes what the local connection takes now, once it takes something. Nothing if it takes no more.
async fn write_some(write: &mut (impl AsyncWrite + Unpin), gathered: &VecDeque<Bytes>) -> Option<usize> {
    let mut slices = [IoSlice::new(&[]); CHUNKS_MAX];
    for (slice, chunk) in slices.iter_mut().zip(gathered) {
        *slice = IoSlice::new(chunk);
    }
    let written = write.write_vectored(&slices[..gathered.len().min(CHUNKS_MAX)]).await;
    written.ok().filter(|written| *written > 0)
}

/// Forgets the first bytes.
fn advance(gathered: &mut VecDeque<Bytes>, mut bytes: usize) {
    while let Some(front) = gathered.front_mut().filter(|_| bytes > 0) {
        let part = front.len().min(bytes);
        front.advance(part);
        bytes -= part;
        if front.is_empty() {
            gathered.pop_front();
        }
    }
}

/// Bytes moved at once: large enough that the cost of a call is nothing beside the copy, small enough that a thousand
/// connections are no burden.
pub(crate) const COPY_BYTES: usize = 64 * 1024;

/// Chunks written at once: with packets of a wide-area network they come to as many bytes as a read from the local
/// connection does.
const CHUNKS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        task::{Context, ready},
    };

    use p2p::RecvHalf;

    use super::*;

    /// A stream of which that much is there at once, and which then breaks.
    #[derive(Debug)]
    struct There(VecDeque<Bytes>);

    impl RecvHalf for There {
        fn poll_read(&mut self, _: &mut Context<'_>, bytes_max: usize) -> Poll<Result<Option<Bytes>, StreamError>> {
            let Some(mut next) = self.0.pop_front() else { return Poll::Ready(Err(StreamError::Reset { code: 7 })) };
            let read = next.split_to(bytes_max.min(next.len()));
            if !next.is_empty() {
                self.0.push_front(next);
            }
            Poll::Ready(Ok(Some(read)))
        }

        fn stop(&mut self, _: u32) {}
    }

    /// Takes at most so many bytes at a time, and remembers how often it was called.
    struct Narrow {
        bytes_max: usize,
        calls: usize,
        taken: Vec<u8>,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<std::io::Result<usize>> {
            let all = slices.iter().flat_map(|slice| slice.iter().copied());
            let part: Vec<u8> = all.take(self.bytes_max).collect();
            self.calls += 1;
            self.taken.extend(&part);
            Poll::Ready(Ok(part.len()))
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            ready!(self.poll_flush(cx))?;
            panic!("a stream that broke has no end to tell of")
        }
    }

    fn carry(packets: usize, bytes_max: usize) -> Narrow {
        let whole: Bytes = (0..packets * PACKET_BYTES).map(|at| (at % 251) as u8).collect();
        let there = (0..packets).map(|at| whole.slice(at * PACKET_BYTES..(at + 1) * PACKET_BYTES)).collect();
        let mut recv = RecvStream::new(There(there));
        let mut write = Narrow { bytes_max, calls: 0, taken: Vec::new() };
        let meter = Meter::new(&metrics::NoopRecorder, "web", None);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(inwards(&mut recv, &mut write, &meter)).expect_err("the stream broke");
        assert_eq!(write.taken, whole, "what came before is written, once, and in order");
        assert_eq!(meter.counters().bytes_in, whole.len() as u64);
        write
    }

    const PACKET_BYTES: usize = 1200;

    // A call of the system for each packet would be forty.
    #[test]
    fn packets_that_are_there_are_written_together() {
        assert_eq!(carry(40, usize::MAX).calls, 1);
        // More than one turn takes.
        assert_eq!(carry(200, usize::MAX).calls, 4);
    }

    #[test]
    fn a_writer_that_takes_little_at_a_time_misses_nothing() {
        for bytes_max in [1, 1199, 1200, 1201, 5000] {
            carry(70, bytes_max);
        }
    }
}
