//! Makes a failing case smaller, and says which of its faults the failure needs.
//!
//! Delta debugging (Zeller and Hildebrandt, 2002) over faults, peers, steps, routers and relays; then knobs and the settings of
//! links go back to their defaults one by one, and faults that are left keep as few places and settings as they can. A
//! smaller case counts if it fails with the same fingerprint.

mod parts;

use p2p::P2PError;

use self::parts::{keep_peers, keep_relays, keep_routers, less_of, plan_of, plan_with, weaker};
use crate::{
    Entry,
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
        let routers = |case: &Case| case.topology.routers.iter().map(|router| router.name.clone()).collect();
        self.fewer(routers, |case, routers| keep_routers(case, &routers))?;
        let relays = |case: &Case| case.topology.relays.iter().map(|relay| relay.name.clone()).collect();
        self.fewer(relays, |case, relays| keep_relays(case, &relays))?;
        for knob in self.registry.get(&self.smallest.workload)?.clone().knobs() {
            let mut smaller = self.smallest.clone();
            smaller.knobs.insert(knob.name.into(), knob.default);
            self.take_if_it_fails(smaller)?;
        }
        self.plainer_links()?;
        self.weaker_faults()
    }

    /// Links as by default, or with as few settings of their own as they can.
    fn plainer_links(&mut self) -> Result<(), P2PError> {
        let smaller = Case { links: Links::default(), ..self.smallest.clone() };
        if self.take_if_it_fails(smaller)? {
            return Ok(());
        }
        let links = Links { profile: None, ..self.smallest.links };
        self.take_if_it_fails(Case { links, ..self.smallest.clone() })?;
        while self.milder_links()? {}
        Ok(())
    }

    fn milder_links(&mut self) -> Result<bool, P2PError> {
        for change in less_of(self.smallest.links.change) {
            let links = Links { change, ..self.smallest.links };
            if self.take_if_it_fails(Case { links, ..self.smallest.clone() })? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Each fault that is left in as few places, and with as few settings, as it can.
    fn weaker_faults(&mut self) -> Result<(), P2PError> {
        for index in 0..self.smallest.plan.entries().len() {
            while self.weaken(index)? {}
        }
        Ok(())
    }

    fn weaken(&mut self, index: usize) -> Result<bool, P2PError> {
        for other in weaker(&self.smallest.plan.entries()[index], &self.smallest) {
            if let Some(plan) = plan_with(&self.smallest.plan, index, other)
                && self.take_if_it_fails(Case { plan, ..self.smallest.clone() })?
            {
                return Ok(true);
            }
        }
        Ok(false)
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
