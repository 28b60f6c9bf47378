//! What the flows of one listener have in common: a stream, and datagrams that bear its number.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use p2p::{BiStream, P2PConnection, RecvStream, SendStream};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{
    super::{
        meter::{Dropped, Meter},
        session::Session,
    },
    DATAGRAMS_MAX, FRAMES_MAX, PAYLOAD_BYTES_MAX,
};

/// The channels of one connection.
#[derive(Debug)]
pub(crate) struct Channels {
    next: AtomicU32,
    readers: Mutex<BTreeMap<u32, Reader>>,
}

#[derive(Debug)]
struct Reader {
    queue: mpsc::Sender<(u32, Bytes)>,
    meter: Arc<Meter>,
}

impl Channels {
    pub(crate) const fn new(dialled: bool) -> Self {
        let first = if dialled { 0 } else { 1 };
        Self { next: AtomicU32::new(first), readers: Mutex::new(BTreeMap::new()) }
    }

    /// A number for a channel that this side opens.
    pub(crate) fn next(&self) -> u32 {
        self.next.fetch_add(2, Relaxed)
    }

    /// Whether the peer may open a channel of that number.
    pub(crate) fn may_open(&self, channel: u32) -> bool {
        // Numbers of this side have the other parity.
        (channel ^ self.next.load(Relaxed)) & 1 == 1 && !self.readers.lock().contains_key(&channel)
    }

    /// Hands a datagram of the connection to its channel.
    pub(crate) fn deliver(&self, mut datagram: Bytes) {
        if datagram.len() < PREFIX_BYTES {
            return;
        }
        let (channel, flow) = (datagram.get_u32(), datagram.get_u32());
        // One of a channel that has ended since is of a flow that nobody waits for.
        if let Some(reader) = self.readers.lock().get(&channel)
            && reader.queue.try_send((flow, datagram)).is_err()
        {
            reader.meter.dropped(Dropped::QueueFull);
        }
    }
}

/// One end of a channel: what is received.
#[derive(Debug)]
pub(crate) struct Channel {
    id: u32,
    channels: Arc<Channels>,
    recv: RecvStream,
    buffer: BytesMut,
    datagrams: mpsc::Receiver<(u32, Bytes)>,
    pub(super) sender: Sender,
    /// Keeps the connection in use.
    _token: TaskTrackerToken,
}

/// One end of a channel: what is sent.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    id: u32,
    connection: Arc<dyn P2PConnection>,
    frames: mpsc::Sender<Frame>,
    meter: Arc<Meter>,
}

/// What is said of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) flow: u32,
    pub(super) what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// The payload of a datagram.
    Payload(Bytes),
    /// The flow is known, so datagrams will find it.
    Known,
    /// The flow was forgotten.
    Forgotten,
}

impl Channel {
    /// The channel of that number on a stream whose header was read or written.
    pub(crate) fn new(id: u32, stream: BiStream, session: &Session, meter: Arc<Meter>) -> Self {
        let channels = session.udp.clone();
        let (queue, datagrams) = mpsc::channel(DATAGRAMS_MAX);
        channels.readers.lock().insert(id, Reader { queue, meter: meter.clone() });
        let (frames, queue) = mpsc::channel(FRAMES_MAX);
        tokio::spawn(write(stream.send, queue));
        let sender = Sender { id, connection: session.connection.clone(), frames, meter };
        let _token = session.streams.token();
        Self { id, channels, recv: stream.recv, buffer: BytesMut::new(), datagrams, sender, _token }
    }

    /// Waits for the next; nothing once the channel has ended.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(super) async fn recv(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = take_frame(&mut self.buffer) {
                return Some(frame);
            }
            p2p::select! {
                chunk = self.recv.read_chunk(super::super::copy::COPY_BYTES) => match chunk {
                    Ok(Some(chunk)) => self.buffer.extend_from_slice(&chunk),
                    Ok(None) | Err(_) => return None,
                },
                Some((flow, payload)) = self.datagrams.recv() => {
                    return Some(Frame { flow, what: What::Payload(payload) });
                }
            }
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.channels.readers.lock().remove(&self.id);
    }
}

