//! The same bytes to this crate and to the tunnel's own: where that one gives an answer, ours is the same.

use std::collections::BTreeMap;

use bytes::Bytes;
use moosicbox_tunnel::{TunnelRequest, TunnelResponse, TunnelWsResponse};
use proptest::prelude::*;
use tunnel_compat::wire::{
    FRAME_BYTES_MAX, Packet, PacketWriter, Recipients, Reorder, Request, ResponseHead, SenderText, WsResponse,
};

type Fields = (u64, u32, bool, Option<u16>, Option<BTreeMap<String, String>>, Bytes);

fn theirs(packet: TunnelResponse) -> Fields {
    (packet.request_id, packet.packet_id, packet.last, packet.status, packet.headers, packet.bytes)
}

fn ours(packet: Packet) -> Fields {
    let (status, headers) = packet.head.map(|head| (head.status, head.headers)).unzip();
    (packet.request_id, packet.packet_id, packet.last, status, headers, packet.body)
}

/// Their decoder slices without looking: these are the bytes it does not panic on.
fn they_can_bear(frame: &[u8]) -> bool {
    if frame.len() < 13 || frame[8..12] != [0, 0, 0, 1] {
        return frame.len() >= 13;
    }
    let announced = frame.get(15..19).map(|len| u32::from_be_bytes(len.try_into().unwrap()) as usize);
    announced.is_some_and(|announced| frame.len() - 19 >= announced)
}

/// Statuses that HTTP does not have we refuse, and they pass on.
fn has_a_status_of_http(packet: &TunnelResponse) -> bool {
    packet.status.is_none_or(|status| (100..=999).contains(&status))
}

fn headers() -> impl Strategy<Value = BTreeMap<String, String>> {
    prop::collection::btree_map("[a-z-]{1,12}", ".{0,20}", 0..6)
}

