//! Peers that are known by identity alone, found by pkarr and DNS on a real `iroh-dns-server`, and peers that are configured.

mod common;

use std::time::Duration;

use common::{
    TestDns, TestRelay, bind, connect, exchange, impatient, in_time, listen, loopback, protocol, status_where,
};
use iroh::{
    EndpointAddr, EndpointId,
    dns::{DnsResolver, NameserverConfig},
};
use p2p::{ConnectionConfig, P2PError, P2PListener, P2PProvider, PeerId};
use p2p_iroh::{Identity, IrohP2P, Publish};

/// Dials by identity until what the peer publishes has arrived there.
async fn find(ours: &IrohP2P, peer: PeerId, listener: &dyn P2PListener) {
    let found = async {
        loop {
            let dial = ours.connect_with(peer.into(), ConnectionConfig::new(protocol()));
            match tokio::try_join!(dial, listener.accept()) {
                Ok((ours, theirs)) => return exchange(&*ours, &*theirs).await,
                Err(P2PError::PeerNotFound { .. }) => tokio::task::yield_now().await,
                Err(other) => panic!("{other:?}"),
            }
        }
    };
    in_time(found).await;
}

/// What the server says of a peer, once it says anything.
async fn published(dns: &TestDns, peer: PeerId) -> EndpointAddr {
    let server = NameserverConfig::udp(dns.name_server().ip()).with_port(dns.name_server().port());
    let id = EndpointId::from_bytes(peer.as_bytes()).unwrap();
    let told = async {
        loop {
            // A new one each time: it remembers that nothing was there.
            let resolver = DnsResolver::builder().disable_fallback().add_nameserver_config(server.clone()).build();
            if let Ok(info) = resolver.lookup_endpoint_by_id(&id, dns.origin().origin()).await {
                return info.to_endpoint_addr();
            }
        }
    };
    in_time(told).await
}

#[tokio::test]
async fn a_peer_is_found_by_its_identity_alone_by_pkarr() {
    let (dns, relay) = (TestDns::start().await, TestRelay::start().await);
    let bob = bind(relay.config().with_pkarr(dns.pkarr())).await;
    let listener = listen(&bob).await;
    let alice = bind(relay.config().with_pkarr(dns.pkarr().with_publish(Publish::Nothing))).await;
    find(&alice, bob.local_peer_id(), &*listener).await;
}

#[tokio::test]
async fn a_peer_is_found_by_its_identity_alone_by_dns() {
    let (dns, relay) = (TestDns::start().await, TestRelay::start().await);
    let bob = bind(relay.config().with_pkarr(dns.pkarr().with_resolve(false))).await;
    let listener = listen(&bob).await;
    let alice = bind(relay.config().with_dns(dns.origin()).with_name_servers([dns.name_server()])).await;
    find(&alice, bob.local_peer_id(), &*listener).await;
}

#[tokio::test]
async fn only_the_relay_is_published_unless_addresses_are_asked_for() {
    let (dns, relay) = (TestDns::start().await, TestRelay::start().await);
    let reserved = bind(relay.config().with_pkarr(dns.pkarr())).await;
    let told = published(&dns, reserved.local_peer_id()).await;
    assert_eq!((told.relay_urls().count(), told.ip_addrs().count()), (1, 0), "{told:?}");

    let open = bind(loopback().with_pkarr(dns.pkarr().with_publish(Publish::RelayAndAddresses))).await;
    let told = published(&dns, open.local_peer_id()).await;
    assert!(told.ip_addrs().count() > 0, "{told:?}");
}

