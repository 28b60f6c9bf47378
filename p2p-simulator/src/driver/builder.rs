//! One program on many seeds, as a library call.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};

use parking_lot::Mutex;

use super::{Ended, Failure, Simulation};
use crate::{
    LinkConfig, Network, Plan, SimulatorConfig, Swarm,
    runner::{SEEDS_TO_TELL, Seen},
};

/// Settings of a program's runs on many seeds; [`Simulation::builder`] makes one.
///
/// ```
/// use p2p::{P2PProvider, RuntimeExt};
/// use p2p_simulator::{Simulation, Swarm};
///
/// let runs = Simulation::builder()
///     .with_seeds(20)
///     .with_jobs(2)
///     .with_check(true)
///     .with_swarm(Swarm::new(["alice", "bob"]))
///     .run(|network| async move {
///         let (alice, _bob) = (network.provider("alice"), network.provider("bob"));
///         alice.runtime().sleep(std::time::Duration::from_secs(70)).await;
///     });
/// assert_eq!(runs.seeds, 20);
/// ```
#[derive(Debug, Clone)]
pub struct SimulationBuilder {
    config: SimulatorConfig,
    seeds: u64,
    jobs: usize,
    check: bool,
    swarm: Option<Swarm>,
    time_limit: Option<Duration>,
}

/// What came of a program's runs on many seeds.
#[derive(Debug, Default)]
pub struct Runs {
    /// How many there were.
    pub seeds: u64,
    /// How each seed failed that did, by seed.
    pub failures: BTreeMap<u64, RunFailure>,
    /// What happened on these seeds, taken together.
    pub seen: Seen,
    /// What [`sometimes!`](crate::sometimes) claimed and never held. Judged from [`SEEDS_TO_TELL`] seeds on.
    pub never: Vec<String>,
}

/// Why one seed is not well.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum RunFailure {
    /// The run failed.
    Failed(Failure),
    /// It ran in two ways.
    Diverged,
}

impl Simulation {
    /// Settings for runs on many seeds.
    pub fn builder() -> SimulationBuilder {
        SimulationBuilder {
            config: SimulatorConfig::default(),
            seeds: 1,
            jobs: 1,
            check: false,
            swarm: None,
            time_limit: None,
        }
    }
}

impl SimulationBuilder {
    /// Sets the network's settings, of which the seed is the first. Defaults to [`SimulatorConfig::default`].
    #[must_use]
    pub fn with_config(mut self, config: SimulatorConfig) -> Self {
        self.config = config;
        self
    }

    /// Sets the first seed. Defaults to 0.
    #[must_use]
    pub const fn with_first_seed(mut self, seed: u64) -> Self {
        self.config.seed = seed;
        self
    }

    /// Sets how many seeds. Defaults to 1.
    #[must_use]
    pub const fn with_seeds(mut self, seeds: u64) -> Self {
        self.seeds = seeds;
        self
    }

    /// Sets how many threads run seeds side by side, each seed on one. Defaults to 1.
    #[must_use]
    pub const fn with_jobs(mut self, jobs: usize) -> Self {
        self.jobs = jobs;
        self
    }

    /// Runs each seed twice and compares, in this process. Across processes, `p2p-sim run --check` does.
    #[must_use]
    pub const fn with_check(mut self, check: bool) -> Self {
        self.check = check;
        self
    }

    /// Sets what links are like.
    #[must_use]
    pub const fn with_link(mut self, link: LinkConfig) -> Self {
        self.config.link = link;
        self
    }

    /// Sets what goes wrong on every seed.
    #[must_use]
    pub fn with_plan(mut self, plan: Plan) -> Self {
        self.config.plan = plan;
        self
    }

    /// Lets a swarm's faults go wrong, others on each seed, in place of a plan.
    #[must_use]
    pub fn with_swarm(mut self, swarm: Swarm) -> Self {
        self.swarm = Some(swarm);
        self
    }

