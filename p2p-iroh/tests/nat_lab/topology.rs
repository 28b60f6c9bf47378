//! The lab's map: a relay or two in public, and two peers, each behind a router of its own, which may be behind another.
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

use std::time::Duration;

use anyhow::Result;
use patchbay::{Device, Firewall, IpSupport, Lab, Nat, NodeId, Router};

use crate::{
    expectation::NatKind,
    relay::{Relay, RelayAccess},
};

/// What a peer is behind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Home {
    /// How its router translates IPv4. IPv6 is not translated, but lets in only who was spoken to before.
    nat: NatKind,
    ip: IpSupport,
    /// How the network that its router is in translates, if it does.
    carrier: Option<NatKind>,
}

impl Home {
    /// With IPv6 and no IPv4.
    pub(crate) const IPV6: Self = Self { nat: NatKind::None, ip: IpSupport::V6Only, carrier: None };
    /// With a moderate NAT for IPv4, and IPv6.
    pub(crate) const DUAL_STACK: Self = Self { nat: NatKind::Moderate, ip: IpSupport::DualStack, carrier: None };

    /// Behind a moderate NAT, which is behind its provider's.
    pub(crate) fn behind_carrier(carrier: NatKind) -> Self {
        Self { carrier: Some(carrier), ..NatKind::Moderate.into() }
    }

    /// Whether it has IPv6.
    pub(crate) fn has_ipv6(self) -> bool {
        self.ip.has_v6()
    }
}

impl From<NatKind> for Home {
    /// With IPv4 alone.
    fn from(nat: NatKind) -> Self {
        Self { nat, ip: IpSupport::V4Only, carrier: None }
    }
}

/// What to build.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    dialler: Home,
    acceptor: Home,
    /// What the relays speak.
    relay: IpSupport,
    standby: bool,
    together: bool,
    elsewhere: NatKind,
    /// From a peer to a relay.
    one_way: Duration,
}

impl Plan {
    /// Two peers in such homes, and a relay that speaks what both do.
    pub(crate) fn new(dialler: impl Into<Home>, acceptor: impl Into<Home>) -> Self {
        let (dialler, acceptor) = (dialler.into(), acceptor.into());
        let relay = if dialler.ip == acceptor.ip { dialler.ip } else { IpSupport::DualStack };
        Self {
            dialler,
            acceptor,
            relay,
            standby: false,
            together: false,
            elsewhere: NatKind::Moderate,
            one_way: Duration::ZERO,
        }
    }

    /// Adds a second relay.
    pub(crate) fn with_standby(mut self) -> Self {
        self.standby = true;
        self
    }

    /// Lets the relays speak that instead.
    pub(crate) fn with_relay(mut self, ip: IpSupport) -> Self {
        self.relay = ip;
        self
    }

    /// Puts the relays far away: two peers that meet there have four times that as round trip.
    pub(crate) fn with_far_relays(mut self, one_way: Duration) -> Self {
        self.one_way = one_way;
        self
    }

    /// Lets the router that nobody is behind yet translate so.
    pub(crate) fn with_elsewhere(mut self, nat: NatKind) -> Self {
        self.elsewhere = nat;
        self
    }

    /// Puts the acceptor into the dialler's home.
    pub(crate) fn together(mut self) -> Self {
        self.together = true;
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
    /// A router that nobody is behind yet.
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
        let relay = Relay::start(&lab, ("datacenter", "relay"), plan.relay, plan.one_way).await?;
        let standby = match plan.standby {
            true => Some(Relay::start(&lab, ("another", "standby"), plan.relay, plan.one_way).await?),
            false => None,
        };
        let dialler = Site::new(&lab, "dialler", plan.dialler).await?;
        let acceptor = match plan.together {
            true => Site::at(&lab, "acceptor", dialler.router.clone()).await?,
            false => Site::new(&lab, "acceptor", plan.acceptor).await?,
        };
        let elsewhere = Home { nat: plan.elsewhere, ip: plan.dialler.ip, carrier: None };
        let elsewhere = add_router(&lab, "elsewhere", elsewhere, None).await?;
        Ok(Self { relay, standby, dialler, acceptor, elsewhere, _lab: lab })
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
    async fn new(lab: &Lab, name: &str, home: Home) -> Result<Self> {
        let upstream = match home.carrier {
            Some(nat) => Some(add_router(lab, &format!("carrier-{name}"), nat.into(), None).await?.id()),
            None => None,
        };
        let router = add_router(lab, &format!("home-{name}"), home, upstream).await?;
        Self::at(lab, name, router).await
    }

    /// A device at a router that there is.
    async fn at(lab: &Lab, name: &str, router: Router) -> Result<Self> {
        let device = lab.add_device(name).uplink(router.id()).build().await?;
        Ok(Self { router, device })
    }
}

async fn add_router(lab: &Lab, name: &str, home: Home, upstream: Option<NodeId>) -> Result<Router> {
    let mut router = lab.add_router(name).ip_support(home.ip);
    if home.ip.has_v4() {
        router = router.nat(match home.nat {
            NatKind::None => Nat::None,
            NatKind::Open => Nat::Open,
            NatKind::Moderate => Nat::Moderate,
            NatKind::Strict => Nat::Strict,
        });
    }
    if home.ip.has_v6() {
        router = router.firewall(Firewall::BlockInbound);
    }
    if let Some(upstream) = upstream {
        router = router.upstream(upstream);
    }
    router.build().await
}
