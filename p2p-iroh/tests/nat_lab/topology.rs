//! The lab's map: one relay in public, and two peers, each behind a router of its own.
//!
//! ```text
//! relay -- datacenter --+-- home-dialler  -- dialler
//!                       |
//!                       +-- home-acceptor -- acceptor
//!                       |
//!                       +-- elsewhere
//! ```
//!
//! All routers exist before the first packet. The exchange between them is a bridge, and a bridge takes the lowest
//! address of its ports: a router added later would now and then change it, and whoever has the old one in its
//! neighbour table would reach nobody for half a minute.

use anyhow::Result;
use patchbay::{Device, Lab, Nat, Router};

use crate::{expectation::NatKind, relay::Relay};

/// A peer's place: its device and the router it is behind.
pub(crate) struct Site {
    pub(crate) router: Router,
    pub(crate) device: Device,
}

/// A running lab. Dropping it ends whatever runs in it.
pub(crate) struct Topology {
    pub(crate) relay: Relay,
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
        // Without an output directory, so that it writes no files.
        let lab = Lab::builder().build().await?;
        Ok(Self {
            relay: Relay::start(&lab).await?,
            dialler: Site::new(&lab, "dialler", dialler).await?,
            acceptor: Site::new(&lab, "acceptor", acceptor).await?,
            elsewhere: add_router(&lab, "elsewhere", NatKind::Moderate).await?,
            _lab: lab,
        })
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
