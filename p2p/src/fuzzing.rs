//! What is done with the bytes of a hostile peer by the fuzz targets in `fuzz/`, and by the tests that replay their corpora.
//!
//! Each target takes any bytes, must neither panic nor run away with memory, and asserts that what was decoded keeps within
//! its bounds, is the same from whichever cut the bytes arrive in, and reads back from what it is encoded to.

use bytes::{Bytes, BytesMut};

use crate::{
    Capability, ConnectionConfig, ListenConfig, PeerId, ProtocolId, Ticket,
    protocol::{
        CAPABILITIES_MAX, CAPABILITY_BYTES_MAX, close,
        control::{self, Control, ControlReader, Preface},
        handshake,
        message::{MessageDecoder, MessageEncoder},
    },
};

/// A name, and what takes the bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them, by the names that the fuzzer and the folders in `fuzz/corpus` have.
pub const TARGETS: &[Target] = &[
    ("handshake", handshake),
    ("control", control),
    ("messages", messages),
    ("ticket", ticket),
    ("resume", crate::layer::reconnect::fuzz::decode),
    ("compression", crate::layer::compression::fuzz::decode),
    ("channels", crate::channel::fuzz::decode),
];

/// Splits bytes in two, where the first of them says: what arrives at once, and what comes later.
pub(crate) fn cut(bytes: &[u8]) -> (&[u8], &[u8]) {
    let Some((&at, rest)) = bytes.split_first() else { return (bytes, bytes) };
    rest.split_at(usize::from(at).min(rest.len()))
}

/// The first bytes of a connection, as the side that answers reads them, and as the side that dialled does.
fn handshake(bytes: &[u8]) {
    let mut reader = ControlReader::default();
    reader.push(bytes);
    let Ok(Some(preface)) = reader.poll_preface() else { return };
    let Ok(version) = Preface::OURS.common_version(preface) else { return };
    let Ok(Some(frame)) = reader.poll_frame() else { return };
    let ours = ConnectionConfig::new(ProtocolId::default()).with_capability(Capability::new("resume"));
    if let Control::Handshake(offer) = frame.clone() {
        let wanted = offer.protocol.clone();
        let answered =
            handshake::answer(&ListenConfig::from(ours.clone()), PeerId::from_bytes([7; 32]), version, offer);
        if let Ok(Ok((agreement, _))) = answered {
            assert_eq!(agreement.negotiated.protocol, wanted);
            assert_within_bounds(&agreement, &ours);
        }
    }
    match handshake::conclude(&ours, version, frame) {
        Ok(Ok(agreement)) => assert_within_bounds(&agreement, &ours),
        Ok(Err(refusal)) => assert_eq!(close::truncate(&refusal.reason), refusal.reason),
        Err(_) => {}
    }
}

fn assert_within_bounds(agreement: &handshake::Agreement, ours: &ConnectionConfig) {
    assert!((1..=ours.message_bytes_max).contains(&agreement.message_bytes_max));
    let capabilities = &agreement.negotiated.capabilities;
    assert!(capabilities.len() <= CAPABILITIES_MAX);
    assert!(capabilities.iter().all(|taken| taken.name == "resume" && taken.data.len() <= CAPABILITY_BYTES_MAX));
}

/// The control stream behind its preface.
fn control(bytes: &[u8]) {
    let read = |parts: &[&[u8]]| {
        let (mut reader, mut frames) = (ControlReader::default(), Vec::new());
        for part in parts {
            reader.push(part);
            loop {
                match reader.poll_frame() {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => break,
                    Err(violation) => return (frames, Some(violation)),
                }
            }
        }
        (frames, None)
    };
    let (now, later) = cut(bytes);
    let (frames, violation) = read(&[now, later]);
    assert_eq!(read(&[&[now, later].concat()]), (frames.clone(), violation));
    let mut again = BytesMut::new();
    frames.iter().for_each(|frame| control::put(frame, &mut again));
    assert_eq!(read(&[&again]), (frames, None));
}

/// The message stream behind its preface.
fn messages(bytes: &[u8]) {
    const MESSAGE_BYTES_MAX: usize = 100_000;
    let read = |parts: &[&[u8]]| {
        let (mut decoder, mut messages) = (MessageDecoder::new(MESSAGE_BYTES_MAX), Vec::new());
        let pushed = parts
            .iter()
            .try_for_each(|part| decoder.push(Bytes::copy_from_slice(part), |message| messages.push(message)));
        (messages, pushed.err())
    };
    let (now, later) = cut(bytes);
    let (messages, violation) = read(&[now, later]);
    assert_eq!(read(&[&[now, later].concat()]), (messages.clone(), violation));
    assert!(messages.iter().all(|message| message.len() <= MESSAGE_BYTES_MAX));
    let mut encoder = MessageEncoder::default();
    messages.iter().for_each(|message| encoder.push(message.clone()));
    assert_eq!(read(&[&encoder.chunks().concat()]), (messages, None));
}

/// What people paste: a ticket's text, and the fields of one whose checksum is right, which a text by chance never is.
fn ticket(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = (text.parse::<Ticket>(), text.parse::<PeerId>(), text.parse::<ProtocolId>());
    }
    let text = crate::ticket::text_of(bytes);
    if let Ok(ticket) = text.parse::<Ticket>() {
        assert_eq!(ticket.to_string().parse::<Ticket>().expect("what was printed"), ticket);
    }
}
