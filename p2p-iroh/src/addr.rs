//! Names of peers and places, translated between the contract's and iroh's.

use iroh::{EndpointAddr, EndpointId, RelayUrl, TransportAddr};
use p2p::{Path, PeerAddr, PeerId};
use tracing::debug;

/// A peer's address with all hints that iroh understands; `None` if its identity is no ed25519 key.
pub(crate) fn to_iroh(addr: &PeerAddr) -> Option<EndpointAddr> {
    let id = EndpointId::from_bytes(addr.peer.as_bytes()).ok()?;
    let relays = addr.relays.iter().filter_map(|url| match url.parse() {
        Ok(url) => Some(TransportAddr::Relay(url)),
        Err(_) => {
            debug!(peer = ?addr.peer, %url, "A hint is no relay's URL and is not used.");
            None
        }
    });
    let direct = addr.direct.iter().copied().map(TransportAddr::Ip);
    Some(EndpointAddr::from_parts(id, relays.chain(direct)))
}

/// The contract's form of an address.
pub(crate) fn from_iroh(addr: &EndpointAddr) -> PeerAddr {
    PeerAddr {
        peer: peer_id(addr.id),
        relays: addr.relay_urls().map(relay_text).collect(),
        direct: addr.ip_addrs().copied().collect(),
    }
}

/// The contract's form of an identity.
pub(crate) fn peer_id(id: EndpointId) -> PeerId {
    PeerId::from_bytes(*id.as_bytes())
}

/// A relay's URL as people write it: iroh's has a slash at its end.
pub(crate) fn relay_text(url: &RelayUrl) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

/// The way to the other end.
pub(crate) fn path(remote: &TransportAddr) -> Path {
    match remote {
        TransportAddr::Relay(url) => Path::Relayed { relay: relay_text(url).into() },
        TransportAddr::Ip(addr) => Path::Direct { remote: addr.to_string().into() },
        other => Path::Direct { remote: format!("{other:?}").into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Identity;

    #[test]
    fn an_address_survives_the_way_to_iroh_and_back() {
        let addr = PeerAddr::new(Identity::from_bytes([7; 32]).peer_id())
            .with_relay("https://relay.example")
            .with_relay("https://relay.example:8443")
            .with_direct("192.0.2.1:8800".parse().unwrap())
            .with_direct("[2001:db8::1]:8800".parse().unwrap());
        assert_eq!(from_iroh(&to_iroh(&addr).unwrap()), addr);
    }

    #[test]
    fn a_hint_that_is_no_url_spoils_no_other() {
        let addr = PeerAddr::new(Identity::from_bytes([7; 32]).peer_id())
            .with_relay("no url")
            .with_relay("https://relay.example");
        assert_eq!(to_iroh(&addr).unwrap().relay_urls().count(), 1);
    }
}
