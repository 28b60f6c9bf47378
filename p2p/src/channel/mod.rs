//! Several typed channels on one connection, each with a promise of its own.
//!
//! [`Channels::open`] takes any connection, whatever provider or layers it comes from, and the same set of
//! [`ChannelConfig`]s on both sides. From then on the connection's streams and datagrams are the channels'; its messages
//! stay the user's.
//!
//! | kind | arrives | order | carried by |
//! |---|---|---|---|
//! | reliable ordered | all | as sent | a stream |
//! | reliable unordered | all | any | four streams: a lost packet holds up one in four |
//! | unreliable | perhaps, at most once | any | datagrams |
//! | unreliable sequenced | perhaps, at most once | late older ones are dropped and counted | datagrams |
//!
//! # Without datagrams
//! The unreliable kinds travel on a stream each, and [`carried_by`](ByteChannel::carried_by) says so; that is decided when
//! the channels open. What was written to the stream arrives, in order. While the line is slower than the sender, the
//! oldest that wait here are dropped and counted, so what arrives is at most a queue and a window old. If the path
//! loses its datagrams later, unreliable messages are dropped and counted.
//!
//! # Across a reconnect
//! Over [`Reconnect`](crate::layer::Reconnect) the reliable kinds survive: nothing is lost or doubled. While there is no
//! transport, what is sent on an unreliable channel, or waits there, is dropped and counted as `dropped_suspended`.
//!
//! # Flow
//! Each channel has a queue here and one at the peer. The peer grants as much as its queue holds, so a channel that
//! nobody reads fills its own two queues, makes `send` on it wait, and blocks no other: its bytes never stand in a
//! stream. On unreliable channels the oldest unread are dropped and counted instead. Together all streams have at most
//! 256 KiB under way, so that what is sent next is decided here, by priority, and not in the transport's buffers.
//!
//! # Priority
//! Deficit round robin: in each round, each channel that may send does, up to `priority` × 16 KiB and one frame at most.
//! While the transport refuses a frame, no other stream gets one, as it would
//! then be the transport that decides. So nothing starves: between two turns of a channel each other one sends that much at most, and over time a share
//! in proportion to its priority. A frame that overdraws a turn is paid back in the rounds after it. Order holds within a channel. Datagrams take turns too, and wait for no window.
//!
//! # Batching
//! What waits for its turn goes together, up to [`Batching`]'s sizes. With a `max_wait_time` a message also waits for
//! others, but only while the line is busy: a lone one on an idle connection leaves at once.
//!
//! # Bad input
//! A peer that sends a frame for a channel there is not, a batch too large or cut, more than it was granted, or an
//! acknowledgement that goes backwards ends the connection with [`CHANNEL_VIOLATION`] and a reason that says what
//! came and what was expected. Nothing is allocated by a length the peer names.
//!
//! # What was weighed
//! A stream per channel and credit of our own, against carrying all on the connection's messages: a lost packet holds
//! up one channel instead of all, and an unread channel can't block the messages behind it. The windows are ours and not
//! the transport's because a transport's are not visible, and may be shared by all its streams.
//!
//! ```
//! use p2p::{P2PProvider, P2PProviderExt, memory::MemoryNetwork};
//! use p2p::channel::{Channel, ChannelConfig, ChannelKind, Channels};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let network = MemoryNetwork::new();
//! # let (alice, bob) = (network.provider("alice"), network.provider("bob"));
//! # let game = "game/1".parse()?;
//! # let listener = bob.listen(&game).await?;
//! # let (ours, theirs) = tokio::try_join!(alice.connect(bob.local_peer_id(), &game), listener.accept())?;
//! let set = [
//!     ChannelConfig::new("chat", ChannelKind::ReliableOrdered),
//!     ChannelConfig::new("position", ChannelKind::UnreliableSequenced).with_priority(4),
//! ];
//! let (ours, theirs) = tokio::try_join!(
//!     Channels::open(ours, alice.runtime().clone(), &set),
//!     Channels::open(theirs, bob.runtime().clone(), &set),
//! )?;
//! let chat: Channel<String> = ours.channel("chat")?;
//! chat.send(&"hello".to_owned()).await?;
//! assert_eq!(theirs.channel::<String>("chat")?.recv().await?, "hello");
//!
//! ours.channel::<(f32, f32)>("position")?.send(&(1.0, 2.0)).await?;
//! assert_eq!(theirs.channel::<(f32, f32)>("position")?.recv().await?, (1.0, 2.0));
//! ours.finish().await?;
//! # Ok(()) }
//! ```

