//! A scenario on many seeds, on several threads. Each seed runs on one.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
};

use p2p::P2PError;

use parking_lot::Mutex;

use super::{Check, Fingerprint, Problem, SEEDS_TO_TELL, Seen, trace_case};
use crate::{Failure, TraceMode, capsule::Capsule, case::Case, scenario::Scenario, workload::Registry};

/// Which seeds, and how.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The first seed.
    pub first: u64,
    /// How many seeds.
    pub seeds: u64,
    /// Threads, 1 at least.
    pub jobs: usize,
    /// Whether each seed must run the same way again.
    pub check: Check,
}

/// What a sweep found.
#[derive(Debug, Default)]
pub struct Report {
    /// Seeds that ran.
    pub seeds: u64,
    /// Failures, by seed.
    pub failures: Vec<Found>,
    /// What happened on these seeds, taken together.
    pub seen: Seen,
    /// What should have happened and never did, in words. Of what is up to chance, only from [`SEEDS_TO_TELL`] seeds on.
    pub never: Vec<String>,
}

/// A failure that a sweep found.
#[derive(Debug)]
pub struct Found {
    /// What it has in common with others.
    pub fingerprint: Fingerprint,
    /// What went wrong.
    pub problem: Problem,
    /// To replay it.
    pub capsule: Capsule,
}

impl Report {
    /// Whether nothing failed, and everything happened that should.
    pub const fn is_well(&self) -> bool {
        self.failures.is_empty() && self.never.is_empty()
    }

    /// The failures by fingerprint, each by seed.
    pub fn groups(&self) -> BTreeMap<&Fingerprint, Vec<&Found>> {
        let mut groups = BTreeMap::<_, Vec<_>>::new();
        for found in &self.failures {
            groups.entry(&found.fingerprint).or_default().push(found);
        }
        groups
    }

    /// How many seeds it took from one failure to the next, in the median: what somebody who starts anywhere has to expect.
    pub fn seeds_to_failure(&self, first: u64) -> Option<u64> {
        let mut before = first;
        let mut gaps = Vec::new();
        for found in &self.failures {
            gaps.push(found.capsule.case.seed + 1 - before);
            before = found.capsule.case.seed + 1;
        }
        gaps.sort_unstable();
        gaps.get(gaps.len() / 2).copied()
    }
}

/// Runs a scenario on many seeds. `progress` is called after each, from any thread, with the failures so far.
///
/// # Errors
/// [`InvalidInput`](P2PError::InvalidInput) if the scenario names something that is not known.
pub fn sweep(
    scenario: &Scenario,
    registry: &Registry,
    settings: &Settings,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Report, P2PError> {
    // What cannot be resolved is said once, before anything runs.
    scenario.resolve(settings.first, registry)?;
    let (next, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    let results = Mutex::new(Ok((Vec::new(), Seen::default())));
    let work = || {
        while let Some(number) = Some(next.fetch_add(1, Relaxed)).filter(|number| *number < settings.seeds) {
            let ran = scenario
                .resolve(settings.first.wrapping_add(number), registry)
                .and_then(|case| run_seed(case, registry, &settings.check));
            let mut results = results.lock();
            match (ran, &mut *results) {
                (Ok((found, seen)), Ok((failures, all))) => {
                    failed.fetch_add(u64::from(found.is_some()), Relaxed);
                    failures.extend(found);
                    all.add(seen);
                }
                (Err(error), all) => *all = Err(error),
                _ => {}
            }
            drop(results);
            progress(failed.load(Relaxed));
        }
    };
    thread::scope(|scope| {
        for _ in 0..settings.jobs.max(1) {
            scope.spawn(work);
        }
    });
    let (mut failures, seen): (Vec<Found>, Seen) = results.into_inner()?;
    failures.sort_by_key(|found| found.capsule.case.seed);
    let claims = match settings.seeds >= SEEDS_TO_TELL {
        true => registry.get(&scenario.workload)?.sometimes(),
        false => &[],
    };
    let mut never = seen.never(claims, &scenario.faults_expected(settings.seeds));
    if settings.seeds < SEEDS_TO_TELL {
        never.retain(|what| what.starts_with("fault"));
    }
    Ok(Report { seeds: settings.seeds, failures, seen, never })
}

fn run_seed(case: Case, registry: &Registry, check: &Check) -> Result<(Option<Found>, Seen), P2PError> {
    let (mut outcome, trace) = trace_case(&case, registry, TraceMode::Hash)?;
    // How far a task that spins came is up to the machine.
    let spins = matches!(outcome.failure, Some(Problem::Failure(Failure::Spinning { .. })));
    if !spins && let Some(divergence) = check.look(&case, registry, &trace)? {
        outcome.failure = Some(Problem::Nondeterminism(divergence));
    }
    let Some(fingerprint) = outcome.fingerprint(&case) else {
        return Ok((None, outcome.seen));
    };
    let capsule = Capsule::new(case, &outcome);
    Ok((outcome.failure.map(|problem| Found { fingerprint, problem, capsule }), outcome.seen))
}
