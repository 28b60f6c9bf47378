//! Makes a failing case smaller, and says which of its faults the failure needs.
//!
//! Delta debugging (Zeller and Hildebrandt, 2002) over faults, peers and steps; then knobs and links go back to their
//! defaults where they can. A smaller case counts if it fails with the same fingerprint.

use p2p::P2PError;

use crate::{
    Entry, Plan,
    capsule::Capsule,
    case::{Case, Links},
    runner::{Fingerprint, run_case},
    workload::Registry,
};

/// Runs that a shrink takes at most. Beyond it, the smallest so far is the result.
pub const RUNS_MAX: usize = 2_000;

/// A smaller case, and what its failure needs.
#[derive(Debug)]
pub struct Shrunk {
    /// The smallest case that was found, with how it fails.
    pub capsule: Capsule,
    /// Its faults, each with whether the failure needs it.
    pub blame: Vec<Blame>,
    /// Runs that it took.
    pub runs: usize,
}

/// A fault that is left, and what happens without it.
#[derive(Debug)]
pub struct Blame {
    /// The fault.
    pub entry: Entry,
    /// How the case ends without it: nothing if it ends well, so that the failure needs the fault.
    pub without: Option<String>,
}

/// Makes a case smaller that fails.
///
/// # Errors
/// [`InvalidInput`](P2PError::InvalidInput) if the case does not fail, or its workload is not known.
pub fn shrink(case: &Case, registry: &Registry) -> Result<Shrunk, P2PError> {
    let Some(fingerprint) = run_case(case, registry)?.fingerprint(case) else {
        return Err(P2PError::invalid_input("a case that does not fail", "one that does, to make it smaller"));
    };
    let mut shrinker = Shrinker { registry, fingerprint, smallest: case.clone(), runs: 1 };
    // Each may make room for another: a peer that is gone takes faults and steps with it.
    loop {
        let before = shrinker.smallest.clone();
        shrinker.round()?;
        if shrinker.smallest == before || shrinker.runs >= RUNS_MAX {
            break;
        }
    }
    let Shrinker { smallest, mut runs, .. } = shrinker;
    let blame = blame(&smallest, registry)?;
    runs += blame.len() + 1;
    let outcome = run_case(&smallest, registry)?;
    Ok(Shrunk { capsule: Capsule::new(smallest, &outcome), blame, runs })
}

/// Removes each fault in turn, and says what happens without it.
///
/// # Errors
/// [`InvalidInput`](P2PError::InvalidInput) if the case's workload is not known.
pub fn blame(case: &Case, registry: &Registry) -> Result<Vec<Blame>, P2PError> {
    let without = |entry: &Entry| {
        let others = case.plan.entries().iter().filter(|other| *other != entry).cloned();
        let smaller = Case { plan: plan_of(others), ..case.clone() };
        let without = run_case(&smaller, registry)?.kind().map(Into::into);
        Ok(Blame { entry: entry.clone(), without })
    };
    case.plan.entries().iter().map(without).collect()
}

struct Shrinker<'a> {
    registry: &'a Registry,
    /// What must stay.
    fingerprint: Fingerprint,
    smallest: Case,
    runs: usize,
}

impl Shrinker<'_> {
    fn round(&mut self) -> Result<(), P2PError> {
        self.fewer(|case| case.plan.entries().to_vec(), |case, entries| case.plan = plan_of(entries))?;
        self.fewer(|case| case.peers.clone(), keep_peers)?;
        self.fewer(|case| case.steps.clone(), |case, steps| case.steps = steps)?;
        for knob in self.registry.get(&self.smallest.workload)?.clone().knobs() {
            let mut smaller = self.smallest.clone();
            smaller.knobs.insert(knob.name.into(), knob.default);
            self.take_if_it_fails(smaller)?;
        }
        let smaller = Case { links: Links::default(), ..self.smallest.clone() };
        self.take_if_it_fails(smaller)?;
        Ok(())
    }

    /// Leaves out as many parts of one sort as it can: halves first, then ever smaller chunks.
    fn fewer<T: Clone>(
        &mut self,
        parts_of: impl Fn(&Case) -> Vec<T>,
        keep: impl Fn(&mut Case, Vec<T>),
    ) -> Result<(), P2PError> {
        let mut chunk = parts_of(&self.smallest).len();
        while chunk > 0 {
            let mut start = 0;
            loop {
                let mut parts = parts_of(&self.smallest);
                if start >= parts.len() {
                    break;
                }
                parts.drain(start..parts.len().min(start + chunk));
                let mut smaller = self.smallest.clone();
                keep(&mut smaller, parts);
                // If they are gone, others stand in their place.
                if !self.take_if_it_fails(smaller)? {
                    start += chunk;
                }
            }
            chunk /= 2;
        }
        Ok(())
    }

    fn take_if_it_fails(&mut self, smaller: Case) -> Result<bool, P2PError> {
        if smaller == self.smallest || smaller.peers.is_empty() || self.runs >= RUNS_MAX {
            return Ok(false);
        }
        self.runs += 1;
        let fails = run_case(&smaller, self.registry)?.fingerprint(&smaller).as_ref() == Some(&self.fingerprint);
        if fails {
            self.smallest = smaller;
        }
        Ok(fails)
    }
}

/// Leaves these peers only, with the steps and faults that concern no other.
fn keep_peers(case: &mut Case, peers: Vec<String>) {
    case.steps.retain(|step| peers.contains(&step.peer));
    let relays = &case.topology.relays;
    let known = |entry: &&Entry| {
        entry.names().all(|name| peers.iter().any(|peer| peer == name) || relays.iter().any(|relay| relay.name == name))
    };
    case.plan = plan_of(case.plan.entries().iter().filter(known).cloned());
    for router in &mut case.topology.routers {
        router.peers.retain(|peer| peers.contains(peer));
    }
    case.peers = peers;
}

/// Some entries of a plan.
fn plan_of(entries: impl IntoIterator<Item = Entry>) -> Plan {
    let mut plan = Plan::new();
    for entry in entries {
        plan.push(entry).expect("what was possible in a larger plan is in a smaller one");
    }
    plan
}
