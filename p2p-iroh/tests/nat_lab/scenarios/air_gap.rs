//! Machines that may talk to nobody they were not told of. All that they send beyond arrives in a sink.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use iroh::{Endpoint, endpoint::presets};
use p2p::{ConnectionConfig, P2PError, P2PProvider, P2PProviderExt, PeerId};
use p2p_iroh::{Identity, IrohConfig, IrohP2P, RelayServer, TrustRoots};
use tokio::time::sleep;

use crate::{
    expectation::NatKind::Moderate, figures::Figures, peer, relay::DISCOVERY_PORT, runner::Scenario, sink::Sink,
    topology::Topology,
};

/// How long an endpoint is watched that must be silent. One that is not turns to somebody within milliseconds, as the first
/// scenario here measures.
const WATCHED_FOR: Duration = Duration::from_secs(5);
/// How long one may take that must not be.
const TALKS_MAX: Duration = Duration::from_secs(15);
/// How long a dial may take that finds nobody.
const DIAL_MAX: Duration = Duration::from_secs(2);

pub(super) fn all() -> Vec<Scenario> {
    vec![
        Scenario::new("air_gap::the_presets_of_irohs_authors_turn_to_their_servers", n0),
        Scenario::new("air_gap::the_default_turns_to_nobody", default_is_silent),
        Scenario::new("air_gap::with_a_relay_it_turns_to_that_relay_alone", relay_alone),
    ]
}

// Without this one the others would prove nothing: it shows that the sink sees what an endpoint sends.
async fn n0() -> Result<Figures> {
    let topology = Topology::new(Moderate, Moderate).await?;
    let sink = Sink::install(&topology.dialler.router, None)?;
    let start = Instant::now();
    let endpoint = peer::on(&topology.dialler.device, async { Ok(Endpoint::bind(presets::N0).await?) }).await?;
    while sink.seen()? == 0 {
        if start.elapsed() > TALKS_MAX {
            bail!("nothing was seen in {TALKS_MAX:?}");
        }
        sleep(Duration::from_millis(20)).await;
    }
    let talked = start.elapsed();
    drop(endpoint);
    Ok(Figures::default().with("first packet", talked))
}

async fn default_is_silent() -> Result<Figures> {
    let topology = Topology::new(Moderate, Moderate).await?;
    let sink = Sink::install(&topology.dialler.router, None)?;
    watch(&topology, IrohConfig::default(), &sink).await
}

async fn relay_alone() -> Result<Figures> {
    let topology = Topology::new(Moderate, Moderate).await?;
    let access = topology.relay.access();
    let host = access.url.host_str().context("the relay's URL has a host")?;
    let sink = Sink::install(&topology.dialler.router, Some(host.parse::<IpAddr>()?))?;
    let server = RelayServer::new(access.url.as_str())?.with_token(&access.token).with_quic_port(Some(DISCOVERY_PORT));
    let config = IrohConfig::default().with_relays([server]).with_trust(TrustRoots::none().with_der(&access.root)?);
    watch(&topology, config, &sink).await
}

/// Runs an endpoint that listens, and looks for a peer it knows nothing of.
async fn watch(topology: &Topology, config: IrohConfig, sink: &Sink) -> Result<Figures> {
    let has_relays = !config.relays.is_empty();
    let provider = peer::on(&topology.dialler.device, async move {
        let provider = IrohP2P::bind(config).await?;
        let listener = provider.listen(&"air-gap/1".parse()?).await?;
        let nobody: PeerId = Identity::generate().peer_id();
        let dial = ConnectionConfig::new("air-gap/1".parse()?).with_handshake_timeout(DIAL_MAX);
        let error = provider.connect_with(nobody.into(), dial).await.err().context("there is nobody")?;
        ensure!(matches!(error, P2PError::PeerNotFound { .. } | P2PError::Timeout { .. }), "{error:?}");
        ensure!(!has_relays || provider.status().get().is_ready(), "{:?}", provider.status().get());
        Ok((provider, listener))
    })
    .await?;
    sleep(WATCHED_FOR).await;
    let seen = sink.seen()?;
    ensure!(seen == 0, "{seen} packets went to somebody it was not told of");
    drop(provider);
    Ok(Figures::default().with("silent for", WATCHED_FOR))
}
