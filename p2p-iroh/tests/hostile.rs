//! Peers that have iroh and do not keep to our protocol, and an honest one that connects meanwhile.

mod common;

use std::{sync::Arc, time::Duration};

use bytes::{BufMut, BytesMut};
use common::{bind, connect, exchange, in_time, listen, loopback, protocol, raw::RawPeer};
use iroh::endpoint::{Connection, ConnectionError, RecvStream, SendStream};
use p2p::{
    CloseReason, ConnectionConfig, P2PConnection, P2PListener,
    protocol::{
        close,
        handshake::{self, MESSAGE_STREAM_PREFACE},
        varint,
    },
};
use p2p_iroh::IrohP2P;

const FOUR_GIB: u64 = 4 << 30;

/// A provider with a listener, and a hostile peer.
struct Scene {
    victim: Arc<IrohP2P>,
    listener: Box<dyn P2PListener>,
    raw: RawPeer,
}

impl Scene {
    async fn new() -> Self {
        let victim = bind(loopback()).await;
        let listener = listen(&victim).await;
        Self { victim, listener, raw: RawPeer::bind().await }
    }

    async fn dial(&self) -> Connection {
        in_time(self.raw.dial(&self.listener.local_addr())).await
    }

    /// Dials and says `bytes` on the control stream, which stays open as long as its halves.
    async fn say(&self, bytes: &[u8]) -> (Connection, Control) {
        let connection = self.dial().await;
        let mut control = connection.open_bi().await.unwrap();
        control.0.write_all(bytes).await.unwrap();
        (connection, control)
    }

    /// Requires that somebody with manners is served.
    async fn honest_peer_is_served(&self) {
        let honest = bind(loopback()).await;
        let served = async {
            let (ours, theirs) = connect(&honest, &*self.listener).await;
            exchange(&*ours, &*theirs).await;
        };
        // Well before the 10 s that a handshake may take, so nobody waited for a hostile one.
        tokio::time::timeout(Duration::from_secs(5), served).await.expect("it is served at once");
    }
}

type Control = (SendStream, RecvStream);

/// The code and reason that the peer closed with.
async fn verdict(connection: &Connection) -> (u64, String) {
    match in_time(connection.closed()).await {
        ConnectionError::ApplicationClosed(close) => {
            (close.error_code.into_inner(), String::from_utf8_lossy(&close.reason).into_owned())
        }
        other => panic!("{other}"),
    }
}

fn offer() -> BytesMut {
    handshake::offer(&ConnectionConfig::new(protocol()))
}

fn preface(version_min: u16, version_max: u16) -> BytesMut {
    let mut bytes = BytesMut::from(&b"p2p\n"[..]);
    bytes.put_u16(version_min);
    bytes.put_u16(version_max);
    bytes
}

#[tokio::test]
async fn garbage_instead_of_a_handshake_is_named_and_ends_that_connection_alone() {
    let scene = Scene::new().await;
    let (connection, _control) = scene.say(b"GET / HTTP/1.1\r\n\r\n").await;
    let (code, reason) = verdict(&connection).await;
    assert_eq!(code, close::VIOLATION);
    assert!(reason.contains("expected a p2p handshake"), "{reason}");
    scene.honest_peer_is_served().await;
}

#[tokio::test]
async fn a_future_version_is_told_which_ones_are_spoken() {
    let scene = Scene::new().await;
    let (connection, _control) = scene.say(&preface(700, 900)).await;
    let (code, reason) = verdict(&connection).await;
    assert_eq!(code, close::VIOLATION);
    assert!(reason.contains("700 to 900") && reason.contains("1 to 1"), "{reason}");
    scene.honest_peer_is_served().await;
}

#[tokio::test]
async fn a_frame_of_4_gib_is_refused_before_anything_is_kept_for_it() {
    let scene = Scene::new().await;
    let mut bytes = preface(1, 1);
    varint::put(FOUR_GIB, &mut bytes);
    let (connection, _control) = scene.say(&bytes).await;
    let (code, reason) = verdict(&connection).await;
    assert_eq!(code, close::VIOLATION);
    assert!(reason.contains(&FOUR_GIB.to_string()), "{reason}");
    scene.honest_peer_is_served().await;
}

#[tokio::test]
async fn a_message_of_4_gib_ends_the_connection_with_a_reason_on_both_sides() {
    let scene = Scene::new().await;
    let (connection, _control) = scene.say(&offer()).await;
    let (mut messages, _recv) = connection.open_bi().await.unwrap();
    messages.write_all(&[MESSAGE_STREAM_PREFACE]).await.unwrap();
    let accepted: Arc<dyn P2PConnection> = in_time(scene.listener.accept()).await.unwrap();

    let mut frame = BytesMut::from(&[0][..]);
    varint::put(FOUR_GIB, &mut frame);
    messages.write_all(&frame).await.unwrap();
    in_time(accepted.recv()).await.unwrap_err();
    let reason = in_time(accepted.closed()).await;
    assert!(matches!(reason, CloseReason::Protocol { .. }), "{reason:?}");
    assert_eq!(verdict(&connection).await.0, close::VIOLATION);
    scene.honest_peer_is_served().await;
}

#[tokio::test]
async fn half_a_frame_and_then_the_end_is_a_violation() {
    let scene = Scene::new().await;
    let whole = offer();
    let (connection, mut control) = scene.say(&whole[..whole.len() / 2]).await;
    control.0.finish().unwrap();
    let (code, reason) = verdict(&connection).await;
    assert_eq!(code, close::VIOLATION);
    assert!(reason.contains("ended within the handshake"), "{reason}");
    scene.honest_peer_is_served().await;
}

#[tokio::test]
async fn those_who_stall_are_given_up_at_the_deadline_and_delay_nobody() {
    let scene = Scene::new().await;
    let whole = offer();
    let half = &whole[..whole.len() / 2];
    let mut stalled = Vec::new();
    for _ in 0..8 {
        stalled.push((scene.dial().await, None));
        let (connection, control) = scene.say(half).await;
        stalled.push((connection, Some(control)));
    }
    scene.honest_peer_is_served().await;
    for (connection, _) in &stalled {
        assert!(connection.close_reason().is_none(), "nobody was given up early");
    }
    for (connection, _) in &stalled {
        assert_eq!(verdict(connection).await.0, close::HANDSHAKE_ABANDONED);
    }
    drop(scene.victim);
}
