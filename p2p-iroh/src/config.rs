//! What an endpoint is told before it starts. Plain data; nothing here reads the environment.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use p2p::{P2PError, PeerAddr, Result};

use crate::{
    AccessList, Congestion, DnsOrigin, Identity, IrohLimits, KeyExchange, PkarrServer, RelayServer, TrustRoots,
    limits::RECEIVE_WINDOW_BYTES_MIN,
};

/// Settings of an [`IrohP2P`](crate::IrohP2P).
///
/// The default is an endpoint with a throwaway identity on any free UDP port, which contacts nothing but the peers it
/// is told to dial: no relay, no name server, no port mapping, nothing announced on the local network.
///
/// ```
/// # fn main() -> p2p::Result<()> {
/// # let certificate = rcgen_certificate();
/// use p2p_iroh::{IrohConfig, RelayServer, TrustRoots};
///
/// let config = IrohConfig::default()
///     .with_port(8800)
///     .with_relays([RelayServer::new("relay.example")?.with_token("secret")])
///     .with_trust(TrustRoots::none().with_pem(certificate.as_bytes())?);
/// # Ok(()) }
/// # fn rcgen_certificate() -> String {
/// #     rcgen::generate_simple_self_signed(vec![]).unwrap().cert.pem()
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct IrohConfig {
    /// Who this endpoint is. Defaults to `None`: an identity made up when the endpoint is bound, and forgotten with it.
    pub identity: Option<Identity>,
    /// UDP addresses to bind, at most one of each family. Defaults to all interfaces, with any free port.
    ///
    /// An unspecified IPv6 address (`[::]`) is skipped on systems without IPv6; all others must succeed.
    pub bind: Vec<SocketAddr>,
    /// Relays to be reachable through. The nearest becomes the home relay. Defaults to none.
    ///
    /// A relay in a dialled peer's address is used whether it stands here or not, then without a token.
    pub relays: Vec<RelayServer>,
    /// Who may vouch for relays. Defaults to [`TrustRoots::public`].
    pub trust: TrustRoots,
    /// Where some peers are, known from the start, so that their [`PeerId`](p2p::PeerId) is enough to dial them. One of
    /// them is met every 25 s, in turn all of them, which keeps the way there open; that none is reached is a problem in the
    /// status. Defaults to none.
    pub bootstrap: Vec<PeerAddr>,
    /// Whether to find peers on the local network, and be found there, by mDNS. Announces identity, addresses and home
    /// relay to everybody on it. Defaults to no.
    pub lan_discovery: bool,
    /// Where peers are looked up that are known by identity alone, and where this one tells how it is reached. Defaults to
    /// none.
    pub pkarr: Option<PkarrServer>,
    /// The domain under which peers are looked up by DNS. Defaults to none.
    pub dns: Option<DnsOrigin>,
    /// Name servers to ask, by UDP. Defaults to none, which stands for the system's.
    pub name_servers: Vec<SocketAddr>,
    /// Whether to ask the router for a port by UPnP, PCP and NAT-PMP. Defaults to no.
    #[cfg(feature = "port-mapping")]
    pub port_mapping: bool,
    /// Whether to bind no UDP socket and reach peers through relays alone. Defaults to no.
    ///
    /// Peers then never see this machine's address, whatever they do: relays alone do. Settings that would tell it are an
    /// error.
    pub relay_only: bool,
    /// Addresses at which peers reach this endpoint although it cannot see them itself, such as a forwarded port's.
    /// Defaults to none.
    pub external_addrs: Vec<SocketAddr>,
    /// How the pace of sending is found. Defaults to CUBIC.
    pub congestion: Congestion,
    /// How keys are agreed on. Defaults to X25519.
    pub key_exchange: KeyExchange,
    /// An existing directory in which every connection leaves a [qlog](https://quicwg.org/qlog/) of its packets, which grows as
    /// long as the connection lives and is whole once nothing holds the connection any more. Defaults to none.
    #[cfg(feature = "qlog")]
    pub qlog_dir: Option<std::path::PathBuf>,
    /// Whether peers may ask in their first packet, and this side may: see [`IrohP2P::request_early`], with its warning.
    /// Defaults to no.
    ///
    /// TLS sessions are resumed then, and may begin with no less than the one before, so every connection begins with the
    /// least that there is: 256 KiB under way, 128 KiB on one stream. Its window grows with use as ever; its streams do not.
    ///
    /// [`IrohP2P::request_early`]: crate::IrohP2P::request_early
    pub zero_rtt: bool,
    /// Who may connect. Defaults to everybody.
    pub access: AccessList,
    /// How much peers may have of this endpoint.
    pub limits: IrohLimits,
    /// Bytes that a peer may send on one connection before this side reads them, once the connection has shown that it
    /// uses them. Defaults to 16 MiB.
    ///
    /// A connection begins with a quarter, or less where many share
    /// [`IrohLimits::buffer_bytes_max`]; that doubles whenever half of it was sent and read within two round trips. One
    /// stream, and all messages together, get an eighth of the whole, and half at most of what the connection begins with,
    /// so that a stalled stream leaves room for the rest. An eighth carries 168 Mbit/s at a round trip of 100 ms, and in
    /// proportion. What this side sends before any is acknowledged has the bound that the connection begins with.
    pub receive_window_bytes: u32,
    /// Streams that a peer may have open at once on one connection. Defaults to 100, the default of
    /// [`ConnectionConfig::streams_max`](p2p::ConnectionConfig::streams_max), which may ask for less but not get more.
    pub streams_max: u32,
}

