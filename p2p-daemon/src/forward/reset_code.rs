//! Why one side abandons a stream, as the number that the other side sees.

use std::fmt;

/// The codes that streams are reset and stopped with. 0 is a stream that was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum ResetCode {
    /// The local connection on the other side broke.
    LocalBroke = 1,
    /// The stream did not begin with a header.
    Header = 2,
    /// No service of that name is shared with the peer. The same for one that is shared with others.
    UnknownService = 3,
    /// The service did not take the connection.
    TargetUnreachable = 4,
    /// More streams are open than the other side carries, or it is ending.
    Busy = 5,
}

impl ResetCode {
    const ALL: [Self; 5] = [Self::LocalBroke, Self::Header, Self::UnknownService, Self::TargetUnreachable, Self::Busy];

    pub(crate) const fn code(self) -> u32 {
        self as u32
    }

    pub(crate) fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|reset| reset.code() == code)
    }
}

impl fmt::Display for ResetCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LocalBroke => "the connection broke there",
            Self::Header => "it did not understand the stream's header",
            Self::UnknownService => "it shares no such service with this peer",
            Self::TargetUnreachable => "the service does not take connections",
            Self::Busy => "it carries as many streams as it can, or it is ending",
        })
    }
}
