//! A run that is not the seed's alone is found by a process of its own, located, and given its likely cause.

use p2p_simulator::{
    runner::{Check, FreshProcess, Problem, Settings, sweep},
    scenario::Scenario,
    trace::Difference,
    workloads::registry,
};

fn scenario() -> Scenario {
    include_str!("../scenarios/gossip.toml").parse().unwrap()
}

fn fresh() -> Check {
    Check::Fresh(FreshProcess::new(env!("CARGO_BIN_EXE_p2p-sim"), ["run-case"]))
}

/// What the check says of the mutant on some seeds.
fn problems(mutant: &str, check: Check) -> Vec<Problem> {
    let settings = Settings { first: 0, seeds: 3, jobs: 2, check };
    let report = sweep(&scenario().with_mutant(mutant), &registry(), &settings, &|_| ()).unwrap();
    report.failures.into_iter().map(|found| found.problem).collect()
}

fn check_names(mutant: &str, cause: &str) {
    let problems = problems(mutant, fresh());
    // Two orders of three neighbours are the same in one of six cases, two draws of a bit in one of two: over a whole run never.
    assert_eq!(problems.len(), 3, "{mutant}: {problems:?}");
    for problem in problems {
        let Problem::Nondeterminism(divergence) = &problem else { panic!("{mutant}: {problem}") };
        let Some(difference @ Difference::Record { left, right, .. }) = &divergence.difference else {
            panic!("{mutant}: {problem}");
        };
        assert!(left != right);
        assert!(difference.likely_cause().contains(cause), "{mutant}: {problem}");
        let report = problem.to_string();
        for part in ["They agree on", "one run:", "other:", "likely cause:"] {
            assert!(report.contains(part), "{report} lacks {part}");
        }
    }
}

#[test]
fn the_order_of_a_hash_map_is_named() {
    check_names("hashed-order", "iteration over a HashMap");
}

#[test]
fn randomness_of_ones_own_is_named() {
    check_names("own-randomness", "randomness from elsewhere");
}

#[test]
fn the_time_of_day_is_named() {
    check_names("wall-clock", "clock on the wall");
}

#[test]
fn a_select_that_begins_at_random_is_named() {
    check_names("unbiased-select", "select! without biased");
}

#[test]
fn what_is_the_seeds_alone_passes() {
    for workload in ["gossip", "counter"] {
        let settings = Settings { first: 0, seeds: 5, jobs: 2, check: fresh() };
        let report = sweep(&Scenario::new(workload), &registry(), &settings, &|_| ()).unwrap();
        assert!(report.failures.is_empty(), "{:?}", report.failures);
    }
}

#[test]
fn a_process_that_does_not_answer_is_an_error_that_names_it() {
    let check = Check::Fresh(FreshProcess::new("/nowhere/p2p-sim", ["run-case"]));
    let error = sweep(&scenario(), &registry(), &Settings { first: 0, seeds: 1, jobs: 1, check }, &|_| ()).unwrap_err();
    assert!(error.to_string().contains("/nowhere/p2p-sim"), "{error}");
    let check = Check::Fresh(FreshProcess::new(env!("CARGO_BIN_EXE_p2p-sim"), ["run-cas"]));
    let error = sweep(&scenario(), &registry(), &Settings { first: 0, seeds: 1, jobs: 1, check }, &|_| ()).unwrap_err();
    assert!(error.to_string().contains("run-cas"), "{error}");
}
