//! What the doctor says of real endpoints and relays.

mod common;

use std::time::Duration;

use common::{TestRelay, bind, in_time, loopback, status_where};
use p2p::P2PProvider;
use p2p_iroh::doctor::{self, Nat, PortMapping, Report};

async fn examine(provider: &p2p_iroh::IrohP2P) -> Report {
    in_time(doctor::examine(provider, Duration::from_secs(10))).await.unwrap()
}

#[tokio::test]
async fn an_endpoint_with_a_relay_has_its_latency_its_address_and_the_time() {
    let relay = TestRelay::start().await;
    let alice = bind(relay.config()).await;
    status_where(&alice, |status| status.is_ready()).await;
    let report = examine(&alice).await;
    assert_eq!(report.peer, alice.local_peer_id());
    let [told] = &report.relays[..] else { panic!("{report:#?}") };
    assert_eq!((told.url.clone(), told.is_home, told.problem.clone()), (relay.relay().url(), true, None));
    assert!(told.latency_ms.is_some_and(|latency| latency > 0.0 && latency < 10_000.0), "{told:?}");
    // The relay is on this machine, and so is the address that it sees.
    assert_eq!(report.nat, Nat::None);
    assert!(report.ipv4.udp && report.ipv4.public.is_some_and(|addr| addr.ip().is_loopback()), "{report:#?}");
    let clock = report.clock.as_ref().expect("the relay says the time");
    assert!(!clock.is_off() && clock.ahead_s.abs() < 30.0, "{clock:?}");
    assert_eq!(report.port_mapping, PortMapping::Off);
}

#[tokio::test]
async fn what_is_wrong_comes_with_what_to_do() {
    let relay = TestRelay::start().await;
    let refused = bind(relay.config().with_relays([relay.relay().with_token("wrong").with_quic_port(None)])).await;
    status_where(&refused, |status| {
        status.checks.iter().any(|check| check.problem.as_deref().is_some_and(|problem| problem.contains("token")))
    })
    .await;
    let report = examine(&refused).await;
    assert_eq!(report.relays[0].problem.as_deref(), Some("it refused the token: unknown token"));
    assert!(report.advice.iter().any(|advice| advice.contains("it refused the token: unknown token.")), "{report}");

    let alone = examine(&*bind(loopback()).await).await;
    assert_eq!(alone.nat, Nat::Unknown);
    assert!(alone.advice.iter().any(|advice| advice.contains("No relay is configured")), "{alone}");
}

#[tokio::test]
async fn text_and_json_say_the_same() {
    let relay = TestRelay::start().await;
    let alice = bind(relay.config()).await;
    status_where(&alice, |status| status.is_ready()).await;
    let report = examine(&alice).await;
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(json["peer"], alice.local_peer_id().to_string());
    assert_eq!(json["nat"], "none");
    assert_eq!(json["relays"][0]["is_home"], true);
    assert_eq!(json["port_mapping"], "off");
    let text = report.to_string();
    for part in [relay.relay().url(), alice.local_peer_id().to_string(), "nat           none".into(), "clock".into()] {
        assert!(text.contains(&part), "{text} lacks {part}");
    }
    let advice = json["advice"].as_array().unwrap();
    assert!(advice.iter().all(|advice| text.contains(advice.as_str().unwrap())));
}
