//! What a provider and a connection say of themselves: readiness, state, path, counters, and why one closed.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{Instant, P2PError, PeerAddr, ProtocolId, SharedError};

/// A provider's view of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderStatus {
    /// Where peers can dial this provider, as far as is known now.
    pub addr: PeerAddr,
    /// What has to be ready before peers can rely on reaching this provider, each with its state.
    pub checks: Vec<Check>,
    /// Whether [`shutdown`](crate::P2PProvider::shutdown) was called.
    pub shut_down: bool,
}

impl ProviderStatus {
    /// Whether every check passed and the provider is not shut down.
    pub fn is_ready(&self) -> bool {
        !self.shut_down && self.checks.iter().all(|check| check.problem.is_none())
    }
}

/// One thing that has to be ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What is checked, for example `relay https://relay.example`.
    pub name: String,
    /// Why it is not ready; nothing when it is.
    pub problem: Option<String>,
}

/// How a connection's data travels.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Path {
    /// From machine to machine, or within one process.
    Direct {
        /// The other end, as this provider names places.
        remote: Arc<str>,
    },
    /// By way of a relay.
    Relayed {
        /// The relay.
        relay: Arc<str>,
    },
}

impl Path {
    /// `direct` or `relayed`, for logs and metric labels.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Direct { .. } => "direct",
            Self::Relayed { .. } => "relayed",
        }
    }

    /// Whether no relay is in between.
    pub const fn is_direct(&self) -> bool {
        matches!(self, Self::Direct { .. })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct { remote } => write!(f, "direct to {remote}"),
            Self::Relayed { relay } => write!(f, "relayed by {relay}"),
        }
    }
}

/// Where a connection is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionState {
    /// The handshake has not ended.
    Connecting,
    /// Data flows.
    Connected {
        /// The way it flows; nothing while the transport is between paths.
        path: Option<Path>,
    },
    /// The transport is lost and a layer is getting another. What is sent meanwhile waits.
    Reconnecting {
        /// When the loss was noticed.
        since: Instant,
        /// Attempts made so far.
        attempt: u32,
    },
    /// Nothing more will be sent or received.
    Closed {
        /// Who closed it, and why.
        reason: CloseReason,
        /// Messages that were accepted here and are not known to have arrived. A plain connection knows of none,
        /// because nobody numbers its messages; a resuming one counts them.
        unacknowledged: u64,
    },
}

impl ConnectionState {
    /// The path in use, when connected and known.
    pub const fn path(&self) -> Option<&Path> {
        match self {
            Self::Connected { path } => path.as_ref(),
            _ => None,
        }
    }

    /// Whether data can flow now.
    pub const fn is_connected(&self) -> bool {
        matches!(self, Self::Connected { .. })
    }

    /// Whether the connection has ended.
    pub const fn is_closed(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }
}

/// A number that an application gives as it closes. 0 means that all is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CloseCode(pub u32);

impl CloseCode {
    /// An ordinary end: 0. What dropping the last handle closes with.
    pub const OK: Self = Self(0);
}

impl From<u32> for CloseCode {
    fn from(code: u32) -> Self {
        Self(code)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who ended a connection, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// This side closed, finished or dropped the connection.
    Local {
        /// The code given.
        code: CloseCode,
        /// The reason given, at most [`CLOSE_REASON_BYTES_MAX`] bytes.
        reason: String,
    },
    /// The peer did.
    Peer {
        /// The code it gave.
        code: CloseCode,
        /// The reason it gave, at most [`CLOSE_REASON_BYTES_MAX`] bytes.
        reason: String,
    },
    /// Nothing was heard from the peer for the idle timeout: it died, or the network between is gone.
    TimedOut,
    /// The transport below failed.
    Lost {
        /// What it said.
        source: SharedError,
    },
    /// One side broke the wire protocol.
    Protocol {
        /// What was received and what was expected.
        violation: String,
    },
    /// The provider on this side was shut down.
    ShutDown,
}

/// Bytes of a close reason that travel; a longer one is cut at a character's end.
///
/// Small enough for QUIC to carry it in the one packet that closes a connection (RFC 9000 §10.2.3).
pub const CLOSE_REASON_BYTES_MAX: usize = 512;

impl CloseReason {
    /// The code that an application gave, when one did.
    pub const fn code(&self) -> Option<CloseCode> {
        match self {
            Self::Local { code, .. } | Self::Peer { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether an application, here or there, meant the connection to end.
    pub const fn is_deliberate(&self) -> bool {
        matches!(self, Self::Local { .. } | Self::Peer { .. } | Self::ShutDown)
    }

    /// Whether a new connection could succeed: the transport failed, nobody wanted the end.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::TimedOut | Self::Lost { .. })
    }

    /// A short, stable name, for metric labels and logs.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Local { .. } => "local",
            Self::Peer { .. } => "peer",
            Self::TimedOut => "timed_out",
            Self::Lost { .. } => "lost",
            Self::Protocol { .. } => "protocol",
            Self::ShutDown => "shut_down",
        }
    }

