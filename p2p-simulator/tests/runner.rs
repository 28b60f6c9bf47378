//! The runner: it finds each planted bug by its ordinary settings, finds none where none is, and replays what it found.

#![expect(clippy::print_stderr, reason = "the seeds it took are a result")]

use std::{path::Path, process::Command, sync::Arc, time::Duration};

use p2p::{BoxFuture, P2PProvider, Rng, RuntimeExt};
use p2p_simulator::{
    Network, Swarm,
    capsule::Capsule,
    case::Case,
    runner::{Check, Settings, run_case, sweep},
    scenario::Scenario,
    shrink::shrink,
    workload::{Registry, Setup, Step, Violation, Workload},
    workloads::registry,
};

/// Seeds within which each mutant must be found.
const SEEDS: u64 = 100;

fn scenario() -> Scenario {
    include_str!("../scenarios/counter.toml").parse().unwrap()
}

fn notes() -> Scenario {
    include_str!("../scenarios/notes.toml").parse().unwrap()
}

/// The first seed on which the mutant is found.
fn find(scenario: Scenario, mutant: &str) -> Capsule {
    let (scenario, registry) = (scenario.with_mutant(mutant), registry());
    for seed in 0..SEEDS {
        let case = scenario.resolve(seed, &registry).unwrap();
        let outcome = run_case(&case, &registry).unwrap();
        if outcome.failure.is_some() {
            return Capsule::new(case, &outcome);
        }
    }
    panic!("mutant {mutant} was not found on seeds 0 to {SEEDS}");
}

