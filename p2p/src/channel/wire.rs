//! What the two sides say: the table, frames of messages, and acknowledgements. No I/O.

use bytes::{Buf, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::{
    config::{BATCH_MESSAGES_MAX, ChannelConfig, ChannelKind},
    error::Difference,
};
use crate::protocol::{codec, varint};

/// First number on a stream with the table, and acknowledgements behind it.
pub(super) const CONTROL: u64 = 0;
/// First number on a stream with frames; the channel follows.
pub(super) const FRAMES: u64 = 1;

/// After the table each side says whether the other's is the same, and opens nothing before it heard the answer.
pub(super) const SAME: u64 = 1;
pub(super) const DIFFERENT: u64 = 2;

/// Bytes of the largest table: 64 channels with the longest names stay far below.
const TABLE_BYTES_MAX: u64 = 16 * 1024;

/// What each side says first.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Table {
    pub(super) version: u16,
    pub(super) rows: Vec<Row>,
}

pub(super) const VERSION: u16 = 1;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Row {
    name: String,
    kind: ChannelKind,
    message_bytes_max: u64,
    /// How much this side keeps of what is not read. Need not be the same on both.
    pub(super) queue_bytes_max: u64,
}

impl Table {
    pub(super) fn new(channels: &[ChannelConfig]) -> Self {
        let rows = channels.iter().map(|channel| Row {
            name: channel.name.clone(),
            kind: channel.kind,
            message_bytes_max: channel.message_bytes_max as u64,
            queue_bytes_max: channel.queue_bytes_max as u64,
        });
        Self { version: VERSION, rows: rows.collect() }
    }

    pub(super) fn encode(&self) -> Bytes {
        let table = codec::encode(self);
        let mut bytes = BytesMut::with_capacity(table.len() + 2 * varint::LEN_MAX);
        varint::put(CONTROL, &mut bytes);
        varint::put(table.len() as u64, &mut bytes);
        bytes.extend_from_slice(&table);
        bytes.freeze()
    }

    pub(super) fn difference(&self, channels: &[ChannelConfig]) -> Option<Difference> {
        if self.rows.len() != channels.len() {
            return Some(Difference::Count { ours: channels.len(), theirs: self.rows.len() });
        }
        self.rows.iter().zip(channels).enumerate().find_map(|(index, (theirs, ours))| {
            let differs = |setting, ours_is: String, theirs_is: String| {
                (ours_is != theirs_is).then(|| Difference::Setting {
                    index,
                    name: ours.name.clone(),
                    setting,
                    ours: ours_is,
                    theirs: theirs_is,
                })
            };
            differs("name", format!("{:?}", ours.name), format!("{:?}", theirs.name))
                .or_else(|| differs("kind", format!("{:?}", ours.kind), format!("{:?}", theirs.kind)))
                .or_else(|| {
                    let setting = "message_bytes_max";
                    differs(setting, ours.message_bytes_max.to_string(), theirs.message_bytes_max.to_string())
                })
        })
    }
}

/// Takes a number off the front; `None` if it has not arrived whole.
pub(super) fn take_number(buffer: &mut BytesMut) -> Option<u64> {
    let (number, len) = varint::get(buffer)?;
    buffer.advance(len);
    Some(number)
}

/// Takes the table off the front; `None` if it has not arrived whole.
pub(super) fn take_table(buffer: &mut BytesMut) -> Result<Option<Table>, String> {
    let Some((len, header)) = varint::get(buffer) else { return Ok(None) };
    if len > TABLE_BYTES_MAX {
        return Err(format!("a table of {len} bytes, where at most {TABLE_BYTES_MAX} were expected"));
    }
    if ((buffer.len() - header) as u64) < len {
        return Ok(None);
    }
    buffer.advance(header);
    let table: Table = codec::decode(&buffer.split_to(len as usize)).map_err(|why| format!("a bad table: {why}"))?;
    if table.version == VERSION {
        Ok(Some(table))
    } else {
        Err(format!("channels of version {}, where {VERSION} was expected", table.version))
    }
}

/// How far one channel's messages came, in bytes that [`cost`] counts, since the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ack {
    pub(super) channel: u64,
    pub(super) arrived: u64,
    pub(super) consumed: u64,
}

pub(super) fn put_ack(ack: Ack, bytes: &mut BytesMut) {
    varint::put(ack.channel, bytes);
    varint::put(ack.arrived, bytes);
    varint::put(ack.consumed, bytes);
}

pub(super) fn take_ack(buffer: &mut BytesMut) -> Option<Ack> {
    let mut numbers = [0; 3];
    let mut at = 0;
    for number in &mut numbers {
        let (value, len) = varint::get(&buffer[at..])?;
        *number = value;
        at += len;
    }
    buffer.advance(at);
    Some(Ack { channel: numbers[0], arrived: numbers[1], consumed: numbers[2] })
}

