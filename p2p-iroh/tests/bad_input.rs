//! Settings, servers and peers that are not what they should be: each is named, and the rest goes on.

mod common;

use std::time::Duration;

use common::{RawPeer, TestDns, TestRelay, bind, connect, exchange, in_time, listen, loopback, status_where};
use p2p::{ListenConfig, P2PError, P2PProvider, ProviderStatus};
use p2p_iroh::{Identity, IrohConfig, IrohP2P, RelayServer};

/// The problem of the relay, once its text is as wanted. The listener is there meanwhile, at its direct address.
async fn relay_problem(config: IrohConfig, wanted: impl Fn(&str) -> bool) -> String {
    let bob = bind(config).await;
    let listen = ListenConfig { ready_timeout: Duration::from_millis(10), ..ListenConfig::new(common::protocol()) };
    let listener = bob.listen_with(listen).await.unwrap();
    let problem = |status: &ProviderStatus| {
        let check =
            status.checks.iter().find(|check| check.name.starts_with("relay ")).expect("each relay has a check");
        check.problem.clone().unwrap_or_default()
    };
    let status = status_where(&bob, |status| wanted(&problem(status))).await;
    assert!(!status.is_ready());
    let alice = bind(loopback()).await;
    let direct = p2p::PeerAddr { relays: Default::default(), ..listener.local_addr() };
    let dial = alice.connect_with(direct, p2p::ConnectionConfig::new(common::protocol()));
    let (ours, theirs) = in_time(async { tokio::try_join!(dial, listener.accept()) }).await.unwrap();
    exchange(&*ours, &*theirs).await;
    problem(&status)
}

#[tokio::test]
async fn a_web_server_that_is_no_relay_is_a_problem_and_no_more() {
    let dns = TestDns::start().await;
    let relay = RelayServer::new(&format!("http://{}", dns.http())).unwrap().with_quic_port(None);
    let problem = relay_problem(loopback().with_relays([relay]), |problem| !problem.is_empty()).await;
    assert!(!problem.contains("token"), "{problem}");
}

#[tokio::test]
async fn a_relay_whose_certificate_is_anothers_is_a_problem_and_no_more() {
    let (relay, other) = (TestRelay::start().await, TestRelay::start().await);
    let config = relay.config().with_trust(other.trust());
    let problem = relay_problem(config, |problem| problem.contains("certificate")).await;
    assert!(!problem.contains("token"), "{problem}");
}

#[tokio::test]
async fn a_relay_that_refuses_the_token_says_why() {
    let relay = TestRelay::start().await;
    let config = relay.config().with_relays([relay.relay().with_token("wrong")]);
    let problem = relay_problem(config, |problem| problem.contains("token")).await;
    assert_eq!(problem, "it refused the token: unknown token");
}

// To this machine the certificate is from the future, as it is where the clock is an hour behind.
#[tokio::test]
async fn a_clock_an_hour_off_is_what_the_doctor_names() {
    let relay = TestRelay::start_valid_in(Duration::from_secs(3600)).await;
    let bob = bind(relay.config()).await;
    let report = p2p_iroh::doctor::examine(&bob, Duration::from_secs(5)).await.unwrap();
    let text = report.to_string();
    assert!(text.contains("clock its certificate is not valid"), "{text}");
    assert!(!bob.status().get().is_ready());
    // Peers need no certificates: who has an address is reached.
    let listener = listen_soon(&bob).await;
    let alice = bind(loopback()).await;
    let (ours, theirs) = connect(&alice, &*listener).await;
    exchange(&*ours, &*theirs).await;
}

async fn listen_soon(provider: &IrohP2P) -> Box<dyn p2p::P2PListener> {
    let soon = ListenConfig { ready_timeout: Duration::from_millis(10), ..ListenConfig::new(common::protocol()) };
    provider.listen_with(soon).await.unwrap()
}

#[tokio::test]
async fn a_key_file_is_one_endpoints_at_a_time() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("key");
    let config = || loopback().with_identity(Identity::load_or_create(&path).unwrap());
    let first = IrohP2P::bind(config()).await.unwrap();
    let error = IrohP2P::bind(config()).await.unwrap_err();
    assert!(matches!(error, P2PError::InvalidInput { .. }), "{error:?}");
    let text = error.to_string();
    for part in [path.to_str().unwrap(), "another endpoint", "a key file of its own"] {
        assert!(text.contains(part), "{text}");
    }
    first.shutdown(Duration::from_secs(1)).await;
    IrohP2P::bind(config()).await.expect("the first is shut down");
}

#[tokio::test]
async fn a_protocol_of_quic_that_nobody_speaks_is_refused_within_tls() {
    let bob = bind(loopback()).await;
    let listener = listen(&bob).await;
    let raw = RawPeer::bind().await;
    let error = in_time(raw.try_dial_as(&listener.local_addr(), b"other/1")).await.unwrap_err();
    assert!(error.contains("any known protocol"), "{error}");
    let alice = bind(loopback()).await;
    let (ours, theirs) = connect(&alice, &*listener).await;
    exchange(&*ours, &*theirs).await;
}
