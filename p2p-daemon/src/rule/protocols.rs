//! TCP, UDP or both.

use std::fmt;

/// Which of the two a target or a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocols {
    /// Byte streams.
    Tcp,
    /// Datagrams.
    Udp,
    /// Either, at one port number.
    Both,
}

impl Protocols {
    /// Those there are, longest name first.
    pub(crate) const ALL: [Self; 3] = [Self::Both, Self::Tcp, Self::Udp];

    /// The name in a URL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Both => "tcp+udp",
        }
    }

    /// Whether byte streams are among them.
    pub const fn tcp(self) -> bool {
        matches!(self, Self::Tcp | Self::Both)
    }

    /// Whether datagrams are among them.
    pub const fn udp(self) -> bool {
        matches!(self, Self::Udp | Self::Both)
    }

    /// Whether there is one that both have.
    pub(crate) const fn meets(self, other: Self) -> bool {
        (self.tcp() && other.tcp()) || (self.udp() && other.udp())
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocols| protocols.name() == name)
    }
}

impl fmt::Display for Protocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
