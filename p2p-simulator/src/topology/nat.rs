//! What a router does to the addresses of those behind it, in the words of RFC 4787.

use std::{str::FromStr, time::Duration};

use p2p::P2PError;
use serde::{Deserialize, Serialize};

use crate::{
    nearest::nearest,
    text::{parse_duration, print_duration},
};

/// What a router does to packets that pass it: mapping, filtering, and how long it remembers.
///
/// Ports are never preserved and never predictable, so what each pair of NATs comes to is a matter of mapping and filtering
/// alone. Only UDP is translated; the way to a relay is TCP and always open.
///
/// ```
/// use p2p_simulator::{Mapping, Nat};
///
/// let nat: Nat = "strict".parse()?;
/// assert_eq!((nat, nat.mapping), (Nat::STRICT, Mapping::EndpointDependent));
/// let forgetful = Nat { udp_stream_timeout: std::time::Duration::from_secs(20), ..Nat::MODERATE };
/// # Ok::<(), p2p::P2PError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Nat {
    /// How ports are given out.
    pub mapping: Mapping,
    /// What is let in. Means nothing without a mapping: then everything is.
    pub filtering: Filtering,
    /// How long a mapping lives that nothing came back through.
    pub udp_timeout: Duration,
    /// How long a mapping lives after the last packet in either direction, once something came back.
    pub udp_stream_timeout: Duration,
    /// Whether those behind it reach each other by the addresses that it gave them outside.
    pub hairpin: bool,
    /// Whether it lets no UDP pass, so that those behind it reach others by relays only.
    pub udp_blocked: bool,
}

/// How a NAT gives out external ports: RFC 4787 §4.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mapping {
    /// It does not translate: those behind it have public addresses.
    None,
    /// One for each inner address and port, whatever it sends to.
    EndpointIndependent,
    /// Another for each destination: a "symmetric" NAT.
    EndpointDependent,
}

/// What a NAT lets in through a mapping: RFC 4787 §5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filtering {
    /// Whatever comes from anywhere.
    EndpointIndependent,
    /// What comes from hosts that were sent to.
    AddressDependent,
    /// What comes from addresses and ports that were sent to.
    AddressAndPortDependent,
}

/// Linux's `nf_conntrack_udp_timeout`.
const UDP_TIMEOUT: Duration = Duration::from_secs(30);
/// RFC 4787 REQ-5 recommends five minutes or more.
const UDP_STREAM_TIMEOUT: Duration = Duration::from_secs(300);
/// What firewalls of enterprises keep a UDP stream for: Linux's `nf_conntrack_udp_timeout_stream`.
const CORPORATE_STREAM_TIMEOUT: Duration = Duration::from_secs(120);

impl Nat {
    /// No translation, no filter.
    pub const NONE: Self = Self {
        mapping: Mapping::None,
        filtering: Filtering::EndpointIndependent,
        udp_timeout: UDP_TIMEOUT,
        udp_stream_timeout: UDP_STREAM_TIMEOUT,
        hairpin: false,
        udp_blocked: false,
    };
    /// A "full cone": whoever knows the port gets in.
    pub const OPEN: Self = Self { mapping: Mapping::EndpointIndependent, ..Self::NONE };
    /// The usual home router: "port-restricted cone".
    pub const MODERATE: Self = Self { filtering: Filtering::AddressAndPortDependent, ..Self::OPEN };
    /// A "symmetric" NAT.
    pub const STRICT: Self = Self { mapping: Mapping::EndpointDependent, ..Self::MODERATE };
    /// An operator's NAT as RFC 6888 wants it: mapping as at home, and hairpinning (REQ-1, by way of RFC 4787 REQ-9).
    pub const CGNAT: Self = Self { hairpin: true, ..Self::MODERATE };
    /// An enterprise's gateway: symmetric, and no UDP.
    pub const CORPORATE: Self =
        Self { udp_stream_timeout: CORPORATE_STREAM_TIMEOUT, udp_blocked: true, ..Self::STRICT };
    /// Public addresses, and no UDP.
    pub const UDP_BLOCKED: Self = Self { udp_blocked: true, ..Self::NONE };

