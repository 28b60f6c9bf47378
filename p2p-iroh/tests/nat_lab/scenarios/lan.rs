//! Peers in one home, who need nobody else.

use std::time::Instant;

use anyhow::Result;
use p2p::{Path, PeerAddr};

use crate::{
    expectation::{NatKind::Moderate, PathKind},
    figures::Figures,
    pair::{DIRECT_MAX, FIRST_BYTE_MAX, ONLINE_MAX, Pair},
    peer::Peer,
    runner::Scenario,
    topology::{Plan, Topology},
};

pub(super) fn all() -> Vec<Scenario> {
    vec![
        Scenario::new("lan::without_a_relay_peers_find_each_other_by_mdns", found),
        Scenario::new("lan::with_a_relay_becomes_direct", direct),
    ]
}

/// The dialling peer knows the other's identity and nothing else.
async fn found() -> Result<Figures> {
    let topology = Topology::build(Plan::new(Moderate, Moderate).together()).await?;
    let acceptor = Peer::online(&topology.acceptor.device, &[], ONLINE_MAX).await?;
    let dialler = Peer::online(&topology.dialler.device, &[], ONLINE_MAX).await?;
    let start = Instant::now();
    let (connection, _accepted) = dialler.dial_at(&acceptor, PeerAddr::from(acceptor.peer_id())).await?;
    let found = start.elapsed();
    let first_byte = connection.echo(FIRST_BYTE_MAX).await?;
    connection.wait_for_path(Path::is_direct, DIRECT_MAX).await?;
    Ok(Figures::over(PathKind::Direct).with("found", found).with("first byte", first_byte))
}

async fn direct() -> Result<Figures> {
    let topology = Topology::build(Plan::new(Moderate, Moderate).together()).await?;
    Pair::connect_in(topology).await?.becomes_direct().await
}
