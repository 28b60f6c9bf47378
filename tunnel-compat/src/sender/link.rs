//! One WebSocket to the tunnel server.

use std::{future::poll_fn, io};

use futures_util::{Sink, SinkExt, Stream, StreamExt};

use super::{Sender, SenderStatus, Shared};
use crate::{
    socket::{self, BoxSocket, Message},
    wire::Request,
};

/// Answers what comes until the socket ends; returns why it did.
pub(super) async fn serve(sender: &Sender, socket: BoxSocket) -> String {
    let config = &sender.config;
    let socket = socket::watched(socket, config.heartbeat, &sender.runtime);
    let (mut to_server, mut from_server) = socket.split();
    // Side by side, or a server that sends and a home that sends could wait for each other.
    p2p::select! {
        why = receive(sender, &mut from_server) => why,
        why = send(&sender.shared, &mut to_server) => why,
    }
}

async fn receive(sender: &Sender, from_server: &mut (impl Stream<Item = io::Result<Message>> + Unpin)) -> String {
    let shared = &sender.shared;
    let mut first_word = sender.runtime.timer();
    first_word.reset(Some(sender.runtime.now() + sender.config.first_word_timeout));
    let mut in_use = false;
    let mut window = None;
    loop {
        let message = p2p::select! {
            message = from_server.next() => message,
            () = poll_fn(|cx| first_word.poll_fired(cx)), if !in_use => {
                return format!("the server said nothing for {:?}: it has forgotten the socket", sender.config.first_word_timeout);
            }
        };
        let message = match message {
            Some(Ok(message)) => message,
            Some(Err(error)) => return error.to_string(),
            None => return "the server ended the socket without a word".into(),
        };
        // A pong shows that the socket is open, but not that anybody will ask anything on it.
        if !in_use && !matches!(message, Message::Pong) {
            in_use = true;
            tracing::info!(client = %sender.config.client, "Connected to the tunnel server.");
            sender.status.set(SenderStatus::Connected);
        }
        match message {
            Message::Ping | Message::Pong => {}
            Message::Close(close) => {
                return format!("the server closed the socket, {:?}: {}", close.code, close.reason);
            }
            Message::Binary(_) => tracing::warn!("The tunnel server sent bytes, which mean nothing from it."),
            Message::Text(text) => match Request::from_json(&text) {
                Ok(Request::Http(request)) => shared.begin(request.request_id, Ok(request), window),
                Ok(Request::Ws(message)) => shared.pass_on(message),
                Ok(Request::Abort { request_id }) => shared.end(request_id),
                Ok(Request::Window { request_id: 0, bytes }) => window = Some(bytes),
                Ok(Request::Window { request_id, bytes }) => shared.exchanges.lock().grant(request_id, bytes),
                Err(error) => {
                    tracing::warn!(%error, request = error.request_id, "The tunnel server sent a frame that cannot be read.");
                    if let Some(request_id) = error.request_id {
                        shared.begin(request_id, Err(error), window);
                    }
                }
            },
        }
    }
}

/// Sends what waits, all that has gathered at once.
async fn send(shared: &Shared, to_server: &mut (impl Sink<Message, Error = io::Error> + Unpin)) -> String {
    let mut waiting = shared.waiting.lock().await;
    while let Some(frame) = waiting.recv().await {
        let mut next = Some(frame);
        while let Some(frame) = next {
            if let Err(error) = to_server.feed(frame).await {
                return error.to_string();
            }
            next = waiting.try_recv().ok();
        }
        if let Err(error) = to_server.flush().await {
            return error.to_string();
        }
    }
    "the home ended it".into()
}

impl Shared {
    /// Ends a request, or an app's socket: the server says both in one way.
    fn end(&self, number: u64) {
        let request = self.exchanges.lock().abort(number);
        let app = self.apps.lock().leave(number);
        drop((request, app));
    }
}
