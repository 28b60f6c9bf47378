//! What a caller asks of a connection or a listener. Plain data; nothing here reads the environment.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{Capability, P2PError, PeerId, Refusal};

/// What an application speaks on a connection, for example `chat/1`: 1 to 255 bytes of visible ASCII.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProtocolId(Arc<str>);

impl ProtocolId {
    /// Bytes of the longest name, as for an ALPN (RFC 7301 §3.1).
    pub const BYTES_MAX: usize = 255;

    /// The protocol of that name.
    ///
    /// # Errors
    /// [`P2PError::InvalidInput`] if the name is empty, too long, or not visible ASCII.
    pub fn new(name: &str) -> Result<Self, P2PError> {
        if (1..=Self::BYTES_MAX).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(name.into()))
        } else {
            Err(P2PError::invalid_input(format_args!("protocol {name:?}"), "1 to 255 bytes of visible ASCII"))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProtocolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ProtocolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl FromStr for ProtocolId {
    type Err = P2PError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

impl TryFrom<String> for ProtocolId {
    type Error = P2PError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::new(&name)
    }
}

impl From<ProtocolId> for String {
    fn from(protocol: ProtocolId) -> Self {
        protocol.0.as_ref().into()
    }
}

/// The default protocol, [`ConnectionConfig::default`]'s: `default/1`.
impl Default for ProtocolId {
    fn default() -> Self {
        Self("default/1".into())
    }
}

/// What one side wants of a connection. Where the sides differ, the handshake settles it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionConfig {
    /// What the application speaks. The other side must listen for it. Defaults to `default/1`.
    pub protocol: ProtocolId,
    /// Bytes of the largest message this side sends or receives. Defaults to 1 MiB; the smaller of both sides' wins.
    pub message_bytes_max: usize,
    /// Bytes of messages that `send` accepts before the transport has taken them. Defaults to 1 MiB.
    ///
    /// A message is accepted while fewer bytes than this wait, so the worst case is this bound and one message.
    pub send_buffer_bytes: usize,
    /// Bytes of messages kept for the application before this side stops reading. Defaults to 1 MiB.
    ///
    /// The transport has a window of its own below this one. Worst case as for `send_buffer_bytes`.
    pub recv_buffer_bytes: usize,
    /// Streams the *peer* may have open at once. Defaults to 100.
    pub streams_max: usize,
    /// How long the whole handshake, transport's and ours, may take. Defaults to 10 s.
    pub handshake_timeout: Duration,
    /// How often this side says that it lives. Defaults to 5 s; nothing turns it off.
    #[doc(alias = "heartbeat_interval")]
    pub keepalive_interval: Option<Duration>,
    /// How long this side hears nothing before it gives the peer up. Defaults to 30 s; nothing turns it off.
    ///
    /// Must exceed the *peer's* `keepalive_interval`, or idle connections die.
    pub idle_timeout: Option<Duration>,
    /// What the dialling side offers. An answering side takes what it knows ([`ListenConfig::answer`]).
    pub capabilities: Vec<Capability>,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            protocol: ProtocolId::default(),
            message_bytes_max: 1024 * 1024,
            send_buffer_bytes: 1024 * 1024,
            recv_buffer_bytes: 1024 * 1024,
            streams_max: 100,
            handshake_timeout: Duration::from_secs(10),
            keepalive_interval: Some(Duration::from_secs(5)),
            idle_timeout: Some(Duration::from_secs(30)),
            capabilities: Vec::new(),
        }
    }
}

impl ConnectionConfig {
    /// The defaults for that protocol.
    pub fn new(protocol: ProtocolId) -> Self {
        Self { protocol, ..Self::default() }
    }

    /// Sets the largest message, in bytes.
    #[must_use]
    pub const fn with_message_bytes_max(mut self, bytes: usize) -> Self {
        self.message_bytes_max = bytes;
        self
    }

    /// Sets both buffers, in bytes.
    #[must_use]
    pub const fn with_buffer_bytes(mut self, bytes: usize) -> Self {
        self.send_buffer_bytes = bytes;
        self.recv_buffer_bytes = bytes;
        self
    }

    /// Sets how many streams the peer may have open at once.
    #[must_use]
    pub const fn with_streams_max(mut self, streams: usize) -> Self {
        self.streams_max = streams;
        self
    }

    /// Sets the handshake's deadline.
    #[must_use]
    pub const fn with_handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Sets how often this side says that it lives, and how long it waits to hear from the peer.
    #[must_use]
    pub const fn with_liveness(mut self, keepalive_interval: Duration, idle_timeout: Duration) -> Self {
        self.keepalive_interval = Some(keepalive_interval);
        self.idle_timeout = Some(idle_timeout);
        self
    }

    /// Offers a capability.
    #[must_use]
    pub fn with_capability(mut self, capability: Capability) -> Self {
        self.capabilities.push(capability);
        self
    }

