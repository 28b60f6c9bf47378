//! A case: everything that decides one run of a workload, as data.
//!
//! A [`Scenario`](crate::scenario::Scenario) and a seed make one; a [`Capsule`](crate::capsule::Capsule) keeps it; shrinking
//! makes it smaller.

use std::{collections::BTreeMap, path::Path, time::Duration};

use p2p::P2PError;
use serde::{Deserialize, Serialize};

use crate::{
    Fault, LinkChange, LinkConfig, Place, Plan, Profile, Relay, Router, Topology,
    text::{parse_duration, print_duration},
    workload::{Registry, Step, complete_knobs, find_mutant, unknown},
};

/// Everything that decides one run, resolved: nothing is drawn from the seed any more but what links and peers do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Chooses losses, delays, and what peers draw.
    pub seed: u64,
    /// The workload's name.
    pub workload: String,
    /// The bug that is switched on.
    pub mutant: Option<String>,
    /// Who takes part.
    pub peers: Vec<String>,
    /// All of the workload's knobs.
    pub knobs: BTreeMap<String, u64>,
    /// What links are like.
    pub links: Links,
    /// Which relays there are, and which routers peers are behind.
    pub topology: Topology,
    /// What is done.
    pub steps: Vec<Step>,
    /// What goes wrong.
    pub plan: Plan,
    /// When all faults are over.
    pub chaos: Duration,
    /// How long the program has after that.
    pub liveness: Duration,
}

/// What links are like: a profile's uplink or the default, with changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Links {
    /// The kind of network.
    pub profile: Option<Profile>,
    /// What is otherwise.
    pub change: LinkChange,
}

impl Links {
    /// As settings, which count for all links.
    pub fn config(&self) -> LinkConfig {
        let mut link = self.profile.map_or_else(LinkConfig::default, Profile::up);
        self.change.apply_to(&mut link);
        link
    }
}

impl Case {
    /// A knob's value.
    ///
    /// # Panics
    /// If the workload has no such knob.
    pub fn knob(&self, name: &str) -> u64 {
        *self.knobs.get(name).unwrap_or_else(|| panic!("workload {:?} has no knob {name:?}", self.workload))
    }

    /// Whether that bug is switched on.
    pub fn has_mutant(&self, name: &str) -> bool {
        self.mutant.as_deref() == Some(name)
    }

    /// When the program must be done.
    pub fn deadline(&self) -> Duration {
        self.chaos + self.liveness
    }

    /// Checks that all names in it are known, and adds the knobs that are not set.
    ///
    /// # Errors
    /// [`InvalidInput`](P2PError::InvalidInput), with the nearest name.
    pub fn check(&mut self, registry: &Registry) -> Result<(), P2PError> {
        let workload = registry.get(&self.workload)?;
        if let Some(mutant) = &self.mutant {
            find_mutant(&**workload, mutant)?;
        }
        complete_knobs(&**workload, &mut self.knobs)?;
        Fault::Link(self.links.change).check_place(&Place::everywhere())?;
        let peers = || self.peers.iter().map(String::as_str);
        if let Some(step) = self.steps.iter().find(|step| !self.peers.contains(&step.peer)) {
            return Err(unknown("a step's peer", &step.peer, peers()));
        }
        self.topology.check()?;
        self.topology.check_peers(&self.peers)?;
        self.plan.check_names(peers(), self.topology.relays.iter().map(|relay| relay.name.as_str()))
    }

    /// As TOML.
    pub fn to_table(&self) -> toml::Table {
        let written = Written {
            seed: self.seed.to_string(),
            workload: self.workload.clone(),
            mutant: self.mutant.clone(),
            peers: self.peers.clone(),
            chaos: print_duration(self.chaos),
            liveness: print_duration(self.liveness),
            profile: self.links.profile.map(|profile| profile.name().into()),
            knobs: self.knobs.clone(),
            link: self.links.change,
            relay: self.topology.relays.clone(),
            router: self.topology.routers.clone(),
            step: self.steps.iter().map(WrittenStep::of).collect(),
            fault: toml::from_str::<Faults>(&self.plan.to_string()).expect("a plan is TOML").fault,
        };
        toml::Table::try_from(written).expect("strings, numbers and tables of these")
    }