#[test]
fn every_mutant_of_the_counter_is_found_replayed_shrunk_and_blamed() {
    check_mutants(&scenario(), concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/counter.toml"), 8);
}

#[test]
fn every_mutant_of_the_notes_is_found_replayed_shrunk_and_blamed() {
    check_mutants(&notes(), concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/notes.toml"), 4);
}

/// Here, and by the program as whoever uses it would: one process finds the mutant, another replays what it saved.
fn check_mutants(scenario: &Scenario, file: &str, least: usize) {
    let (registry, folder) = (registry(), tempfile::tempdir().unwrap());
    let mutants = registry.get(&scenario.workload).unwrap().mutants();
    assert!(mutants.len() >= least);
    for mutant in mutants {
        let capsule = find(scenario.clone(), mutant.name);
        eprintln!("{}: {:?} on seed {}", mutant.name, capsule.kind, capsule.case.seed);
        let read: Capsule = capsule.to_string().parse().unwrap();
        assert_eq!(read, capsule);
        assert!(read.replay(&registry).unwrap().same, "{} on seed {}", mutant.name, capsule.case.seed);

        let (name, seeds) = (mutant.name, (capsule.case.seed + 1).to_string());
        let (code, text) =
            p2p_sim(folder.path(), &["run", file, "--seeds", &seeds, "--jobs", "2", "--mutant", name, "--save", name]);
        assert!(code == 1 && text.contains(&format!("a failure takes {seeds} seeds in the median")), "{text}");
        let line = text.lines().find_map(|line| line.trim().strip_prefix("p2p-sim replay ")).expect("a line to copy");
        check_replay(folder.path(), line, &capsule);

        let small = shrink(&capsule.case, &registry).unwrap();
        let case = &small.capsule.case;
        let faults: Vec<_> = small.blame.iter().map(|blame| blame.entry.what.name()).collect();
        eprintln!("  {} runs: {} steps, {} peers, faults {faults:?}", small.runs, case.steps.len(), case.peers.len());
        assert_eq!(small.capsule.kind, capsule.kind, "{name} is still the same failure");
        assert!(faults.len() <= 3, "{name}: {faults:?}");
        assert!(case.steps.len() < capsule.case.steps.len(), "{name}");
        // Shrunk as far as it goes, the failure is gone, or another one, without any fault that is left.
        for blame in &small.blame {
            assert_ne!(blame.without, small.capsule.kind, "{name} does not need {:?}", blame.entry);
        }
        std::fs::write(folder.path().join("small.toml"), small.capsule.to_string()).unwrap();
        check_replay(folder.path(), "small.toml", &small.capsule);
    }
}

/// A process of its own comes to the same hash and the same failure from that file, which is this capsule.
fn check_replay(folder: &Path, file: &str, capsule: &Capsule) {
    assert_eq!(&Capsule::load(&folder.join(file), &registry()).unwrap(), capsule, "{file}");
    let (code, text) = p2p_sim(folder, &["replay", file]);
    assert_eq!(code, 1, "{text}");
    let kind = capsule.kind.as_deref().unwrap();
    for part in ["the same run as before", &format!("hash {}\n", capsule.hash), kind] {
        assert!(text.contains(part), "{file}: {text} lacks {part}");
    }
}

#[test]
fn without_a_mutant_nothing_is_found() {
    let settings = Settings { first: 0, seeds: SEEDS, jobs: 2, check: Check::Off };
    for scenario in [scenario(), notes()] {
        let report = sweep(&scenario, &registry(), &settings, &|_| ()).unwrap();
        assert!(report.is_well(), "{:?}, never {:?}", report.failures, report.never);
    }
}

// Neither alone loses anything: without the crash the hint is handed over once the partition heals, without the partition
// at once. A second crash, of the other peer, keeps the two apart just as well, so more than one seed is looked at.
#[test]
fn an_update_lost_when_a_partition_heals_during_a_crash_is_blamed_on_both() {
    let (scenario, registry) = (notes().with_mutant("hints-in-memory"), registry());
    let settings = Settings { first: 0, seeds: SEEDS, jobs: 2, check: Check::Off };
    let found = sweep(&scenario, &registry, &settings, &|_| ()).unwrap().failures;
    let both = found.iter().find_map(|found| {
        let small = shrink(&found.capsule.case, &registry).unwrap();
        let of = |name: &str| small.blame.iter().find(|blame| blame.entry.what.name() == name).map(|b| b.entry.clone());
        let needed = small.blame.iter().all(|blame| blame.without.is_none()) && small.blame.len() == 2;
        let both = of("partition").zip(of("crash")).filter(|_| needed)?;
        Some((both, small.capsule.case.steps.len()))
    });
    let ((partition, crash), steps) = both.expect("a seed whose failure needs a partition and a crash");
    assert!(partition.at < crash.at && crash.at < partition.until.unwrap(), "{crash:?} while {partition:?}");
    assert_eq!(steps, 1, "one write is enough");
}

#[test]
fn jobs_and_checks_change_nothing_about_what_is_found() {
    let scenario = scenario().with_mutant("send-is-delivered");
    let found = |jobs, check| {
        let report = sweep(&scenario, &registry(), &Settings { first: 3, seeds: 8, jobs, check }, &|_| ()).unwrap();
        report.failures.into_iter().map(|found| (found.fingerprint, found.capsule)).collect::<Vec<_>>()
    };
    let one = found(1, Check::Off);
    assert!(!one.is_empty() && one.len() < 8, "some seeds fail, and some do not");
    assert_eq!(one, found(2, Check::Here));
}

/// Does what its only step says.
struct Misbehaving;

impl Workload for Misbehaving {
    fn name(&self) -> &'static str {
        "misbehaving"
    }

    fn about(&self) -> &'static str {
        "fails in every way"
    }

    fn steps(&self, _: &Setup<'_>, rng: &mut Rng) -> Vec<Step> {
        let what = ["panic", "stall", "time-limit", "well"][rng.below(4) as usize].into();
        vec![Step { at: Duration::ZERO, peer: "p1".into(), what }]
    }

    fn run(&self, network: Network, case: Arc<Case>) -> BoxFuture<'static, Result<(), Violation>> {
        Box::pin(async move {
            let provider = network.provider("p1");
            match case.steps[0].what.as_str() {
                "panic" => panic!("on purpose"),
                "stall" => std::future::pending().await,
                "time-limit" => loop {
                    provider.runtime().sleep(Duration::from_secs(1)).await;
                },
                _ => Ok(()),
            }
        })
    }
}

