//! Tests over many seeds: all of them run, and a failure says how to repeat it.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use p2p::{P2PProvider, RuntimeExt};
use p2p_simulator::{run_seeds, simulate};

simulate!(time_passes_on_every_seed, 10 seeds, |network| async move {
    network.provider("alice").runtime().sleep(Duration::from_secs(1)).await;
    assert!(network.now().as_nanos() >= 1_000_000_000);
});

// Relies on an environment without settings of the simulator, as tests have.
#[test]
fn each_seed_runs_once_in_its_order() {
    let next = AtomicU64::new(0);
    run_seeds("it", 7, |network| {
        assert_eq!(network.seed(), next.fetch_add(1, Relaxed));
        async {}
    });
    assert_eq!(next.into_inner(), 7);
}

#[test]
#[should_panic(expected = "SIMULATOR_P2P_SEED=3 SIMULATOR_P2P_RUNS=1 cargo test it")]
fn a_failure_says_how_to_repeat_it() {
    run_seeds("it", 7, |network| async move { assert_ne!(network.seed(), 3) });
}