mod config;
mod error;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
mod handle;
mod inbound;
mod outbound;
mod receiver;
mod sender;
mod shared;
mod wire;

use std::{fmt, sync::Arc};

use bytes::BytesMut;
use serde::{Serialize, de::DeserializeOwned};

pub use self::{
    config::{BATCH_BYTES_MAX, BATCH_MESSAGES_MAX, Batching, CHANNELS_MAX, ChannelConfig, ChannelKind, NAME_BYTES_MAX},
    error::{ChannelError, Difference},
    handle::{ByteChannel, Channel, EnvelopeChannel, P2PMessage},
    shared::CHANNEL_VIOLATION,
};
use self::{
    outbound::Outbound,
    receiver::Incoming,
    sender::{Lane, Sender},
    shared::{Guard, Shared},
    wire::Table,
};
use crate::{BiStream, P2PConnection, Result, Runtime, protocol::varint};

/// The channels of one connection. The tasks that serve them, and the connection, end with the last handle of all.
#[derive(Clone)]
pub struct Channels(Arc<Guard>);

impl Channels {
    /// Opens this set of channels on the connection. The peer must open the same; takes one and a half round trips.
    ///
    /// Order, names, kinds and `message_bytes_max` must agree; priorities, queues and batching are each side's own. Waits
    /// for a peer that opens none, so bound it with a deadline. Streams must not have been used before.
    ///
    /// # Errors
    /// [`Mismatch`](ChannelError::Mismatch) on both sides, and the connection is closed; an invalid set;
    /// [`Connection`](ChannelError::Connection).
    ///
    /// # Cancel safety
    /// Dropping the future leaves a connection that channels can't be opened on again. Close it.
    pub async fn open(
        connection: Arc<dyn P2PConnection>,
        runtime: Arc<dyn Runtime>,
        channels: &[ChannelConfig],
    ) -> Result<Self, ChannelError> {
        config::validate(channels)?;
        let limits = connection.limits();
        let datagrams = limits.datagram_bytes_max.is_some();
        let lanes_of = |channel: &ChannelConfig| match datagrams && !channel.kind.is_reliable() {
            true => 0,
            false => channel.kind.lanes(),
        };
        let streams = 1 + channels.iter().map(lanes_of).sum::<usize>();
        if streams > limits.streams_max {
            let expected = format!("at most {}, the connection's streams_max", limits.streams_max);
            return Err(ChannelError::invalid(format_args!("a set that needs {streams} streams"), expected));
        }
        let greeting = greet(&connection, channels).await;
        let (table, send, incoming) = greeting.inspect_err(|error| {
            if matches!(error, ChannelError::Mismatch(_))
                || matches!(error, ChannelError::Connection(crate::P2PError::Protocol { .. }))
            {
                connection.close(CHANNEL_VIOLATION, &error.to_string());
            }
        })?;
        let mut lanes = Vec::new();
        for (index, channel) in channels.iter().enumerate() {
            let mut of_channel = Vec::new();
            for _ in 0..lanes_of(channel) {
                let BiStream { send, recv } = connection.open_stream().await?;
                of_channel.push(Lane::of_channel(send, recv, index));
            }
            lanes.push(of_channel);
        }
        let credits = table.rows.iter().map(|row| row.queue_bytes_max);
        let outbound = Outbound::new(channels, credits, datagrams);
        let shared = Arc::new(Shared::new(connection, runtime.clone(), channels.to_vec(), outbound));
        let sender = Sender {
            shared: shared.clone(),
            control: send,
            lanes,
            sequences: vec![0; channels.len()],
            timer: runtime.timer(),
        };
        let tasks = [
            runtime.spawn("send on channels", Box::pin(sender.run())),
            runtime.spawn("receive on channels", Box::pin(receiver::run(shared.clone(), incoming))),
        ];
        Ok(Self(Arc::new(Guard { shared, _tasks: tasks })))
    }

