//! Peers behind two NATs in a row, their own and their provider's.

use anyhow::Result;

use crate::{
    expectation::NatKind::{Moderate, Strict},
    figures::Figures,
    pair::Pair,
    runner::Scenario,
    topology::{Home, Plan, Topology},
};

pub(super) fn all() -> Vec<Scenario> {
    vec![
        Scenario::new("carrier::moderate_cgnat_becomes_direct", moderate),
        Scenario::new("carrier::double_nat_on_both_sides_becomes_direct", both_sides),
        Scenario::new("carrier::strict_cgnat_stays_relayed", strict),
    ]
}

async fn moderate() -> Result<Figures> {
    connect(Plan::new(Home::behind_carrier(Moderate), Moderate)).await?.becomes_direct().await
}

async fn both_sides() -> Result<Figures> {
    connect(Plan::new(Home::behind_carrier(Moderate), Home::behind_carrier(Moderate))).await?.becomes_direct().await
}

/// The home's own NAT would let the hole be punched; its provider's draws a port per peer.
async fn strict() -> Result<Figures> {
    connect(Plan::new(Home::behind_carrier(Strict), Moderate)).await?.stays_relayed().await
}

async fn connect(plan: Plan) -> Result<Pair> {
    Pair::connect_in(Topology::build(plan).await?).await
}
