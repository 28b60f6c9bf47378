//! The bytes of one local connection and one stream, both ways.

use bytes::BytesMut;
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
    while let Some(chunk) = recv.read_chunk(COPY_BYTES).await? {
        meter.pace_in(chunk.len()).await;
        if write.write_all(&chunk).await.is_err() {
            // Nobody reads here any more, which the peer should know. Whether that is an ordinary end or a broken
            // connection shows in the other direction.
            recv.stop(super::reset_code::ResetCode::LocalBroke.code());
            return Ok(());
        }
        meter.bytes_in(chunk.len());
    }
    // Fails only if the connection is gone, and then there is nobody to be told.
    write.shutdown().await.ok();
    Ok(())
}

/// Bytes moved at once: large enough that the cost of a call is nothing beside the copy, small enough that a thousand
/// connections are no burden.
pub(crate) const COPY_BYTES: usize = 64 * 1024;
