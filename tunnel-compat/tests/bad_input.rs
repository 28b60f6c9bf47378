//! Messages that must not be taken: each with a reason, and with the request it would have been about.

use tunnel_compat::wire::{FRAME_BYTES_MAX, Packet, Recipients, Request, SenderText, WireError, WsResponse};

fn chain(error: &WireError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error.defect);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[test]
fn a_request_that_cannot_be_read_still_says_whose_answer_is_missing() {
    let with = |field: &str| {
        format!(
            r#"{{"type":"HTTP","request_id":18446744073709551615,"method":"GET","path":"a","encoding":"BINARY",{field}}}"#
        )
    };
    for (field, reason) in [
        (r#""query":"a=1""#, "expected a map"),
        (r#""query":{"a":1}"#, "expected a string"),
        (r#""query":{},"headers":{"accept":["*/*"]}"#, "expected a string"),
        (r#""query":{},"profile":7"#, "expected a string"),
        (r#""headers":null"#, "missing field `query`"),
    ] {
        let error = Request::from_json(&with(field)).unwrap_err();
        assert_eq!(error.request_id, Some(u64::MAX), "{field}");
        let text = chain(&error);
        assert!(
            text.starts_with("a request of the tunnel server is not as expected: ") && text.contains(reason),
            "{text}"
        );
    }
}

#[test]
fn numbers_are_whole_and_have_64_bits() {
    for number in ["18446744073709551616", "-1", "1.5", "\"7\"", "null"] {
        let error = Request::from_json(&format!(r#"{{"type":"ABORT","request_id":{number}}}"#)).unwrap_err();
        assert_eq!(error.request_id, None, "{number}");
    }
}

#[test]
fn what_is_no_request_at_all_is_refused() {
    for text in ["", "null", "[]", "{}", r#"{"type":"FOO","request_id":1}"#, r#"xx{"type":"ABORT","request_id":1}"#] {
        assert!(Request::from_json(text).is_err(), "{text}");
    }
    // As deep as no reader with a stack may follow.
    let deep =
        format!(r#"{{"type":"WS","conn_id":1,"request_id":1,"body":{}{}}}"#, "[".repeat(50_000), "]".repeat(50_000));
    assert!(Request::from_json(&deep).is_err());
}

#[test]
fn a_frame_over_the_limit_is_neither_written_nor_read() {
    let message =
        |bytes: usize| WsResponse { request_id: 9, body: "x".repeat(bytes).into(), recipients: Recipients::Unnamed };
    let beside = message(0).to_json().unwrap().len();
    assert_eq!(message(FRAME_BYTES_MAX - beside).to_json().unwrap().len(), FRAME_BYTES_MAX);
    let error = message(FRAME_BYTES_MAX - beside + 1).to_json().unwrap_err();
    assert_eq!(error.to_string(), "a message for apps has 65537 bytes: expected at most 65536");
    assert_eq!(error.request_id, Some(9));

    for text in ["{}".to_owned() + &" ".repeat(65_535), format!("TUNNEL_RESPONSE:1|2|0{}", "A".repeat(65_536))] {
        assert!(SenderText::parse(&text).unwrap_err().to_string().contains("expected at most 65536"));
    }
    let long = r#"{"type":"ABORT","request_id":1}"#.to_owned() + &" ".repeat(999_969);
    assert_eq!(
        Request::from_json(&long).unwrap_err().to_string(),
        "a request has 1000000 bytes: expected at most 524288"
    );
}

#[test]
fn a_packet_says_what_is_missing_of_it() {
    for (hex, reason) in [
        ("", "a packet has 0 bytes: expected at least 13"),
        ("0000000000000007000000", "a packet has 11 bytes: expected at least 13"),
        ("00000000000000070000000101", "a first packet has 13 bytes: expected at least 19"),
        ("0000000000000007000000010100c8ffffffff7b7d", "a packet's headers has 2 bytes: expected at least 4294967295"),
        ("00000000000000070000000101006300000002 7b7d", "the status is 99: expected 100 to 999"),
        ("0000000000000007000000010100c8000000025b5d", "a response's headers is not as expected"),
    ] {
        let hex: String = hex.split_whitespace().collect();
        let frame = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
        let whose = (frame.len() >= 8).then_some(7);
        let error = Packet::from_bytes(frame.into()).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.request_id), (reason, whose));
    }
}

#[test]
fn a_packet_as_text_says_which_part_of_it_is_wrong() {
    for (text, reason) in [
        ("TUNNEL_RESPONSE:", r#"the request's number is "": expected a whole number and a bar"#),
        ("TUNNEL_RESPONSE:x|1|1", r#"the request's number is "x": expected a whole number and a bar"#),
        ("TUNNEL_RESPONSE:1|4294967296|1", r#"the packet's number is "4294967296": expected a whole number and a bar"#),
        ("TUNNEL_RESPONSE:1|2|", r#"the mark of the last packet is "": expected 0 or 1"#),
        ("TUNNEL_RESPONSE:1|2|2", r#"the mark of the last packet is "2": expected 0 or 1"#),
        ("TUNNEL_RESPONSE:1|1|112é{}", r#"the status is "12é{}": expected three digits"#),
        ("TUNNEL_RESPONSE:1|1|1000{}", "the status is 0: expected 100 to 999"),
        ("TUNNEL_RESPONSE:1|1|1200", r#"the headers is "": expected a JSON object"#),
        ("TUNNEL_RESPONSE:1|2|1@@", r#"the body is "@@": expected base64 with padding"#),
    ] {
        assert_eq!(SenderText::parse(text).unwrap_err().to_string(), reason, "{text}");
    }
}
