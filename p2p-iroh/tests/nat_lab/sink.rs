//! A router that lets nothing through and counts who tried.

use std::net::IpAddr;

use anyhow::{Context, Result};
use patchbay::Router;

use crate::shell;

/// Packets towards anywhere, counted where they leave the device, before the router would do anything with them.
pub(crate) struct Sink(Router);

impl Sink {
    /// Makes the router the end of everything that is sent by UDP or TCP, except from and to `allowed`. Neighbour discovery
    /// and the like, which the kernel does by itself, pass.
    pub(crate) fn install(router: &Router, allowed: Option<IpAddr>) -> Result<Self> {
        let family = if allowed.is_some_and(|ip| ip.is_ipv6()) { "ip6" } else { "ip" };
        let pass =
            allowed.map(|ip| format!("{family} daddr {ip} accept\n{family} saddr {ip} accept")).unwrap_or_default();
        let rules = format!(
            "table inet sink {{
                counter seen {{ }}
                chain prerouting {{
                    type filter hook prerouting priority raw; policy accept;
                    meta l4proto != {{ tcp, udp }} accept
                    {pass}
                    counter name seen drop
                }}
            }}"
        );
        shell::run(router, "nft", &["-f", "-"], &rules)?;
        Ok(Self(router.clone()))
    }

    /// How many packets came.
    pub(crate) fn seen(&self) -> Result<u64> {
        let list = shell::run(&self.0, "nft", &["list", "counter", "inet", "sink", "seen"], "")?;
        let mut words = list.split_whitespace();
        words
            .find(|word| *word == "packets")
            .and_then(|_| words.next()?.parse().ok())
            .with_context(|| format!("no packet count in `{list}`"))
    }
}
