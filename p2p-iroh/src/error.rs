//! What goes wrong below, and the one table that turns it into [`P2PError`].

use std::io;

use iroh::endpoint::{
    BindError, ConnectError, ConnectWithOptsError, ConnectingError, ConnectionError, TransportErrorCode,
};
use p2p::{
    CloseCode, CloseReason, P2PError, PeerId, Refusal, RefusalCode, SharedError, chain, protocol::close,
    transport::TransportClosed,
};

/// Why there is no endpoint or no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "the UDP port of {addrs} is in use: end the program that has it, or choose another port (0 is any free one)"
    )]
    PortInUse { addrs: String, source: BindError },
    #[error("{addrs}: {}", chain(.source))]
    Bind { addrs: String, source: BindError },
    #[error("no ed25519 key has these bytes, so nobody can prove to have this identity")]
    NotAKey { peer: PeerId },
    #[error("{}", chain(.source))]
    Dial { peer: PeerId, source: ConnectError },
}

impl Error {
    pub(crate) fn bind(addrs: String, error: BindError) -> Self {
        match &error {
            BindError::Sockets { source, .. } if is_in_use(source) => Self::PortInUse { addrs, source: error },
            _ => Self::Bind { addrs, source: error },
        }
    }
}

fn is_in_use(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

impl From<Error> for P2PError {
    fn from(error: Error) -> Self {
        let (peer, source) = match &error {
            Error::PortInUse { .. } | Error::Bind { .. } => {
                return Self::Network { during: "binding the endpoint", source: SharedError::new(error.to_string()) };
            }
            Error::NotAKey { peer } => {
                return Self::PeerNotFound { peer: *peer, source: SharedError::new(error.to_string()) };
            }
            Error::Dial { peer, source } => (*peer, source),
        };
        // As text: nobody above should come to depend on an iroh type behind `source()`.
        let said = || SharedError::new(error.to_string());
        match Cause::of(source) {
            Cause::NotFound => {
                Self::PeerNotFound { peer, source: "no address is known for it, and discovery found none".into() }
            }
            Cause::Silence => Self::PeerNotFound { peer, source: "nobody answered at any of its addresses".into() },
            Cause::ShutDown => Self::ShutDown,
            Cause::OtherKey => Self::AuthenticationFailed {
                expected: peer,
                source: "whoever answered at its address has another key".into(),
            },
            Cause::OtherProtocol => {
                Self::Protocol { violation: "the peer does not speak this project's wire protocol (ALPN p2p/1)".into() }
            }
            Cause::Full => Self::Refused {
                peer,
                refusal: Refusal::new(RefusalCode::Busy, "too many peers are dialling it at once"),
            },
            Cause::Other => Self::ConnectionFailed { peer, source: said() },
        }
    }
}

/// What a caller can tell apart about a dial that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    NotFound,
    Silence,
    ShutDown,
    OtherKey,
    OtherProtocol,
    Full,
    Other,
}

impl Cause {
    fn of(error: &ConnectError) -> Self {
        match error {
            ConnectError::Connect { source, .. } => match source {
                ConnectWithOptsError::NoAddress { .. } => Self::NotFound,
                // The actors of an endpoint end only with the endpoint.
                ConnectWithOptsError::EndpointClosed { .. } | ConnectWithOptsError::InternalConsistencyError { .. } => {
                    Self::ShutDown
                }
                _ => Self::Other,
            },
            ConnectError::Connecting { source, .. } => match source {
                ConnectingError::ConnectionError { source, .. } => Self::of_connection(source),
                ConnectingError::HandshakeFailure { .. } => Self::OtherKey,
                ConnectingError::InternalConsistencyError { .. } => Self::ShutDown,
                _ => Self::Other,
            },
            ConnectError::Connection { source, .. } => Self::of_connection(source),
            _ => Self::Other,
        }
    }

    fn of_connection(error: &ConnectionError) -> Self {
        match error {
            ConnectionError::TimedOut => Self::Silence,
            ConnectionError::LocallyClosed => Self::ShutDown,
            ConnectionError::VersionMismatch => Self::OtherProtocol,
            // This side ended the handshake over the certificate.
            ConnectionError::TransportError(error) if is_alert(error.code) => Self::OtherKey,
            ConnectionError::ConnectionClosed(close) if close.error_code == no_application_protocol() => {
                Self::OtherProtocol
            }
            ConnectionError::ConnectionClosed(close) if close.error_code == TransportErrorCode::CONNECTION_REFUSED => {
                Self::Full
            }
            _ => Self::Other,
        }
    }
}

/// Whether TLS is what failed: QUIC carries its alerts as 0x100 to 0x1ff (RFC 9001 §4.8).
fn is_alert(code: TransportErrorCode) -> bool {
    (0x100..0x200).contains(&u64::from(code))
}

/// TLS alert 120, `no_application_protocol` (RFC 7301 §3.2).
fn no_application_protocol() -> TransportErrorCode {
    TransportErrorCode::crypto(120)
}

/// How a transport ended.
pub(crate) fn ended(error: ConnectionError) -> TransportClosed {
    match error {
        ConnectionError::LocallyClosed => TransportClosed::Local,
        ConnectionError::ApplicationClosed(close) => {
            TransportClosed::Peer { code: close.error_code.into_inner(), reason: close.reason }
        }
        ConnectionError::TimedOut => TransportClosed::TimedOut,
        other => TransportClosed::Lost(SharedError::new(other.to_string())),
    }
}

/// The error of a call on a connection that has ended.
pub(crate) fn closed(error: ConnectionError) -> P2PError {
    let reason = match ended(error) {
        TransportClosed::Local => CloseReason::Local { code: CloseCode::OK, reason: String::new() },
        TransportClosed::Peer { code, reason } => close::from_peer(code, &reason),
        TransportClosed::TimedOut => CloseReason::TimedOut,
        TransportClosed::Lost(source) => CloseReason::Lost { source },
    };
    P2PError::Closed { reason }
}
