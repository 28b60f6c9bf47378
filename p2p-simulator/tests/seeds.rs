//! Tests over many seeds: all of them run, and a failure says how to repeat it.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use p2p::{P2PProvider, RuntimeExt};
use p2p_simulator::{Simulation, always, run_seeds, simulate, sometimes};

simulate!(time_passes_on_every_seed, 10 seeds, |network| async move {
    network.provider("alice").runtime().sleep(Duration::from_secs(1)).await;
    assert!(network.now().as_nanos() >= 1_000_000_000);
});

#[test]
fn a_builder_runs_all_seeds_side_by_side_and_tells_failures_by_kind() {
    let runs = Simulation::builder().with_first_seed(5).with_seeds(10).with_jobs(2).with_check(true).try_run(
        |network| async move {
            always!(network, network.seed() != 7, "no seven");
            assert!(network.seed() != 9 && network.seed() != 11, "odd");
            network.provider("alice").runtime().sleep(Duration::from_secs(1)).await;
        },
    );
    assert_eq!(runs.failures.keys().copied().collect::<Vec<_>>(), [7, 9, 11]);
    let report = runs.to_string();
    for part in ["3 of 10 seeds failed\npanic: 2 of 10", "no seven: 1 of 10", "SIMULATOR_P2P_SEED=9 ", "odd"] {
        assert!(report.contains(part), "{report} lacks {part}");
    }
    assert!(!runs.is_well());
}

#[test]
fn a_builders_runs_fail_if_what_must_happen_sometimes_never_did() {
    let program = |network: p2p_simulator::Network| async move { sometimes!(network, false, "pigs fly") };
    assert!(Simulation::builder().with_seeds(5).try_run(program).is_well(), "five seeds tell nothing");
    let runs = Simulation::builder().with_seeds(100).with_jobs(2).try_run(program);
    assert_eq!(runs.never, ["sometimes: pigs fly"]);
}

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