impl Sender {
    /// Sends a payload, as a datagram if the peer knows the flow and it fits. What cannot be sent now is dropped and
    /// counted.
    pub(super) fn send(&self, flow: u32, payload: &[u8], known: bool) {
        if !self.meter.admits_out(payload.len()) {
            return self.meter.dropped(Dropped::Bandwidth);
        }
        if known && self.send_datagram(flow, payload) {
            return self.meter.datagram_out(payload.len());
        }
        let frame = Frame { flow, what: What::Payload(Bytes::copy_from_slice(payload)) };
        match self.frames.try_send(frame) {
            Ok(()) => self.meter.datagram_out(payload.len()),
            Err(mpsc::error::TrySendError::Full(_)) => self.meter.dropped(Dropped::QueueFull),
            Err(mpsc::error::TrySendError::Closed(_)) => self.meter.dropped(Dropped::PeerUnreachable),
        }
    }

    /// Says something else of a flow, if there is room. The peer's own sweep finds out what it was not told.
    pub(super) fn say(&self, flow: u32, what: What) {
        self.frames.try_send(Frame { flow, what }).ok();
    }

    fn send_datagram(&self, flow: u32, payload: &[u8]) -> bool {
        let fits = self.connection.limits().datagram_bytes_max.is_some_and(|max| payload.len() + PREFIX_BYTES <= max);
        if !fits {
            return false;
        }
        let mut datagram = BytesMut::with_capacity(PREFIX_BYTES + payload.len());
        datagram.put_u32(self.id);
        datagram.put_u32(flow);
        datagram.put_slice(payload);
        self.connection.send_datagram(datagram.freeze()).is_ok()
    }
}

/// Writes frames until there are no senders any more, or the stream breaks.
async fn write(mut send: SendStream, mut frames: mpsc::Receiver<Frame>) {
    while let Some(frame) = frames.recv().await {
        let mut bytes = put_frame(&frame);
        while !bytes.is_empty() {
            if send.write_chunk(&mut bytes).await.is_err() {
                return;
            }
        }
    }
    send.finish().ok();
}

fn put_frame(frame: &Frame) -> Bytes {
    let (len, payload) = match &frame.what {
        What::Payload(payload) => (u16::try_from(payload.len()).expect("it came in a datagram"), &payload[..]),
        What::Known => (KNOWN, &[][..]),
        What::Forgotten => (FORGOTTEN, &[][..]),
    };
    let mut bytes = BytesMut::with_capacity(FRAME_BYTES + payload.len());
    bytes.put_u32(frame.flow);
    bytes.put_u16(len);
    bytes.put_slice(payload);
    bytes.freeze()
}

/// Takes the next frame off the front of `buffer`, once it is whole.
fn take_frame(buffer: &mut BytesMut) -> Option<Frame> {
    let mut head = buffer.get(..FRAME_BYTES)?;
    let (flow, len) = (head.get_u32(), head.get_u16());
    let what = match len {
        KNOWN => What::Known,
        FORGOTTEN => What::Forgotten,
        _ => {
            let end = FRAME_BYTES + usize::from(len);
            if buffer.len() < end {
                return None;
            }
            let payload = buffer.split_to(end).freeze().slice(FRAME_BYTES..);
            return Some(Frame { flow, what: What::Payload(payload) });
        }
    };
    buffer.advance(FRAME_BYTES);
    Some(Frame { flow, what })
}

/// A flow's number and a length.
const FRAME_BYTES: usize = 6;

/// A channel's number and a flow's, before the payload of a datagram.
const PREFIX_BYTES: usize = 8;

const FORGOTTEN: u16 = u16::MAX;
const KNOWN: u16 = u16::MAX - 1;
const _: () = assert!(PAYLOAD_BYTES_MAX < KNOWN as usize, "a length is never taken for a word");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_back_however_they_are_cut() {
        let payload = |bytes: &'static [u8]| What::Payload(Bytes::from_static(bytes));
        let frames = [(7, payload(b"abc")), (8, What::Known), (7, payload(b"")), (7, What::Forgotten)];
        let frames = frames.map(|(flow, what)| Frame { flow, what });
        let bytes = frames.each_ref().map(put_frame).concat();
        for cut in 0..bytes.len() {
            let mut buffer = BytesMut::from(&bytes[..cut]);
            let mut read: Vec<_> = std::iter::from_fn(|| take_frame(&mut buffer)).collect();
            buffer.extend_from_slice(&bytes[cut..]);
            read.extend(std::iter::from_fn(|| take_frame(&mut buffer)));
            assert_eq!(read, frames);
        }
    }
}