#[tokio::test]
async fn who_publishes_nothing_is_not_found() {
    let (dns, relay) = (TestDns::start().await, TestRelay::start().await);
    let hidden = bind(relay.config().with_pkarr(dns.pkarr().with_publish(Publish::Nothing))).await;
    let _listener = listen(&hidden).await;
    // Somebody else's record is there, so what this one would publish has had its time.
    let seen = bind(relay.config().with_pkarr(dns.pkarr())).await;
    published(&dns, seen.local_peer_id()).await;
    let error = in_time(seen.connect_with(hidden.local_peer_id().into(), impatient())).await.unwrap_err();
    assert!(matches!(error, P2PError::PeerNotFound { .. }), "{error:?}");
}

// The record outlives the peer, as records do: its address leads nowhere.
#[tokio::test]
async fn a_stale_record_leads_to_nobody_and_the_dial_says_so_at_its_deadline() {
    let dns = TestDns::start().await;
    let gone = bind(loopback().with_pkarr(dns.pkarr().with_publish(Publish::RelayAndAddresses))).await;
    let peer = gone.local_peer_id();
    published(&dns, peer).await;
    gone.shutdown(Duration::ZERO).await;
    let alice = bind(loopback().with_dns(dns.origin()).with_name_servers([dns.name_server()])).await;
    let error = in_time(alice.connect_with(peer.into(), impatient())).await.unwrap_err();
    assert!(matches!(error, P2PError::Timeout { .. } | P2PError::PeerNotFound { .. }), "{error:?}");
    assert!(error.is_retryable());
}

// A peer says of itself that it is where another one is. Whoever dials it comes to that one, and finds the wrong key.
#[tokio::test]
async fn a_record_that_points_to_another_key_is_an_authentication_failure() {
    let dns = TestDns::start().await;
    let bob = bind(loopback()).await;
    let listener = listen(&bob).await;
    let there = *listener.local_addr().direct.first().unwrap();
    let publish = dns.pkarr().with_publish(Publish::RelayAndAddresses);
    let liar = loopback().with_identity(Identity::generate()).with_external_addr(there).with_pkarr(publish);
    let liar = bind(liar).await;
    let peer = liar.local_peer_id();
    let told = published(&dns, peer).await;
    assert!(told.ip_addrs().any(|addr| *addr == there), "{told:?}");
    liar.shutdown(Duration::ZERO).await;

    let alice = bind(loopback().with_dns(dns.origin()).with_name_servers([dns.name_server()])).await;
    let error = in_time(alice.connect_with(peer.into(), impatient())).await.unwrap_err();
    assert!(matches!(error, P2PError::AuthenticationFailed { expected, .. } if expected == peer), "{error:?}");
}

#[tokio::test]
async fn a_bootstrap_peer_that_is_reached_is_part_of_readiness_and_hears_nothing_else() {
    let bob = bind(loopback()).await;
    let listener = listen(&bob).await;
    let alice = bind(loopback().with_bootstrap([listener.local_addr()])).await;
    let status = status_where(&alice, |status| status.is_ready()).await;
    assert!(status.checks.iter().any(|check| check.name == "bootstrap peers"), "{status:?}");
    // To be met is no connection: the next that is accepted is the one that is dialled.
    let (ours, theirs) = connect(&alice, &*listener).await;
    exchange(&*ours, &*theirs).await;
}

#[tokio::test]
async fn a_bootstrap_peer_that_is_away_is_named_and_noticed_when_it_comes() {
    let identity = Identity::generate();
    let there = {
        let place = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        place.local_addr().unwrap()
    };
    let addr = p2p::PeerAddr::new(identity.peer_id()).with_direct(there);
    let alice = bind(loopback().with_bootstrap([addr])).await;
    let name = format!("{:?}", identity.peer_id());
    let problem = |status: &p2p::ProviderStatus| {
        let check = status.checks.iter().find(|check| check.name == "bootstrap peers").expect("there is a check");
        check.problem.clone().unwrap_or_default()
    };
    status_where(&alice, |status| problem(status).contains(&name) && !status.is_ready()).await;

    let _bob = bind(loopback().with_identity(identity).with_bind([there])).await;
    status_where(&alice, |status| status.is_ready()).await;
}
