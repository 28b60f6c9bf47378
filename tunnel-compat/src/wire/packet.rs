//! One packet of a response: a binary frame.
//!
//! ```text
//!  0  u64  the request's number          all integers big-endian
//!  8  u32  the packet's number, from 1
//! 12  u8   1 if it is the last one
//!          in packet 1 alone:
//! 13  u16  status
//! 15  u32  bytes of the headers
//! 19       headers, a JSON object of text
//!          in every packet:
//!          the body's next bytes
//! ```

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{Defect, ResponseHead, WireError, head::STATUSES};

/// A packet, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The request that it answers.
    pub request_id: u64,
    /// Its place in the response, from 1.
    pub packet_id: u32,
    /// Whether it is the last one.
    pub last: bool,
    /// Status and headers, in packet 1 alone.
    pub head: Option<ResponseHead>,
    /// Its part of the body; may be empty.
    pub body: Bytes,
}

/// The frame by which a home side says, to a server that grants [windows](super::Request::Window), that a response breaks off here:
/// the request's number alone. Any server of ours reads it as a packet that is cut; the legacy one loses its socket over it.
pub fn broken_off(request_id: u64) -> Bytes {
    Bytes::copy_from_slice(&request_id.to_be_bytes())
}

/// Bytes before a body, without status and headers.
pub(super) const PREFIX_BYTES: usize = 13;
/// Bytes before the headers of packet 1.
pub(super) const FIRST_PREFIX_BYTES: usize = 19;

impl Packet {
    /// Reads a binary frame of the home side. The body is a slice of it.
    ///
    /// # Errors
    /// A [`WireError`] if it is cut, announces more headers than are there, has headers that are no JSON object of text, or a
    /// status that is none; with the request's number if that much was there.
    pub fn from_bytes(frame: Bytes) -> Result<Self, WireError> {
        if frame.len() < PREFIX_BYTES {
            let request_id = frame.get(..8).map(|mut id| id.get_u64());
            return Err(WireError::about(request_id, cut("a packet", frame.len(), PREFIX_BYTES as u64)));
        }
        let mut rest = frame;
        let request_id = rest.get_u64();
        let packet_id = rest.get_u32();
        let last = rest.get_u8() == 1;
        let head = if packet_id == 1 {
            Some(read_head(&mut rest).map_err(|defect| WireError::about(Some(request_id), defect))?)
        } else {
            None
        };
        Ok(Self { request_id, packet_id, last, head, body: rest })
    }

    /// The frame's bytes.
    ///
    /// # Panics
    /// If packet 1 has no head, or another one has.
    pub fn to_bytes(&self) -> Bytes {
        assert_eq!(self.packet_id == 1, self.head.is_some(), "packet 1 has a head, and no other");
        let headers = self.head.as_ref().map(|head| (head.status, headers_json(head)));
        let headers_bytes = headers.as_ref().map_or(0, |(_, json)| json.len() + FIRST_PREFIX_BYTES - PREFIX_BYTES);
        let mut frame = BytesMut::with_capacity(PREFIX_BYTES + headers_bytes + self.body.len());
        frame.put_u64(self.request_id);
        frame.put_u32(self.packet_id);
        frame.put_u8(self.last.into());
        if let Some((status, json)) = headers {
            frame.put_u16(status);
            frame.put_u32(u32::try_from(json.len()).expect("headers fit a frame"));
            frame.put_slice(json.as_bytes());
        }
        frame.put_slice(&self.body);
        frame.freeze()
    }

    /// What a sender of 32 bits means by this packet, if it can have come from one.
    ///
    /// Such a sender writes the mark of the last packet four bytes too early, into the packet's number: the last packet of three
    /// has the number `0x0100_0003` and is not marked. That is also how packet 16,777,219 of a long response looks; who asks
    /// knows how many came before.
    ///
    /// # Errors
    /// As [`from_bytes`](Self::from_bytes), if it would be the first packet and its head cannot be read.
    pub fn of_32_bit_sender(&self) -> Result<Option<Self>, WireError> {
        if self.last || self.packet_id & MISPLACED_LAST == 0 {
            return Ok(None);
        }
        let mut packet = Self { packet_id: self.packet_id & !MISPLACED_LAST, last: true, ..self.clone() };
        if packet.packet_id == 1 {
            let head =
                read_head(&mut packet.body).map_err(|defect| WireError::about(Some(packet.request_id), defect))?;
            packet.head = Some(head);
        }
        Ok(Some(packet))
    }
}

/// The byte 1, where the highest byte of the packet's number is.
const MISPLACED_LAST: u32 = 0x0100_0000;

fn read_head(rest: &mut Bytes) -> Result<ResponseHead, Defect> {
    if rest.len() < FIRST_PREFIX_BYTES - PREFIX_BYTES {
        return Err(cut("a first packet", PREFIX_BYTES + rest.len(), FIRST_PREFIX_BYTES as u64));
    }
    let status = rest.get_u16();
    if !STATUSES.contains(&status) {
        return Err(Defect::Status(status));
    }
    let announced = rest.get_u32();
    let headers = usize::try_from(announced).ok().filter(|bytes| *bytes <= rest.len());
    let headers = headers.ok_or_else(|| cut("a packet's headers", rest.len(), announced.into()))?;
    Ok(ResponseHead { status, headers: read_headers(&rest.split_to(headers))? })
}

pub(super) fn read_headers(json: &[u8]) -> Result<BTreeMap<String, String>, Defect> {
    serde_json::from_slice(json).map_err(|source| Defect::json("a response's headers", source))
}

pub(super) fn headers_json(head: &ResponseHead) -> String {
    serde_json::to_string(&head.headers).expect("text is JSON")
}

const fn cut(what: &'static str, bytes: usize, expected: u64) -> Defect {
    Defect::Cut { what, bytes, expected }
}
