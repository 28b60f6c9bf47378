//! An app's WebSocket on the legacy route: JSON texts, both ways.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use futures_util::{Sink, Stream};
use parking_lot::Mutex;

use super::home::Home;
use crate::socket::{Close, Message};

/// Messages for an app that have not been read.
#[derive(Debug, Default)]
pub(super) struct Inbox(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Message>,
    bytes: usize,
    is_closed: bool,
    reader: Option<Waker>,
}

/// Bytes of messages that wait for an app. One more, and it is closed: it does not read, and its home cannot wait for it.
const WAITING_BYTES_MAX: usize = 1024 * 1024;

/// What a message costs beside its text.
const MESSAGE_BYTES: usize = size_of::<Message>();

impl Inbox {
    pub(super) fn put(&self, text: String) {
        let mut waiting = self.0.lock();
        let bytes = waiting.bytes + text.len() + MESSAGE_BYTES;
        if bytes > WAITING_BYTES_MAX {
            return waiting.close(Close::new(TRY_AGAIN_LATER, "the app does not read what the home sends"));
        }
        if !waiting.is_closed {
            waiting.bytes = bytes;
            waiting.messages.push_back(Message::Text(text));
            waiting.wake();
        }
    }

    pub(super) fn close(&self, close: Close) {
        self.0.lock().close(close);
    }

    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let mut waiting = self.0.lock();
        if let Some(message) = waiting.messages.pop_front() {
            if let Message::Text(text) = &message {
                waiting.bytes -= text.len() + MESSAGE_BYTES;
            }
            return Poll::Ready(Some(message));
        }
        if waiting.is_closed {
            return Poll::Ready(None);
        }
        waiting.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Waiting {
    fn close(&mut self, close: Close) {
        if !std::mem::replace(&mut self.is_closed, true) {
            self.messages.push_back(Message::Close(close));
            self.wake();
        }
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// The home's end of an app's WebSocket, as the tunnel has it.
#[derive(Debug)]
pub(super) struct AppSocket {
    home: Arc<Home>,
    conn_id: u64,
    profile: Option<String>,
    inbox: Arc<Inbox>,
}

impl AppSocket {
    /// Enters the app at its home. None if that has too many.
    pub(super) fn open(home: &Arc<Home>, profile: Option<String>) -> Option<Self> {
        let inbox = Arc::new(Inbox::default());
        let conn_id = home.enter(inbox.clone())?;
        Some(Self { home: home.clone(), conn_id, profile, inbox })
    }
}

impl Stream for AppSocket {
    type Item = io::Result<Message>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.inbox.poll_next(cx).map(|message| message.map(Ok))
    }
}

impl Sink<Message> for AppSocket {
    type Error = io::Error;

    fn poll_ready(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> io::Result<()> {
        let close = match message {
            Message::Text(text) => {
                let told =
                    serde_json::from_str(&text).map(|body| self.home.tell(self.conn_id, body, self.profile.clone()));
                match told {
                    Ok(true) => return Ok(()),
                    Ok(false) => Close::new(TRY_AGAIN_LATER, "the home does not keep up with what its apps send"),
                    Err(_) => {
                        Close::new(UNSUPPORTED_DATA, "the legacy tunnel carries JSON alone, and this text is none")
                    }
                }
            }
            Message::Binary(_) => Close::new(UNSUPPORTED_DATA, "the legacy tunnel carries texts alone"),
            Message::Ping | Message::Pong => return Ok(()),
            Message::Close(close) => close,
        };
        self.inbox.close(close);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for AppSocket {
    fn drop(&mut self) {
        self.home.leave(self.conn_id);
    }
}

/// "Unsupported data" (RFC 6455 §7.4.1).
const UNSUPPORTED_DATA: u16 = 1003;

/// "Try again later" (IANA's registry of close codes).
const TRY_AGAIN_LATER: u16 = 1013;
