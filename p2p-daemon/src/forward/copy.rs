//! The bytes of one TCP connection and one stream, both ways.

use bytes::BytesMut;
use p2p::{BiStream, RecvStream, SendStream, StreamError};
use tokio::{
    io::AsyncWriteExt,
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
};

use super::{failure::Failure, metrics::ForwardMetrics};

/// Copies until both directions have ended, or one of them broke, which ends both.
///
/// After an error the stream is reset; the TCP connection is the caller's to reset.
pub(super) async fn copy(tcp: &mut TcpStream, mut stream: BiStream, metrics: &ForwardMetrics) -> Result<(), Failure> {
    let (mut read, mut write) = tcp.split();
    let out = outwards(&mut read, &mut stream.send, metrics);
    let inwards = inwards(&mut stream.recv, &mut write, metrics);
    let result = tokio::try_join!(out, inwards).map(|_| ());
    if let Err(failure) = &result {
        abandon(&mut stream, failure);
    }
    result
}

/// Resets a stream in both directions, with the reason.
pub(super) fn abandon(stream: &mut BiStream, failure: &Failure) {
    let code = failure.reset_code().code();
    stream.send.reset(code);
    stream.recv.stop(code);
}

/// From the TCP connection to the peer.
async fn outwards(tcp: &mut ReadHalf<'_>, send: &mut SendStream, metrics: &ForwardMetrics) -> Result<(), Failure> {
    let mut buffer = BytesMut::new();
    loop {
        // Memory is taken only once there is something to read, so idle connections hold none.
        p2p::select! {
            ready = tcp.readable() => ready.map_err(Failure::Tcp)?,
            ended = send.delivered() => return no_longer_read(ended),
        }
        if buffer.capacity() < READ_BYTES_MIN {
            buffer.reserve(COPY_BYTES);
        }
        match tcp.try_read_buf(&mut buffer) {
            Ok(0) => {
                send.finish()?;
                return Ok(());
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(Failure::Tcp(error)),
        }
        let mut chunk = buffer.split().freeze();
        while !chunk.is_empty() {
            match send.write_chunk(&mut chunk).await {
                Ok(written) => metrics.bytes_out.increment(written as u64),
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

/// From the peer to the TCP connection.
async fn inwards(recv: &mut RecvStream, tcp: &mut WriteHalf<'_>, metrics: &ForwardMetrics) -> Result<(), Failure> {
    while let Some(chunk) = recv.read_chunk(COPY_BYTES).await? {
        if tcp.write_all(&chunk).await.is_err() {
            // Nobody reads here any more, which the peer should know. Whether that is an ordinary end or a broken
            // connection shows in the other direction.
            recv.stop(super::reset_code::ResetCode::TcpBroke.code());
            return Ok(());
        }
        metrics.bytes_in.increment(chunk.len() as u64);
    }
    // Fails only if the TCP connection is gone, and then there is nobody to be told.
    tcp.shutdown().await.ok();
    Ok(())
}

/// Bytes moved at once: large enough that the cost of a call is nothing beside the copy, small enough that a thousand
/// connections are no burden.
const COPY_BYTES: usize = 64 * 1024;

/// Room that makes a read worth while. Below it, a new buffer is begun.
const READ_BYTES_MIN: usize = 8 * 1024;
