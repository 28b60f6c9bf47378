//! Virtual time: the next event happens whenever all tasks wait.
//!
//! Tasks run on a tokio runtime of one thread without timers or I/O. Its idle hook, which tokio calls exactly when no task
//! can run, takes the next event from the world and wakes whom it concerns. So virtual time has a resolution of one
//! nanosecond, costs nothing while nothing happens, and ordinary tokio tasks and channels work.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use super::{
    failure::{Failure, Verdict},
    idle::Idle,
    keeper::keep,
    watchdog::Watchdog,
};
use crate::{
    LinkConfig, Network, Plan, SimulatorConfig, Swarm, Topology,
    claims::Claims,
    shared::{Clock, Shared},
    trace::{Trace, TraceMode},
};

/// A run in virtual time: its settings, and what bounds it.
///
/// The same settings and the same program give the same run, event for event, in every process and on every machine, as
/// long as the program takes time, tasks and randomness from its peers' [`Runtime`](p2p::Runtime)s and lets no unordered
/// map decide anything.
///
/// ```
/// use p2p::{P2PConnectionExt, P2PProvider, P2PProviderExt};
/// use p2p_simulator::Simulation;
///
/// let run = Simulation::new(7).run(|network| async move {
///     network.node("bob", |node| async move {
///         let listener = node.provider().listen(&"echo/1".parse().unwrap()).await.unwrap();
///         let connection = listener.accept().await.unwrap();
///         while let Ok(message) = connection.recv().await {
///             connection.send(message).await.unwrap();
///         }
///     });
///     let alice = network.provider("alice");
///     let connection = alice.connect(p2p::PeerId::from_name("bob"), &"echo/1".parse().unwrap()).await.unwrap();
///     connection.send("anybody there?".into()).await.unwrap();
///     connection.recv().await.unwrap()
/// });
/// assert_eq!(run.output, "anybody there?");
/// ```
#[derive(Debug, Clone)]
pub struct Simulation {
    config: SimulatorConfig,
    trace: TraceMode,
    time_limit: Duration,
    watchdog: Option<Duration>,
}

/// What a run that ended well leaves.
#[derive(Debug, Clone)]
pub struct Run<T> {
    /// What the main future returned.
    pub output: T,
    /// The virtual time that passed.
    pub elapsed: Duration,
    /// What happened, up to the moment the main future was done.
    pub trace: Trace,
}

/// How a run ended, well or not.
#[derive(Debug, Clone)]
pub struct Ended<T> {
    /// What the main future returned, or why it was not let.
    pub result: Result<T, Failure>,
    /// The virtual time that passed.
    pub elapsed: Duration,
    /// What happened, up to that moment.
    pub trace: Trace,
    /// What the program claimed.
    pub claims: Claims,
}

impl Simulation {
    /// A run of that seed with the settings' defaults.
    pub fn new(seed: u64) -> Self {
        Self::with_config(SimulatorConfig::new(seed))
    }

    /// A run with these settings.
    pub const fn with_config(config: SimulatorConfig) -> Self {
        Self {
            config,
            trace: TraceMode::Hash,
            time_limit: Duration::from_secs(24 * 60 * 60),
            watchdog: Some(Duration::from_secs(60)),
        }
    }

    /// Sets what links are like until told otherwise.
    #[must_use]
    pub const fn with_link(mut self, link: LinkConfig) -> Self {
        self.config.link = link;
        self
    }

    /// Sets what goes wrong, and when. A peer that is not on the network when its fault is due fails the run.
    #[must_use]
    pub fn with_plan(mut self, plan: Plan) -> Self {
        self.config.plan = plan;
        self
    }

    /// Sets which relays there are, and which routers peers are behind.
    #[must_use]
    pub fn with_topology(mut self, topology: Topology) -> Self {
        self.config.topology = topology;
        self
    }

    /// Lets a swarm's faults go wrong, as this run's seed draws them, and sets the time limit to the swarm's deadline. It
    /// takes the place of a plan.
    #[must_use]
    pub fn with_swarm(mut self, swarm: &Swarm) -> Self {
        self.config.plan = swarm.plan(self.config.seed);
        self.time_limit = swarm.deadline();
        self
    }

