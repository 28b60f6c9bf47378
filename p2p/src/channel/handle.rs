//! What users hold of a channel: bytes, values, or values in an envelope.

use std::{
    fmt,
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{CarriedBy, ChannelStats, config::ChannelConfig, error::ChannelError, shared::Guard};
use crate::{PeerId, protocol::codec};

/// A channel of bytes. Clones are the same channel.
#[derive(Clone)]
pub struct ByteChannel {
    pub(super) guard: Arc<Guard>,
    pub(super) index: usize,
}

impl ByteChannel {
    /// As it was opened.
    pub fn config(&self) -> &ChannelConfig {
        &self.guard.shared.channels[self.index]
    }

    /// What carries its messages. An unreliable channel on a stream loses nothing on the way, but comes late after a loss.
    pub fn carried_by(&self) -> CarriedBy {
        match self.guard.shared.carries_by_datagram(self.index) {
            true => CarriedBy::Datagrams,
            false => CarriedBy::Streams,
        }
    }

    /// Counters as they are now.
    pub fn stats(&self) -> ChannelStats {
        self.guard.shared.stats(self.index)
    }

    /// Accepts a message if there is room now. An unreliable channel makes room by dropping its oldest.
    ///
    /// # Errors
    /// [`Full`](ChannelError::Full), [`TooLarge`](ChannelError::TooLarge),
    /// [`TooLargeForDatagram`](ChannelError::TooLargeForDatagram), and [`Connection`](ChannelError::Connection) at the end.
    pub fn try_send(&self, message: Bytes) -> Result<(), ChannelError> {
        let full = |_| ChannelError::Full { name: self.config().name.clone() };
        self.guard.shared.try_push(self.index, message)?.map_err(full)
    }

    /// Accepts a message, waiting for room. On an unreliable channel it never waits.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send), but for `Full`.
    ///
    /// # Cancel safety
    /// All or nothing: a message is accepted exactly if the future returned `Ok`.
    pub async fn send(&self, message: Bytes) -> Result<(), ChannelError> {
        self.guard.shared.push(self.index, message).await
    }

    /// The next message, if one has arrived.
    ///
    /// # Errors
    /// [`Connection`](ChannelError::Connection) at the end, after everything that had arrived was returned.
    pub fn try_recv(&self) -> Result<Option<Bytes>, ChannelError> {
        self.guard.shared.try_pop(self.index)
    }

    /// Waits for the next message. Each goes to exactly one caller.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv).
    ///
    /// # Cancel safety
    /// Dropping the future loses no message.
    pub async fn recv(&self) -> Result<Bytes, ChannelError> {
        self.guard.shared.pop(self.index).await
    }
}

impl fmt::Debug for ByteChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Channel").field(&self.config().name).finish()
    }
}

/// A channel of values, encoded by this crate's [codec](crate::protocol::codec). Clones are the same channel.
pub struct Channel<T> {
    bytes: ByteChannel,
    values: PhantomData<fn(T) -> T>,
}

impl<T: Serialize + DeserializeOwned> Channel<T> {
    /// The same channel, of values.
    pub fn new(bytes: ByteChannel) -> Self {
        Self { bytes, values: PhantomData }
    }

    /// The channel below, for its settings and counters.
    pub fn bytes(&self) -> &ByteChannel {
        &self.bytes
    }

    /// [`ByteChannel::try_send`] of a value.
    ///
    /// # Errors
    /// Its errors, and [`NotAValue`](ChannelError::NotAValue) if the value refuses to be encoded.
    pub fn try_send(&self, value: &T) -> Result<(), ChannelError> {
        self.bytes.try_send(self.encode(value)?)
    }

    /// [`ByteChannel::send`] of a value.
    ///
    /// # Errors
    /// Its errors, and [`NotAValue`](ChannelError::NotAValue) if the value refuses to be encoded.
    ///
    /// # Cancel safety
    /// All or nothing.
    pub async fn send(&self, value: &T) -> Result<(), ChannelError> {
        let message = self.encode(value)?;
        self.bytes.send(message).await
    }

