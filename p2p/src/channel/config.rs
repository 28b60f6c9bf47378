//! What a user asks of a channel, and what both sides must agree on.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::ChannelError;

/// What a channel promises about its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChannelKind {
    /// All arrive, as sent.
    ReliableOrdered,
    /// All arrive, in any order: a lost packet holds back about one message in four.
    ReliableUnordered,
    /// Each arrives at most once, perhaps late, perhaps never.
    Unreliable,
    /// As `Unreliable`, but newest wins: what arrives after a newer one is dropped and counted.
    UnreliableSequenced,
}

impl ChannelKind {
    /// Whether everything sent arrives while the connection lives.
    pub const fn is_reliable(self) -> bool {
        matches!(self, Self::ReliableOrdered | Self::ReliableUnordered)
    }

    /// How many streams carry it, if streams do.
    pub(super) const fn lanes(self) -> usize {
        match self {
            Self::ReliableUnordered => UNORDERED_LANES,
            _ => 1,
        }
    }
}

/// Streams of a reliable unordered channel. Four keep most of it moving past a lost packet, and cost little.
const UNORDERED_LANES: usize = 4;

/// How a channel gathers messages into one frame.
///
/// A message waits only while the line is busy: data of the connection is on its way, or the channel sent something less
/// than `max_wait_time` ago. A lone message on an idle connection leaves at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batching {
    /// Bytes at which a batch is sent without waiting, and after which no message joins it. Defaults to 16 KiB, at most
    /// [`BATCH_BYTES_MAX`].
    pub max_batch_bytes: usize,
    /// Messages at which a batch is sent without waiting, and of the largest. Defaults to 256, at most
    /// [`BATCH_MESSAGES_MAX`].
    pub max_batch_messages: usize,
    /// How long the oldest message waits for others. Defaults to nothing: only what is there already goes together.
    pub max_wait_time: Duration,
}

impl Default for Batching {
    fn default() -> Self {
        Self { max_batch_bytes: 16 * 1024, max_batch_messages: 256, max_wait_time: Duration::ZERO }
    }
}

/// Bytes of messages, beyond the last, in the largest batch.
pub const BATCH_BYTES_MAX: usize = 64 * 1024;

/// Messages in the largest batch.
pub const BATCH_MESSAGES_MAX: usize = 1024;

/// Channels on one connection.
pub const CHANNELS_MAX: usize = 64;

/// Bytes of the longest channel name.
pub const NAME_BYTES_MAX: usize = 64;

/// One channel. Name, kind and `message_bytes_max` must be the peer's; the rest is each side's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelConfig {
    /// The name: 1 to [`NAME_BYTES_MAX`] bytes, once per connection.
    pub name: String,
    /// What is promised.
    pub kind: ChannelKind,
    /// The channel's share of the line beside others that want it: twice the priority is twice the bytes. Defaults to 1.
    pub priority: u8,
    /// Bytes that wait here to be sent, and as many that wait to be received. Defaults to 256 KiB.
    ///
    /// Counts 16 bytes for each message beside its own. Worst case: this and one message to be sent, this and one batch
    /// received.
    pub queue_bytes_max: usize,
    /// Bytes of the largest message. Defaults to 64 KiB, at most 1 MiB; send larger things on a stream.
    pub message_bytes_max: usize,
    /// How messages are gathered.
    pub batching: Batching,
}

impl ChannelConfig {
    /// A channel with the defaults.
    pub fn new(name: impl Into<String>, kind: ChannelKind) -> Self {
        Self {
            name: name.into(),
            kind,
            priority: 1,
            queue_bytes_max: 256 * 1024,
            message_bytes_max: 64 * 1024,
            batching: Batching::default(),
        }
    }

    /// Sets the share of the line.
    #[must_use]
    pub const fn with_priority(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }

    /// Sets both queues' bound, in bytes.
    #[must_use]
    pub const fn with_queue_bytes_max(mut self, bytes: usize) -> Self {
        self.queue_bytes_max = bytes;
        self
    }

    /// Sets the largest message, in bytes.
    #[must_use]
    pub const fn with_message_bytes_max(mut self, bytes: usize) -> Self {
        self.message_bytes_max = bytes;
        self
    }

    /// Sets how messages are gathered.
    #[must_use]
    pub const fn with_batching(mut self, batching: Batching) -> Self {
        self.batching = batching;
        self
    }

    /// Bytes of messages in the largest frame that either side may send.
    pub(super) const fn frame_bytes_max(&self) -> usize {
        self.message_bytes_max + BATCH_BYTES_MAX
    }

    fn validate(&self) -> Result<(), ChannelError> {
        let within = |setting: &str, value: usize, max: usize| match value {
            value if (1..=max).contains(&value) => Ok(()),
            _ => Err(ChannelError::invalid(
                format_args!("{setting} = {value} of channel {:?}", self.name),
                format_args!("1 to {max}"),
            )),
        };
        within("bytes of the name", self.name.len(), NAME_BYTES_MAX)?;
        within("priority", self.priority.into(), u8::MAX.into())?;
        within("message_bytes_max", self.message_bytes_max, crate::protocol::codec::VALUE_BYTES_MAX)?;
        within("queue_bytes_max", self.queue_bytes_max, QUEUE_BYTES_CEILING)?;
        within("max_batch_bytes", self.batching.max_batch_bytes, BATCH_BYTES_MAX)?;
        within("max_batch_messages", self.batching.max_batch_messages, BATCH_MESSAGES_MAX)
    }
}

/// The largest queue, 1 GiB: what is beyond belongs on a disk.
const QUEUE_BYTES_CEILING: usize = 1 << 30;

/// Checks a whole set.
pub(super) fn validate(channels: &[ChannelConfig]) -> Result<(), ChannelError> {
    if !(1..=CHANNELS_MAX).contains(&channels.len()) {
        let what = format_args!("a set of {} channels", channels.len()).to_string();
        return Err(ChannelError::invalid(what, format_args!("1 to {CHANNELS_MAX}")));
    }
    for (index, channel) in channels.iter().enumerate() {
        channel.validate()?;
        if channels[..index].iter().any(|other| other.name == channel.name) {
            return Err(ChannelError::invalid(format_args!("a second channel {:?}", channel.name), "each name once"));
        }
    }
    Ok(())
}