    /// Sets what is remembered of the run. Defaults to its hash.
    #[must_use]
    pub const fn with_trace(mut self, mode: TraceMode) -> Self {
        self.trace = mode;
        self
    }

    /// Sets the virtual time after which the run fails. Defaults to a day.
    #[must_use]
    pub const fn with_time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Sets the *real* time for which virtual time may stand still before the run fails, because some task never waits.
    /// Defaults to a minute; nothing turns it off.
    ///
    /// A task that does not even return to its executor cannot be stopped; after as long again the process is aborted,
    /// with a report, rather than left to hang.
    #[must_use]
    pub const fn with_watchdog(mut self, patience: Option<Duration>) -> Self {
        self.watchdog = patience;
        self
    }

    /// Runs `main` to its end; what else still runs then is dropped.
    ///
    /// # Panics
    /// If the run fails, with its seed and the [`Failure`]'s report.
    pub fn run<F: Future>(self, main: impl FnOnce(Network) -> F) -> Run<F::Output> {
        let seed = self.config.seed;
        self.try_run(main).unwrap_or_else(|failure| panic!("simulation of seed {seed} failed: {failure}"))
    }

    /// Runs `main` to its end; what else still runs then is dropped.
    ///
    /// # Errors
    /// [`Failure`]: something panicked, or the run would never end.
    ///
    /// # Panics
    /// Inside another asynchronous runtime, which it would block.
    pub fn try_run<F: Future>(self, main: impl FnOnce(Network) -> F) -> Result<Run<F::Output>, Failure> {
        let Ended { result, elapsed, trace, .. } = self.run_to_end(main);
        result.map(|output| Run { output, elapsed, trace })
    }

    /// Runs `main` until it is done or the run fails, and says what happened until then in either case.
    ///
    /// # Panics
    /// Inside another asynchronous runtime, which it would block.
    pub fn run_to_end<F: Future>(self, main: impl FnOnce(Network) -> F) -> Ended<F::Output> {
        let verdict = Arc::new(Verdict::default());
        let idle = Arc::new(Idle::new(nanos(self.time_limit)));
        let hook = idle.clone();
        let executor = tokio::runtime::Builder::new_current_thread()
            .on_thread_park(move || hook.turn())
            .build()
            .expect("a runtime without drivers needs nothing from the system");
        let shared = Shared::new(self.config, self.trace, Clock::Virtual(verdict.clone()), executor.handle().clone());
        idle.start(&shared);
        let _watchdog = self.watchdog.map(|patience| watch(patience, &idle, &shared));

        let network = Network::new(shared.clone());
        let result = executor.block_on(async {
            // What `main` does before it returns its future is part of the run, too.
            let main = pin!(async { main(network).await });
            keep(main, &verdict).await
        });
        // A program may hold the network that holds it.
        shared.programs.clear();
        // Before the executor is dropped and all tasks with it: their last words are not part of the run.
        let elapsed = Duration::from_nanos(shared.now().as_nanos());
        let (trace, audit) = shared.with(|world| (world.trace(), world.audit()));
        let result = result.and_then(|output| audit.map(|()| output).map_err(|what| Failure::Audit { what }));
        Ended { result, elapsed, trace, claims: shared.claimed.so_far() }
    }
}

fn watch(patience: Duration, idle: &Idle, shared: &Arc<Shared>) -> Watchdog {
    let [barking, biting] = [Arc::downgrade(shared), Arc::downgrade(shared)];
    let report = |shared: &Arc<Shared>, after| {
        let task = shared.tasks.last_polled();
        let task = task.map(|(node, task)| shared.with(|world| format!("{task:?} of {}", world.node_name(node))));
        Failure::Spinning { task, after }
    };
    let bark = move || {
        if let Some(shared) = barking.upgrade()
            && let Some(verdict) = shared.verdict()
        {
            verdict.fail(report(&shared, patience));
        }
    };
    #[expect(clippy::print_stderr, reason = "the process ends here, and nobody else is left to say why")]
    let bite = move || {
        if let Some(shared) = biting.upgrade() {
            eprintln!("simulation of seed {}: {}", shared.seed, report(&shared, 2 * patience));
            std::process::abort();
        }
    };
    Watchdog::start(patience, idle.turns(), bark, bite)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
