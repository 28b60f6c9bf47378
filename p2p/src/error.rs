//! What can go wrong, as situations a caller can tell apart.
//!
//! [`P2PError`] is one `Clone` enum for every provider and layer. A variant carries data; its `Display` speaks of its
//! own level only, and [`std::error::Error::source`] holds the rest of the chain.

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{CloseReason, PeerId, ProtocolId, Refusal};

/// The result of everything in this crate that can fail.
pub type Result<T, E = P2PError> = std::result::Result<T, E>;

/// A situation that kept a call from doing what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum P2PError {
    /// The peer is known, but no connection came about.
    #[error("connecting to peer {peer} failed")]
    ConnectionFailed {
        /// Whom the call dialled.
        peer: PeerId,
        /// What the transport said.
        source: SharedError,
    },
    /// Nothing is known of where the peer is, or nobody answers there.
    #[error("peer {peer} was not found")]
    PeerNotFound {
        /// Whom the call dialled.
        peer: PeerId,
        /// Where was looked, and what came back.
        source: SharedError,
    },
    /// The peer answered and refused: it speaks other protocols, is full, or does not want this peer.
    #[error("peer {peer} refused the connection: {refusal}")]
    Refused {
        /// Whom the call dialled.
        peer: PeerId,
        /// What the peer said.
        refusal: Refusal,
    },
    /// The network below failed: a socket could not be bound, an interface is gone.
    #[error("network failure during {during}")]
    Network {
        /// What was being done.
        during: &'static str,
        /// What the system said.
        source: SharedError,
    },
    /// The peer sent something that the wire protocol does not allow, or a version this side does not speak.
    #[error("protocol violation: {violation}")]
    Protocol {
        /// What was received and what was expected.
        violation: String,
    },
    /// The deadline of a call passed.
    #[error("{during} did not finish within {after:?}")]
    Timeout {
        /// What was being waited for.
        during: &'static str,
        /// The deadline that passed.
        after: Duration,
    },
    /// The key that the other side presented is not the identity that was dialled.
    #[error("peer {expected} did not prove its identity")]
    AuthenticationFailed {
        /// Whom the call dialled.
        expected: PeerId,
        /// What the transport's security said.
        source: SharedError,
    },
    /// The connection is closed. What was received before may still be read from it.
    #[error("connection closed: {reason}")]
    Closed {
        /// Who closed it, and why.
        reason: CloseReason,
    },
    /// The message is larger than both sides agreed to carry. The connection is unharmed.
    #[error("message of {size} bytes is over the limit of {limit} bytes")]
    MessageTooLarge {
        /// The message's bytes.
        size: usize,
        /// The largest message this connection carries, in bytes.
        limit: usize,
    },
    /// The datagram is larger than the path carries now. The limit may change with the path.
    #[error("datagram of {size} bytes is over the present limit of {limit} bytes")]
    DatagramTooLarge {
        /// The datagram's bytes.
        size: usize,
        /// The largest datagram the path carries now, in bytes.
        limit: usize,
    },
    /// This connection's provider, or its peer's, carries no datagrams at all.
    #[error("this connection carries no datagrams")]
    DatagramsUnsupported,
    /// A rate limit of this side or of the peer was hit.
    #[error("rate limited: {scope}; try again after {retry_after:?}")]
    RateLimited {
        /// What is limited, for example `dials to one peer`.
        scope: &'static str,
        /// When the next try can succeed.
        retry_after: Duration,
    },
    /// A bound of this side is reached.
    #[error("limit reached: at most {limit} {what}")]
    LimitReached {
        /// What is bounded, for example `connections`.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// Somebody listens for this protocol on this provider already.
    #[error("a listener for protocol {protocol} exists already")]
    AlreadyListening {
        /// The protocol asked for.
        protocol: ProtocolId,
    },
    /// One stream ended before its time; the connection is unharmed.
    #[error("a stream ended early")]
    Stream {
        /// How: a [`StreamError`].
        source: SharedError,
    },
    /// An argument or a setting cannot be used.
    #[error("{what} is invalid: expected {expected}")]
    InvalidInput {
        /// What was given, with its name and value.
        what: String,
        /// What would have been accepted.
        expected: String,
    },
    /// The provider was shut down.
    #[error("the provider was shut down")]
    ShutDown,
}

