//! A peer that has shaken hands by hand, so as to do afterwards what a provider would not.

use iroh::endpoint::Connection;
use p2p::{
    ConnectionConfig, PeerAddr,
    protocol::handshake::{self, MESSAGE_STREAM_PREFACE},
};

use super::{RawPeer, in_time, protocol};

/// A connection on which the protocol's handshake was done.
pub async fn hostile(raw: &RawPeer, addr: &PeerAddr) -> Connection {
    let connection = in_time(raw.dial(addr)).await;
    let (mut control, recv) = connection.open_bi().await.unwrap();
    control.write_all(&handshake::offer(&ConnectionConfig::new(protocol()))).await.unwrap();
    let (mut messages, messages_recv) = connection.open_bi().await.unwrap();
    messages.write_all(&[MESSAGE_STREAM_PREFACE]).await.unwrap();
    // Kept until the connection ends: dropping a half would say something.
    let kept = (control, recv, messages, messages_recv);
    let closed = connection.clone();
    tokio::spawn(async move {
        closed.closed().await;
        drop(kept);
    });
    connection
}