// A sweep that was aborted by any of them would not report the others.
#[test]
fn a_run_that_panics_stalls_or_does_not_end_is_a_failure_of_its_seed() {
    let registry = Registry::new().with(Misbehaving);
    // Without a fault that is still to come, so that a stall is one.
    let omit = Swarm::kinds().map(String::from).to_vec();
    let scenario = Scenario { omit, peers: 1, ..Scenario::new("misbehaving") };
    let report =
        sweep(&scenario, &registry, &Settings { first: 0, seeds: 40, jobs: 2, check: Check::Here }, &|_| ()).unwrap();
    let mut kinds: Vec<String> = report.groups().keys().map(|fingerprint| fingerprint.kind.clone()).collect();
    kinds.sort();
    assert_eq!(kinds, ["panic", "stall", "time-limit"]);
    assert!(report.failures.len() < 40, "some seeds are well");
    for found in &report.failures {
        assert_eq!(found.capsule.case.steps[0].what, found.fingerprint.kind);
    }
}

fn refusal(text: &str) -> String {
    let resolved = text.parse::<Scenario>().and_then(|scenario| scenario.resolve(0, &registry()));
    resolved.expect_err(text).to_string()
}

#[test]
fn a_scenario_that_cannot_be_says_what_was_expected() {
    for (text, expected) in [
        ("workloat = 'counter'", "the nearest is \"workload\""),
        ("workload = 'conter'", "the nearest is \"counter\""),
        ("workload = 'counter'\nmutant = 'early-ak'", "the nearest is \"early-ack\""),
        ("workload = 'counter'\npeers = 0", "from 1 to 1000"),
        ("workload = 'counter'\nprofile = 'wify'", "the nearest is \"wifi\""),
        ("workload = 'counter'\n[knobs]\nads = 3", "the nearest is \"adds\""),
        ("workload = 'counter'\n[knobs]\nadds = 0", "from 1 to 10000"),
        ("workload = 'counter'\n[link]\nloss = 1.5", "from 0 to 1"),
        ("workload = 'counter'\n[link]\nbandwidth-bytes = 0", "at least 1"),
        ("workload = 'counter'\n[swarm]\nkaos = '1s'", "the nearest is \"chaos\""),
        ("workload = 'counter'\n[swarm]\nchaos = '1ms'", "a second at least"),
        ("workload = 'counter'\n[swarm]\nomit = ['crsh']", "the nearest is \"crash\""),
        ("workload = 'counter'\n[[fault]]\nid='x'\nat='1s'\nwhat='crash'\nwhere='p9'", "the nearest is \"p1\""),
        ("workload = 'counter'\n[[fault]]\nid='x'\nat='1s'\nwhat='crsh'\nwhere='p1'", "is \"crash\""),
    ] {
        let error = refusal(text);
        assert!(error.contains(expected), "{text:?}: {error} lacks {expected}");
    }
}

#[test]
fn a_capsule_that_cannot_be_says_what_was_expected() {
    let registry = registry();
    let case = scenario().resolve(1, &registry).unwrap();
    let text = Capsule::new(case.clone(), &run_case(&case, &registry).unwrap()).to_string();
    for (from, to, expected) in [
        ("version = 1", "version = 7", "version 7"),
        ("version = 1", "", "without a version"),
        ("hash = ", "hush = ", "nearest is \"hash\""),
        ("[case]", "[case]\nsed = '1'", "nearest is \"seed\""),
        ("seed = \"1\"", "seed = \"one\"", "a whole number"),
    ] {
        assert!(text.contains(from), "{text}");
        let error = text.replacen(from, to, 1).parse::<Capsule>().unwrap_err().to_string();
        assert!(error.contains(expected), "{error} lacks {expected}");
    }
}

