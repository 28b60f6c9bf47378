//! What a program claims, and what comes of a claim that does not hold, in a run and over many seeds.

use std::{sync::Arc, time::Duration};

use p2p::{BoxFuture, P2PProvider, P2PProviderExt, Rng, RuntimeExt};
use p2p_simulator::{
    Failure, Network, Simulation, always,
    case::Case,
    eventually,
    runner::{Check, SEEDS_TO_TELL, Settings, sweep},
    scenario::Scenario,
    sometimes,
    workload::{Registry, Setup, Step, Violation, Workload},
};

#[test]
fn a_broken_always_ends_the_run_and_names_claim_figures_and_moment() {
    let ended = Simulation::new(1).run_to_end(|network| async move {
        network.node("alice", |node| async move {
            for count in 0.. {
                always!(node, count < 3, "counts stay small", "count = {count}");
                node.runtime().sleep(Duration::from_secs(1)).await;
            }
        });
        std::future::pending::<()>().await;
    });
    let failure = ended.result.unwrap_err();
    assert_eq!(failure.to_string(), "broken at 3s: counts stay small: count = 3");
    assert!(matches!(failure, Failure::Broken { claim: "counts stay small", .. }));
    assert_eq!(ended.claims.always["counts stay small"], 4, "looked at four times");
    assert!(ended.trace.records > 0, "a failed run leaves its trace");
}

#[test]
fn what_comes_to_hold_in_time_is_waited_for_and_no_longer() {
    let run = Simulation::new(1).run(|network| async move {
        let at = Duration::from_secs(5);
        let passed = || network.now().as_nanos() >= at.as_nanos() as u64;
        eventually!(network, Duration::from_secs(60), passed(), "five seconds pass").await;
        network.now()
    });
    assert!((5_000_000_000..5_200_000_000).contains(&run.output.as_nanos()));
}

#[test]
fn what_does_not_come_to_hold_in_time_fails_the_run_and_says_who_waits() {
    let failure = Simulation::new(1).try_run(|network| async move {
        network.node("bob", |node| async move {
            let listener = node.provider().listen(&"test/1".parse().unwrap()).await.unwrap();
            let _never = listener.accept().await;
        });
        eventually!(network, Duration::from_secs(60), false, "pigs fly").await;
    });
    let failure = failure.unwrap_err();
    assert!(matches!(failure, Failure::NotInTime { claim: "pigs fly", .. }), "{failure}");
    let report = failure.to_string();
    assert!(report.contains("not within 60s: pigs fly") && report.contains("task bob: program"), "{report}");
}

/// Claims that its only step sometimes says "rare".
struct Claiming;

impl Workload for Claiming {
    fn name(&self) -> &'static str {
        "claiming"
    }

    fn about(&self) -> &'static str {
        "claims what holds on some seeds"
    }

    fn sometimes(&self) -> &'static [&'static str] {
        &["the step is rare", "this is reached"]
    }

    fn steps(&self, _: &Setup<'_>, rng: &mut Rng) -> Vec<Step> {
        let what = if rng.below(8) == 0 { "rare" } else { "common" };
        vec![Step { at: Duration::ZERO, peer: "p1".into(), what: what.into() }]
    }

    fn run(&self, network: Network, case: Arc<Case>) -> BoxFuture<'static, Result<(), Violation>> {
        Box::pin(async move {
            sometimes!(network, case.steps[0].what == "rare", "the step is rare");
            sometimes!(network, case.seed > 1_000_000, "a large seed");
            let _mortal = network.provider("p1");
            network.provider("judge").runtime().sleep(case.chaos).await;
            Ok(())
        })
    }
}

fn never(scenario: &Scenario, seeds: u64) -> Vec<String> {
    let registry = Registry::new().with(Claiming);
    let report =
        sweep(scenario, &registry, &Settings { first: 0, seeds, jobs: 2, check: Check::Off }, &|_| ()).unwrap();
    assert!(report.failures.is_empty());
    assert_eq!(report.is_well(), report.never.is_empty());
    report.never
}

#[test]
fn a_sweep_in_which_a_sometimes_never_held_or_was_never_reached_is_not_well() {
    let scenario = Scenario { peers: 1, ..Scenario::new("claiming") };
    assert_eq!(never(&scenario, SEEDS_TO_TELL), ["sometimes: a large seed", "sometimes: this is reached"]);
    assert!(never(&scenario, 3).is_empty(), "three seeds tell nothing");
}

#[test]
fn a_sweep_in_which_a_planned_fault_never_began_is_not_well() {
    let fault = |at: &str, what| format!("[[fault]]\nid = 'at-{at}'\nat = '{at}'\nwhat = '{what}'\nwhere = 'p1'\n");
    let faults = [fault("5s", "clog"), fault("15s", "partition")].concat();
    let text = format!("workload = 'claiming'\n[swarm]\nchaos = '10s'\n{faults}");
    let scenario: Scenario = text.parse().unwrap();
    assert_eq!(never(&scenario, 2), ["fault: at-15s"]);
}