    /// Sets the virtual time after which a run fails. Defaults to the swarm's deadline, or a day.
    #[must_use]
    pub const fn with_time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = Some(limit);
        self
    }

    /// The run of one seed.
    pub fn build(&self, seed: u64) -> Simulation {
        let simulation = Simulation::with_config(SimulatorConfig { seed, ..self.config.clone() });
        let simulation = match &self.swarm {
            Some(swarm) => simulation.with_swarm(swarm),
            None => simulation,
        };
        match self.time_limit {
            Some(limit) => simulation.with_time_limit(limit),
            None => simulation,
        }
    }

    /// Runs the program on all seeds.
    ///
    /// # Panics
    /// If any seed is not well, with the failures by kind and a line for each that repeats it.
    pub fn run<F: Future>(&self, program: impl Fn(Network) -> F + Sync) -> Runs {
        let runs = self.try_run(program);
        assert!(runs.is_well(), "{runs}");
        runs
    }

    /// Runs the program on all seeds, whatever comes of it.
    pub fn try_run<F: Future>(&self, program: impl Fn(Network) -> F + Sync) -> Runs {
        let next = AtomicU64::new(0);
        let runs = Mutex::new(Runs { seeds: self.seeds, ..Runs::default() });
        let work = || {
            while let Some(number) = Some(next.fetch_add(1, Relaxed)).filter(|number| *number < self.seeds) {
                let seed = self.config.seed.wrapping_add(number);
                let (failure, seen) = self.run_seed(seed, &program);
                let mut runs = runs.lock();
                runs.seen.add(seen);
                runs.failures.extend(failure.map(|failure| (seed, failure)));
            }
        };
        thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(work);
            }
        });
        let mut runs = runs.into_inner();
        if self.seeds >= SEEDS_TO_TELL {
            runs.never = runs.seen.never(&[], &[]);
        }
        runs
    }

    fn run_seed<F: Future>(&self, seed: u64, program: impl Fn(Network) -> F) -> (Option<RunFailure>, Seen) {
        let Ended { result, trace, claims, .. } = self.build(seed).run_to_end(&program);
        let failure = match result {
            Err(failure) => Some(RunFailure::Failed(failure)),
            Ok(_) if self.check && self.build(seed).run_to_end(&program).trace.hash != trace.hash => {
                Some(RunFailure::Diverged)
            }
            Ok(_) => None,
        };
        (failure, Seen::in_run(claims, &trace))
    }
}

impl Runs {
    /// Whether nothing failed, and everything happened that should.
    pub fn is_well(&self) -> bool {
        self.failures.is_empty() && self.never.is_empty()
    }
}

/// The failures by kind, the most frequent first.
impl fmt::Display for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds = BTreeMap::<&str, Vec<(&u64, &RunFailure)>>::new();
        for (seed, failure) in &self.failures {
            kinds.entry(failure.kind()).or_default().push((seed, failure));
        }
        let mut kinds: Vec<_> = kinds.into_iter().collect();
        kinds.sort_by_key(|(_, failures)| std::cmp::Reverse(failures.len()));
        write!(f, "{} of {} seeds failed", self.failures.len(), self.seeds)?;
        for (kind, failures) in kinds {
            write!(f, "\n{kind}: {} of {} seeds", failures.len(), self.seeds)?;
            for (seed, failure) in failures.iter().take(SHOWN_MAX) {
                write!(f, "\n  SIMULATOR_P2P_SEED={seed} SIMULATOR_P2P_RUNS=1: {failure}")?;
            }
        }
        self.never.iter().try_for_each(|what| write!(f, "\nnever happened: {what}"))
    }
}

/// Failures of one kind that are shown.
const SHOWN_MAX: usize = 3;

impl RunFailure {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Failed(failure) => failure.kind(),
            Self::Diverged => "nondeterminism",
        }
    }
}

impl fmt::Display for RunFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(failure) => write!(f, "{failure}"),
            Self::Diverged => f.write_str("the same seed ran in two ways"),
        }
    }
}