/// The exit code, and what was printed on standard output and error.
fn p2p_sim(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_p2p-sim")).args(arguments).current_dir(folder).output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (output.status.code().unwrap(), text)
}

#[test]
fn a_fresh_process_replays_what_another_found() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/counter.toml");
    let run = ["run", scenario, "--seeds", "6", "--jobs", "2", "--mutant", "count-twice"];
    let (code, text) = p2p_sim(folder.path(), &run);
    assert_eq!(code, 1, "{text}");
    let line = text.lines().find_map(|line| line.trim().strip_prefix("p2p-sim replay ")).expect("a line to copy");
    let capsule = Capsule::load(&folder.path().join(line), &registry()).unwrap();

    let (code, text) = p2p_sim(folder.path(), &["replay", line]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("the same run as before") && text.contains(&capsule.hash), "{text}");

    let (code, text) = p2p_sim(folder.path(), &["shrink", line, "--save", "small.toml"]);
    assert!(code == 1 && text.contains("still \"counted-twice\""), "{text}");
    let small = Capsule::load(&folder.path().join("small.toml"), &registry()).unwrap();
    let (code, text) = p2p_sim(folder.path(), &["replay", "small.toml"]);
    assert!(code == 1 && text.contains("the same run as before") && text.contains(&small.hash), "{text}");

    let (code, text) = p2p_sim(folder.path(), &["trace", "small.toml", "--html", "t.html", "--perfetto", "t.json"]);
    assert!(code == 1 && text.contains("records, counted-twice"), "{text}");
    let size = |name| std::fs::metadata(folder.path().join(name)).unwrap().len();
    assert!(size("t.html") > 50_000 && size("t.json") > 10_000);
    let (code, text) = p2p_sim(folder.path(), &["trace", "small.toml"]);
    assert!(code == 2 && text.contains("--html"), "{text}");

    // A regression that still fails fails the run, whatever the seeds do.
    let run = ["run", scenario, "--seeds", "1", "--regressions", "capsules"];
    let (code, text) = p2p_sim(folder.path(), &run);
    assert!(code == 1 && text.contains("regression capsules"), "{text}");

    let (code, text) = p2p_sim(folder.path(), &["run", scenario, "--seeds", "2", "--check"]);
    assert!(code == 0 && text.contains("2 seeds, no failure"), "{text}");
    let whole = std::fs::read_to_string(folder.path().join(line)).unwrap();
    std::fs::write(folder.path().join("cut.toml"), &whole[..whole.len() / 2]).unwrap();
    let (code, text) = p2p_sim(folder.path(), &["replay", "cut.toml"]);
    assert!(code == 2 && text.contains("cut.toml"), "{text}");
    std::fs::write(folder.path().join("old.toml"), whole.replacen("version = 1", "version = 7", 1)).unwrap();
    let (code, text) = p2p_sim(folder.path(), &["replay", "old.toml"]);
    assert!(code == 2 && text.contains("old.toml") && text.contains("version 7"), "{text}");
    std::fs::write(folder.path().join("bad.toml"), "workload = 'counter'\npears = 3").unwrap();
    let (code, text) = p2p_sim(folder.path(), &["run", "bad.toml"]);
    assert!(
        code == 2 && text.contains("bad.toml") && text.contains("pears") && text.contains("nearest is \"peers\""),
        "{text}"
    );
    let (code, text) = p2p_sim(folder.path(), &["replay", "nowhere.toml"]);
    assert!(code == 2 && text.contains("nowhere.toml"), "{text}");
    let (code, text) = p2p_sim(folder.path(), &["list"]);
    assert!(code == 0 && text.contains("mutant early-ack"), "{text}");
}
