//! Cuts a response into packets.

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    Defect, FRAME_BYTES_MAX, ResponseHead, WireError,
    packet::{FIRST_PREFIX_BYTES, PREFIX_BYTES, headers_json},
};

/// Cuts a response into frames that any tunnel server takes, numbered from 1.
///
/// What there is of the body is sent at once, in however small a packet: the legacy home side waits until 64 KiB have come
/// together, which holds a live stream up for as long as that takes.
///
/// ```
/// use bytes::Bytes;
/// use tunnel_compat::wire::{Packet, PacketWriter, ResponseHead};
///
/// let (head, _) = ResponseHead::for_tunnel(200, [("content-type", &b"text/plain"[..])])?;
/// let mut writer = PacketWriter::new(7, &head)?;
/// let mut body = Bytes::from("hello");
/// let at_once = writer.write(&mut body)?;
/// let last = writer.finish(&mut body)?;
///
/// assert_eq!(Packet::from_bytes(at_once)?.body, "hello");
/// assert!(Packet::from_bytes(last)?.last);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PacketWriter {
    request_id: u64,
    /// The next packet's number; none when there is none left.
    next: Option<u32>,
    /// Status, and headers as JSON, until they are sent.
    head: Option<(u16, String)>,
    finished: bool,
}

impl PacketWriter {
    /// A response to that request.
    ///
    /// # Errors
    /// [`Defect::TooLarge`] if the headers fit no frame.
    pub fn new(request_id: u64, head: &ResponseHead) -> Result<Self, WireError> {
        let json = headers_json(head);
        if json.len() > HEADERS_BYTES_MAX {
            let defect = Defect::TooLarge { what: "a response's headers", bytes: json.len(), limit: HEADERS_BYTES_MAX };
            return Err(WireError::about(Some(request_id), defect));
        }
        Ok(Self { request_id, next: Some(1), head: Some((head.status, json)), finished: false })
    }

    /// The next frame, with as much of the body as fits, which is taken from it. An empty body makes a packet too, if the
    /// head is to be sent before there is more.
    ///
    /// # Errors
    /// [`Defect::PacketsExhausted`] after as many packets as there are numbers; nothing is taken then.
    ///
    /// # Panics
    /// If the last frame was written before.
    pub fn write(&mut self, body: &mut Bytes) -> Result<Bytes, WireError> {
        self.frame(body, false)
    }

    /// The next frame, when `body` is all that is left: the last one if it fits, which [`is_finished`](Self::is_finished) tells.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    ///
    /// # Panics
    /// As [`write`](Self::write).
    pub fn finish(&mut self, body: &mut Bytes) -> Result<Bytes, WireError> {
        self.frame(body, body.len() <= self.room())
    }

    /// Whether the last frame was written.
    pub const fn is_finished(&self) -> bool {
        self.finished
    }

    /// Bytes of the body that fit the next frame.
    pub fn room(&self) -> usize {
        self.head.as_ref().map_or(FRAME_BYTES_MAX - PREFIX_BYTES, |(_, json)| HEADERS_BYTES_MAX - json.len())
    }

    fn frame(&mut self, body: &mut Bytes, last: bool) -> Result<Bytes, WireError> {
        assert!(!self.finished, "nothing follows the last packet");
        let packet_id = self.next.ok_or(WireError::about(Some(self.request_id), Defect::PacketsExhausted))?;
        let part = body.split_to(body.len().min(self.room()));
        let mut frame = BytesMut::with_capacity(FRAME_BYTES_MAX - self.room() + part.len());
        frame.put_u64(self.request_id);
        frame.put_u32(packet_id);
        frame.put_u8(last.into());
        if let Some((status, json)) = self.head.take() {
            frame.put_u16(status);
            frame.put_u32(u32::try_from(json.len()).expect("at most HEADERS_BYTES_MAX"));
            frame.put_slice(json.as_bytes());
        }
        frame.put_slice(&part);
        self.next = packet_id.checked_add(1);
        self.finished = last;
        Ok(frame.freeze())
    }
}

/// Headers beside which not one byte of a body fits.
const HEADERS_BYTES_MAX: usize = FRAME_BYTES_MAX - FIRST_PREFIX_BYTES;

#[cfg(test)]
mod tests {
    use super::{super::Packet, *};

    fn head() -> ResponseHead {
        ResponseHead::for_tunnel(200, [("content-type", &b"text/plain"[..])]).unwrap().0
    }

    #[test]
    fn every_frame_is_full_but_the_last_and_none_is_over_the_limit() {
        let body = Bytes::from(vec![7; 200_000]);
        let mut writer = PacketWriter::new(1, &head()).unwrap();
        let mut left = body.clone();
        let mut frames = Vec::new();
        while !writer.is_finished() {
            frames.push(writer.finish(&mut left).unwrap());
        }
        let (last, full) = frames.split_last().unwrap();
        assert!(full.iter().all(|frame| frame.len() == FRAME_BYTES_MAX));
        assert!(last.len() <= FRAME_BYTES_MAX);
        let packets: Vec<_> = frames.into_iter().map(|frame| Packet::from_bytes(frame).unwrap()).collect();
        assert!(packets.iter().zip(1..).all(|(packet, number)| packet.packet_id == number));
        assert_eq!(packets.iter().filter(|packet| packet.last).count(), 1);
        assert_eq!(packets.iter().flat_map(|packet| packet.body.clone()).collect::<Bytes>(), body);
    }

    #[test]
    fn a_body_that_exactly_fills_a_frame_is_one_packet() {
        let mut writer = PacketWriter::new(1, &head()).unwrap();
        let mut body = Bytes::from(vec![7; writer.room()]);
        let frame = writer.finish(&mut body).unwrap();
        assert_eq!(frame.len(), FRAME_BYTES_MAX);
        assert!(writer.is_finished() && Packet::from_bytes(frame).unwrap().last);
    }

    #[test]
    fn headers_that_fit_no_frame_are_refused_by_size() {
        // `{"x":"…"}` has eight bytes beside the value.
        let with_value = |bytes: usize| ResponseHead { status: 200, headers: [("x".into(), "v".repeat(bytes))].into() };
        assert_eq!(PacketWriter::new(1, &with_value(HEADERS_BYTES_MAX - 8)).unwrap().room(), 0);
        let error = PacketWriter::new(1, &with_value(HEADERS_BYTES_MAX - 7)).unwrap_err();
        assert_eq!(error.to_string(), "a response's headers has 65518 bytes: expected at most 65517");
        assert_eq!(error.request_id, Some(1));
    }

    #[test]
    fn there_are_as_many_packets_as_numbers() {
        let mut writer = PacketWriter::new(1, &head()).unwrap();
        writer.write(&mut Bytes::new()).unwrap();
        writer.next = Some(u32::MAX);
        writer.write(&mut Bytes::from("x")).unwrap();
        let mut body = Bytes::from("left");
        assert!(matches!(writer.write(&mut body).unwrap_err().defect, Defect::PacketsExhausted));
        assert_eq!(body, "left");
    }
}