/// Frames near real ones: right ones, with a byte changed, cut, or with bytes behind them.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let whole =
        (any::<u64>(), prop_oneof![Just(1_u32), any::<u32>()], any::<u8>(), 0..1_200_u16, headers(), any::<[u8; 9]>());
    let whole = whole.prop_map(|(request_id, packet_id, last, status, headers, body)| {
        let mut frame = [&request_id.to_be_bytes()[..], &packet_id.to_be_bytes(), &[last]].concat();
        if packet_id == 1 {
            let json = serde_json::to_vec(&headers).unwrap();
            frame.extend_from_slice(&status.to_be_bytes());
            frame.extend_from_slice(&u32::try_from(json.len()).unwrap().to_be_bytes());
            frame.extend_from_slice(&json);
        }
        frame.extend_from_slice(&body);
        frame
    });
    (whole, any::<prop::sample::Index>(), any::<u8>(), 0..4_u8).prop_map(|(mut frame, at, byte, how)| {
        match how {
            0 => frame.truncate(at.index(frame.len())),
            1 => {
                let at = at.index(frame.len());
                frame[at] = byte;
            }
            _ => {}
        }
        frame
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn binary_packets(frame in frames()) {
        let mine = Packet::from_bytes(frame.clone().into());
        if they_can_bear(&frame) {
            match TunnelResponse::try_from(Bytes::from(frame)) {
                Ok(packet) if has_a_status_of_http(&packet) => prop_assert_eq!(ours(mine.unwrap()), theirs(packet)),
                _ => prop_assert!(mine.is_err()),
            }
        } else {
            prop_assert!(mine.is_err());
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(frame: Vec<u8>) {
        let _ = Packet::from_bytes(frame.into());
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(TUNNEL_RESPONSE:)?([0-9]{1,3}\\|)?(1\\|)?[01]?(200)?(\\|)?.{0,30}") {
        let _ = Request::from_json(&text);
        // Their decoder cuts the status out by bytes, and panics within a letter.
        if text.is_ascii() {
            match (TunnelResponse::try_from(&*text), SenderText::parse(&text)) {
                (Ok(packet), Ok(SenderText::Packet(mine))) => prop_assert_eq!(ours(mine), theirs(packet)),
                (Ok(packet), mine) => prop_assert!(!has_a_status_of_http(&packet), "{:?} beside {:?}", packet, mine),
                (Err(_), mine) => prop_assert!(!matches!(mine, Ok(SenderText::Packet(_))), "{:?}", mine),
            }
        }
    }

    #[test]
    fn what_we_write_as_text_they_read(request_id: u64, last: bool, status in 100..=999_u16, headers in headers(), body: Vec<u8>) {
        let head = Some(ResponseHead { status, headers });
        let packet = Packet { request_id, packet_id: 1, last, head, body: body.into() };
        prop_assert_eq!(theirs(TunnelResponse::try_from(packet.to_text()).unwrap()), ours(packet));
    }

    #[test]
    fn what_we_cut_they_put_together(request_id: u64, headers in headers(), bytes in 0..200_000_u32) {
        let body: Vec<u8> = (0..bytes).map(|at| (at / 7) as u8).collect();
        let head = ResponseHead { status: 200, headers };
        let mut writer = PacketWriter::new(request_id, &head).unwrap();
        let mut left = Bytes::from(body.clone());
        let mut seen = Vec::new();
        while !writer.is_finished() {
            let frame = writer.finish(&mut left).unwrap();
            prop_assert!(frame.len() <= FRAME_BYTES_MAX);
            let packet = TunnelResponse::try_from(frame).unwrap();
            prop_assert_eq!(packet.last, writer.is_finished());
            seen.extend_from_slice(&packet.bytes);
        }
        prop_assert_eq!(seen, body);
    }

    #[test]
    fn packets_in_any_order_come_out_in_theirs(count in 1..60_u32, order in any::<prop::sample::Selector>(), doubled: bool) {
        let head = ResponseHead { status: 200, headers: BTreeMap::new() };
        let packet = |packet_id| Packet {
            request_id: 1,
            packet_id,
            last: packet_id == count,
            head: (packet_id == 1).then(|| head.clone()),
            body: Bytes::from(vec![packet_id as u8]),
        };
        let mut left: Vec<u32> = (1..=count).chain((1..=count).filter(|_| doubled)).collect();
        let (mut reorder, mut out, now) = (Reorder::default(), Vec::new(), p2p::Instant::ZERO);
        while !left.is_empty() {
            let at = order.select(0..left.len());
            reorder.push(packet(left.swap_remove(at)), now).unwrap();
            out.extend(std::iter::from_fn(|| reorder.pop(now)).map(|packet| packet.packet_id));
        }
        prop_assert_eq!(out, (1..=count).collect::<Vec<_>>());
        prop_assert!(reorder.is_finished());
        prop_assert_eq!(reorder.deadline(), None);
    }

    #[test]
    fn requests_and_messages(
        request_id: u64,
        path in "[a-z/%20]{0,20}",
        query in headers(),
        headers in prop::option::of(headers()),
        profile in prop::option::of(".{0,8}"),
        ids in prop::option::of(prop::collection::vec(any::<u64>(), 0..5)),
        number: i64,
    ) {
        let request = serde_json::json!({
            "type": "HTTP", "request_id": request_id, "method": "PUT", "path": path, "query": query, "headers": headers,
            "payload": { "n": number }, "encoding": "BINARY", "profile": profile, "of the future": [],
        });
        let theirs: TunnelRequest = serde_json::from_value(request.clone()).unwrap();
        let mine = Request::from_json(&request.to_string()).unwrap();
        prop_assert_eq!(mine.to_json().unwrap(), serde_json::to_string(&theirs).unwrap());

        let recipients = ids.map_or(Recipients::Unnamed, Recipients::AllBut);
        let message = WsResponse { request_id, body: number.into(), recipients };
        let theirs: TunnelWsResponse = serde_json::from_str(&message.to_json().unwrap()).unwrap();
        prop_assert_eq!(serde_json::to_string(&theirs).unwrap(), message.to_json().unwrap());
        prop_assert_eq!(WsResponse::from_json(&message.to_json().unwrap()).unwrap(), message);
    }
}