impl Default for IrohConfig {
    fn default() -> Self {
        Self {
            identity: None,
            bind: any_interface(0),
            relays: Vec::new(),
            trust: TrustRoots::default(),
            bootstrap: Vec::new(),
            lan_discovery: false,
            pkarr: None,
            dns: None,
            name_servers: Vec::new(),
            #[cfg(feature = "port-mapping")]
            port_mapping: false,
            relay_only: false,
            external_addrs: Vec::new(),
            congestion: Congestion::default(),
            key_exchange: KeyExchange::default(),
            #[cfg(feature = "qlog")]
            qlog_dir: None,
            zero_rtt: false,
            access: AccessList::default(),
            limits: IrohLimits::default(),
            receive_window_bytes: 16 * 1024 * 1024,
            streams_max: 100,
        }
    }
}

impl IrohConfig {
    /// Sets who this endpoint is.
    #[must_use]
    pub fn with_identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Binds all interfaces with that UDP port; 0 is any free one.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.bind = any_interface(port);
        self
    }

    /// Sets the UDP addresses to bind, at most one of each family.
    #[must_use]
    pub fn with_bind(mut self, addrs: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.bind = addrs.into_iter().collect();
        self
    }

    /// Sets the relays.
    #[must_use]
    pub fn with_relays(mut self, relays: impl IntoIterator<Item = RelayServer>) -> Self {
        self.relays = relays.into_iter().collect();
        self
    }

    /// Sets who may vouch for relays.
    #[must_use]
    pub fn with_trust(mut self, trust: TrustRoots) -> Self {
        self.trust = trust;
        self
    }

    /// Sets where some peers are.
    #[must_use]
    pub fn with_bootstrap(mut self, peers: impl IntoIterator<Item = PeerAddr>) -> Self {
        self.bootstrap = peers.into_iter().collect();
        self
    }

    /// Sets whether to find peers on the local network, and be found there.
    #[must_use]
    pub const fn with_lan_discovery(mut self, on: bool) -> Self {
        self.lan_discovery = on;
        self
    }

    /// Sets where peers are looked up, and where this one tells how it is reached.
    #[must_use]
    pub fn with_pkarr(mut self, server: PkarrServer) -> Self {
        self.pkarr = Some(server);
        self
    }

    /// Sets the domain under which peers are looked up by DNS.
    #[must_use]
    pub fn with_dns(mut self, origin: DnsOrigin) -> Self {
        self.dns = Some(origin);
        self
    }

    /// Sets the name servers to ask instead of the system's.
    #[must_use]
    pub fn with_name_servers(mut self, servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.name_servers = servers.into_iter().collect();
        self
    }

    /// Sets whether peers may ask in their first packet, and this side may.
    #[must_use]
    pub const fn with_zero_rtt(mut self, on: bool) -> Self {
        self.zero_rtt = on;
        self
    }

    /// Sets how the pace of sending is found.
    #[must_use]
    pub const fn with_congestion(mut self, congestion: Congestion) -> Self {
        self.congestion = congestion;
        self
    }

    /// Sets how keys are agreed on.
    #[must_use]
    pub const fn with_key_exchange(mut self, key_exchange: KeyExchange) -> Self {
        self.key_exchange = key_exchange;
        self
    }

    /// Sets the directory in which every connection leaves a qlog.
    #[cfg(feature = "qlog")]
    #[must_use]
    pub fn with_qlog_dir(mut self, directory: impl Into<std::path::PathBuf>) -> Self {
        self.qlog_dir = Some(directory.into());
        self
    }

    /// Sets whether to ask the router for a port.
    #[cfg(feature = "port-mapping")]
    #[must_use]
    pub const fn with_port_mapping(mut self, on: bool) -> Self {
        self.port_mapping = on;
        self
    }

    /// Sets whether to reach peers through relays alone.
    #[must_use]
    pub const fn with_relay_only(mut self, on: bool) -> Self {
        self.relay_only = on;
        self
    }

    /// Adds an address at which peers reach this endpoint.
    #[must_use]
    pub fn with_external_addr(mut self, addr: SocketAddr) -> Self {
        self.external_addrs.push(addr);
        self
    }

    /// Sets who may connect.
    #[must_use]
    pub fn with_access(mut self, access: AccessList) -> Self {
        self.access = access;
        self
    }

    /// Sets how much peers may have of this endpoint.
    #[must_use]
    pub fn with_limits(mut self, limits: IrohLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the bytes that a peer may send on one connection before this side reads them.
    #[must_use]
    pub const fn with_receive_window_bytes(mut self, bytes: u32) -> Self {
        self.receive_window_bytes = bytes;
        self
    }

    /// Sets how many streams a peer may have open at once on one connection.
    #[must_use]
    pub const fn with_streams_max(mut self, streams: u32) -> Self {
        self.streams_max = streams;
        self
    }

    /// Whether the settings can be used. [`IrohP2P::bind`](crate::IrohP2P::bind) asks.
    ///
    /// # Errors
    /// [`P2PError::InvalidInput`] names the setting and what was expected.
    pub fn validate(&self) -> Result<()> {
        let families = [SocketAddr::is_ipv4, SocketAddr::is_ipv6];
        let doubled = |family: &fn(&SocketAddr) -> bool| self.bind.iter().filter(|addr| family(addr)).count() > 1;
        if families.iter().any(doubled) {
            return Err(P2PError::invalid_input(
                format_args!("bind = {:?}", self.bind),
                "at most one IPv4 and one IPv6 address",
            ));
        }
        if self.bind.is_empty() && !self.relay_only {
            return Err(P2PError::invalid_input("bind = []", "an address, or relay_only"));
        }
        if self.relay_only && self.relays.is_empty() {
            return Err(P2PError::invalid_input("relays = [] with relay_only", "at least one relay"));
        }
        if self.trust.is_empty() && !self.relays.is_empty() {
            return Err(P2PError::invalid_input(
                "trust = none",
                "the authorities that vouch for the relays' certificates",
            ));
        }
        if self.receive_window_bytes < RECEIVE_WINDOW_BYTES_MIN {
            return Err(P2PError::invalid_input(
                format_args!("receive_window_bytes = {}", self.receive_window_bytes),
                format_args!("at least {RECEIVE_WINDOW_BYTES_MIN}"),
            ));
        }
        self.key_exchange.require_built_in()?;
        if self.relay_only {
            self.validate_relay_only()?;
        }
        self.limits.validate(self.receive_window_bytes)
    }

    /// What would tell others the address that a relay-only endpoint keeps to itself.
    fn validate_relay_only(&self) -> Result<()> {
        let tells = [
            ("external_addrs", !self.external_addrs.is_empty()),
            ("lan_discovery", self.lan_discovery),
            #[cfg(feature = "port-mapping")]
            ("port_mapping", self.port_mapping),
        ];
        match tells.into_iter().find(|(_, is_set)| *is_set) {
            Some((name, _)) => Err(P2PError::invalid_input(
                format_args!("{name} with relay_only"),
                "one or the other: a relay-only endpoint tells nobody its address",
            )),
            None => Ok(()),
        }
    }
}

