//! What a provider is told, whichever implementation it is. Plain data; the `env` module fills it from variables.

use std::{collections::BTreeSet, fmt, net::SocketAddr, path::PathBuf, str::FromStr};

use p2p::{P2PError, PeerAddr, PeerId, Result};

use crate::Implementation;

/// Settings of a [`provider`](crate::provider()).
///
/// Each implementation uses what it understands: the simulator has no ports, relays or keys; a tunnel has the key file, who may
/// connect, and what is its own.
///
/// ```
/// use p2p_providers::{Profile, ProviderConfig, Role};
///
/// let mut config = ProviderConfig::new(Profile::Development, Role::Listener);
/// assert_eq!(config.listen_port, 8800);
/// config.listen_port = 0; // any free one
/// config.relay_servers.push("relay.example".into());
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProviderConfig {
    /// Which provider to make. Defaults to iroh if it is built in, the simulator if not.
    pub implementation: Implementation,
    /// What the program is run for, which has decided the defaults below.
    pub profile: Profile,
    /// What the program does, which has decided the default of `listen_port`.
    pub role: Role,
    /// The UDP port to bind; 0 is any free one. Defaults to [`LISTEN_PORT`] for a listener, to 0 for a dialler.
    pub listen_port: u16,
    /// Where some peers are, so that their [`PeerId`](p2p::PeerId) is enough to dial them. Defaults to none.
    pub bootstrap_peers: Vec<PeerAddr>,
    /// Relays to be reachable through, each a URL or a host name, which then means `https://`. Defaults to none.
    pub relay_servers: Vec<String>,
    /// What the relays ask for before they serve anybody. Sent to all of `relay_servers`, and to no relay beyond them.
    pub relay_token: Option<Secret>,
    /// Certificate authorities, as PEM text, that may vouch for relays in addition to the public ones.
    pub relay_ca: Option<String>,
    /// Where the identity is kept; made at the first start. Defaults to none: an identity that ends with the process.
    pub key_file: Option<PathBuf>,
    /// Whether to find peers on the local network and be found there. Defaults to yes in development, no in production.
    pub lan_discovery: bool,
    /// Whether to ask the router to forward a port. Defaults to yes in development, no in production.
    pub port_mapping: bool,
    /// Whether to open no UDP socket and reach peers through relays alone, which then are the only ones to see this machine's
    /// address. Defaults to no.
    pub relay_only: bool,
    /// Addresses at which peers reach this machine although it cannot see them itself. Defaults to none.
    pub external_addrs: Vec<SocketAddr>,
    /// URL of a pkarr server, as `iroh-dns-server` is one, to tell how this peer is reached and to look others up. Defaults to
    /// none.
    pub pkarr_server: Option<String>,
    /// What is told there: `nothing`, `relay` or `addresses`. Defaults to none, which stands for `relay`.
    pub publish: Option<String>,
    /// Domain under which peers are looked up by DNS. Defaults to none.
    pub dns_origin: Option<String>,
    /// Name servers to ask. Defaults to none, which stands for the system's.
    pub name_servers: Vec<SocketAddr>,
    /// `cubic`, `bbr` or `new-reno`. Defaults to none, which stands for `cubic`.
    pub congestion: Option<String>,
    /// `classical`, `prefer-post-quantum` or `only-post-quantum`. Defaults to none, which stands for `classical`.
    pub key_exchange: Option<String>,
    /// Peers besides whom nobody may connect. Defaults to none, which stands for everybody.
    pub allowed_peers: Option<BTreeSet<PeerId>>,
    /// Peers that may not connect. Defaults to nobody.
    pub denied_peers: BTreeSet<PeerId>,
    /// Connections at once. Defaults to none, which stands for the implementation's own bound.
    pub connections_max: Option<usize>,
    /// Bytes that all connections together may keep. Defaults to none, which stands for the implementation's own bound.
    pub buffer_bytes_max: Option<u64>,
    /// What the simulated network is like.
    #[cfg(feature = "p2p-simulator")]
    pub simulator: p2p_simulator::SimulatorConfig,
    /// Where the tunnel server is, and who this is to it.
    #[cfg(feature = "p2p-tunnel")]
    pub tunnel: tunnel_compat::tunnel_p2p::TunnelP2PConfig,
}

/// The UDP port of what listens, unless configured otherwise.
pub const LISTEN_PORT: u16 = 8800;

