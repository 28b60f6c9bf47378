//! The bytes on the wire, written down. A change here is a change of the protocol: it needs a new version, not a new vector.

use bytes::{Bytes, BytesMut};
use p2p::{
    Capability, ConnectionConfig, PeerAddr, PeerId, Refusal, RefusalCode, Ticket,
    protocol::{
        control::{self, Control, ControlReader},
        handshake::{self, Acceptance, Terms},
        message::MessageEncoder,
    },
};

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// The frame has these bytes, and reads back as itself.
fn check(frame: Control, expected: &str) {
    let mut bytes = BytesMut::new();
    control::put(&frame, &mut bytes);
    assert_eq!(hex(&bytes), expected.replace(' ', ""), "{frame:?}");
    let mut reader = ControlReader::default();
    reader.push(&bytes);
    assert_eq!(reader.poll_frame().unwrap(), Some(frame));
}

#[test]
fn the_first_bytes_of_a_connection() {
    let offer = handshake::offer(&ConnectionConfig::new("chat/1".parse().unwrap()));
    assert_eq!(hex(&offer), "7032700a00010001 0f 00 06636861742f31 fc00001000 64 00".replace(' ', ""));
}

#[test]
fn every_control_frame() {
    let terms = Terms { message_bytes_max: 65_536, streams_max: 250 };
    let capabilities = vec![Capability::new("resume").with_data([1, 2, 3])];
    check(Control::Accept(Acceptance { terms, capabilities }), "13 01 fc00000100 fa 01 06726573756d65 03010203");
    let refusal = Refusal::new(RefusalCode::Busy, "full").with_retry_after(std::time::Duration::from_millis(1500));
    check(Control::Refuse(refusal), "0e 02 02 0466756c6c 01 01 fc0065cd1d");
    check(Control::Keepalive { sequence: 0 }, "02 03 00");
    check(Control::KeepaliveAck { sequence: 251 }, "04 04 fbfb00");
    check(Control::Finish { messages: 300 }, "04 05 fb2c01");
    check(Control::Finished { messages: 300 }, "04 06 fb2c01");
    check(Control::Disconnect { code: 7, reason: "bye".into() }, "06 07 07 03627965");
}

#[test]
fn messages_on_their_stream() {
    let mut encoder = MessageEncoder::default();
    for message in [Bytes::from("hello"), Bytes::new(), Bytes::from(vec![0xaa; 64])] {
        encoder.push(message);
    }
    let expected = format!("0005{}0000004040{}", hex(b"hello"), "aa".repeat(64));
    assert_eq!(hex(&encoder.chunks().concat()), expected);
}

#[test]
fn a_ticket() {
    let addr = PeerAddr::new(PeerId::from_bytes([7; 32])).with_relay("https://relay.example");
    let text = Ticket::new(addr).with_extension("service", "web").to_string();
    assert_eq!(text, TICKET);
    assert_eq!(TICKET.parse::<Ticket>().unwrap().to_string(), TICKET);
}

const TICKET: &str = "p2p1-a4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqcflior2ha4z2f4xxezlmmf4s4zlymfwxa3dfaaaqo43foj3gsy3fan3wkyq2b7cws";
