//! What is counted, beside iroh's own counters, in one registry.

mod common;

use std::time::Duration;

use common::{TestRelay, bind, connect, exchange, impatient, in_time, listen, loopback, protocol};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use p2p::{ConnectionConfig, P2PProvider, Path, PeerAddr};
use p2p_iroh::AccessList;

fn recorder() -> PrometheusRecorder {
    PrometheusBuilder::new().with_recommended_naming(true).build_recorder()
}

/// Waits until the export has that line.
async fn has_line(recorder: &PrometheusRecorder, wanted: &str) {
    let found = async {
        while !recorder.handle().render().lines().any(|line| line == wanted) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let found = tokio::time::timeout(common::DEADLINE, found).await;
    assert!(found.is_ok(), "no line {wanted:?} in\n{}", recorder.handle().render());
}

#[tokio::test]
async fn all_series_are_there_before_anything_happens() {
    let (relay, recorder) = (TestRelay::start().await, recorder());
    let alice = bind(relay.config()).await;
    alice.export_metrics(&recorder);
    for line in [
        "p2p_holepunch_attempts_total{outcome=\"direct\"} 0",
        "p2p_holepunch_attempts_total{outcome=\"relayed\"} 0",
        "p2p_turned_away_total{reason=\"access\"} 0",
        "p2p_turned_away_total{reason=\"full\"} 0",
        "p2p_turned_away_total{reason=\"per_peer\"} 0",
        "iroh_socket_num_conns_opened_total 0",
    ] {
        has_line(&recorder, line).await;
    }
    // It is the one relay there is, as soon as it is connected.
    has_line(&recorder, &format!("p2p_relay_connected{{relay=\"{}\"}} 1", relay.relay().url())).await;
}

#[tokio::test]
async fn a_punched_hole_and_a_relayed_connection_are_told_apart() {
    let (relay, recorder) = (TestRelay::start().await, recorder());
    let alice = bind(relay.config()).await;
    alice.export_metrics(&recorder);
    let bob = bind(relay.config()).await;
    let listener = listen(&bob).await;
    let relayed = PeerAddr { direct: Default::default(), ..listener.local_addr() };
    let dial = alice.connect_with(relayed, ConnectionConfig::new(protocol()));
    let (ours, theirs) = in_time(async { tokio::try_join!(dial, listener.accept()) }).await.unwrap();
    in_time(ours.state().wait_for(|state| state.path().is_some_and(Path::is_direct))).await.unwrap();
    has_line(&recorder, "p2p_holepunch_attempts_total{outcome=\"direct\"} 1").await;
    exchange(&*ours, &*theirs).await;
    drop((ours, theirs));

    let shy = bind(relay.config().with_relay_only(true)).await;
    let listener = listen(&shy).await;
    let (ours, theirs) = connect(&alice, &*listener).await;
    exchange(&*ours, &*theirs).await;
    drop((ours, theirs));
    has_line(&recorder, "p2p_holepunch_attempts_total{outcome=\"relayed\"} 1").await;
    has_line(&recorder, "p2p_path_loss_ratio_count 2").await;
    // iroh's own, brought over.
    has_line(&recorder, "iroh_socket_num_conns_opened_total 2").await;
}

#[tokio::test]
async fn who_is_turned_away_is_counted() {
    let recorder = recorder();
    let victim = bind(loopback().with_access(AccessList::only([]))).await;
    victim.export_metrics(&recorder);
    let listener = listen(&victim).await;
    let alice = bind(loopback()).await;
    in_time(alice.connect_with(listener.local_addr(), impatient())).await.unwrap_err();
    has_line(&recorder, "p2p_turned_away_total{reason=\"access\"} 1").await;
}