impl P2PError {
    /// Whether a new connection to the same peer could succeed without anybody changing anything.
    ///
    /// This speaks of dialling again, not of sending again: what was accepted before a connection was lost may or may
    /// not have arrived, and only a layer that numbers messages can tell.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::ConnectionFailed { .. }
            | Self::PeerNotFound { .. }
            | Self::Network { .. }
            | Self::Timeout { .. }
            | Self::RateLimited { .. }
            | Self::LimitReached { .. } => true,
            Self::Refused { refusal, .. } => refusal.is_retryable(),
            Self::Closed { reason } => reason.is_retryable(),
            Self::Protocol { .. }
            | Self::AuthenticationFailed { .. }
            | Self::MessageTooLarge { .. }
            | Self::DatagramTooLarge { .. }
            | Self::DatagramsUnsupported
            | Self::AlreadyListening { .. }
            | Self::Stream { .. }
            | Self::InvalidInput { .. }
            | Self::ShutDown => false,
        }
    }

    /// A short, stable name of the variant, for metric labels and logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ConnectionFailed { .. } => "connection_failed",
            Self::PeerNotFound { .. } => "peer_not_found",
            Self::Refused { .. } => "refused",
            Self::Network { .. } => "network",
            Self::Protocol { .. } => "protocol",
            Self::Timeout { .. } => "timeout",
            Self::AuthenticationFailed { .. } => "authentication_failed",
            Self::Closed { .. } => "closed",
            Self::MessageTooLarge { .. } => "message_too_large",
            Self::DatagramTooLarge { .. } => "datagram_too_large",
            Self::DatagramsUnsupported => "datagrams_unsupported",
            Self::RateLimited { .. } => "rate_limited",
            Self::LimitReached { .. } => "limit_reached",
            Self::AlreadyListening { .. } => "already_listening",
            Self::Stream { .. } => "stream",
            Self::InvalidInput { .. } => "invalid_input",
            Self::ShutDown => "shut_down",
        }
    }

    /// [`chain`] of this error.
    pub fn chain(&self) -> String {
        chain(self)
    }

    pub(crate) fn protocol(violation: impl fmt::Display) -> Self {
        Self::Protocol { violation: violation.to_string() }
    }

    /// An [`InvalidInput`](Self::InvalidInput) from what was given and what was expected.
    pub fn invalid_input(what: impl fmt::Display, expected: impl fmt::Display) -> Self {
        Self::InvalidInput { what: what.to_string(), expected: expected.to_string() }
    }
}

/// An error and its causes on one line, outermost first, each once: for a log or a person.
pub fn chain(error: &dyn StdError) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    line
}

/// Why [`try_send`](crate::P2PConnection::try_send) took nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TrySendError {
    /// The send queue is full. The message comes back; wait for room with [`send`](crate::P2PConnection::send).
    #[error("the send queue is full")]
    Full(Bytes),
    /// The message can never be sent on this connection.
    #[error(transparent)]
    Failed(#[from] P2PError),
}

/// Why a read or write of a stream failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The peer abandoned its writing side. What had arrived before may be lost.
    #[error("the peer reset the stream with code {code}")]
    Reset {
        /// The peer's code.
        code: u32,
    },
    /// The peer no longer reads.
    #[error("the peer stopped reading the stream with code {code}")]
    Stopped {
        /// The peer's code.
        code: u32,
    },
    /// This side finished, reset or stopped the stream before.
    #[error("the stream was finished, reset or stopped on this side")]
    Done,
    /// The connection below is gone.
    #[error(transparent)]
    Connection(#[from] P2PError),
}

impl From<StreamError> for P2PError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Connection(error) => error,
            ended => Self::Stream { source: SharedError::new(ended) },
        }
    }
}

impl From<StreamError> for std::io::Error {
    fn from(error: StreamError) -> Self {
        use std::io::ErrorKind;
        let kind = match &error {
            StreamError::Reset { .. } => ErrorKind::ConnectionReset,
            StreamError::Stopped { .. } => ErrorKind::BrokenPipe,
            StreamError::Done => ErrorKind::NotConnected,
            StreamError::Connection(_) => ErrorKind::ConnectionAborted,
        };
        Self::new(kind, error)
    }
}

/// A cause that several holders of an error share.
#[derive(Clone)]
pub struct SharedError(Arc<dyn StdError + Send + Sync>);

impl SharedError {
    /// Keeps `error` as a cause.
    pub fn new(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self(Arc::from(error.into()))
    }
}

impl fmt::Debug for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl StdError for SharedError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

/// Two causes are equal when they read the same.
impl PartialEq for SharedError {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_string() == other.0.to_string()
    }
}

impl Eq for SharedError {}

impl From<&str> for SharedError {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for SharedError {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}
