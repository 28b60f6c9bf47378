//! Runs cases: one, or a scenario on many seeds.

mod check;
mod seen;
mod sweep;

use std::{fmt, sync::Arc};

use p2p::P2PError;

pub use self::{
    check::{Check, Divergence, FreshProcess},
    seen::{SEEDS_TO_TELL, Seen},
    sweep::{Found, Report, Settings, sweep},
};
use crate::{
    Failure, Simulation, SimulatorConfig,
    case::Case,
    trace::{Trace, TraceMode},
    workload::{Registry, Violation},
};

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What went wrong, if anything did.
    pub failure: Option<Problem>,
    /// BLAKE3 in hex: of the trace; of the report if a task span, as it is then up to the machine how far it came.
    pub hash: String,
    /// What happened besides.
    pub seen: Seen,
}

/// What went wrong in a run.
#[derive(Debug, Clone)]
pub enum Problem {
    /// The workload found a promise broken.
    Violation(Violation),
    /// The run itself failed: a panic, a stall, the time limit, a task that spins.
    Failure(Failure),
    /// The same case ran in two ways.
    Nondeterminism(Divergence),
}

/// What failures have in common that have the same cause, as far as one can tell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint {
    /// The workload.
    pub workload: String,
    /// The bug that was switched on.
    pub mutant: Option<String>,
    /// What went wrong.
    pub kind: String,
}

impl Outcome {
    /// What went wrong, in a word.
    pub fn kind(&self) -> Option<&'static str> {
        self.failure.as_ref().map(Problem::kind)
    }

    /// The failure's fingerprint.
    pub fn fingerprint(&self, case: &Case) -> Option<Fingerprint> {
        let kind = self.kind()?.into();
        Some(Fingerprint { workload: case.workload.clone(), mutant: case.mutant.clone(), kind })
    }
}

impl Problem {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Violation(violation) => violation.kind,
            Self::Nondeterminism(_) => "nondeterminism",
            Self::Failure(failure) => failure.kind(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Violation(violation) => write!(f, "{violation}"),
            Self::Failure(failure) => write!(f, "{}: {failure}", self.kind()),
            Self::Nondeterminism(divergence) => write!(f, "nondeterminism: {divergence}"),
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workload, mutant, kind } = self;
        match mutant {
            Some(mutant) => write!(f, "{workload}/{mutant}/{kind}"),
            None => write!(f, "{workload}/{kind}"),
        }
    }
}

/// Runs a case.
///
/// # Errors
/// [`InvalidInput`](P2PError::InvalidInput) if its workload is not known. Whatever goes wrong in the run is an outcome.
pub fn run_case(case: &Case, registry: &Registry) -> Result<Outcome, P2PError> {
    Ok(trace_case(case, registry, TraceMode::Hash)?.0)
}

/// Runs a case, and says what happened.
///
/// # Errors
/// As [`run_case`].
pub fn trace_case(case: &Case, registry: &Registry, mode: TraceMode) -> Result<(Outcome, Trace), P2PError> {
    let workload = registry.get(&case.workload)?.clone();
    let case = Arc::new(case.clone());
    let config = SimulatorConfig {
        link: case.links.config(),
        plan: case.plan.clone(),
        topology: case.topology.clone(),
        ..SimulatorConfig::new(case.seed)
    };
    // A workload that judges at its deadline gets to do so.
    let limit = case.deadline() + TIME_TO_JUDGE;
    let simulation = Simulation::with_config(config).with_trace(mode).with_time_limit(limit);
    let ended = simulation.run_to_end(|network| workload.run(network, case));
    let failure = match ended.result {
        Ok(judged) => judged.err().map(Problem::Violation),
        Err(failure) => Some(Problem::Failure(failure)),
    };
    let hash = match &failure {
        Some(Problem::Failure(report @ Failure::Spinning { .. })) => {
            blake3::hash(report.to_string().as_bytes()).to_hex().to_string()
        }
        _ => ended.trace.hash.to_string(),
    };
    let seen = Seen::in_run(ended.claims, &ended.trace);
    Ok((Outcome { failure, hash, seen }, ended.trace))
}

/// Virtual time after the deadline in which a workload that takes notice of it may say what is wrong.
const TIME_TO_JUDGE: std::time::Duration = std::time::Duration::from_secs(10);