    /// Reads what [`to_table`](Self::to_table) writes.
    ///
    /// # Errors
    /// [`InvalidInput`](P2PError::InvalidInput), with the key and what was expected.
    pub fn from_table(table: toml::Table) -> Result<Self, P2PError> {
        check_keys("key of a case", &table, &KEYS)?;
        let written: Written = table.try_into().map_err(|error| invalid("the case", error))?;
        let steps = written.step.into_iter().map(WrittenStep::read).collect::<Result<_, _>>()?;
        Ok(Self {
            seed: written.seed.parse().map_err(|_| P2PError::invalid_input("seed", "a whole number as text"))?,
            workload: written.workload,
            mutant: written.mutant,
            peers: written.peers,
            knobs: written.knobs,
            links: Links { profile: written.profile.map(|name| name.parse()).transpose()?, change: written.link },
            topology: Topology { relays: written.relay, routers: written.router },
            steps,
            plan: read_plan(written.fault)?,
            chaos: read_duration("chaos", &written.chaos)?,
            liveness: read_duration("liveness", &written.liveness)?,
        })
    }
}

const KEYS: [&str; 13] = [
    "seed", "workload", "mutant", "peers", "chaos", "liveness", "profile", "knobs", "link", "relay", "router", "step",
    "fault",
];

#[derive(Serialize, Deserialize)]
struct Written {
    /// As text: a number of TOML is signed.
    seed: String,
    workload: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mutant: Option<String>,
    peers: Vec<String>,
    chaos: String,
    liveness: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
    knobs: BTreeMap<String, u64>,
    #[serde(default)]
    link: LinkChange,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    relay: Vec<Relay>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    router: Vec<Router>,
    #[serde(default)]
    step: Vec<WrittenStep>,
    #[serde(default)]
    fault: Vec<toml::Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenStep {
    at: String,
    peer: String,
    what: String,
}

impl WrittenStep {
    fn of(step: &Step) -> Self {
        Self { at: print_duration(step.at), peer: step.peer.clone(), what: step.what.clone() }
    }

    fn read(self) -> Result<Step, P2PError> {
        Ok(Step { at: read_duration("a step's at", &self.at)?, peer: self.peer, what: self.what })
    }
}

/// The entries of a plan as they stand in a file, to be read by [`Plan`] alone.
#[derive(Serialize, Deserialize)]
struct Faults {
    #[serde(default)]
    fault: Vec<toml::Value>,
}

pub(crate) fn read_plan(fault: Vec<toml::Value>) -> Result<Plan, P2PError> {
    toml::to_string(&Faults { fault }).map_err(|error| invalid("the faults", error))?.parse()
}

pub(crate) fn read_duration(key: &str, text: &str) -> Result<Duration, P2PError> {
    parse_duration(text).map_err(|error| invalid(key, error))
}

pub(crate) fn invalid(what: &str, error: impl std::fmt::Display) -> P2PError {
    P2PError::invalid_input(what, error.to_string().trim_end())
}

/// Names the file in which that was wrong.
pub(crate) fn in_file(path: &Path, error: P2PError) -> P2PError {
    match error {
        P2PError::InvalidInput { what, expected } => {
            P2PError::invalid_input(format_args!("{}: {what}", path.display()), expected)
        }
        other => other,
    }
}

/// Refuses a key that is none of these, with the nearest.
pub(crate) fn check_keys(what: &str, table: &toml::Table, known: &[&str]) -> Result<(), P2PError> {
    match table.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(unknown(what, key, known.iter().copied())),
        None => Ok(()),
    }
}
