//! One socket of a home.

use std::{future::poll_fn, io, sync::Arc};

use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use p2p::RuntimeExt;

use super::home::Home;
use crate::{
    route::Failure,
    socket::{self, BoxSocket, Close, Message},
    wire::{FRAME_BYTES_MAX, Packet, SenderText, WireError},
};

/// Carries frames until the socket ends, or another one takes its place.
pub(super) async fn serve(home: &Arc<Home>, socket: BoxSocket, with_flow: bool) {
    let link = home.link(with_flow);
    let client = home.client();
    tracing::info!(%client, link, with_flow, "A home connected.");
    let (mut to_home, mut from_home) = socket::watched(socket, home.config().heartbeat, home.runtime()).split();
    // The legacy server's first ping comes at once: by it a home side knows that its socket is in use.
    let ended = if to_home.send(Message::Ping).await.is_ok() {
        // Side by side, or a home that sends and a server that sends could wait for each other.
        p2p::select! {
            ended = receive(home, link, &mut from_home) => ended,
            ended = send(home, link, &mut to_home) => {
                socket::linger(&mut from_home).await;
                ended
            }
        }
    } else {
        "it broke".to_owned()
    };
    home.unlink(link);
    tracing::info!(%client, link, why = %ended, "A home's connection ended.");
}

/// Sends until it cannot; returns why.
async fn send(home: &Home, link: u64, to_home: &mut (impl Sink<Message, Error = io::Error> + Unpin)) -> String {
    while let Some(frame) = poll_fn(|cx| home.poll_frame(link, cx)).await {
        if let Err(error) = to_home.send(Message::Text(frame)).await {
            return error.to_string();
        }
    }
    let _ = to_home.send(Message::Close(Close::new(REPLACED, "another connection of this home took its place"))).await;
    "another one took its place".into()
}

/// Receives until it cannot; returns why.
async fn receive(home: &Home, link: u64, from_home: &mut (impl Stream<Item = io::Result<Message>> + Unpin)) -> String {
    let runtime = home.runtime();
    let mut gap = runtime.timer();
    loop {
        gap.reset(home.gap_deadline());
        let message = p2p::select! {
            message = from_home.next() => message,
            () = poll_fn(|cx| gap.poll_fired(cx)) => {
                home.handle_gaps();
                continue;
            }
        };
        let taken = match message {
            None => return "it ended without a word".into(),
            Some(Err(error)) => return error.to_string(),
            Some(Ok(Message::Close(close))) => return format!("it was closed, {:?}: {}", close.code, close.reason),
            Some(Ok(Message::Ping | Message::Pong)) => Ok(None),
            Some(Ok(Message::Binary(frame))) => packet(frame).map(Some),
            Some(Ok(Message::Text(text))) => SenderText::parse(&text).map(|text| match text {
                SenderText::Packet(packet) => Some(packet),
                SenderText::Ws(message) => {
                    home.deliver(&message);
                    None
                }
            }),
        };
        match taken {
            Ok(None) => {}
            Ok(Some(packet)) => {
                if let Some((id, pipe)) = home.take_packet(packet) {
                    // A home side of ours never gets here. A legacy one has no other brake than its socket.
                    let config = home.config();
                    if runtime.timeout(config.stall_max, pipe.room(config.body_bytes_max)).await.is_err() {
                        let why = format!("the app read nothing for {:?}, and others wait", config.stall_max);
                        home.fail_and_abort(id, Failure::Broken(why));
                    }
                }
            }
            Err(error) => {
                let client = home.client();
                tracing::warn!(%client, link, %error, request = error.request_id, "A home sent a frame that cannot be read.");
                if let Some(id) = error.request_id {
                    home.fail_and_abort(id, Failure::Broken(format!("it cannot be read: {error}")));
                }
            }
        }
    }
}

fn packet(frame: Bytes) -> Result<Packet, WireError> {
    if frame.len() > FRAME_BYTES_MAX {
        let defect = crate::wire::Defect::TooLarge { what: "a packet", bytes: frame.len(), limit: FRAME_BYTES_MAX };
        let request_id = frame.get(..8).and_then(|id| id.try_into().ok()).map(u64::from_be_bytes);
        return Err(WireError { request_id, defect });
    }
    Packet::from_bytes(frame)
}

/// Closes a socket whose home opened another one. From the range for applications (RFC 6455 §7.4.2).
const REPLACED: u16 = 4000;
