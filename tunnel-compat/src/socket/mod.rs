//! WebSockets, as messages: what the ends of the tunnel and its routes hand each other.

mod byte_stream;
mod heartbeat;

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio_websockets as ws;

pub use self::{
    byte_stream::byte_stream,
    heartbeat::{Heartbeat, watched},
};
use crate::connector::Io;

/// A WebSocket's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Bytes),
    /// Asks for a pong, which the receiving end sends by itself.
    Ping,
    /// Answers a ping.
    Pong,
    /// Nothing comes after this.
    Close(Close),
}

/// Why a WebSocket was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// The code (RFC 6455 §7.4.1); none if the frame carried none.
    pub code: Option<u16>,
    /// For people. At most 123 bytes go over the wire.
    pub reason: String,
}

impl Close {
    /// With that code and reason.
    pub fn new(code: u16, reason: impl Into<String>) -> Self {
        Self { code: Some(code), reason: reason.into() }
    }
}

/// An open WebSocket: a stream of messages and a sink for them.
///
/// The stream ends after a [`Message::Close`] or an error. Pings are answered underneath, and passed on so that whoever watches
/// the socket sees that the other end lives. Flush what you send. Dropping it drops the byte stream under it; to tell the other
/// end why, send a [`Message::Close`] first.
pub trait Socket:
    Stream<Item = io::Result<Message>> + Sink<Message, Error = io::Error> + Send + Unpin + 'static
{
}

impl<T: Stream<Item = io::Result<Message>> + Sink<Message, Error = io::Error> + Send + Unpin + 'static> Socket for T {}

/// An open WebSocket of any kind.
pub type BoxSocket = Box<dyn Socket>;

/// Carries messages both ways until one side closes or breaks, and passes the end on to the other.
///
/// A side that does not read stops the other one, in that direction. At most one message is held for each. Give it sockets that are
/// [`watched`]: it waits for a side that was closed to say so, too.
pub async fn join(a: BoxSocket, b: BoxSocket) {
    let (mut a_send, mut a_receive) = a.split();
    let (mut b_send, mut b_receive) = b.split();
    p2p::select! {
        () = carry(&mut a_receive, &mut b_send) => linger(&mut b_receive).await,
        () = carry(&mut b_receive, &mut a_send) => linger(&mut a_receive).await,
    }
}

/// Reads on, after a close was sent, until the other end has answered it: a byte stream that is dropped while the other end still
/// sends may lose what it was sent last, which is the reason.
pub(crate) async fn linger(from: &mut (impl Stream<Item = io::Result<Message>> + Unpin)) {
    for _ in 0..LINGER_MESSAGES_MAX {
        if !matches!(from.next().await, Some(Ok(_))) {
            return;
        }
    }
}

/// The other end had this many messages under way at most, or does not mean to close.
const LINGER_MESSAGES_MAX: usize = 1024;

async fn carry(
    from: &mut (impl Stream<Item = io::Result<Message>> + Unpin),
    to: &mut (impl Sink<Message, Error = io::Error> + Unpin),
) {
    loop {
        let message = match from.next().await {
            Some(Ok(Message::Ping | Message::Pong)) => continue,
            Some(Ok(message)) => message,
            Some(Err(error)) => Message::Close(Close::new(BROKEN, format!("the other side broke: {error}"))),
            None => Message::Close(Close::new(BROKEN, "the other side ended without a word")),
        };
        let is_last = matches!(message, Message::Close(_));
        if to.send(message).await.is_err() || is_last {
            return;
        }
    }
}

/// "Internal error": the socket ended, and not by its own end's wish.
const BROKEN: u16 = 1011;

/// The end that asked for the upgrade, on a byte stream that was upgraded. A message of more than `message_bytes_max` bytes is
/// an error, and closes the socket with code 1009.
pub fn client(io: impl Io, message_bytes_max: usize) -> BoxSocket {
    let builder = ws::ClientBuilder::new().config(config()).limits(limits(message_bytes_max));
    Box::new(Framed::new(builder.take_over(io)))
}

/// The end that agreed to the upgrade, as [`client`] is the other.
pub fn server(io: impl Io, message_bytes_max: usize) -> BoxSocket {
    let builder = ws::ServerBuilder::new().config(config()).limits(limits(message_bytes_max));
    Box::new(Framed::new(builder.serve(io)))
}

/// Why a WebSocket was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The server answered with another status than 101.
    #[error("the server answered {0} to the upgrade")]
    Status(u16),
    /// The byte stream broke, or what came was no answer to an upgrade.
    #[error("the upgrade was not answered")]
    Broken(#[source] io::Error),
}

