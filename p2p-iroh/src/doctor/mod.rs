//! What an endpoint's network is like, and what to do about it.
//!
//! [`examine`] asks the endpoint, its relays and the machine, and returns a [`Report`]: a struct, JSON by
//! [`Report::to_json`], text by its `Display`. `machine` reads what the operating system says, `clock` compares the time with
//! the relays', `text` is the text.

mod clock;
mod machine;
mod text;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use iroh::{
    Endpoint, Watcher,
    endpoint::RelayStatus,
    unstable_net_report::{NetReport, Probe},
};
use p2p::{P2PProvider, PeerId, Runtime, RuntimeExt, chain};
use serde::Serialize;

use crate::{IrohP2P, RelayServer};

pub use self::{
    clock::Clock,
    machine::{Buffers, Descriptors},
};

/// What was found out.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Whose it is.
    pub peer: PeerId,
    /// The UDP sockets; none for an endpoint that is relay only.
    pub sockets: Vec<SocketAddr>,
    /// Where peers are told to reach this endpoint directly.
    pub addresses: Vec<SocketAddr>,
    /// What lies between this machine and the internet.
    pub nat: Nat,
    /// Over IPv4.
    pub ipv4: Family,
    /// Over IPv6.
    pub ipv6: Family,
    /// Whether somebody between answers web requests in the name of others, as hotels do; nothing if that was not found out.
    pub captive_portal: Option<bool>,
    /// The relays, in the order of the configuration.
    pub relays: Vec<Relay>,
    /// Whether the router was asked for a port, and gave one.
    pub port_mapping: PortMapping,
    /// The kernel's bounds on UDP buffers; nothing where they are not known.
    pub buffers: Option<Buffers>,
    /// This machine's time beside that of a relay; nothing if no relay told one.
    pub clock: Option<Clock>,
    /// Files that the process may have open; nothing where that is not known.
    pub descriptors: Option<Descriptors>,
    /// What is wrong or could be better, each with what to do. The first is the worst.
    pub advice: Vec<String>,
}

/// How a router translates addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Nat {
    /// Not at all: the address that relays see is one of this machine's.
    None,
    /// One public address and port for all destinations: holes can be punched.
    EndpointIndependent,
    /// Another one for each destination, "symmetric": holes can be punched towards peers without a NAT, or with an open one.
    EndpointDependent,
    /// There is one, and it takes two relays that tell addresses to know which kind.
    Some,
    /// No relay told this endpoint its address.
    Unknown,
}

/// What can be reached over one version of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Family {
    /// Whether a relay answered by UDP.
    pub udp: bool,
    /// This endpoint's address as the relay saw it.
    pub public: Option<SocketAddr>,
}

/// What is known of a relay.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Relay {
    /// Its URL.
    pub url: String,
    /// Whether it is the home relay, through which this endpoint is reached.
    pub is_home: bool,
    /// A round trip to it in milliseconds, by the fastest way; nothing if it does not answer.
    pub latency_ms: Option<f64>,
    /// The ways it answers: `https`, `udp_v4`, `udp_v6`.
    pub answers: Vec<&'static str>,
    /// What is wrong with it.
    pub problem: Option<String>,
}

/// How it is with port mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PortMapping {
    /// It was not asked for.
    Off,
    /// The router gave a port.
    Mapped,
    /// No router gave one, by UPnP, PCP or NAT-PMP.
    Refused,
}

/// Asks around for at most `within`, and says what there is to say. Sends nothing but what the endpoint sends anyway, and a
/// web request to each relay for the time.
///
/// ```
/// # #[tokio::main] async fn main() -> p2p::Result<()> {
/// use p2p_iroh::{IrohConfig, IrohP2P, doctor};
/// use std::time::Duration;
///
/// let provider = IrohP2P::bind(IrohConfig::default()).await?;
/// let report = doctor::examine(&provider, Duration::from_secs(5)).await?;
/// println!("{report}");
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`P2PError::ShutDown`](p2p::P2PError::ShutDown).
pub async fn examine(provider: &IrohP2P, within: Duration) -> p2p::Result<Report> {
    let endpoint = provider.endpoint()?;
    let relays = provider.relays();
    let runtime = provider.runtime();
    let probing =
        async { if relays.is_empty() { NetReport::default() } else { endpoint.net_report().initialized().await } };
    let (net, home, clock) = tokio::join!(
        runtime.timeout(within, probing),
        runtime.timeout(within, home_relay(&endpoint, relays, &**runtime)),
        runtime.timeout(within, clock::compare(&endpoint, relays, &**runtime)),
    );
    let net = net.unwrap_or_default();
    let home = home.unwrap_or_else(|_| endpoint.home_relay_status().get());
    let (clock, clock_problems) = clock.unwrap_or_default();
    let report = Report {
        peer: provider.local_peer_id(),
        sockets: endpoint.bound_sockets(),
        addresses: endpoint.addr().ip_addrs().copied().collect(),
        nat: nat(&net),
        ipv4: Family { udp: net.udp_v4, public: net.global_v4.map(SocketAddr::V4) },
        ipv6: Family { udp: net.udp_v6, public: net.global_v6.map(SocketAddr::V6) },
        captive_portal: net.captive_portal,
        relays: relays_of(relays, &net, &home, &clock_problems),
        port_mapping: port_mapping(provider, &endpoint),
        buffers: Buffers::read(),
        clock,
        descriptors: Descriptors::read(),
        advice: Vec::new(),
    };
    Ok(Report { advice: text::advice(&report), ..report })
}

