//! Scenarios: which workload is run how. With a seed, a [`Scenario`] resolves to a [`Case`].

use std::{collections::BTreeMap, str::FromStr, time::Duration};

use p2p::P2PError;
use serde::Deserialize;

use crate::{
    LinkChange, Plan, Relay, Router, Swarm, Topology,
    case::{Case, Links, check_keys, invalid, read_duration, read_plan},
    runner::SEEDS_TO_TELL,
    workload::{Registry, Setup, complete_knobs, unknown},
    world::draw::Draws,
};

/// How a workload is run. Reads from TOML.
///
/// ```
/// use p2p_simulator::{scenario::Scenario, workloads};
///
/// let scenario: Scenario = r#"
///     workload = "counter"
///     mutant = "early-ack"     # a bug to switch on; none by default
///     peers = 3                # p1, p2, p3; 3 by default
///     profile = "wifi"         # what links are like; 50 ms and 1 % loss by default
///
///     [knobs]
///     adds = 20                # the workload's figures; `p2p-sim list` shows them
///
///     [link]
///     loss = 0.02              # what is otherwise about links
///
///     [[relay]]                # what peers behind routers meet at; see `Topology`
///     name = "relay"
///
///     [[router]]
///     name = "home"
///     nat = "moderate"
///     peers = ["p1"]
///
///     [swarm]
///     chaos = "60s"            # how long faults come and go
///     liveness = "120s"        # how long the program has after that
///     omit = ["clock-drift"]   # kinds of fault that never happen
///
///     [[fault]]                # what happens on every seed, instead of the swarm's faults
///     id = "cut"
///     at = "10s"
///     until = "25s"
///     what = "partition"
///     where = "p1 <-> p2"
/// "#.parse()?;
/// let case = scenario.resolve(7, &workloads::registry())?;
/// assert_eq!(case, scenario.resolve(7, &workloads::registry())?, "a case is a function of scenario and seed");
/// # Ok::<(), p2p::P2PError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// The workload's name.
    pub workload: String,
    /// The bug that is switched on.
    pub mutant: Option<String>,
    /// How many peers, from 1 to [`PEERS_MAX`]. Defaults to 3.
    pub peers: u64,
    /// The knobs that are not as by default.
    pub knobs: BTreeMap<String, u64>,
    /// What links are like.
    pub links: Links,
    /// Which relays there are, and which routers peers are behind. Defaults to none.
    pub topology: Topology,
    /// How long faults come and go. Defaults to 60 s.
    pub chaos: Duration,
    /// How long the program has after that. Defaults to 120 s.
    pub liveness: Duration,
    /// Kinds of fault that the swarm leaves out.
    pub omit: Vec<String>,
    /// What goes wrong on every seed. If there is any, the swarm draws nothing.
    pub plan: Plan,
}

/// Peers that a scenario may have.
pub const PEERS_MAX: u64 = 1000;

impl Scenario {
    /// That workload with all defaults.
    pub fn new(workload: impl Into<String>) -> Self {
        Self {
            workload: workload.into(),
            mutant: None,
            peers: 3,
            knobs: BTreeMap::new(),
            links: Links::default(),
            topology: Topology::new(),
            chaos: Duration::from_secs(60),
            liveness: Duration::from_secs(120),
            omit: Vec::new(),
            plan: Plan::new(),
        }
    }

    /// Switches a bug on.
    #[must_use]
    pub fn with_mutant(mut self, mutant: impl Into<String>) -> Self {
        self.mutant = Some(mutant.into());
        self
    }

    /// The case of that seed.
    ///
    /// # Errors
    /// [`InvalidInput`](P2PError::InvalidInput) for a name that is not known, with the nearest that is.
    pub fn resolve(&self, seed: u64, registry: &Registry) -> Result<Case, P2PError> {
        let workload = registry.get(&self.workload)?;
        let peers = self.peer_names();
        let mut knobs = self.knobs.clone();
        complete_knobs(&**workload, &mut knobs)?;
        let setup = Setup { peers: &peers, knobs: &knobs, chaos: self.chaos };
        let steps = workload.steps(&setup, &mut Draws::new(seed).swarm_rng("workload steps"));
        let plan = match self.plan.is_empty() {
            true => self.swarm(&peers).plan(seed),
            false => self.plan.clone(),
        };
        let mut case = Case {
            seed,
            workload: self.workload.clone(),
            mutant: self.mutant.clone(),
            peers,
            knobs,
            links: self.links,
            topology: self.topology.clone(),
            steps,
            plan,
            chaos: self.chaos,
            liveness: self.liveness,
        };
        case.check(registry)?;
        Ok(case)
    }