fn any_interface(port: u16) -> Vec<SocketAddr> {
    vec![(Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_cannot_be_used_is_named() {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let relay = RelayServer::new("relay.example").unwrap();
        let default = IrohConfig::default;
        let only_relays = || default().with_relays([relay.clone()]).with_relay_only(true);
        default().validate().unwrap();
        for (config, name) in [
            (default().with_bind([addr, addr]), "bind"),
            (default().with_bind([]), "bind"),
            (default().with_relay_only(true), "relays"),
            (default().with_relays([relay.clone()]).with_trust(TrustRoots::none()), "trust"),
            (default().with_receive_window_bytes(0), "receive_window_bytes"),
            (default().with_limits(IrohLimits::default().with_connections_max(0)), "connections_max"),
            (default().with_limits(IrohLimits::default().with_connections_max(4096)), "buffer_bytes_max"),
            (default().with_limits(IrohLimits::default().with_buffer_bytes_max(1)), "buffer_bytes_max"),
            (only_relays().with_external_addr(addr), "external_addrs"),
            (only_relays().with_lan_discovery(true), "lan_discovery"),
            #[cfg(feature = "port-mapping")]
            (only_relays().with_port_mapping(true), "port_mapping"),
        ] {
            let error = config.validate().unwrap_err().to_string();
            assert!(error.starts_with(name), "{error}");
        }
    }
}
