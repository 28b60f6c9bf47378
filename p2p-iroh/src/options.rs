//! Choices that most endpoints leave as they are: congestion control, key exchange.

use std::{fmt, str::FromStr, sync::Arc};

use iroh::endpoint::ControllerFactory;
use noq_proto::congestion::{Bbr3Config, CubicConfig, NewRenoConfig};
use p2p::{P2PError, Result};

/// How the pace of sending is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Congestion {
    /// CUBIC, RFC 9438: takes every loss for a full queue. The default, as it is iroh's and the internet's.
    #[default]
    Cubic,
    /// BBR, version 3: models bandwidth and round trip, so that losses on a bad link do not slow it down. Can take more than
    /// its share beside CUBIC.
    Bbr,
    /// New Reno, RFC 9002: the plainest. To compare with.
    NewReno,
}

impl Congestion {
    /// Every one, the default first.
    pub const ALL: [Self; 3] = [Self::Cubic, Self::Bbr, Self::NewReno];

    pub(crate) fn factory(self) -> Arc<dyn ControllerFactory + Send + Sync> {
        match self {
            Self::Cubic => Arc::new(CubicConfig::default()),
            Self::Bbr => Arc::new(Bbr3Config::default()),
            Self::NewReno => Arc::new(NewRenoConfig::default()),
        }
    }
}

impl fmt::Display for Congestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cubic => "cubic",
            Self::Bbr => "bbr",
            Self::NewReno => "new-reno",
        })
    }
}

impl FromStr for Congestion {
    type Err = P2PError;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|congestion| congestion.to_string() == name);
        found.ok_or_else(|| P2PError::invalid_input(format_args!("congestion {name:?}"), "cubic, bbr or new-reno"))
    }
}

/// How two peers agree on a key. Known in every build; those that need the feature `tls-aws-lc-rs` are an error without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum KeyExchange {
    /// X25519, and what else the cryptography library offers. The default.
    #[default]
    Classical,
    /// X25519MLKEM768 where the peer has it too, X25519 where not: what is recorded today cannot be read by a quantum computer
    /// one day. Adds 1.2 KiB to the handshake in each direction, which then takes two packets.
    PreferPostQuantum,
    /// X25519MLKEM768 and nothing else: peers, relays and servers without it are not reached.
    OnlyPostQuantum,
}

impl KeyExchange {
    /// Every one, the default first.
    pub const ALL: [Self; 3] = [Self::Classical, Self::PreferPostQuantum, Self::OnlyPostQuantum];

    /// Whether this build has it.
    pub const fn is_built_in(self) -> bool {
        matches!(self, Self::Classical) || cfg!(feature = "tls-aws-lc-rs")
    }

    pub(crate) fn require_built_in(self) -> Result<()> {
        match self.is_built_in() {
            true => Ok(()),
            false => Err(P2PError::invalid_input(
                format_args!("key_exchange {self} (this program was built without it)"),
                "classical, or a build with the feature `tls-aws-lc-rs`",
            )),
        }
    }

    /// The cryptography to use; `None` leaves iroh's.
    pub(crate) fn provider(self) -> Option<Arc<rustls::crypto::CryptoProvider>> {
        match self {
            Self::Classical => None,
            #[cfg(feature = "tls-aws-lc-rs")]
            Self::PreferPostQuantum => {
                use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
                let kx_groups = vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1];
                Some(Arc::new(rustls::crypto::CryptoProvider { kx_groups, ..default_provider() }))
            }
            #[cfg(feature = "tls-aws-lc-rs")]
            Self::OnlyPostQuantum => {
                use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
                let kx_groups = vec![kx_group::X25519MLKEM768];
                Some(Arc::new(rustls::crypto::CryptoProvider { kx_groups, ..default_provider() }))
            }
            #[cfg(not(feature = "tls-aws-lc-rs"))]
            Self::PreferPostQuantum | Self::OnlyPostQuantum => None,
        }
    }
}

impl fmt::Display for KeyExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Classical => "classical",
            Self::PreferPostQuantum => "prefer-post-quantum",
            Self::OnlyPostQuantum => "only-post-quantum",
        })
    }
}

impl FromStr for KeyExchange {
    type Err = P2PError;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|exchange| exchange.to_string() == name);
        found.ok_or_else(|| {
            P2PError::invalid_input(
                format_args!("key_exchange {name:?}"),
                "classical, prefer-post-quantum or only-post-quantum",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_an_unknown_one_lists_those_there_are() {
        for congestion in Congestion::ALL {
            assert_eq!(congestion.to_string().parse::<Congestion>().unwrap(), congestion);
        }
        for exchange in KeyExchange::ALL {
            assert_eq!(exchange.to_string().parse::<KeyExchange>().unwrap(), exchange);
            assert_eq!(exchange.require_built_in().is_ok(), exchange.is_built_in());
        }
        assert!("vegas".parse::<Congestion>().unwrap_err().to_string().contains("cubic, bbr or new-reno"));
        assert!("rsa".parse::<KeyExchange>().unwrap_err().to_string().contains("only-post-quantum"));
    }
}