    /// The faults that must begin on one of so many seeds: all of the plan, or, if there are enough seeds, all kinds that a
    /// swarm draws for these peers.
    pub(crate) fn faults_expected(&self, seeds: u64) -> Vec<String> {
        match self.plan.is_empty() {
            false => self.plan.entries().iter().map(|entry| entry.id.clone()).collect(),
            true if seeds >= SEEDS_TO_TELL => self.swarm(&self.peer_names()).possible_kinds(),
            true => Vec::new(),
        }
    }

    fn peer_names(&self) -> Vec<String> {
        (1..=self.peers).map(|number| format!("p{number}")).collect()
    }

    fn swarm(&self, peers: &[String]) -> Swarm {
        Swarm::new(peers)
            .with_crashes(peers)
            .with_topology(&self.topology)
            .with_phases(self.chaos, self.liveness)
            .without(&self.omit)
    }
}

#[derive(Deserialize)]
struct File {
    workload: String,
    mutant: Option<String>,
    #[serde(default = "default_peers")]
    peers: u64,
    profile: Option<String>,
    #[serde(default)]
    knobs: BTreeMap<String, u64>,
    #[serde(default)]
    link: LinkChange,
    #[serde(default)]
    relay: Vec<Relay>,
    #[serde(default)]
    router: Vec<Router>,
    #[serde(default)]
    swarm: SwarmTable,
    #[serde(default)]
    fault: Vec<toml::Value>,
}

#[derive(Deserialize, Default)]
struct SwarmTable {
    chaos: Option<String>,
    liveness: Option<String>,
    #[serde(default)]
    omit: Vec<String>,
}

const fn default_peers() -> u64 {
    3
}

const KEYS: [&str; 10] =
    ["workload", "mutant", "peers", "profile", "knobs", "link", "relay", "router", "swarm", "fault"];
const SWARM_KEYS: [&str; 3] = ["chaos", "liveness", "omit"];

impl FromStr for Scenario {
    type Err = P2PError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let table: toml::Table = toml::from_str(text).map_err(|error| invalid("the scenario", error))?;
        check_keys("key of a scenario", &table, &KEYS)?;
        if let Some(toml::Value::Table(swarm)) = table.get("swarm") {
            check_keys("key of [swarm]", swarm, &SWARM_KEYS)?;
        }
        let file: File = table.try_into().map_err(|error| invalid("the scenario", error))?;
        if !(1..=PEERS_MAX).contains(&file.peers) {
            let expected = format_args!("from 1 to {PEERS_MAX}");
            return Err(P2PError::invalid_input(format_args!("peers = {}", file.peers), expected));
        }
        let kinds = Swarm::kinds();
        if let Some(kind) = file.swarm.omit.iter().find(|kind| !kinds.contains(&kind.as_str())) {
            return Err(unknown("omit", kind, kinds.iter().copied()));
        }
        let defaults = Self::new(file.workload);
        let duration = |key, text: Option<String>, default| match text {
            Some(text) => read_duration(key, &text),
            None => Ok(default),
        };
        let chaos = duration("chaos", file.swarm.chaos, defaults.chaos)?;
        if chaos < Duration::from_secs(1) {
            return Err(P2PError::invalid_input(format_args!("chaos = {chaos:?}"), "a second at least"));
        }
        Ok(Self {
            mutant: file.mutant,
            peers: file.peers,
            knobs: file.knobs,
            topology: Topology { relays: file.relay, routers: file.router },
            links: Links { profile: file.profile.map(|name| name.parse()).transpose()?, change: file.link },
            chaos,
            liveness: duration("liveness", file.swarm.liveness, defaults.liveness)?,
            omit: file.swarm.omit,
            plan: read_plan(file.fault)?,
            ..defaults
        })
    }
}