    /// All presets with their names, as they are written in scenarios.
    pub const PRESETS: [(&'static str, Self); 7] = [
        ("none", Self::NONE),
        ("open", Self::OPEN),
        ("moderate", Self::MODERATE),
        ("strict", Self::STRICT),
        ("cgnat", Self::CGNAT),
        ("corporate", Self::CORPORATE),
        ("udp-blocked", Self::UDP_BLOCKED),
    ];

    /// The preset's name, if it is one.
    pub fn preset(&self) -> Option<&'static str> {
        Self::PRESETS.iter().find(|(_, nat)| nat == self).map(|(name, _)| *name)
    }

    /// Checks that such a NAT can be.
    ///
    /// # Errors
    /// [`InvalidInput`](P2PError::InvalidInput) for hairpinning or address-dependent filtering without an
    /// endpoint-independent mapping, and for a timeout of nothing.
    pub fn check(&self) -> Result<(), P2PError> {
        let independent = self.mapping == Mapping::EndpointIndependent;
        let expected = "mapping = \"endpoint-independent\"";
        if self.hairpin && !independent {
            return Err(P2PError::invalid_input("nat: hairpin = true", expected));
        }
        if self.filtering == Filtering::AddressDependent && !independent {
            return Err(P2PError::invalid_input("nat: filtering = \"address-dependent\"", expected));
        }
        if self.udp_timeout.is_zero() || self.udp_stream_timeout.is_zero() {
            return Err(P2PError::invalid_input("nat: a timeout of 0s", "one in which an answer can come back"));
        }
        Ok(())
    }

    /// Whether addresses behind it are others than outside.
    pub(crate) fn translates(&self) -> bool {
        self.mapping != Mapping::None
    }
}

impl FromStr for Nat {
    type Err = P2PError;

    /// Finds a preset.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::PRESETS.iter().find(|(name, _)| *name == text);
        found.map(|(_, nat)| *nat).ok_or_else(|| {
            let names = Self::PRESETS.map(|(name, _)| name);
            let nearest = nearest(text, names).expect("there are presets");
            let expected = format_args!("one of {}; the nearest is {nearest:?}", names.join(", "));
            P2PError::invalid_input(format_args!("nat {text:?}"), expected)
        })
    }
}

/// As it is written: a preset's name, or what is otherwise than in a preset.
#[derive(Clone, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "a preset's name, or a table of preset, mapping, filtering, udp-timeout, \
    udp-stream-timeout, hairpin and udp-blocked"
)]
enum Written {
    Preset(String),
    Custom(Custom),
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Custom {
    preset: Option<String>,
    mapping: Option<Mapping>,
    filtering: Option<Filtering>,
    udp_timeout: Option<String>,
    udp_stream_timeout: Option<String>,
    hairpin: Option<bool>,
    udp_blocked: Option<bool>,
}

impl TryFrom<Written> for Nat {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let custom = match written {
            Written::Preset(name) => return name.parse().map_err(|error: P2PError| error.to_string()),
            Written::Custom(custom) => custom,
        };
        let base = custom.preset.as_deref().unwrap_or("moderate");
        let base: Self = base.parse().map_err(|error: P2PError| error.to_string())?;
        let duration = |text: Option<String>, default| text.map_or(Ok(default), |text| parse_duration(&text));
        let nat = Self {
            mapping: custom.mapping.unwrap_or(base.mapping),
            filtering: custom.filtering.unwrap_or(base.filtering),
            udp_timeout: duration(custom.udp_timeout, base.udp_timeout)?,
            udp_stream_timeout: duration(custom.udp_stream_timeout, base.udp_stream_timeout)?,
            hairpin: custom.hairpin.unwrap_or(base.hairpin),
            udp_blocked: custom.udp_blocked.unwrap_or(base.udp_blocked),
        };
        nat.check().map_err(|error| error.to_string())?;
        Ok(nat)
    }
}

impl From<Nat> for Written {
    fn from(nat: Nat) -> Self {
        match nat.preset() {
            Some(name) => Self::Preset(name.into()),
            None => Self::Custom(Custom {
                preset: None,
                mapping: Some(nat.mapping),
                filtering: Some(nat.filtering),
                udp_timeout: Some(print_duration(nat.udp_timeout)),
                udp_stream_timeout: Some(print_duration(nat.udp_stream_timeout)),
                hairpin: Some(nat.hairpin),
                udp_blocked: Some(nat.udp_blocked),
            }),
        }
    }
}
