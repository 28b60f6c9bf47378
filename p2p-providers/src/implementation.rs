//! Which provider: those there are, those that are built in, and the one that is meant when nobody says.

use std::{fmt, str::FromStr};

use p2p::{P2PError, Result};

/// A provider by name. All names are known in every build; [`is_built_in`](Self::is_built_in) tells which of them work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Implementation {
    /// Real networks, over iroh. Needs the feature `p2p-iroh`.
    Iroh,
    /// A simulated network within this process. Needs the feature `p2p-simulator`.
    Simulator,
    /// Byte streams that a tunnel server joins, encrypted from end to end. Needs the feature `p2p-tunnel`.
    Tunnel,
}

impl Implementation {
    /// Every implementation, the preferred first.
    pub const ALL: [Self; 3] = [Self::Iroh, Self::Simulator, Self::Tunnel];

    /// The name in configuration: `iroh`, `simulator` or `tunnel`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Iroh => "iroh",
            Self::Simulator => "simulator",
            Self::Tunnel => "tunnel",
        }
    }

    /// The cargo feature that builds it in.
    pub const fn feature(self) -> &'static str {
        match self {
            Self::Iroh => "p2p-iroh",
            Self::Simulator => "p2p-simulator",
            Self::Tunnel => "p2p-tunnel",
        }
    }

    /// Whether its feature is on.
    pub const fn is_built_in(self) -> bool {
        match self {
            Self::Iroh => cfg!(feature = "p2p-iroh"),
            Self::Simulator => cfg!(feature = "p2p-simulator"),
            Self::Tunnel => cfg!(feature = "p2p-tunnel"),
        }
    }

    /// Those that are built in, the preferred first.
    pub fn built_in() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|implementation| implementation.is_built_in())
    }

    /// Whether its peers reach those of other processes. If not, they have to share a [`Network`](crate::Network).
    pub const fn spans_processes(self) -> bool {
        match self {
            Self::Iroh | Self::Tunnel => true,
            Self::Simulator => false,
        }
    }

    /// Refuses an implementation whose peers do not reach other processes, for programs that hand out tickets.
    ///
    /// # Errors
    /// [`P2PError::InvalidInput`] says why the implementation does not do.
    pub fn require_other_processes(self) -> Result<()> {
        match self.spans_processes() {
            true => Ok(()),
            false => Err(P2PError::invalid_input(
                format_args!(
                    "implementation {self} (its network lives within one process, and nobody outside can dial)"
                ),
                "one that reaches other processes, as P2P_IMPLEMENTATION=iroh does",
            )),
        }
    }

    /// Refuses an implementation that is not there.
    ///
    /// # Errors
    /// [`P2PError::InvalidInput`] names the feature to turn on.
    pub fn require_built_in(self) -> Result<()> {
        match self.is_built_in() {
            true => Ok(()),
            false => Err(P2PError::invalid_input(
                format_args!("implementation {self} (this program was built without it)"),
                format_args!("{}, or a build with the feature `{}`", BuiltIn, self.feature()),
            )),
        }
    }
}

/// The preferred one of those that are built in. With none built in it is iroh, which then says what is missing.
impl Default for Implementation {
    fn default() -> Self {
        Self::built_in().next().unwrap_or(Self::Iroh)
    }
}

impl fmt::Display for Implementation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Implementation {
    type Err = P2PError;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|implementation| implementation.name() == name).ok_or_else(|| {
            P2PError::invalid_input(format_args!("implementation {name:?}"), "iroh, simulator or tunnel")
        })
    }
}

struct BuiltIn;

impl fmt::Display for BuiltIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = Implementation::built_in().map(Implementation::name).collect();
        match names.is_empty() {
            true => f.write_str("one that is built in, of which there is none"),
            false => f.write_str(&names.join(" or ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_and_an_unknown_one_lists_those_there_are() {
        for implementation in Implementation::ALL {
            assert_eq!(implementation.name().parse::<Implementation>().unwrap(), implementation);
        }
        let error = "libp2p".parse::<Implementation>().unwrap_err().to_string();
        assert!(error.contains("\"libp2p\"") && error.contains("iroh, simulator or tunnel"), "{error}");
    }

    #[test]
    fn one_that_is_not_built_in_names_its_feature() {
        for implementation in Implementation::ALL {
            match implementation.require_built_in() {
                Ok(()) => assert!(implementation.is_built_in()),
                Err(error) => {
                    assert!(!implementation.is_built_in());
                    let feature = format!("the feature `{}`", implementation.feature());
                    assert!(error.to_string().contains(&feature), "{error}");
                }
            }
        }
    }

    // The features of this very build decide, so that the test means something with each of them alone.
    #[test]
    fn the_default_is_iroh_where_it_is_built_in_and_a_tunnel_where_nothing_else_is() {
        let expected = match (cfg!(feature = "p2p-iroh"), cfg!(feature = "p2p-simulator"), cfg!(feature = "p2p-tunnel"))
        {
            (false, true, _) => Implementation::Simulator,
            (false, false, true) => Implementation::Tunnel,
            _ => Implementation::Iroh,
        };
        assert_eq!(Implementation::default(), expected);
    }
}
