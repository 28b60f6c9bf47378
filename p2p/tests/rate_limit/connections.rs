//! Dials and accepted connections.

use std::time::Duration;

use p2p::{
    ConnectionConfig, ListenConfig, P2PError, P2PProvider, PeerAddr, RefusalCode, Result,
    layer::{LayerExt, Rate, RateLimits, Rates},
};

use crate::{Party, SECOND, per_peer, total};

const TWO_THEN_ONE_A_SECOND: Rate = Rate::per_second(1).with_burst(2);

async fn dial(provider: &dyn P2PProvider, addr: &PeerAddr) -> Result<()> {
    provider.connect_with(addr.clone(), ConnectionConfig::default()).await.map(drop)
}

#[track_caller]
fn limited(result: Result<()>) -> (&'static str, Duration) {
    match result {
        Err(P2PError::RateLimited { scope, retry_after }) => (scope, retry_after),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn one_dial_too_many_says_when_to_try_again_and_then_it_works() {
    let party = Party::new(per_peer(Rates::NONE.with_dials(TWO_THEN_ONE_A_SECOND)));
    let (bob, carol) = (party.friend("bob").await, party.friend("carol").await);
    let (to_bob, to_carol) = (bob.listener.local_addr(), carol.listener.local_addr());
    for _ in 0..2 {
        dial(&party.alice, &to_bob).await.unwrap();
    }
    assert_eq!(limited(dial(&party.alice, &to_bob).await), ("dials to one peer", SECOND));
    dial(&party.alice, &to_carol).await.expect("another peer has a budget of its own");
    tokio::time::sleep(SECOND).await;
    dial(&party.alice, &to_bob).await.unwrap();
    assert!(dial(&party.alice, &to_bob).await.is_err(), "one a second");
}

// The total is exhausted by dials to others. The dial it forbids costs the peer's own budget nothing, or the last one
// would fail.
#[tokio::test(start_paused = true)]
async fn what_the_total_forbids_costs_the_peer_nothing() {
    let limits = RateLimits::NONE
        .with_per_peer(Rates::NONE.with_dials(Rate::new(1, 100 * SECOND)))
        .with_total(Rates::NONE.with_dials(TWO_THEN_ONE_A_SECOND));
    let party = Party::new(limits);
    let [bob, carol, dave] = [party.friend("bob").await, party.friend("carol").await, party.friend("dave").await];
    dial(&party.alice, &bob.listener.local_addr()).await.unwrap();
    dial(&party.alice, &carol.listener.local_addr()).await.unwrap();
    assert_eq!(limited(dial(&party.alice, &dave.listener.local_addr()).await), ("dials", SECOND));
    tokio::time::sleep(SECOND).await;
    dial(&party.alice, &dave.listener.local_addr()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_clone_of_the_layer_has_the_same_budget() {
    let party = Party::new(per_peer(Rates::NONE.with_dials(TWO_THEN_ONE_A_SECOND)));
    let bob = party.friend("bob").await.listener.local_addr();
    for provider in [party.alice.clone(), party.alice.clone()] {
        let _ = dial(&provider, &bob).await;
    }
    limited(dial(&party.alice, &bob).await);
}

#[tokio::test(start_paused = true)]
async fn a_dialler_too_many_is_told_when_to_come_again_and_then_it_is_welcome() {
    let party = Party::new(per_peer(Rates::NONE.with_accepts(TWO_THEN_ONE_A_SECOND)));
    let listener = party.alice.listen_with(ListenConfig::default()).await.unwrap();
    let (bob, carol) = (party.network.provider("bob"), party.network.provider("carol"));
    for _ in 0..2 {
        dial(&bob, &listener.local_addr()).await.unwrap();
    }
    let Err(P2PError::Refused { peer, refusal }) = dial(&bob, &listener.local_addr()).await else {
        panic!("three at once");
    };
    assert_eq!((peer, refusal.code), (party.alice.local_peer_id(), RefusalCode::RateLimited));
    assert_eq!(refusal.retry_after, Some(SECOND));
    assert!(refusal.is_retryable());
    dial(&carol, &listener.local_addr()).await.expect("another peer has a budget of its own");
    tokio::time::sleep(SECOND).await;
    dial(&bob, &listener.local_addr()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_total_refuses_whoever_comes_and_in_its_own_words() {
    let party = Party::new(total(Rates::NONE.with_accepts(TWO_THEN_ONE_A_SECOND)));
    let listener = party.alice.listen_with(ListenConfig::default()).await.unwrap();
    for name in ["bob", "carol"] {
        dial(&party.network.provider(name), &listener.local_addr()).await.unwrap();
    }
    let error = dial(&party.network.provider("dave"), &listener.local_addr()).await.unwrap_err();
    assert!(error.to_string().ends_with("too many connections accepted; try again after 1s"), "{error}");
}

// A thousand strangers knock. Whoever limits them answers each within its bounds, and in the end is open to a friend.
#[tokio::test(start_paused = true)]
async fn a_flood_of_strangers_passes() {
    let limits = RateLimits::NONE.with_total(Rates::NONE.with_accepts(Rate::per_second(10)));
    let party = Party::new(limits);
    let listener = party.alice.listen_with(ListenConfig::default()).await.unwrap();
    let mut welcome = 0;
    for number in 0..1000 {
        let stranger = party.network.provider(&number.to_string());
        welcome += usize::from(dial(&stranger, &listener.local_addr()).await.is_ok());
    }
    assert_eq!(welcome, 10);
    tokio::time::sleep(SECOND).await;
    dial(&party.network.provider("bob"), &listener.local_addr()).await.unwrap();
}

#[tokio::test]
async fn without_limits_on_traffic_connections_pass_as_they_are() {
    let party = Party::new(RateLimits::default());
    assert!(party.alice.to_string().starts_with("RateLimit(memory"));
    let twice = party.alice.clone().with_rate_limits(RateLimits::NONE);
    let bob = party.friend("bob").await;
    let dialled = twice.connect_with(bob.listener.local_addr(), ConnectionConfig::default()).await.unwrap();
    assert!(!format!("{dialled:?}").contains("RateLimit"), "{dialled:?}");
}
