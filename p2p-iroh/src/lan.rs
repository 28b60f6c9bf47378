//! Finding peers on the local network, by mDNS.

use std::sync::Arc;

use futures_util::StreamExt;
use iroh::Endpoint;
use iroh_mdns_address_lookup::{DiscoveryEvent, MdnsAddressLookup};
use p2p::{Check, Runtime, TaskHandle, chain};

use crate::{addr, peers::Peers};

/// Announces the endpoint and looks for others; says how that went. A network without multicast is no reason not to
/// start.
pub(crate) fn start(
    endpoint: &Endpoint,
    peers: &Arc<Peers>,
    runtime: &Arc<dyn Runtime>,
) -> (Check, Option<TaskHandle>) {
    let check = |problem| Check { name: "lan discovery".into(), problem };
    let mdns = match MdnsAddressLookup::builder().service_name(SERVICE).build(endpoint.id()) {
        Ok(mdns) => mdns,
        Err(error) => return (check(Some(chain(&error))), None),
    };
    match endpoint.address_lookup() {
        Ok(lookup) => lookup.add(mdns.clone()),
        Err(error) => return (check(Some(chain(&error))), None),
    }
    let (peers, clock) = (peers.clone(), runtime.clone());
    let follow = async move {
        let mut events = mdns.subscribe().await;
        // iroh asks mDNS by itself when it dials. This is so that people can see who is there.
        while let Some(event) = events.next().await {
            if let DiscoveryEvent::Discovered { endpoint_info, .. } = event {
                peers.learn(addr::from_iroh(&endpoint_info.into_endpoint_addr()), clock.now());
            }
        }
    };
    (check(None), Some(runtime.spawn("iroh lan discovery", Box::pin(follow))))
}

/// The service in DNS-SD's sense (RFC 6763 §7). Not iroh's default, so that only peers of this protocol meet.
const SERVICE: &str = "p2p-iroh";
