//! A WebSocket as a byte stream: what is written goes out as binary messages, whose bounds mean nothing.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{BoxSocket, Close, Message};
use crate::connector::Io;

/// The byte stream of a socket, in messages of at most `message_bytes_max` bytes.
///
/// It ends when the other end closes with code 1000, and fails when it closes with another, or sends text. Flush what you write;
/// shutting it down closes the socket with code 1000.
pub fn byte_stream(socket: BoxSocket, message_bytes_max: usize) -> impl Io {
    SocketBytes { socket, message_bytes_max, rest: Bytes::new(), is_shut_down: false }
}

struct SocketBytes {
    socket: BoxSocket,
    message_bytes_max: usize,
    /// Of the message that is being read.
    rest: Bytes,
    is_shut_down: bool,
}

impl AsyncRead for SocketBytes {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_next(cx)).transpose()? {
                Some(Message::Binary(bytes)) => self.rest = bytes,
                Some(Message::Ping | Message::Pong) => {}
                Some(Message::Close(close)) if close.code == Some(ORDINARY) => return Poll::Ready(Ok(())),
                Some(Message::Close(Close { code, reason })) => {
                    let why = format!("the WebSocket was closed with code {code:?}: {reason}");
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, why)));
                }
                Some(Message::Text(_)) => {
                    let why = "text came on a WebSocket that carries bytes";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
                }
                None => return Poll::Ready(Ok(())),
            }
        }
        let len = self.rest.len().min(buf.remaining());
        buf.put_slice(&self.rest[..len]);
        self.rest.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SocketBytes {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(Pin::new(&mut self.socket).poll_ready(cx))?;
        let len = bytes.len().min(self.message_bytes_max);
        let message = Message::Binary(Bytes::copy_from_slice(&bytes[..len]));
        Pin::new(&mut self.socket).start_send(message)?;
        Poll::Ready(Ok(len))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_shut_down {
            ready!(Pin::new(&mut self.socket).poll_ready(cx))?;
            Pin::new(&mut self.socket).start_send(Message::Close(Close::new(ORDINARY, "")))?;
            self.is_shut_down = true;
        }
        Pin::new(&mut self.socket).poll_flush(cx)
    }
}

/// "Normal closure" (RFC 6455 §7.4.1).
const ORDINARY: u16 = 1000;