/// Opens a WebSocket on a byte stream: asks for the upgrade and reads the answer.
///
/// # Errors
/// An [`OpenError`]; the stream is gone then.
pub async fn open(
    io: impl Io,
    uri: http::Uri,
    headers: http::HeaderMap,
    message_bytes_max: usize,
) -> Result<BoxSocket, OpenError> {
    let mut builder = ws::ClientBuilder::from_uri(uri).config(config()).limits(limits(message_bytes_max));
    for (name, value) in headers {
        let name = name.ok_or_else(|| OpenError::Broken(io::Error::other("a header with several values")))?;
        builder = builder.add_header(name, value).map_err(|error| OpenError::Broken(into_io(error)))?;
    }
    match builder.connect_on(io).await {
        Ok((inner, _)) => Ok(Box::new(Framed::new(inner))),
        Err(ws::Error::Upgrade(ws::upgrade::Error::DidNotSwitchProtocols(status))) => Err(OpenError::Status(status)),
        Err(error) => Err(OpenError::Broken(into_io(error))),
    }
}

/// WebSocket on a byte stream.
#[derive(Debug)]
struct Framed<T> {
    inner: ws::WebSocketStream<T>,
    /// A ping came whose pong is not yet sent. Nothing more is read until it is, or a peer that sends pings and does not read
    /// could make the queue of pongs grow.
    owes_pong: bool,
    ended: bool,
}

impl<T> Framed<T> {
    const fn new(inner: ws::WebSocketStream<T>) -> Self {
        Self { inner, owes_pong: false, ended: false }
    }
}

/// Every message is one frame: the legacy tunnel server drops a socket at a second one.
fn config() -> ws::Config {
    ws::Config::default().frame_size(usize::MAX)
}

fn limits(message_bytes_max: usize) -> ws::Limits {
    ws::Limits::default().max_payload_len(Some(message_bytes_max))
}

impl<T: Io> Stream for Framed<T> {
    type Item = io::Result<Message>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.owes_pong {
            // If it cannot be sent, what the other end sent before it went is still to be read, and says more.
            let _ = ready!(Pin::new(&mut self.inner).poll_flush(cx));
            self.owes_pong = false;
        }
        let message = match ready!(Pin::new(&mut self.inner).poll_next(cx)) {
            None => None,
            Some(Err(error)) => Some(Err(into_io(error))),
            Some(Ok(message)) => Some(Ok(read(message))),
        };
        match &message {
            Some(Ok(Message::Ping)) => self.owes_pong = true,
            None | Some(Err(_)) => self.ended = true,
            // Sends the answer to it, as far as that goes at once.
            Some(Ok(Message::Close(_))) => {
                self.ended = true;
                let _ = Pin::new(&mut self.inner).poll_flush(cx);
            }
            Some(Ok(_)) => {}
        }
        Poll::Ready(message)
    }
}

fn read(message: ws::Message) -> Message {
    if let Some(text) = message.as_text() {
        return Message::Text(text.to_owned());
    }
    if let Some((code, reason)) = message.as_close() {
        let code = Some(u16::from(code)).filter(|code| *code != NO_CODE);
        return Message::Close(Close { code, reason: reason.to_owned() });
    }
    match () {
        () if message.is_ping() => Message::Ping,
        () if message.is_pong() => Message::Pong,
        () => Message::Binary(message.into_payload().into()),
    }
}

fn write(message: Message) -> ws::Message {
    match message {
        Message::Text(text) => ws::Message::text(text),
        Message::Binary(bytes) => ws::Message::binary(bytes),
        Message::Ping => ws::Message::ping(Bytes::new()),
        Message::Pong => ws::Message::pong(Bytes::new()),
        Message::Close(close) => {
            let code =
                close.code.and_then(|code| ws::CloseCode::try_from(code).ok()).filter(|code| !code.is_reserved());
            let mut reason = close.reason;
            reason.truncate(reason.floor_char_boundary(CLOSE_REASON_BYTES_MAX));
            ws::Message::close(code, if code.is_some() { &reason } else { "" })
        }
    }
}

/// What a close frame has room for beside its code (RFC 6455 §5.5).
const CLOSE_REASON_BYTES_MAX: usize = 123;

/// Stands for a close frame without a code (RFC 6455 §7.4.1).
const NO_CODE: u16 = 1005;

impl<T: Io> Sink<Message> for Framed<T> {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_ready(cx).map_err(into_io)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> io::Result<()> {
        Pin::new(&mut self.inner).start_send(write(message)).map_err(into_io)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx).map_err(into_io)
    }

    /// Sends a close frame and waits for the other end's: bound it.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx).map_err(into_io)
    }
}

fn into_io(error: ws::Error) -> io::Error {
    match error {
        ws::Error::Io(error) => error,
        ws::Error::AlreadyClosed => io::ErrorKind::BrokenPipe.into(),
        error => io::Error::new(io::ErrorKind::InvalidData, Arc::new(error)),
    }
}
