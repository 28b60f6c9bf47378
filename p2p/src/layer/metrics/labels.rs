//! The labels' values. Each label is an enum, so that none grows with peers and every series can exist from the start.

use std::{marker::PhantomData, ops::Index};

use crate::{CloseReason, P2PError, Path, Result};

/// A label with a fixed set of values.
pub(super) trait Label: Copy + 'static {
    /// All values, each at its own index.
    const ALL: &'static [Self];

    /// The value, as exported.
    fn text(self) -> &'static str;

    /// Its place in [`ALL`](Self::ALL).
    fn index(self) -> usize;
}

/// One thing for each value of a label; `counters[Dir::Out]` looks nothing up but a place in a slice.
pub(super) struct Each<L, T> {
    things: Box<[T]>,
    label: PhantomData<fn(L)>,
}

impl<L: Label, T> Each<L, T> {
    pub(super) fn new(make: impl FnMut(L) -> T) -> Self {
        Self { things: L::ALL.iter().copied().map(make).collect(), label: PhantomData }
    }
}

impl<L: Label, T> Index<L> for Each<L, T> {
    type Output = T;

    fn index(&self, label: L) -> &T {
        &self.things[label.index()]
    }
}

macro_rules! label {
    ($(#[$doc:meta])+ $name:ident { $($value:ident = $text:literal,)+ }) => {
        $(#[$doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum $name {
            $($value,)+
        }

        impl Label for $name {
            const ALL: &'static [Self] = &[$(Self::$value,)+];

            fn text(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)+
                }
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

label! {
    /// Seen from this side.
    Dir {
        In = "in",
        Out = "out",
    }
}

label! {
    /// What waits for room.
    What {
        Message = "message",
        Stream = "stream",
    }
}

label! {
    /// [`Path::kind`], and no path.
    PathKind {
        Direct = "direct",
        Relayed = "relayed",
        None = "none",
    }
}

impl PathKind {
    pub(super) fn of(path: Option<&Path>) -> Self {
        match path {
            Some(Path::Direct { .. }) => Self::Direct,
            Some(Path::Relayed { .. }) => Self::Relayed,
            None => Self::None,
        }
    }
}

label! {
    /// [`CloseReason::kind`], and none given.
    Closed {
        Local = "local",
        Peer = "peer",
        TimedOut = "timed_out",
        Lost = "lost",
        Protocol = "protocol",
        ShutDown = "shut_down",
        Unknown = "unknown",
    }
}

impl From<&CloseReason> for Closed {
    fn from(reason: &CloseReason) -> Self {
        match reason {
            CloseReason::Local { .. } => Self::Local,
            CloseReason::Peer { .. } => Self::Peer,
            CloseReason::TimedOut => Self::TimedOut,
            CloseReason::Lost { .. } => Self::Lost,
            CloseReason::Protocol { .. } => Self::Protocol,
            CloseReason::ShutDown => Self::ShutDown,
        }
    }
}

label! {
    /// How a dial ended: [`P2PError::kind`] of what a dial fails with, or one of the others.
    ConnectOutcome {
        Connected = "connected",
        Cancelled = "cancelled",
        ConnectionFailed = "connection_failed",
        PeerNotFound = "peer_not_found",
        Refused = "refused",
        Network = "network",
        Protocol = "protocol",
        Timeout = "timeout",
        AuthenticationFailed = "authentication_failed",
        Closed = "closed",
        RateLimited = "rate_limited",
        LimitReached = "limit_reached",
        InvalidInput = "invalid_input",
        ShutDown = "shut_down",
        Other = "other",
    }
}

impl ConnectOutcome {
    pub(super) fn of<T>(result: &Result<T>) -> Self {
        match result {
            Ok(_) => Self::Connected,
            Err(P2PError::ConnectionFailed { .. }) => Self::ConnectionFailed,
            Err(P2PError::PeerNotFound { .. }) => Self::PeerNotFound,
            Err(P2PError::Refused { .. }) => Self::Refused,
            Err(P2PError::Network { .. }) => Self::Network,
            Err(P2PError::Protocol { .. }) => Self::Protocol,
            Err(P2PError::Timeout { .. }) => Self::Timeout,
            Err(P2PError::AuthenticationFailed { .. }) => Self::AuthenticationFailed,
            Err(P2PError::Closed { .. }) => Self::Closed,
            Err(P2PError::RateLimited { .. }) => Self::RateLimited,
            Err(P2PError::LimitReached { .. }) => Self::LimitReached,
            Err(P2PError::InvalidInput { .. }) => Self::InvalidInput,
            Err(P2PError::ShutDown) => Self::ShutDown,
            Err(
                P2PError::MessageTooLarge { .. }
                | P2PError::DatagramTooLarge { .. }
                | P2PError::DatagramsUnsupported
                | P2PError::AlreadyListening { .. }
                | P2PError::Stream { .. },
            ) => Self::Other,
        }
    }
}

label! {
    /// Why a datagram was not accepted: [`P2PError::kind`] where there is a name for it here.
    Dropped {
        TooLarge = "datagram_too_large",
        Unsupported = "datagrams_unsupported",
        Closed = "closed",
        RateLimited = "rate_limited",
        Other = "other",
    }
}

impl From<&P2PError> for Dropped {
    fn from(error: &P2PError) -> Self {
        match error {
            P2PError::DatagramTooLarge { .. } => Self::TooLarge,
            P2PError::DatagramsUnsupported => Self::Unsupported,
            P2PError::Closed { .. } => Self::Closed,
            P2PError::RateLimited { .. } => Self::RateLimited,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CloseCode, SharedError};

    // Logs print `kind()`, so a label that differs from it would make one situation look like two.
    #[test]
    fn values_are_the_names_that_logs_use() {
        let (code, reason) = (CloseCode::OK, String::new());
        for reason in [
            CloseReason::Local { code, reason: reason.clone() },
            CloseReason::Peer { code, reason },
            CloseReason::TimedOut,
            CloseReason::Lost { source: SharedError::from("gone") },
            CloseReason::Protocol { violation: String::new() },
            CloseReason::ShutDown,
        ] {
            assert_eq!(Closed::from(&reason).text(), reason.kind());
        }
        for path in [Path::Direct { remote: "".into() }, Path::Relayed { relay: "".into() }] {
            assert_eq!(PathKind::of(Some(&path)).text(), path.kind());
        }
        for error in [
            P2PError::protocol(""),
            P2PError::invalid_input("", ""),
            P2PError::ShutDown,
            P2PError::LimitReached { what: "", limit: 0 },
            CloseReason::TimedOut.to_error(),
        ] {
            let kind = error.kind();
            assert_eq!(ConnectOutcome::of::<()>(&Err(error)).text(), kind);
        }
    }
}
