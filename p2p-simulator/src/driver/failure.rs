//! How a simulated run fails, and where that is told.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
    task::Waker,
    time::Duration,
};

use parking_lot::Mutex;

use crate::shared::Shared;

/// Why a run did not end well. Prints as a report.
#[derive(Clone)]
#[non_exhaustive]
pub enum Failure {
    /// A task, or the run's main future, panicked.
    Panicked {
        /// The task's peer; nothing for the main future.
        node: Option<String>,
        /// The task's name.
        task: String,
        /// What the panic said.
        message: String,
    },
    /// Every task waits and nothing will ever happen.
    Stalled {
        /// Who waits for what.
        waiting: Waiting,
    },
    /// The plan names somebody who is not there when the fault is due.
    Plan {
        /// The entry, the name, and the nearest one there is.
        reason: String,
    },
    /// Virtual time went beyond the run's limit.
    TimeLimit {
        /// The limit.
        limit: Duration,
        /// Who waits for what.
        waiting: Waiting,
    },
    /// What must always hold did not.
    Broken {
        /// The claim's name.
        claim: &'static str,
        /// What was the case instead.
        detail: String,
        /// When.
        at: Duration,
    },
    /// What must come to hold did not in time.
    NotInTime {
        /// The claim's name.
        claim: &'static str,
        /// How long it had.
        within: Duration,
        /// Who waits for what.
        waiting: Waiting,
    },
    /// The simulator's own accounts do not add up. A bug in it, not in the program.
    Audit {
        /// What does not add up.
        what: String,
    },
    /// A task ran, in real time, for so long without waiting for anything that virtual time stood still.
    Spinning {
        /// The task that was polled last, with its peer; nothing for the main future.
        task: Option<String>,
        /// How long virtual time stood still.
        after: Duration,
    },
}

/// What every task and connection of a run waits for.
#[derive(Clone)]
pub struct Waiting {
    /// When the run got here.
    pub at: Duration,
    /// Live tasks: `peer: task × count`.
    pub tasks: Vec<String>,
    /// Connections whose users wait for something.
    pub connections: Vec<String>,
}

impl Waiting {
    pub(crate) fn of(shared: &Arc<Shared>) -> Self {
        let counts: BTreeMap<_, _> = shared.tasks.counts();
        shared.with(|world| Self {
            at: Duration::from_nanos(world.now()),
            tasks: counts
                .into_iter()
                .map(|((node, task), count)| match count {
                    1 => format!("{}: {task}", world.node_name(node)),
                    _ => format!("{}: {task} × {count}", world.node_name(node)),
                })
                .collect(),
            connections: world.waits(),
        })
    }
}

impl Failure {
    /// What went wrong in a word or two, the same for all seeds on which it does: a claim's name, or the sort of failure.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Panicked { .. } => "panic",
            Self::Stalled { .. } => "stall",
            Self::Plan { .. } => "plan",
            Self::TimeLimit { .. } => "time-limit",
            Self::Broken { claim, .. } | Self::NotInTime { claim, .. } => claim,
            Self::Audit { .. } => "audit",
            Self::Spinning { .. } => "spinning",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked { node: Some(node), task, message } => {
                write!(f, "task {task:?} of peer {node:?} panicked: {message}")
            }
            Self::Panicked { node: None, message, .. } => write!(f, "the main future panicked: {message}"),
            Self::Stalled { waiting } => {
                write!(f, "stalled: every task waits, and nothing is on its way\n{waiting}")
            }
            Self::Plan { reason } => write!(f, "the plan cannot be followed: {reason}"),
            Self::TimeLimit { limit, waiting } => {
                write!(f, "not done within {limit:?} of virtual time\n{waiting}")
            }
            Self::Broken { claim, detail, at } => write!(f, "broken at {at:?}: {claim}: {detail}"),
            Self::NotInTime { claim, within, waiting } => {
                write!(f, "not within {within:?}: {claim}\n{waiting}")
            }
            Self::Audit { what } => write!(f, "the simulator's accounts do not add up: {what}"),
            Self::Spinning { task, after } => {
                let task = task.as_deref().unwrap_or("the main future");
                write!(f, "virtual time stood still for {after:?}, because a task never waits; polled last: {task}")
            }
        }
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  at {:?}", self.at)?;
        for (what, lines) in [("task", &self.tasks), ("connection", &self.connections)] {
            for line in lines.iter().take(LINES_MAX) {
                write!(f, "\n  {what} {line}")?;
            }
            if let Some(more) = lines.len().checked_sub(LINES_MAX + 1) {
                write!(f, "\n  and {} {what}s more", more + 1)?;
            }
        }
        Ok(())
    }
}

/// Lines of each kind in a report.
const LINES_MAX: usize = 40;

/// Like `Display`: `unwrap` on a run prints a report to read.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failure {}

/// Where the first failure of a run is kept until its main future's keeper sees it.
#[derive(Default)]
pub(crate) struct Verdict {
    failure: Mutex<Option<Failure>>,
    keeper: OnceLock<Waker>,
}

impl Verdict {
    /// Fails the run, unless it has failed already.
    pub(crate) fn fail(&self, failure: Failure) {
        self.failure.lock().get_or_insert(failure);
        self.nudge();
    }

    /// Lets the keeper look.
    pub(super) fn nudge(&self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.wake_by_ref();
        }
    }

    /// Sets who is told. The first counts: a run has one keeper, on a thread that never changes.
    pub(super) fn set_keeper(&self, waker: &Waker) {
        self.keeper.get_or_init(|| waker.clone());
    }

    pub(super) fn take_failure(&self) -> Option<Failure> {
        self.failure.lock().take()
    }
}
