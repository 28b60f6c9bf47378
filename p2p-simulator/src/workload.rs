//! Programs under test: what a [`Workload`] is, and the [`Registry`] that knows them by name.
//!
//! A workload names its figures ([`Knob`]) and its switchable bugs ([`Mutant`]), draws its steps from the seed, and runs on
//! a network. Those that ship are in [`workloads`](crate::workloads); [`scenario`](crate::scenario) says how they are run.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use p2p::{BoxFuture, P2PError, Rng};

use crate::{Network, case::Case, nearest::nearest};

/// A program that is run on many seeds, and says itself whether it did what it must.
pub trait Workload: Send + Sync + 'static {
    /// Its name, in scenarios and capsules.
    fn name(&self) -> &'static str;

    /// What it is, in a sentence.
    fn about(&self) -> &'static str;

    /// Its figures. None by default.
    fn knobs(&self) -> &'static [Knob] {
        &[]
    }

    /// Bugs that can be switched on, to see whether they are found. None by default.
    fn mutants(&self) -> &'static [Mutant] {
        &[]
    }

    /// The names of what [`sometimes!`](crate::sometimes) claims of it: a sweep fails if one never held, or was never even
    /// reached. None by default.
    fn sometimes(&self) -> &'static [&'static str] {
        &[]
    }

    /// What is done in the run, drawn from the seed.
    ///
    /// Steps are data: a smaller case runs some of them only, so each must make sense without the others.
    fn steps(&self, setup: &Setup<'_>, rng: &mut Rng) -> Vec<Step>;

    /// Runs the case, and judges. The faults of its plan happen meanwhile.
    ///
    /// Whatever it decides by must come from the case and the network, or the run cannot be replayed.
    ///
    /// # Errors
    /// [`Violation`] if the program broke a promise.
    fn run(&self, network: Network, case: Arc<Case>) -> BoxFuture<'static, Result<(), Violation>>;
}

/// A figure of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Knob {
    /// Its name.
    pub name: &'static str,
    /// Its value unless a scenario sets another.
    pub default: u64,
    /// The largest value. The smallest is 1.
    pub max: u64,
    /// What it is, with its unit.
    pub about: &'static str,
}

/// A bug that can be switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mutant {
    /// Its name.
    pub name: &'static str,
    /// What is wrong, and what comes of it.
    pub about: &'static str,
}

/// What steps are drawn for.
#[derive(Debug, Clone, Copy)]
pub struct Setup<'a> {
    /// The peers' names.
    pub peers: &'a [String],
    /// All knobs, by name.
    pub knobs: &'a BTreeMap<String, u64>,
    /// When all faults are over.
    pub chaos: Duration,
}

/// One thing that is done in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub at: Duration,
    /// By whom.
    pub peer: String,
    /// What, in words that the workload reads: `add 3`.
    pub what: String,
}

/// A promise that the program broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which promise, in a word or two that are the same for every seed: failures are grouped by it.
    pub kind: &'static str,
    /// What happened, with figures.
    pub detail: String,
}

impl Violation {
    /// A broken promise.
    pub fn new(kind: &'static str, detail: impl fmt::Display) -> Self {
        Self { kind, detail: detail.to_string() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.detail)
    }
}

/// Workloads by name.
#[derive(Clone, Default)]
pub struct Registry(BTreeMap<&'static str, Arc<dyn Workload>>);

impl Registry {
    /// One without workloads.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a workload, in place of one of the same name.
    #[must_use]
    pub fn with(mut self, workload: impl Workload) -> Self {
        self.0.insert(workload.name(), Arc::new(workload));
        self
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Workload>> {
        self.0.values()
    }

    /// The workload of that name.
    ///
    /// # Errors
    /// [`InvalidInput`](P2PError::InvalidInput), with the nearest name there is.
    pub fn get(&self, name: &str) -> Result<&Arc<dyn Workload>, P2PError> {
        self.0.get(name).ok_or_else(|| unknown("workload", name, self.0.keys().copied()))
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The mutant of that name.
pub(crate) fn find_mutant(workload: &dyn Workload, name: &str) -> Result<&'static Mutant, P2PError> {
    let mutants = workload.mutants();
    let found = mutants.iter().find(|mutant| mutant.name == name);
    found.ok_or_else(|| unknown("mutant", name, mutants.iter().map(|mutant| mutant.name)))
}

/// Checks the knobs that were set, and adds the others.
pub(crate) fn complete_knobs(workload: &dyn Workload, set: &mut BTreeMap<String, u64>) -> Result<(), P2PError> {
    let knobs = workload.knobs();
    for (name, value) in &*set {
        let Some(knob) = knobs.iter().find(|knob| knob.name == name) else {
            return Err(unknown("knob", name, knobs.iter().map(|knob| knob.name)));
        };
        if !(1..=knob.max).contains(value) {
            let expected = format_args!("from 1 to {}", knob.max);
            return Err(P2PError::invalid_input(format_args!("knob {name} = {value}"), expected));
        }
    }
    for knob in knobs {
        set.entry(knob.name.into()).or_insert(knob.default);
    }
    Ok(())
}

/// An unknown word, with what there is and which of it is nearest.
pub(crate) fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> P2PError {
    let all = known.clone().collect::<Vec<_>>().join(", ");
    let expected = match nearest(name, known) {
        Some(nearest) => format!("one of {all}; the nearest is {nearest:?}"),
        None => "nothing, as there are none".into(),
    };
    P2PError::invalid_input(format_args!("{what} {name:?}"), expected)
}
