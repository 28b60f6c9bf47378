//! Why a stream, or the TCP connection it stands for, did not work out.

use std::{io, time::Duration};

use p2p::{P2PError, StreamError};

use super::{ServiceName, reset_code::ResetCode, stream_header::HeaderError};

/// What ended a stream before both of its directions had ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("the TCP connection on this side broke")]
    Tcp(#[source] io::Error),
    #[error("the peer gave the stream up{}", .0.map(|code| format!(": {code}")).unwrap_or_default())]
    Peer(Option<ResetCode>),
    #[error("the connection to the peer ended")]
    Connection(#[source] StreamError),
    #[error("no connection to the peer came about within {0:?}")]
    PeerUnreachable(Duration),
    #[error("the stream has no header")]
    Header(#[source] HeaderError),
    #[error("the peer asked for the service {0}, which is not shared here")]
    UnknownService(ServiceName),
    #[error("the service does not take connections")]
    TargetUnreachable(#[source] io::Error),
    #[error("more streams are open than are carried at once")]
    Busy,
}

impl Failure {
    /// What the metrics call it.
    pub(super) const fn reason(&self) -> Reason {
        match self {
            Self::Tcp(_) | Self::Peer(Some(ResetCode::TcpBroke)) => Reason::TcpBroke,
            Self::Peer(None) => Reason::PeerReset,
            Self::Connection(_) => Reason::ConnectionLost,
            Self::PeerUnreachable(_) => Reason::PeerUnreachable,
            Self::Header(_) | Self::Peer(Some(ResetCode::Header)) => Reason::Header,
            Self::UnknownService(_) | Self::Peer(Some(ResetCode::UnknownService)) => Reason::UnknownService,
            Self::TargetUnreachable(_) | Self::Peer(Some(ResetCode::TargetUnreachable)) => Reason::TargetUnreachable,
            Self::Busy | Self::Peer(Some(ResetCode::Busy)) => Reason::Busy,
        }
    }

    /// What to tell the peer.
    pub(super) const fn reset_code(&self) -> ResetCode {
        match self {
            Self::Header(_) => ResetCode::Header,
            Self::UnknownService(_) => ResetCode::UnknownService,
            Self::TargetUnreachable(_) => ResetCode::TargetUnreachable,
            Self::Busy => ResetCode::Busy,
            Self::Tcp(_) | Self::Peer(_) | Self::Connection(_) | Self::PeerUnreachable(_) => ResetCode::TcpBroke,
        }
    }
}

impl From<StreamError> for Failure {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Reset { code } | StreamError::Stopped { code } => Self::Peer(ResetCode::from_code(code)),
            error => Self::Connection(error),
        }
    }
}

impl From<P2PError> for Failure {
    fn from(error: P2PError) -> Self {
        StreamError::from(error).into()
    }
}

macro_rules! reasons {
    ($($name:ident = $text:literal,)+) => {
        /// A failure, as a metric's label.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Reason {
            $($name,)+
        }

        impl Reason {
            /// All of them, each at its own index.
            pub(super) const ALL: &'static [Self] = &[$(Self::$name,)+];

            pub(super) const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

reasons! {
    Accept = "accept",
    Busy = "busy",
    ConnectionLost = "connection_lost",
    Header = "header",
    PeerReset = "peer_reset",
    PeerUnreachable = "peer_unreachable",
    TargetUnreachable = "target_unreachable",
    TcpBroke = "tcp_broke",
    UnknownService = "unknown_service",
}
