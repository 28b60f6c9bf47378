//! Settings into a bound iroh endpoint, and into the terms of its connections.

use std::{sync::Arc, time::Duration};

use iroh::{
    Endpoint, RelayMap, RelayMode,
    endpoint::{
        BindOpts, Builder, ConnectOptions, PortmapperConfig, QuicTransportConfig, ServerConfig, VarInt, presets,
    },
};
use p2p::{P2PError, Result, protocol::ALPN};

use crate::{
    Identity, IrohConfig, discovery,
    early::EARLY_ALPN,
    error::Error,
    failover,
    limits::{DATAGRAM_BYTES_MAX, Level},
};

/// Binds an endpoint that contacts nobody it was not told of.
pub(crate) async fn bind(config: &IrohConfig, identity: &Identity) -> Result<Endpoint> {
    // `Minimal` brings cryptography and nothing else: no lookup service, no relay.
    let least = Level::all(config.receive_window_bytes).last().expect("there is one");
    let builder = Endpoint::builder(presets::Minimal)
        .secret_key(identity.secret_key().clone())
        .alpns(alpns(config))
        .transport_config(transport_config(config, least))
        // With an empty map there is no home relay, but a peer's relay can be dialled.
        .relay_mode(RelayMode::Custom(config.relays.iter().map(|relay| relay.to_iroh()).collect::<RelayMap>()))
        .ca_tls_config(config.trust.to_iroh())
        // A session that is resumed may begin with no less than the one before (RFC 9000 §7.4.1), and here the next
        // connection to a peer may have to: its dial would end in a protocol violation. With 0-RTT all begin alike.
        .max_tls_tickets(if config.zero_rtt { TLS_TICKETS_MAX } else { 0 })
        .dns_resolver(discovery::resolver(config))
        .portmapper_config(port_mapping(config));
    let builder = config.pkarr.iter().fold(builder, |builder, server| server.apply(builder));
    let builder = config.dns.iter().fold(builder, |builder, origin| origin.apply(builder));
    let builder = match config.key_exchange.provider() {
        Some(provider) => builder.crypto_provider(provider),
        None => builder,
    };
    let builder = bind_addrs(builder, config)?;
    let builder = config.external_addrs.iter().fold(builder, |builder, addr| builder.external_addr(*addr));
    builder.bind().await.map_err(|error| {
        let addrs: Vec<_> = config.bind.iter().map(ToString::to_string).collect();
        Error::bind(addrs.join(" or "), error).into()
    })
}

/// What is spoken within TLS.
fn alpns(config: &IrohConfig) -> Vec<Vec<u8>> {
    let early = config.zero_rtt.then(|| EARLY_ALPN.to_vec());
    std::iter::once(ALPN.to_vec()).chain(early).collect()
}

fn bind_addrs(builder: Builder, config: &IrohConfig) -> Result<Builder> {
    let mut builder = builder.clear_ip_transports();
    if config.relay_only {
        return Ok(builder);
    }
    for addr in &config.bind {
        let optional = addr.is_ipv6() && addr.ip().is_unspecified();
        let options = BindOpts::default().set_is_required(!optional);
        builder = builder
            .bind_addr_with_opts(*addr, options)
            .map_err(|error| P2PError::invalid_input(format_args!("bind = {addr} ({error})"), "an address to bind"))?;
    }
    Ok(builder)
}

/// QUIC's settings for connections of each level. Made once, so that connections share them.
#[derive(Debug)]
pub(crate) struct Terms(Vec<(Level, QuicTransportConfig, Arc<ServerConfig>)>);

impl Terms {
    pub(crate) fn new(endpoint: &Endpoint, config: &IrohConfig) -> Arc<Self> {
        let terms = Level::all(config.receive_window_bytes).map(|level| {
            let transport = transport_config(config, level);
            let server = endpoint.create_server_config_builder(alpns(config));
            (level, transport.clone(), Arc::new(server.set_transport_config(transport).build()))
        });
        Arc::new(Self(terms.collect()))
    }

    /// Those for answering a peer.
    pub(crate) fn server(&self, level: Level) -> Arc<ServerConfig> {
        self.of(level).2.clone()
    }

    /// Those for dialling one.
    pub(crate) fn client(&self, level: Level) -> ConnectOptions {
        ConnectOptions::new().with_transport_config(self.of(level).1.clone())
    }

    fn of(&self, level: Level) -> &(Level, QuicTransportConfig, Arc<ServerConfig>) {
        self.0.iter().find(|(found, ..)| *found == level).expect("levels come from one place")
    }
}

fn transport_config(config: &IrohConfig, level: Level) -> QuicTransportConfig {
    let builder = QuicTransportConfig::builder()
        // Grows with use, see `window`.
        .receive_window(level.connection.into())
        .stream_receive_window(level.stream.into())
        .send_window(level.connection.into())
        .datagram_receive_buffer_size(Some(DATAGRAM_BYTES_MAX as usize))
        .max_concurrent_bidi_streams(VarInt::from_u32(config.streams_max.saturating_add(ENGINE_STREAMS)))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .default_path_keep_alive_interval(PATH_KEEP_ALIVE)
        .default_path_max_idle_timeout(PATH_IDLE)
        .congestion_controller_factory(failover::controllers(config));
    #[cfg(feature = "qlog")]
    let builder = match &config.qlog_dir {
        Some(directory) => builder.qlog_from_path(directory, "p2p"),
        None => builder,
    };
    builder.build()
}

fn port_mapping(_config: &IrohConfig) -> PortmapperConfig {
    #[cfg(feature = "port-mapping")]
    if _config.port_mapping {
        return PortmapperConfig::default();
    }
    PortmapperConfig::Disabled
}

/// How often a path is probed that nothing travels on.
const PATH_KEEP_ALIVE: Duration = Duration::from_secs(2);

/// How long a path may be silent before data goes another way; three lost probes. iroh's own 15 s is how long data stalls
/// on a direct path that died, even beside a relay that works: in the NAT lab 6.6 s become of 15 s when UDP is blocked,
/// 8.6 s of 20 s when a strict NAT forgets its mappings, and a link that is down for 5 s still keeps its path. With half of
/// this it does not.
const PATH_IDLE: Duration = Duration::from_millis(6500);

/// TLS sessions that are remembered for early requests, of all peers together. Each is some 2 KB.
const TLS_TICKETS_MAX: usize = 256;

/// Streams that the engine opens beside the application's: control and messages.
const ENGINE_STREAMS: u32 = 2;