    pub(crate) fn to_error(&self) -> P2PError {
        P2PError::Closed { reason: self.clone() }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local { code, reason } => {
                write!(f, "closed here with code {code}{}", Said(reason))
            }
            Self::Peer { code, reason } => {
                write!(f, "closed by the peer with code {code}{}", Said(reason))
            }
            Self::TimedOut => f.write_str("nothing heard from the peer for the idle timeout"),
            Self::Lost { source } => write!(f, "transport lost: {source}"),
            Self::Protocol { violation } => write!(f, "protocol violation: {violation}"),
            Self::ShutDown => f.write_str("the provider was shut down"),
        }
    }
}

struct Said<'a>(&'a str);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " ({})", self.0) }
    }
}

/// What both sides agreed on in the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// What the application speaks on this connection.
    pub protocol: ProtocolId,
    /// The version of the wire protocol that both sides speak.
    pub version: u16,
    /// What the answering side took of what the dialling side offered.
    pub capabilities: Vec<Capability>,
}

impl Negotiated {
    /// The agreed capability of that name.
    pub fn capability(&self, name: &str) -> Option<&Capability> {
        self.capabilities.iter().find(|capability| capability.name == name)
    }
}

/// Something optional that one side can do, by name, with data that only those who know the name understand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capability {
    /// The name, for example `resume`.
    pub name: String,
    /// What it says, at most [`CAPABILITY_BYTES_MAX`](crate::protocol::CAPABILITY_BYTES_MAX) bytes.
    pub data: Vec<u8>,
}

impl Capability {
    /// A capability that is its name alone.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), data: Vec::new() }
    }

    /// Adds data.
    #[must_use]
    pub fn with_data(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.data = data.into();
        self
    }
}

/// Why a peer refused a connection, in the peer's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The kind of refusal.
    pub code: RefusalCode,
    /// The peer's explanation, for people.
    pub reason: String,
    /// When another try could succeed, if the peer said so.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal with no time to come back at.
    pub fn new(code: RefusalCode, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into(), retry_after: None }
    }

    /// Says when another try could succeed.
    #[must_use]
    pub const fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Whether another try could succeed with nothing changed.
    pub const fn is_retryable(&self) -> bool {
        match self.code {
            RefusalCode::Busy | RefusalCode::RateLimited => true,
            RefusalCode::UnknownProtocol | RefusalCode::Version | RefusalCode::Rejected => false,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        match self.retry_after {
            Some(after) => write!(f, "; try again after {after:?}"),
            None => Ok(()),
        }
    }
}

/// The kinds of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RefusalCode {
    /// Nobody listens for this protocol.
    UnknownProtocol,
    /// No version of the wire protocol is common to both.
    Version,
    /// The peer is full: handshakes, connections, backlog.
    Busy,
    /// The dialler comes too often.
    RateLimited,
    /// The peer does not want this dialler.
    Rejected,
}

/// Bounds of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Bytes of the largest message: the smaller of both sides' settings.
    pub message_bytes_max: usize,
    /// Bytes of the largest datagram the path carries now; nothing if the connection carries none.
    pub datagram_bytes_max: Option<usize>,
    /// Streams this side may have open at once; the next [`open_stream`](crate::P2PConnection::open_stream) waits.
    pub streams_max: usize,
}
