//! What runs have seen: a sweep in which something never happened has not tested it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{claims::Claims, trace::Trace};

/// What happened in a run, or in several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// How often each `sometimes!` held.
    pub sometimes: BTreeMap<&'static str, u64>,
    /// The ids of the plan's faults that began.
    pub faults: BTreeSet<String>,
}

/// Seeds from which on it is no accident that something never happened: what one in twenty does is missing in a hundred once in
/// 170 sweeps, and what half of them do, as a kind of fault, never.
pub const SEEDS_TO_TELL: u64 = 100;

impl Seen {
    pub(crate) fn in_run(claims: Claims, trace: &Trace) -> Self {
        let faults = trace.faults.values().map(|fault| fault.id.clone()).filter(|id| !id.is_empty()).collect();
        Self { sometimes: claims.sometimes, faults }
    }

    /// Adds what another run has seen.
    pub fn add(&mut self, other: Self) {
        for (name, times) in other.sometimes {
            *self.sometimes.entry(name).or_default() += times;
        }
        self.faults.extend(other.faults);
    }

    /// What never happened of what must: claims, those that were never reached included, and faults. A fault is either the
    /// id of an entry, or the kind that ids of a swarm begin with.
    pub fn never(&self, claims: &[&'static str], faults: &[String]) -> Vec<String> {
        let held = |name: &&str| self.sometimes.get(name).is_some_and(|times| *times > 0);
        let all: BTreeSet<&str> = claims.iter().chain(self.sometimes.keys()).copied().collect();
        let claims = all.into_iter().filter(|name| !held(name)).map(|name| format!("sometimes: {name}"));
        let kind = |id: &String| id.rsplit_once('-').map(|(kind, _)| kind.to_string());
        let began = |fault: &&String| {
            self.faults.contains(*fault) || self.faults.iter().any(|id| kind(id).as_ref() == Some(fault))
        };
        claims.chain(faults.iter().filter(|fault| !began(fault)).map(|fault| format!("fault: {fault}"))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_claimed_and_never_held_and_what_was_planned_and_never_began_is_told() {
        let mut seen = Seen::default();
        seen.add(Seen { sometimes: [("a", 0), ("b", 0)].into(), faults: ["cut-3".into()].into() });
        seen.add(Seen { sometimes: [("a", 2)].into(), faults: ["my-crash".into()].into() });
        let faults = ["cut", "cut-one-way", "my-crash", "my"].map(String::from);
        let never = seen.never(&["c", "a"], &faults);
        assert_eq!(never, ["sometimes: b", "sometimes: c", "fault: cut-one-way"]);
    }
}