impl Report {
    /// The report as JSON, on several lines.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report has string keys alone")
    }
}

/// Waits for a relay's word: that it refuses, or nothing else for a while after it is connected, since it refuses whom it has
/// let in already. Between two tries iroh does not know why the last one failed.
async fn home_relay(endpoint: &Endpoint, relays: &[RelayServer], runtime: &dyn Runtime) -> Vec<RelayStatus> {
    let mut watcher = endpoint.home_relay_status();
    loop {
        let now = watcher.get();
        if relays.is_empty() || now.iter().any(|status| status.auth_denied_reason().is_some()) {
            return now;
        }
        let is_connected = now.iter().any(RelayStatus::is_connected);
        let patience = if is_connected { SETTLED } else { Duration::MAX };
        match runtime.timeout(patience, watcher.updated()).await {
            Ok(Ok(_)) => {}
            _ => return now,
        }
    }
}

/// How long a relay has to stay connected to count.
const SETTLED: Duration = Duration::from_millis(500);

fn nat(net: &NetReport) -> Nat {
    let public = net.global_v4.map(|addr| IpAddr::V4(*addr.ip())).or(net.global_v6.map(|addr| IpAddr::V6(*addr.ip())));
    // Only this machine's own addresses can be bound.
    let is_ours = |ip: IpAddr| UdpSocket::bind((ip, 0)).is_ok();
    match (public, net.mapping_varies_by_dest()) {
        (None, _) => Nat::Unknown,
        (Some(ip), _) if is_ours(ip) => Nat::None,
        (_, Some(true)) => Nat::EndpointDependent,
        (_, Some(false)) => Nat::EndpointIndependent,
        (_, None) => Nat::Some,
    }
}

fn relays_of(
    relays: &[RelayServer],
    net: &NetReport,
    home: &[RelayStatus],
    clock_problems: &BTreeMap<String, String>,
) -> Vec<Relay> {
    let relay = |relay: &RelayServer| {
        let url = relay.url();
        let answers: Vec<_> = net.relay_latency.iter().filter(|(_, other, _)| *other == relay.iroh_url()).collect();
        let fastest = answers.iter().map(|(.., latency)| *latency).min();
        let status = home.iter().find(|status| status.url() == relay.iroh_url());
        let refused =
            status.and_then(RelayStatus::auth_denied_reason).map(|why| format!("it refused the token: {why}"));
        let failed = || status.filter(|status| !status.is_connected())?.last_error().map(|error| chain(error));
        let silent =
            || fastest.is_none().then(|| clock_problems.get(&url).cloned().unwrap_or("it does not answer".into()));
        Relay {
            is_home: status.is_some_and(RelayStatus::is_connected),
            latency_ms: fastest.map(crate::transport::millis),
            answers: answers.iter().map(|(probe, ..)| probe_name(*probe)).collect(),
            problem: refused.or_else(failed).or_else(silent),
            url,
        }
    };
    relays.iter().map(relay).collect()
}

const fn probe_name(probe: Probe) -> &'static str {
    match probe {
        Probe::QadIpv4 => "udp_v4",
        Probe::QadIpv6 => "udp_v6",
        _ => "https",
    }
}

fn port_mapping(provider: &IrohP2P, endpoint: &Endpoint) -> PortMapping {
    match (provider.maps_ports(), endpoint.metrics().net_report.portmap_external_address_updated.get()) {
        (false, _) => PortMapping::Off,
        (true, 0) => PortMapping::Refused,
        (true, _) => PortMapping::Mapped,
    }
}
