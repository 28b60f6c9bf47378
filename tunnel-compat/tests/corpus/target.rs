//! What the fuzzer and the replay of its corpus do with bytes: whatever is read reads back from what it is written as.

use bytes::Bytes;
use tunnel_compat::wire::{Packet, Request, SenderText, WsResponse};

/// A frame of the tunnel's WebSocket, binary or text, from either end.
pub(crate) fn decode(bytes: &[u8]) {
    if let Ok(packet) = Packet::from_bytes(Bytes::copy_from_slice(bytes)) {
        let again = Packet::from_bytes(packet.to_bytes()).expect("it was just written");
        assert_eq!(again, packet);
        let _ = packet.of_32_bit_sender();
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(request) = Request::from_json(text)
        && let Ok(json) = request.to_json()
    {
        assert_eq!(Request::from_json(&json).expect("it was just written"), request);
    }
    if let Ok(response) = WsResponse::from_json(text)
        && let Ok(json) = response.to_json()
    {
        assert_eq!(WsResponse::from_json(&json).expect("it was just written"), response);
    }
    let _ = SenderText::parse(text);
}