    /// A channel of values.
    ///
    /// # Errors
    /// [`Unknown`](ChannelError::Unknown).
    pub fn channel<T: Serialize + DeserializeOwned>(&self, name: &str) -> Result<Channel<T>, ChannelError> {
        self.bytes(name).map(Channel::new)
    }

    /// A channel of values in envelopes.
    ///
    /// # Errors
    /// [`Unknown`](ChannelError::Unknown).
    pub fn envelopes<T: Serialize + DeserializeOwned>(&self, name: &str) -> Result<EnvelopeChannel<T>, ChannelError> {
        self.bytes(name).map(EnvelopeChannel::new)
    }

    /// A channel of bytes.
    ///
    /// # Errors
    /// [`Unknown`](ChannelError::Unknown).
    pub fn bytes(&self, name: &str) -> Result<ByteChannel, ChannelError> {
        let index = self.0.shared.channels.iter().position(|channel| channel.name == name);
        let index = index.ok_or_else(|| ChannelError::Unknown { name: name.to_owned() })?;
        Ok(ByteChannel { guard: self.0.clone(), index })
    }

    /// The connection below.
    pub fn connection(&self) -> &Arc<dyn P2PConnection> {
        &self.0.shared.connection
    }

    /// Takes nothing more, waits until everything accepted on reliable channels has reached the peer's, then finishes
    /// the connection. The peer can still read what it has. Waits for a peer that does not read: bound it with a deadline.
    ///
    /// # Errors
    /// [`Connection`](ChannelError::Connection) if it ended before that.
    ///
    /// # Cancel safety
    /// Dropping the future leaves channels that take nothing more; call it again.
    pub async fn finish(&self) -> Result<(), ChannelError> {
        self.0.shared.drain().await?;
        Ok(self.connection().finish().await?)
    }
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.shared.channels.iter().map(|channel| &channel.name)).finish()
    }
}

/// Exchanges tables, then verdicts, so that both sides learn of a difference.
async fn greet(
    connection: &Arc<dyn P2PConnection>,
    channels: &[ChannelConfig],
) -> Result<(Table, Lane, Incoming), ChannelError> {
    let BiStream { mut send, recv: back } = connection.open_stream().await?;
    send.write_all(&Table::new(channels).encode()).await.map_err(crate::P2PError::from)?;
    let mut incoming = Incoming::new(connection.accept_stream().await?);
    let table = receiver::table(&mut incoming).await?;
    let difference = table.difference(channels);
    let mut verdict = BytesMut::new();
    varint::put(if difference.is_none() { wire::SAME } else { wire::DIFFERENT }, &mut verdict);
    let told = send.write_all(&verdict).await.map_err(crate::P2PError::from);
    if let Some(difference) = difference {
        // The peer finds it too, once it has the table. An answer, or the end, says that it has.
        _ = receiver::verdict(&mut incoming).await;
        return Err(ChannelError::Mismatch(difference));
    }
    told?;
    if receiver::verdict(&mut incoming).await? {
        Ok((table, Lane::new(send, back, bytes::Bytes::new()), incoming))
    } else {
        Err(crate::P2PError::protocol("the peer says that the channels differ, and they do not").into())
    }
}

/// What carries a channel's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CarriedBy {
    /// Lost ones are sent again.
    Streams,
    /// Lost ones are gone.
    Datagrams,
}

/// What a channel did, on this side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChannelStats {
    /// Messages handed to the transport.
    pub messages_sent: u64,
    /// Frames and datagrams they left in. Fewer than messages where batches formed.
    pub frames_sent: u64,
    /// Messages given to the application.
    pub messages_received: u64,
    /// Frames and datagrams received.
    pub frames_received: u64,
    /// Unreliable messages dropped here because the queue was full or the path too narrow.
    pub dropped_congested: u64,
    /// Unreliable messages dropped here because there was no transport.
    pub dropped_suspended: u64,
    /// Sequenced messages that arrived after a newer one.
    pub dropped_late: u64,
    /// Unreliable messages that arrived and made room for newer ones, unread.
    pub dropped_unread: u64,
}