impl ProviderConfig {
    /// The defaults of a profile and a role.
    pub fn new(profile: Profile, role: Role) -> Self {
        Self {
            implementation: Implementation::default(),
            profile,
            role,
            listen_port: match role {
                Role::Listener => LISTEN_PORT,
                Role::Dialler => 0,
            },
            bootstrap_peers: Vec::new(),
            relay_servers: Vec::new(),
            relay_token: None,
            relay_ca: None,
            key_file: None,
            lan_discovery: profile == Profile::Development,
            port_mapping: profile == Profile::Development,
            relay_only: false,
            external_addrs: Vec::new(),
            pkarr_server: None,
            publish: None,
            dns_origin: None,
            name_servers: Vec::new(),
            congestion: None,
            key_exchange: None,
            allowed_peers: None,
            denied_peers: BTreeSet::new(),
            connections_max: None,
            buffer_bytes_max: None,
            #[cfg(feature = "p2p-simulator")]
            simulator: p2p_simulator::SimulatorConfig::default(),
            #[cfg(feature = "p2p-tunnel")]
            tunnel: tunnel_compat::tunnel_p2p::TunnelP2PConfig::default(),
        }
    }

    /// Whether the settings go together. [`provider`](crate::provider()) asks.
    ///
    /// # Errors
    /// [`P2PError::InvalidInput`] names the setting and what was expected.
    pub fn validate(&self) -> Result<()> {
        self.implementation.require_built_in()?;
        if self.profile == Profile::Production {
            self.implementation.require_other_processes()?;
            if self.role == Role::Listener && self.key_file.is_none() {
                return Err(P2PError::invalid_input(
                    "profile production without P2P_KEY_FILE",
                    "a key file, so that peers find the same identity after a restart",
                ));
            }
        }
        Ok(())
    }

    /// Whether this is meant for production and yet nobody behind another NAT will reach it.
    pub(crate) fn lacks_relays(&self) -> bool {
        let by_relay = self.implementation == Implementation::Iroh;
        self.profile == Profile::Production && by_relay && self.relay_servers.is_empty()
    }
}

/// What a program is run for. Decides defaults, and what is an error.
///
/// | | development | production |
/// |---|---|---|
/// | a listener without a key file | gets a throwaway identity | is an error |
/// | LAN discovery, unless set | on | off |
/// | port mapping, unless set | on | off |
/// | no relays | fine | logged as a warning |
/// | the simulator | fine | is an error |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// To try things: reachable with as little configuration as possible. The default.
    #[default]
    Development,
    /// To depend on: nothing that was not configured leaves the machine, and the identity lasts.
    Production,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Development => "development",
            Self::Production => "production",
        })
    }
}

impl FromStr for Profile {
    type Err = P2PError;

    fn from_str(name: &str) -> Result<Self> {
        [Self::Development, Self::Production]
            .into_iter()
            .find(|profile| profile.to_string() == name)
            .ok_or_else(|| P2PError::invalid_input(format_args!("profile {name:?}"), "development or production"))
    }
}

/// What a program does with its provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Waits for peers, which have to find it again.
    Listener,
    /// Dials peers, and nobody dials it. Several of them run on one machine without getting in each other's way.
    Dialler,
}

/// Text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for Secret {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: &ProviderConfig, problem: Option<&str>) {
        match (config.validate(), problem) {
            (Ok(()), None) => {}
            (Err(error), Some(part)) if error.to_string().contains(part) => {}
            (result, expected) => panic!("{result:?} where {expected:?} was expected of {config:?}"),
        }
    }

    #[test]
    fn production_wants_a_network_that_reaches_others_and_an_identity_that_lasts() {
        for implementation in Implementation::built_in() {
            let config = |profile, role| ProviderConfig { implementation, ..ProviderConfig::new(profile, role) };
            let unless_it_spans = (!implementation.spans_processes()).then_some("within one process");

            check(&config(Profile::Development, Role::Listener), None);
            check(&config(Profile::Production, Role::Dialler), unless_it_spans);
            let mut listener = config(Profile::Production, Role::Listener);
            check(&listener, unless_it_spans.or(Some("P2P_KEY_FILE")));
            listener.key_file = Some("key".into());
            check(&listener, unless_it_spans);
        }
    }

    #[test]
    fn production_announces_nothing_unless_told_to() {
        let mut config = ProviderConfig::new(Profile::Production, Role::Listener);
        config.implementation = Implementation::Iroh;
        assert!(!config.lan_discovery && !config.port_mapping && config.lacks_relays());
        config.implementation = Implementation::Tunnel;
        assert!(!config.lacks_relays(), "it needs none");
        let config = ProviderConfig::new(Profile::Development, Role::Listener);
        assert!(config.lan_discovery && config.port_mapping && !config.lacks_relays());
    }

    #[test]
    fn a_token_is_never_printed() {
        let mut config = ProviderConfig::new(Profile::Development, Role::Listener);
        config.relay_token = Some("hush".into());
        assert!(!format!("{config:?}").contains("hush"));
    }
}
