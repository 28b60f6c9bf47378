//! Frames recorded from the real programs, and what their own decoder made of them.

use std::{fs, path::PathBuf};

use bytes::Bytes;
use serde_json::Value;
use tunnel_compat::wire::{Packet, Recipients, Request, SenderText, WsResponse};

struct Vector {
    name: String,
    json: Value,
}

fn vectors() -> Vec<Vector> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let index: Value = serde_json::from_str(&fs::read_to_string(folder.join("index.json")).unwrap()).unwrap();
    let files = index.as_array().unwrap().iter().map(|entry| entry["file"].as_str().unwrap());
    files
        .map(|file| Vector {
            name: file.to_owned(),
            json: serde_json::from_str(&fs::read_to_string(folder.join(file)).unwrap()).unwrap(),
        })
        .collect()
}

impl Vector {
    fn is(&self, direction: &str, kind: &str) -> bool {
        self.json["kind"] == kind && [direction, "any"].iter().any(|it| self.json["direction"] == *it)
    }

    fn text(&self) -> &str {
        self.json["text"].as_str().unwrap()
    }

    fn bytes(&self) -> Bytes {
        data_encoding::HEXLOWER.decode(self.json["hex"].as_str().unwrap().as_bytes()).unwrap().into()
    }

    fn published(&self, of: &str) -> Option<&Value> {
        self.json["published_decoder"].get(of)
    }
}

/// What the published decoder made of a packet. It shows a long body by its beginning.
fn assert_same_packet(name: &str, packet: &Packet, published: &Value) {
    assert_eq!(packet.request_id, published["request_id"].as_u64().unwrap(), "{name}");
    assert_eq!(u64::from(packet.packet_id), published["packet_id"].as_u64().unwrap(), "{name}");
    assert_eq!(packet.last, published["last"].as_bool().unwrap(), "{name}");
    let status = packet.head.as_ref().map(|head| u64::from(head.status));
    assert_eq!(status, published["status"].as_u64(), "{name}");
    let headers = packet.head.as_ref().map(|head| serde_json::to_value(&head.headers).unwrap());
    assert_eq!(headers.unwrap_or(Value::Null), published["headers"], "{name}");
    assert_eq!(packet.body.len() as u64, published["body_len"].as_u64().unwrap(), "{name}");
    let prefix = published["body_hex_prefix"].as_str().unwrap();
    assert!(data_encoding::HEXLOWER.encode(&packet.body).starts_with(prefix), "{name}");
}

#[test]
fn requests_are_read_and_written_as_the_tunnels_own_code_does() {
    let mut seen = 0;
    for vector in vectors().iter().filter(|vector| vector.is("server->sender", "text")) {
        let name = &vector.name;
        match vector.published("TunnelRequest") {
            Some(published) => {
                let request = Request::from_json(vector.text()).unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(request.to_json().unwrap(), published["reserialized"].as_str().unwrap(), "{name}");
                seen += 1;
            }
            None => assert!(Request::from_json(vector.text()).is_err(), "{name}"),
        }
    }
    assert!(seen == 28, "{seen} of 28 requests were found");
}

#[test]
fn packets_are_read_as_the_tunnels_own_code_does_and_written_byte_for_byte() {
    let mut seen = 0;
    for vector in vectors().iter().filter(|vector| vector.is("sender->server", "binary")) {
        let name = &vector.name;
        if vector.json["hex"].is_null() {
            continue;
        }
        match vector.published("TunnelResponse") {
            Some(published) => {
                let packet = Packet::from_bytes(vector.bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_same_packet(name, &packet, published);
                assert_eq!(packet.to_bytes(), vector.bytes(), "{name}");
                seen += 1;
            }
            // Here the tunnel's own decoder panics, or its server does on the error.
            None => {
                let error = Packet::from_bytes(vector.bytes()).expect_err(name);
                let whose = (vector.bytes().len() >= 8).then_some(());
                assert_eq!(error.request_id.map(|_| ()), whose, "{name}: {error}");
            }
        }
    }
    assert!(seen == 23, "{seen} of 23 packets were found");
}

#[test]
fn text_of_the_home_side_is_read_as_the_tunnels_own_code_does() {
    let mut seen = 0;
    for vector in vectors().iter().filter(|vector| vector.is("sender->server", "text")) {
        let name = &vector.name;
        let read = SenderText::parse(vector.text());
        if let Some(published) = vector.published("TunnelResponse") {
            let Ok(SenderText::Packet(packet)) = read else { panic!("{name}: {read:?}") };
            assert_same_packet(name, &packet, published);
            assert_eq!(SenderText::parse(&packet.to_text()).unwrap(), SenderText::Packet(packet), "{name}");
        } else if let Some(published) = vector.published("TunnelWsResponse") {
            let Ok(SenderText::Ws(message)) = read else { panic!("{name}: {read:?}") };
            assert_eq!(message.to_json().unwrap(), published["reserialized"].as_str().unwrap(), "{name}");
        } else {
            assert!(read.is_err(), "{name}: {read:?}");
            continue;
        }
        seen += 1;
    }
    assert!(seen >= 7, "only {seen} texts were found");
}

#[test]
fn an_app_gets_the_body_and_nothing_else() {
    // The recorded frame to the app is the body of the recorded frame to the server.
    let vectors = vectors();
    let text = |name: &str| vectors.iter().find(|vector| vector.name.ends_with(name)).unwrap().text();
    let message = WsResponse::from_json(text("46-ws-response-connection-id.json")).unwrap();
    assert_eq!(message.recipients, Recipients::Only(vec![14_317_494_232_503_508_266]));
    assert_eq!(message.body.to_string(), text("52-wsclient-receives-connection-id.json"));
}
