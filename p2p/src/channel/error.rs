//! What can go wrong with channels, as situations a caller can tell apart.

use std::fmt;

use crate::P2PError;

/// Why a call on a channel did nothing.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The peer opened another set of channels. The connection is closed.
    #[error("the peer's channels differ: {0}")]
    Mismatch(Difference),
    /// There is no channel of that name.
    #[error("there is no channel {name:?}")]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The message is over the channel's own limit. The channel is unharmed.
    #[error("message of {size} bytes is over the limit of {limit} bytes of channel {name:?}")]
    TooLarge {
        /// The channel.
        name: String,
        /// The message's bytes.
        size: usize,
        /// The channel's `message_bytes_max`.
        limit: usize,
    },
    /// The message fits in the channel and not in a datagram as the path carries them now. The channel is unharmed.
    #[error("message of {size} bytes on channel {name:?} is over the {limit} bytes that a datagram has room for now")]
    TooLargeForDatagram {
        /// The channel.
        name: String,
        /// The message's bytes.
        size: usize,
        /// The largest message that fits now, in bytes.
        limit: usize,
    },
    /// The send queue is full. Nothing was taken.
    #[error("the queue of channel {name:?} is full")]
    Full {
        /// The channel.
        name: String,
    },
    /// A value cannot be encoded, or what arrived is not a value of the type. The message is gone, the channel unharmed.
    #[error("a message on channel {name:?} is not a {expected}: {why}")]
    NotAValue {
        /// The channel.
        name: String,
        /// The type.
        expected: &'static str,
        /// What the codec said.
        why: String,
    },
    /// The connection failed, or the peer broke the rules, or a setting cannot be used.
    #[error(transparent)]
    Connection(#[from] P2PError),
}

impl ChannelError {
    pub(super) fn invalid(what: impl fmt::Display, expected: impl fmt::Display) -> Self {
        P2PError::invalid_input(what, expected).into()
    }
}

/// Where two sets of channels differ first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// One side has more.
    #[error("{ours} channels here, {theirs} there")]
    Count {
        /// Here.
        ours: usize,
        /// There.
        theirs: usize,
    },
    /// The channels at one place differ in one setting.
    #[error("channel {index} ({name:?}) has {setting} {ours} here, {theirs} there")]
    Setting {
        /// The place, from 0.
        index: usize,
        /// Its name here.
        name: String,
        /// `name`, `kind` or `message_bytes_max`.
        setting: &'static str,
        /// Here.
        ours: String,
        /// There.
        theirs: String,
    },
}
