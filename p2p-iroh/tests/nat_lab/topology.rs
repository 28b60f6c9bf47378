//! The lab's map: a relay or two in public, and two peers, each behind a router of its own.
//!
//! ```text
//! relay -- datacenter --+-- home-dialler  -- dialler
//!                       |
//! standby -- another ---+-- home-acceptor -- acceptor
//!                       |
//!                       +-- elsewhere
//! ```
//!
//! All routers exist before the first packet. The exchange between them is a bridge, and a bridge takes the lowest
//! address of its ports: a router added later would now and then change it, and whoever has the old one in its
//! neighbour table would reach nobody for half a minute.

use anyhow::Result;
use patchbay::{Device, Lab, Nat, Router};

use crate::{
    expectation::NatKind,
    relay::{Relay, RelayAccess},
};

/// What to build.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    dialler: NatKind,
    acceptor: NatKind,
    standby: bool,
}

impl Plan {
    /// Two peers behind these NATs, and a relay.
    pub(crate) fn new(dialler: NatKind, acceptor: NatKind) -> Self {
        Self { dialler, acceptor, standby: false }
    }

    /// Adds a second relay.
    pub(crate) fn with_standby(mut self) -> Self {
        self.standby = true;
        self
    }
}

/// A peer's place: its device and the router it is behind.
pub(crate) struct Site {
    pub(crate) router: Router,
    pub(crate) device: Device,
}

/// A running lab. Dropping it ends whatever runs in it.
pub(crate) struct Topology {
    pub(crate) relay: Relay,
    pub(crate) standby: Option<Relay>,
    pub(crate) dialler: Site,
    pub(crate) acceptor: Site,
    /// A router with a moderate NAT that nobody is behind yet.
    pub(crate) elsewhere: Router,
    // Last, so that everything above goes while its namespaces still exist.
    _lab: Lab,
}

impl Topology {
    /// Builds a lab whose two peers are behind these NATs.
    pub(crate) async fn new(dialler: NatKind, acceptor: NatKind) -> Result<Self> {
        Self::build(Plan::new(dialler, acceptor)).await
    }

    /// Builds a lab.
    pub(crate) async fn build(plan: Plan) -> Result<Self> {
        // Without an output directory, so that it writes no files.
        let lab = Lab::builder().build().await?;
        let relay = Relay::start(&lab, ("datacenter", "relay")).await?;
        let standby = match plan.standby {
            true => Some(Relay::start(&lab, ("another", "standby")).await?),
            false => None,
        };
        Ok(Self {
            relay,
            standby,
            dialler: Site::new(&lab, "dialler", plan.dialler).await?,
            acceptor: Site::new(&lab, "acceptor", plan.acceptor).await?,
            elsewhere: add_router(&lab, "elsewhere", NatKind::Moderate).await?,
            _lab: lab,
        })
    }

    /// What a peer needs to use the relays.
    pub(crate) fn access(&self) -> Vec<RelayAccess> {
        std::iter::once(&self.relay).chain(&self.standby).map(|relay| relay.access().clone()).collect()
    }

    /// The relay with that URL.
    pub(crate) fn relay_at(&mut self, url: &str) -> Option<&mut Relay> {
        std::iter::once(&mut self.relay).chain(&mut self.standby).find(|relay| relay.access().is_at(url))
    }
}

impl Site {
    async fn new(lab: &Lab, name: &str, nat: NatKind) -> Result<Self> {
        let router = add_router(lab, &format!("home-{name}"), nat).await?;
        let device = lab.add_device(name).uplink(router.id()).build().await?;
        Ok(Self { router, device })
    }
}

async fn add_router(lab: &Lab, name: &str, nat: NatKind) -> Result<Router> {
    let nat = match nat {
        NatKind::None => Nat::None,
        NatKind::Open => Nat::Open,
        NatKind::Moderate => Nat::Moderate,
        NatKind::Strict => Nat::Strict,
    };
    lab.add_router(name).nat(nat).build().await
}