    /// Whether the settings can be used.
    ///
    /// # Errors
    /// [`P2PError::InvalidInput`] names the setting and what was expected.
    pub fn validate(&self) -> Result<(), P2PError> {
        let at_least_one = |name: &str, value: usize| match value {
            0 => Err(P2PError::invalid_input(format_args!("{name} = 0"), "at least 1")),
            _ => Ok(()),
        };
        at_least_one("message_bytes_max", self.message_bytes_max)?;
        at_least_one("send_buffer_bytes", self.send_buffer_bytes)?;
        at_least_one("recv_buffer_bytes", self.recv_buffer_bytes)?;
        if self.message_bytes_max > MESSAGE_BYTES_CEILING {
            return Err(P2PError::invalid_input(
                format_args!("message_bytes_max = {}", self.message_bytes_max),
                format_args!("at most {MESSAGE_BYTES_CEILING}; send larger things on a stream"),
            ));
        }
        for (name, value) in [("keepalive_interval", self.keepalive_interval), ("idle_timeout", self.idle_timeout)] {
            if value.is_some_and(|value| value < LIVENESS_MIN) {
                return Err(P2PError::invalid_input(
                    format_args!("{name} = {:?}", value.unwrap_or_default()),
                    format_args!("at least {LIVENESS_MIN:?}, or nothing to turn it off"),
                ));
            }
        }
        if let (Some(keepalive), Some(idle)) = (self.keepalive_interval, self.idle_timeout)
            && keepalive >= idle
        {
            return Err(P2PError::invalid_input(
                format_args!("keepalive_interval = {keepalive:?}"),
                format_args!("less than idle_timeout, which is {idle:?}"),
            ));
        }
        crate::protocol::handshake::validate_capabilities(&self.capabilities)
    }
}

/// The shortest keepalive interval and idle timeout that can be configured. Below it, keepalives are a load of their own.
pub const LIVENESS_MIN: Duration = Duration::from_millis(10);

/// Bytes of the largest message that can be configured: 64 MiB. What is larger belongs on a stream.
pub const MESSAGE_BYTES_CEILING: usize = 64 * 1024 * 1024;

/// What a listener accepts, and on what terms.
#[derive(Debug, Clone)]
pub struct ListenConfig {
    /// The terms for each connection. Its protocol is the one listened for.
    pub connection: ConnectionConfig,
    /// Connections that wait for [`accept`](crate::P2PListener::accept). Defaults to 128; the next dialler is refused
    /// as [`Busy`](crate::RefusalCode::Busy).
    pub backlog_max: usize,
    /// How long [`listen_with`](crate::P2PProvider::listen_with) waits to become dialable. Defaults to 10 s. A listener
    /// that is not dialable by then is returned all the same; [`status`](crate::P2PProvider::status) says what lacks.
    pub ready_timeout: Duration,
    /// Decides about each dialler and answers the capabilities it offers. By default everybody is welcome and offered
    /// capabilities are taken, as they are, if `connection.capabilities` has one of the same name.
    pub answer: Option<Arc<dyn Answer>>,
}

impl ListenConfig {
    /// The defaults for that protocol.
    pub fn new(protocol: ProtocolId) -> Self {
        Self::from(ConnectionConfig::new(protocol))
    }

    /// Sets how many connections may wait for `accept`.
    #[must_use]
    pub const fn with_backlog_max(mut self, connections: usize) -> Self {
        self.backlog_max = connections;
        self
    }

    /// Sets who decides about diallers.
    #[must_use]
    pub fn with_answer(mut self, answer: Arc<dyn Answer>) -> Self {
        self.answer = Some(answer);
        self
    }
}

impl From<ConnectionConfig> for ListenConfig {
    fn from(connection: ConnectionConfig) -> Self {
        Self { connection, backlog_max: 128, ready_timeout: Duration::from_secs(10), answer: None }
    }
}

impl Default for ListenConfig {
    fn default() -> Self {
        Self::from(ConnectionConfig::default())
    }
}

/// The answering side's say in a handshake. It must not block: handshakes run side by side on one task each.
///
/// ```
/// use std::sync::Arc;
/// use p2p::{Answer, Capability, ListenConfig, P2PError, P2PProvider, P2PProviderExt, PeerId, Refusal, RefusalCode};
/// use p2p::memory::MemoryNetwork;
///
/// /// Welcomes one peer and nobody else.
/// #[derive(Debug)]
/// struct Only(PeerId);
///
/// impl Answer for Only {
///     fn answer(&self, peer: PeerId, _offered: &[Capability]) -> Result<Vec<Capability>, Refusal> {
///         match peer == self.0 {
///             true => Ok(Vec::new()),
///             false => Err(Refusal::new(RefusalCode::Rejected, "you are not on the list")),
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> p2p::Result<()> {
/// let network = MemoryNetwork::new();
/// let (alice, bob, eve) = (network.provider("alice"), network.provider("bob"), network.provider("eve"));
/// let private: p2p::ProtocolId = "private/1".parse()?;
/// let config = ListenConfig::new(private.clone()).with_answer(Arc::new(Only(alice.local_peer_id())));
/// let _listener = bob.listen_with(config).await?;
///
/// assert!(alice.connect(bob.local_peer_id(), &private).await.is_ok());
/// let error = eve.connect(bob.local_peer_id(), &private).await.unwrap_err();
/// assert!(matches!(error, P2PError::Refused { .. }), "{error}");
/// # Ok(()) }
/// ```
pub trait Answer: fmt::Debug + Send + Sync + 'static {
    /// Takes of `offered` what this side can do, or refuses the dialler.
    ///
    /// `peer` has proved its identity. What is returned becomes both sides' [`Negotiated::capabilities`]; data may
    /// differ from what was offered, which is how an answer travels back.
    ///
    /// # Errors
    /// A [`Refusal`], which the dialler sees as [`P2PError::Refused`].
    ///
    /// [`Negotiated::capabilities`]: crate::Negotiated::capabilities
    fn answer(&self, peer: PeerId, offered: &[Capability]) -> Result<Vec<Capability>, Refusal>;
}
