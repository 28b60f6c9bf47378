//! What the fuzzer and the replay of its corpus do with bytes: whatever is read reads back from what it is written as.

use bytes::{Buf, Bytes, BytesMut};
use tunnel_compat::{
    tunnel_p2p::mux::{Event, FrameReader, LENT_BYTES_MAX, Mux, STREAM_BYTES, STREAMS_MAX, StreamKey},
    wire::{Packet, Request, SenderText, WsResponse},
};

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

/// What a peer says on the byte stream between two peers, and what the streams' holders do meanwhile.
pub(crate) fn mux(bytes: &[u8]) {
    let mut reader = FrameReader::default();
    reader.push(bytes);
    let mut again = BytesMut::new();
    while let Ok(Some(frame)) = reader.poll_frame() {
        frame.write(&mut again);
    }
    assert!(bytes.starts_with(&again), "a frame is written otherwise than it was read");
    play(bytes);
}

/// Reads the bytes as steps: a kind, and its argument. What the peer says is among them.
fn play(mut steps: &[u8]) {
    if steps.is_empty() {
        return;
    }
    let mut mux = Mux::new(steps.get_u8().is_multiple_of(2));
    let mut held: Vec<StreamKey> = Vec::new();
    while steps.len() >= 2 {
        let (kind, argument) = (steps.get_u8(), steps.get_u8());
        let stream = held.get(usize::from(argument) % held.len().max(1)).copied();
        match (kind % 10, stream) {
            (0, _) => held.extend(mux.open()),
            (1, _) => mux.transmit(&mut BytesMut::new(), usize::from(argument) * 256),
            (2, Some(stream)) => drop(mux.write(stream, &mut [Bytes::from(vec![argument; 9000])])),
            (3, Some(stream)) => drop(mux.finish(stream)),
            (4, Some(stream)) => mux.reset(stream, argument.into()),
            (5, Some(stream)) => mux.stop(stream, argument.into()),
            (6, Some(stream)) => drop(mux.read(stream, 5000)),
            (7, Some(stream)) => {
                mux.release_send(stream);
                mux.release_recv(stream);
                held.retain(|other| *other != stream);
            }
            (8, _) if argument == 0 => mux.close(u64::from(kind), "enough"),
            _ => {
                let said = steps.split_off(..usize::from(argument).min(steps.len())).unwrap_or_default();
                if mux.handle(said).is_err() {
                    return;
                }
            }
        }
        while let Some(event) = mux.poll_event() {
            if let Event::Opened(stream) = event {
                held.push(stream);
            }
        }
        assert!(mux.unread_bytes() <= 2 * STREAMS_MAX * STREAM_BYTES as usize + LENT_BYTES_MAX as usize);
        assert!(mux.streams() <= held.len() + 2 * STREAMS_MAX);
    }
}
