//! Why a stream, or the local connection it stands for, did not work out.

use std::{io, time::Duration};

use p2p::{P2PError, StreamError};

use super::{header::HeaderError, reset_code::ResetCode};

/// What ended a stream before both of its directions had ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the connection on this side broke")]
    Local(#[source] io::Error),
    #[error("the peer gave the stream up{}", .0.map(|code| format!(": {code}")).unwrap_or_default())]
    Peer(Option<ResetCode>),
    #[error("the connection to the peer ended")]
    Connection(#[source] StreamError),
    #[error("no connection to the peer came about within {0:?}")]
    PeerUnreachable(Duration),
    #[error("{} streams to the peer are open, which is what one connection carries, and none ended within {:?}", super::STREAMS_MAX, .0)]
    NoRoom(Duration),
    #[error("the stream has no header")]
    Header(#[source] HeaderError),
    #[error("the peer asked for a service that is not shared with it")]
    UnknownService,
    #[error("the service does not take connections")]
    TargetUnreachable(#[source] io::Error),
    #[error("more streams are open than are carried at once, or this side is ending")]
    Busy,
}

impl Failure {
    /// What the metrics call it.
    pub(crate) const fn reason(&self) -> Reason {
        match self {
            Self::Local(_) | Self::Peer(Some(ResetCode::LocalBroke)) => Reason::LocalBroke,
            Self::Peer(None) => Reason::PeerReset,
            Self::Connection(_) => Reason::ConnectionLost,
            Self::PeerUnreachable(_) => Reason::PeerUnreachable,
            Self::Header(_) | Self::Peer(Some(ResetCode::Header)) => Reason::Header,
            Self::UnknownService | Self::Peer(Some(ResetCode::UnknownService)) => Reason::UnknownService,
            Self::TargetUnreachable(_) | Self::Peer(Some(ResetCode::TargetUnreachable)) => Reason::TargetUnreachable,
            Self::Busy | Self::NoRoom(_) | Self::Peer(Some(ResetCode::Busy)) => Reason::Busy,
        }
    }

    /// What to tell the peer.
    pub(crate) const fn reset_code(&self) -> ResetCode {
        match self {
            Self::Header(_) => ResetCode::Header,
            Self::UnknownService => ResetCode::UnknownService,
            Self::TargetUnreachable(_) => ResetCode::TargetUnreachable,
            Self::Busy | Self::NoRoom(_) => ResetCode::Busy,
            Self::Local(_) | Self::Peer(_) | Self::Connection(_) | Self::PeerUnreachable(_) => ResetCode::LocalBroke,
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
        pub(crate) enum Reason {
            $($name,)+
        }

        impl Reason {
            /// All of them, each at its own index.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)+];

            pub(crate) const fn text(self) -> &'static str {
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
    LocalBroke = "local_broke",
    PeerReset = "peer_reset",
    PeerUnreachable = "peer_unreachable",
    TargetUnreachable = "target_unreachable",
    UnknownService = "unknown_service",
}