/// What a message counts for in queues and windows, so that empty ones are not free.
pub(super) const fn cost(message: &Bytes) -> usize {
    message.len() + MESSAGE_COST
}

pub(super) const MESSAGE_COST: usize = 16;

/// Bytes before a datagram's messages, and before each of them, at most.
pub(super) const DATAGRAM_HEADER_BYTES: usize = 2 + varint::LEN_MAX;
/// Datagrams are shorter than 2³⁰ bytes.
pub(super) const LENGTH_BYTES: usize = 4;

/// A frame on a stream: how many messages, then each with its length.
pub(super) fn frame(messages: &[Bytes]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(messages.iter().map(|message| message.len() + 8).sum::<usize>() + 4);
    varint::put(messages.len() as u64, &mut bytes);
    put_messages(messages, &mut bytes);
    bytes.freeze()
}

/// A datagram: channel, sequence number, then messages to its end.
pub(super) fn datagram(channel: usize, sequence: u64, messages: &[Bytes]) -> Bytes {
    let mut bytes = BytesMut::new();
    varint::put(channel as u64, &mut bytes);
    varint::put(sequence, &mut bytes);
    put_messages(messages, &mut bytes);
    bytes.freeze()
}

fn put_messages(messages: &[Bytes], bytes: &mut BytesMut) {
    for message in messages {
        varint::put(message.len() as u64, bytes);
        bytes.extend_from_slice(message);
    }
}

/// Takes frames apart as their bytes come, and never waits for more than one message of them.
#[derive(Debug, Default)]
pub(super) struct FrameDecoder {
    left: u64,
    bytes: usize,
}

impl FrameDecoder {
    /// The next message, and whether its frame ends with it; `None` if it has not arrived whole.
    pub(super) fn take(
        &mut self,
        buffer: &mut BytesMut,
        channel: &ChannelConfig,
    ) -> Result<Option<(Bytes, bool)>, String> {
        if self.left == 0 {
            let Some(count) = take_number(buffer) else { return Ok(None) };
            if !(1..=BATCH_MESSAGES_MAX as u64).contains(&count) {
                return Err(format!("a batch of {count} messages, where 1 to {BATCH_MESSAGES_MAX} were expected"));
            }
            *self = Self { left: count, bytes: 0 };
        }
        let Some((len, header)) = varint::get(buffer) else { return Ok(None) };
        let limit = channel.message_bytes_max;
        if len > limit as u64 {
            return Err(format!("a message of {len} bytes on channel {:?}, whose limit is {limit}", channel.name));
        }
        let len = len as usize;
        if self.bytes + len > channel.frame_bytes_max() {
            return Err(format!("a batch over {} bytes on channel {:?}", channel.frame_bytes_max(), channel.name));
        }
        if buffer.len() < header + len {
            return Ok(None);
        }
        buffer.advance(header);
        self.left -= 1;
        self.bytes += len;
        Ok(Some((buffer.split_to(len).freeze(), self.left == 0)))
    }

    /// Whether the stream may end here.
    pub(super) const fn is_between_frames(&self) -> bool {
        self.left == 0
    }
}

/// Takes a datagram apart: channel, sequence number, messages.
pub(super) fn read_datagram(datagram: &Bytes, channels: &[ChannelConfig]) -> Result<(usize, u64, Vec<Bytes>), String> {
    let mut at = 0;
    let number = |at: &mut usize| {
        let (value, len) = varint::get(&datagram[*at..]).ok_or("a datagram that ends within a number")?;
        *at += len;
        Ok::<_, String>(value)
    };
    let channel = number(&mut at)?;
    let sequence = number(&mut at)?;
    let config = usize::try_from(channel).ok().and_then(|index| channels.get(index));
    let Some(config) = config.filter(|config| !config.kind.is_reliable()) else {
        return Err(format!("a datagram for channel {channel}, which is no unreliable one of {}", channels.len()));
    };
    let mut messages = Vec::new();
    while at < datagram.len() {
        let len = number(&mut at)?;
        let left = datagram.len() - at;
        if len > left as u64 || len > config.message_bytes_max as u64 || messages.len() == BATCH_MESSAGES_MAX {
            let limit = config.message_bytes_max;
            return Err(format!(
                "message {} of {len} bytes in a datagram with {left} left, on channel {:?}, whose limit is {limit}",
                messages.len(),
                config.name
            ));
        }
        messages.push(datagram.slice(at..at + len as usize));
        at += len as usize;
    }
    Ok((channel as usize, sequence, messages))
}
