//! How far a migration is.

use std::{fmt, str::FromStr};

use p2p::P2PError;
use serde::{Deserialize, Serialize};

/// A phase of the migration; the [module](super) says what each does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Phase {
    /// 1: all over the tunnel, with P2P beside it. Where everything begins, and where a rollback goes.
    #[default]
    Tunnel,
    /// 2: what begins anew goes over P2P.
    NewOverP2p,
    /// 3: existing clients move, one after another.
    MoveExisting,
    /// 4: the tunnel is refused after a drain deadline.
    P2pOnly,
}

impl Phase {
    /// All, in order.
    pub const ALL: [Self; 4] = [Self::Tunnel, Self::NewOverP2p, Self::MoveExisting, Self::P2pOnly];

    /// Its number, from 1.
    pub const fn number(self) -> u8 {
        self as u8 + 1
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

impl From<Phase> for u8 {
    fn from(phase: Phase) -> Self {
        phase.number()
    }
}

impl TryFrom<u8> for Phase {
    type Error = P2PError;

    fn try_from(number: u8) -> Result<Self, P2PError> {
        Self::ALL.into_iter().find(|phase| phase.number() == number).ok_or_else(|| unknown(number))
    }
}

impl FromStr for Phase {
    type Err = P2PError;

    fn from_str(text: &str) -> Result<Self, P2PError> {
        text.parse::<u8>().map_err(|_| unknown(text)).and_then(Self::try_from).map_err(|_| unknown(text))
    }
}

fn unknown(text: impl fmt::Display) -> P2PError {
    P2PError::invalid_input(format_args!("migration phase {text:?}", text = text.to_string()), "1, 2, 3 or 4")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_reads_back_what_it_prints() {
        for phase in Phase::ALL {
            assert_eq!(phase.to_string().parse::<Phase>().unwrap(), phase);
            assert_eq!(serde_json::from_str::<Phase>(&serde_json::to_string(&phase).unwrap()).unwrap(), phase);
        }
    }

    #[test]
    fn a_phase_that_does_not_exist_is_named() {
        for bad in ["0", "5", "255", "256", "-1", "two", "", " 1"] {
            let error = bad.parse::<Phase>().unwrap_err().to_string();
            assert!(error.contains(&format!("{bad:?}")) && error.contains("1, 2, 3 or 4"), "{error}");
        }
    }
}