    /// [`ByteChannel::try_recv`] of a value.
    ///
    /// # Errors
    /// Its errors, and [`NotAValue`](ChannelError::NotAValue) if the message is none; it is gone then, the channel unharmed.
    pub fn try_recv(&self) -> Result<Option<T>, ChannelError> {
        self.bytes.try_recv()?.map(|message| self.decode(&message)).transpose()
    }

    /// [`ByteChannel::recv`] of a value.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv).
    ///
    /// # Cancel safety
    /// Dropping the future loses no message.
    pub async fn recv(&self) -> Result<T, ChannelError> {
        self.decode(&self.bytes.recv().await?)
    }

    fn encode(&self, value: &T) -> Result<Bytes, ChannelError> {
        codec::try_encode(value).map(Bytes::from).map_err(|why| self.not_a_value(why))
    }

    fn decode(&self, message: &[u8]) -> Result<T, ChannelError> {
        codec::decode(message).map_err(|error| self.not_a_value(error.to_string()))
    }

    fn not_a_value(&self, why: String) -> ChannelError {
        let name = self.bytes.config().name.clone();
        ChannelError::NotAValue { name, expected: std::any::type_name::<T>(), why }
    }
}

impl<T> Clone for Channel<T> {
    fn clone(&self) -> Self {
        Self { bytes: self.bytes.clone(), values: PhantomData }
    }
}

impl<T> fmt::Debug for Channel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes.fmt(f)
    }
}

/// A value with who sent it, when, and as which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct P2PMessage<T> {
    /// The sender's number of it on this channel, from 1.
    pub message_id: u64,
    /// Who sent it: on receiving, the peer whose identity the connection proved, whatever the peer says.
    pub peer_id: PeerId,
    /// The value.
    pub payload: T,
    /// When, by the sender's wall clock, to the microsecond. It may be wrong.
    pub timestamp: SystemTime,
}

/// What travels of a [`P2PMessage`]: not the sender, whom the connection knows.
#[derive(Serialize, Deserialize)]
struct Enveloped<T> {
    message_id: u64,
    unix_micros: u64,
    payload: T,
}

/// A channel of values in envelopes, which it fills in.
pub struct EnvelopeChannel<T> {
    bytes: ByteChannel,
    sent: AtomicU64,
    values: PhantomData<fn(T) -> T>,
}

impl<T: Serialize + DeserializeOwned> EnvelopeChannel<T> {
    /// The same channel, of envelopes. Numbers begin at 1 in each, so make one per side.
    pub fn new(bytes: ByteChannel) -> Self {
        Self { bytes, sent: AtomicU64::new(0), values: PhantomData }
    }

    /// The channel below, for its settings and counters.
    pub fn bytes(&self) -> &ByteChannel {
        &self.bytes
    }

    /// Sends a value as the next message and returns its number. Concurrent sends may overtake each other.
    ///
    /// # Errors
    /// As [`Channel::send`].
    ///
    /// # Cancel safety
    /// All or nothing, but that a dropped call's number is not used again.
    pub async fn send(&self, payload: T) -> Result<u64, ChannelError> {
        let message_id = self.sent.fetch_add(1, Relaxed) + 1;
        let now = self.bytes.guard.shared.runtime.wall_time();
        let unix_micros = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
        let envelopes = Channel::<Enveloped<T>>::new(self.bytes.clone());
        let message = envelopes.encode(&Enveloped { message_id, unix_micros, payload })?;
        self.bytes.send(message).await?;
        Ok(message_id)
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// As [`Channel::recv`].
    ///
    /// # Cancel safety
    /// Dropping the future loses no message.
    pub async fn recv(&self) -> Result<P2PMessage<T>, ChannelError> {
        let Enveloped { message_id, unix_micros, payload } =
            Channel::<Enveloped<T>>::new(self.bytes.clone()).recv().await?;
        // A time that the clock can't hold is the peer's nonsense, and stays at the epoch.
        let timestamp = UNIX_EPOCH.checked_add(Duration::from_micros(unix_micros)).unwrap_or(UNIX_EPOCH);
        Ok(P2PMessage { message_id, peer_id: self.bytes.guard.shared.connection.peer_id(), payload, timestamp })
    }
}

impl<T> fmt::Debug for EnvelopeChannel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes.fmt(f)
    }
}
