//! Text frames of the home side: messages for apps, and packets in the form for text.
//!
//! ```text
//! TUNNEL_RESPONSE:{request}|{packet}|{last, 0 or 1}                     any packet
//!                 {status, 3 digits}[|]{headers, a JSON object}[|]      in packet 1 alone
//!                 {body, base64 with padding}                           each packet's by itself
//! ```
//!
//! Nobody is known to write this form; the legacy server reads it. What real home sides write when they are asked for base64
//! is another, damaged one, which nobody can read.

use bytes::Bytes;
use data_encoding::BASE64;

use super::{
    Defect, FRAME_BYTES_MAX, Packet, ResponseHead, WireError, WsResponse,
    head::STATUSES,
    packet::{headers_json, read_headers},
};

/// A text frame of the home side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SenderText {
    /// A packet of a response.
    Packet(Packet),
    /// A message for apps.
    Ws(WsResponse),
}

impl SenderText {
    /// Reads a text frame.
    ///
    /// # Errors
    /// A [`WireError`] if it is neither, or has more than [`FRAME_BYTES_MAX`] bytes.
    pub fn parse(text: &str) -> Result<Self, WireError> {
        match text.strip_prefix(PREFIX) {
            Some(rest) => packet(text.len(), rest).map(Self::Packet),
            None => WsResponse::from_json(text).map(Self::Ws),
        }
    }
}

impl Packet {
    /// The packet in the form for text.
    ///
    /// # Panics
    /// If packet 1 has no head, or another one has.
    pub fn to_text(&self) -> String {
        assert_eq!(self.packet_id == 1, self.head.is_some(), "packet 1 has a head, and no other");
        let head = self.head.as_ref().map_or(String::new(), |head| format!("{}{}", head.status, headers_json(head)));
        let (request_id, packet_id, last) = (self.request_id, self.packet_id, u8::from(self.last));
        format!("{PREFIX}{request_id}|{packet_id}|{last}{head}{}", BASE64.encode(&self.body))
    }
}

const PREFIX: &str = "TUNNEL_RESPONSE:";

fn packet(frame_bytes: usize, text: &str) -> Result<Packet, WireError> {
    if frame_bytes > FRAME_BYTES_MAX {
        let defect = Defect::TooLarge { what: "a packet as text", bytes: frame_bytes, limit: FRAME_BYTES_MAX };
        return Err(WireError::about(None, defect));
    }
    let (request_id, text) =
        number::<u64>("the request's number", text).map_err(|defect| WireError::about(None, defect))?;
    numbered_packet(request_id, text).map_err(|defect| WireError::about(Some(request_id), defect))
}

fn numbered_packet(request_id: u64, text: &str) -> Result<Packet, Defect> {
    let (packet_id, text) = number::<u32>("the packet's number", text)?;
    let (last, text) = match text.as_bytes().first() {
        Some(b'0') => (false, &text[1..]),
        Some(b'1') => (true, &text[1..]),
        _ => return Err(Defect::text("the mark of the last packet", text, "0 or 1")),
    };
    let (head, text) = if packet_id == 1 {
        let (head, text) = read_head(text)?;
        (Some(head), text)
    } else {
        (None, text)
    };
    let body = BASE64.decode(text.as_bytes()).map_err(|_| Defect::text("the body", text, "base64 with padding"))?;
    Ok(Packet { request_id, packet_id, last, head, body: Bytes::from(body) })
}

fn read_head(text: &str) -> Result<(ResponseHead, &str), Defect> {
    let status = text.get(..3).and_then(|digits| digits.parse().ok());
    let status = status.ok_or_else(|| Defect::text("the status", text, "three digits"))?;
    if !STATUSES.contains(&status) {
        return Err(Defect::Status(status));
    }
    let text = &text[3..];
    let text = text.strip_prefix('|').unwrap_or(text);
    // The JSON reader finds the object's end, whatever braces stand in its texts.
    let mut objects = serde_json::Deserializer::from_str(text).into_iter::<&serde_json::value::RawValue>();
    let headers = match objects.next() {
        Some(Ok(object)) => object,
        Some(Err(source)) => return Err(Defect::json("a response's headers", source)),
        None => return Err(Defect::text("the headers", text, "a JSON object")),
    };
    let headers = read_headers(headers.get().as_bytes())?;
    let text = &text[objects.byte_offset()..];
    Ok((ResponseHead { status, headers }, text.strip_prefix('|').unwrap_or(text)))
}

/// A number up to the next bar.
fn number<'a, N: std::str::FromStr>(what: &'static str, text: &'a str) -> Result<(N, &'a str), Defect> {
    let expected = "a whole number and a bar";
    let (digits, rest) = text.split_once('|').ok_or_else(|| Defect::text(what, text, expected))?;
    let number = digits.parse().map_err(|_| Defect::text(what, digits, expected))?;
    Ok((number, rest))
}
