//! Peers and relays that speak IPv4, IPv6 or both. IPv6 is not translated here, but routers let in only who was spoken to.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use p2p::Path;
use patchbay::IpSupport;

use crate::{
    expectation::NatKind::Moderate,
    figures::Figures,
    pair::Pair,
    peer::Peer,
    runner::Scenario,
    topology::{Home, Plan, Topology},
};

/// How long a peer may try to reach a relay that it cannot. One that it can admits it within a fraction of it.
const REFUSED_FOR: Duration = Duration::from_secs(3);

pub(super) fn all() -> Vec<Scenario> {
    vec![
        Scenario::new("family::ipv6_alone_becomes_direct", || direct(Plan::new(Home::IPV6, Home::IPV6), Some(6))),
        Scenario::new("family::dual_stack_becomes_direct", || direct(dual_stack(), None)),
        Scenario::new("family::dual_stack_with_an_ipv4_relay_becomes_direct", || {
            direct(dual_stack().with_relay(IpSupport::V4Only), None)
        }),
        Scenario::new("family::dual_stack_with_an_ipv6_relay_becomes_direct", || {
            direct(dual_stack().with_relay(IpSupport::V6Only), None)
        }),
        Scenario::new("family::ipv4_to_dual_stack_becomes_direct_over_ipv4", || {
            direct(Plan::new(Moderate, Home::DUAL_STACK), Some(4))
        }),
        Scenario::new("family::ipv6_to_dual_stack_becomes_direct_over_ipv6", || {
            direct(Plan::new(Home::IPV6, Home::DUAL_STACK), Some(6))
        }),
        Scenario::new("family::ipv4_to_ipv6_meets_at_a_dual_stack_relay", meets),
        Scenario::new("family::ipv4_with_an_ipv6_relay_says_that_it_cannot_reach_it", cannot_reach),
    ]
}

fn dual_stack() -> Plan {
    Plan::new(Home::DUAL_STACK, Home::DUAL_STACK)
}

/// Becomes direct, over this version of IP.
async fn direct(plan: Plan, version: Option<u8>) -> Result<Figures> {
    let pair = Pair::connect_in(Topology::build(plan).await?).await?;
    let figures = pair.becomes_direct().await?;
    for end in [&pair.connection, &pair.accepted] {
        let Some(Path::Direct { remote }) = end.path() else { continue };
        let is = if remote.parse::<SocketAddr>()?.is_ipv4() { 4 } else { 6 };
        ensure!(version.is_none_or(|version| is == version), "the path is to {remote}");
    }
    Ok(figures)
}

async fn meets() -> Result<Figures> {
    Pair::connect_in(Topology::build(Plan::new(Moderate, Home::IPV6)).await?).await?.stays_relayed().await
}

async fn cannot_reach() -> Result<Figures> {
    let plan = Plan::new(Moderate, Home::DUAL_STACK).with_relay(IpSupport::V6Only);
    let topology = Topology::build(plan).await?;
    let access = topology.access();
    let refused = Peer::online(&topology.dialler.device, &access, REFUSED_FOR).await;
    let error = format!("{:#}", refused.err().context("it reached the relay")?);
    ensure!(error.contains("unreachable"), "{error}");
    // It is the family, not the relay.
    Peer::online(&topology.acceptor.device, &access, crate::pair::ONLINE_MAX).await?;
    Ok(Figures::default())
}
