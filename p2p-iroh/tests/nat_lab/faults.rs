//! What can go wrong on purpose. Killing and restarting the relay is in [`relay`](crate::relay).
//!
//! A fault made of packet filters is a [`Filter`], which counts what it dropped, so that a scenario can tell a
//! fault that did not matter from one that never bit.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use patchbay::Router;

use crate::{relay::Relay, shell, topology::Site};

/// A device's interface, and the one that it may get later.
const INTERFACE: &str = "eth0";
const SECOND_INTERFACE: &str = "eth1";
/// The table that a fault's rules live in, apart from those of the router's NAT.
const TABLE: &str = "inet fault";

/// Drops all UDP between a peer and everybody else, as some companies and hotels do.
pub(crate) fn block_udp(site: &Site) -> Result<Filter> {
    Filter::install(&site.router, &[], "meta l4proto udp")
}

/// Lets a peer have nothing but TCP to port 443, as a company's firewall does that knows only the web.
pub(crate) fn allow_https_alone(site: &Site) -> Result<Filter> {
    Filter::install(&site.router, &["tcp dport 443", "tcp sport 443"], "")
}

/// Drops this share of a peer's packets in either direction, each by its own draw.
pub(crate) fn lose_packets(site: &Site, percent: u8) -> Result<Filter> {
    Filter::install(&site.router, &[], &format!("numgen random mod 100 < {percent}"))
}

/// Drops everything to and from the relay, which tells nobody that it is gone.
pub(crate) fn silence_relay(relay: &Relay) -> Result<Filter> {
    Filter::install(relay.router(), &[], "")
}

/// Makes a router forget its translations, as one that was switched off and on.
///
/// # Errors
///
/// When there was nothing to forget.
pub(crate) fn flush_mappings(site: &Site) -> Result<()> {
    // Unlike a flush, a deletion fails when it finds nothing.
    shell::run(&site.router, "conntrack", &["-D"], "")?;
    // Endpoint-independent mappings are remembered in a map of their own, which only these kinds of NAT have.
    let maps = shell::run(&site.router, "nft", &["list", "maps"], "")?;
    if maps.contains("map fullcone") {
        shell::run(&site.router, "nft", &["flush map ip nat fullcone"], "")?;
    }
    Ok(())
}

/// Makes a router forget translations that were not used for so long, in whole seconds.
pub(crate) fn expire_mappings(site: &Site, unused: Duration) -> Result<()> {
    let seconds = unused.as_secs().to_string();
    site.router.run_sync(move || {
        for limit in ["udp_timeout", "udp_timeout_stream"] {
            let file = format!("/proc/sys/net/netfilter/nf_conntrack_{limit}");
            fs::write(&file, &seconds).with_context(|| file)?;
        }
        Ok(())
    })
}

/// Whether a router translates anything by UDP towards another now.
pub(crate) fn has_mapping(site: &Site, to: &Site) -> Result<bool> {
    let ip = to.router.uplink_ip().context("a router has an address")?.to_string();
    let listed = shell::run(&site.router, "conntrack", &["-L", "-p", "udp", "--orig-dst", &ip], "")?;
    Ok(!listed.trim().is_empty())
}

/// Moves a peer to another network: its interface goes away and comes back with another address.
pub(crate) async fn switch_uplink(site: &Site, to: &Router) -> Result<()> {
    interface(site)?.replug(to.id()).await
}

/// Gives a peer a second link, which it prefers from then on; the first stays.
pub(crate) async fn add_uplink(site: &Site, to: &Router) -> Result<()> {
    site.device.add_iface(SECOND_INTERFACE, to.id()).await?;
    site.device.set_default_route(SECOND_INTERFACE).await
}

/// Takes a peer's link down.
pub(crate) async fn link_down(site: &Site) -> Result<()> {
    interface(site)?.link_down().await
}

/// Brings a peer's link up again.
pub(crate) async fn link_up(site: &Site) -> Result<()> {
    interface(site)?.link_up().await
}

fn interface(site: &Site) -> Result<patchbay::Iface> {
    site.device.iface(INTERFACE).context("the device has its interface")
}

/// Packets that a router drops until the filter is lifted. At most one is on a router at a time.
#[must_use = "a fault that is never lifted lasts as long as the lab"]
pub(crate) struct Filter {
    router: Router,
}

impl Filter {
    /// Drops forwarded packets that match `drops`, but none that match one of `passes`.
    fn install(router: &Router, passes: &[&str], drops: &str) -> Result<Self> {
        let passes: String = passes.iter().map(|one| format!("{one} accept\n")).collect();
        // Ahead of the router's own filter, so that this one counts first.
        let rules = format!(
            "table {TABLE} {{
                counter dropped {{ }}
                chain forward {{
                    type filter hook forward priority -10; policy accept;
                    {passes}
                    {drops} counter name dropped drop
                }}
            }}"
        );
        shell::run(router, "nft", &["-f", "-"], &rules)?;
        Ok(Self { router: router.clone() })
    }

    /// How many packets it dropped so far.
    pub(crate) fn dropped(&self) -> Result<u64> {
        let list = ["list", "counter", "inet", "fault", "dropped"];
        let list = shell::run(&self.router, "nft", &list, "")?;
        let mut words = list.split_whitespace();
        words
            .find(|word| *word == "packets")
            .and_then(|_| words.next()?.parse().ok())
            .with_context(|| format!("no packet count in `{list}`"))
    }

    /// Lets packets through again, and returns how many were dropped.
    pub(crate) fn lift(self) -> Result<u64> {
        let dropped = self.dropped()?;
        shell::run(&self.router, "nft", &[&format!("delete table {TABLE}")], "")?;
        Ok(dropped)
    }
}
