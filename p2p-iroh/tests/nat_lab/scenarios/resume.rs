//! Sessions under `Reconnect`, with messages and a long stream under way: whatever happens to the network, nothing is lost
//! and nothing comes twice.

use std::{future::Future, time::Duration};

use anyhow::Result;
use p2p::Path;

use crate::{
    expectation::{
        NatKind::{Moderate, Strict},
        PathKind,
    },
    faults,
    figures::Figures,
    pair::{DIRECT_MAX, Pair, is_relayed},
    runner::Scenario,
    steady::Steady,
};

/// How long messages may take to flow: at first, and again once the network is well.
const FLOWS_MAX: Duration = Duration::from_secs(40);
/// How long everything may take to arrive once the network is well.
const ARRIVED_MAX: Duration = Duration::from_secs(60);
/// How long the relay is away.
const RELAY_AWAY: Duration = Duration::from_secs(2);
/// Less than a connection's idle timeout of 30 s, and more.
const LINK_AWAY_SHORT: Duration = Duration::from_secs(5);
const LINK_AWAY_LONG: Duration = Duration::from_secs(40);
/// Long enough for all paths to be given up, while the connection's idle timeout has not passed.
const LINK_AWAY_MIDDLE: Duration = Duration::from_secs(20);

pub(super) fn all() -> Vec<Scenario> {
    vec![
        Scenario::new("resume::nothing_lost_when_the_relay_is_killed_and_restarted", relay_killed),
        Scenario::new("resume::nothing_lost_when_the_uplink_is_switched", uplink_switched),
        Scenario::new("resume::nothing_lost_when_all_mappings_are_flushed", mappings_flushed),
        Scenario::new("resume::nothing_lost_when_the_transport_is_closed_by_force", transport_closed),
        Scenario::new("resume::nothing_lost_when_the_link_is_down_for_5_s", || link_down(LINK_AWAY_SHORT)),
        Scenario::new("resume::nothing_lost_when_the_link_is_down_for_20_s", || link_down(LINK_AWAY_MIDDLE)),
        Scenario::new("resume::nothing_lost_when_the_link_is_down_for_40_s", || link_down(LINK_AWAY_LONG)),
    ]
}

async fn relay_killed() -> Result<Figures> {
    let mut pair = Pair::resuming(Strict, Strict).await?;
    pair.connection.wait_for_path(is_relayed, DIRECT_MAX).await?;
    let mut traffic = Steady::start(&pair)?;
    traffic.flows(FLOWS_MAX).await?;
    pair.topology.relay.kill();
    tokio::time::sleep(RELAY_AWAY).await;
    pair.topology.relay.restart().await?;
    all_arrives(traffic, PathKind::Relayed).await
}

async fn uplink_switched() -> Result<Figures> {
    let pair = direct().await?;
    let (site, elsewhere) = (&pair.topology.dialler, &pair.topology.elsewhere);
    during(&pair, faults::switch_uplink(site, elsewhere)).await
}

async fn mappings_flushed() -> Result<Figures> {
    let pair = direct().await?;
    during(&pair, async {
        faults::flush_mappings(&pair.topology.dialler)?;
        faults::flush_mappings(&pair.topology.acceptor)
    })
    .await
}

/// First the dialling end's, then the accepting end's. Either end takes it for a failure of the network.
async fn transport_closed() -> Result<Figures> {
    let pair = direct().await?;
    let mut traffic = Steady::start(&pair)?;
    traffic.flows(FLOWS_MAX).await?;
    pair.dialler.close_transport()?;
    traffic.flows(FLOWS_MAX).await?;
    pair.acceptor.close_transport()?;
    all_arrives(traffic, PathKind::Direct).await
}

async fn link_down(away: Duration) -> Result<Figures> {
    let pair = direct().await?;
    let mut figures = during(&pair, async {
        faults::link_down(&pair.topology.acceptor).await?;
        tokio::time::sleep(away).await;
        faults::link_up(&pair.topology.acceptor).await
    })
    .await?;
    figures.add("of which the link was down", away);
    Ok(figures)
}

async fn direct() -> Result<Pair> {
    let pair = Pair::resuming(Moderate, Moderate).await?;
    pair.connection.wait_for_path(Path::is_direct, DIRECT_MAX).await?;
    Ok(pair)
}

/// Traffic, a fault in the middle of it, and everything there in the end.
async fn during(pair: &Pair, fault: impl Future<Output = Result<()>>) -> Result<Figures> {
    let mut traffic = Steady::start(pair)?;
    traffic.flows(FLOWS_MAX).await?;
    fault.await?;
    all_arrives(traffic, PathKind::Direct).await
}

async fn all_arrives(mut traffic: Steady, path: PathKind) -> Result<Figures> {
    traffic.flows(FLOWS_MAX).await?;
    let received = traffic.finish(ARRIVED_MAX).await?;
    Ok(Figures::over(path).with("gap", received.gap))
}
