//! The swarm generator: the seed chooses which faults exist at all in a run, how strong they are, and when.
//!
//! A run in which everything fails a little finds less than a thousand runs of which each leaves some faults out and turns
//! others up: many bugs need one fault to be frequent and another to be absent ("swarm testing", Groce et al., 2012).

use std::time::Duration;

use p2p::Rng;

use crate::{
    CLOCK_DRIFT_PPM_MAX, Entry, Fault, Latency, LinkChange, Peers, Place, Plan, Probability, Topology,
    world::draw::Draws,
};

/// What a swarm may do: to whom, and for how long.
///
/// A run has three phases. In the *chaos* phase faults come and go. At its end everything is healed: all faults are over and
/// all peers are up. What the program has to achieve then has until the *liveness* deadline, or the run fails and says who
/// waits for what.
///
/// ```
/// use p2p_simulator::{Simulation, Swarm};
///
/// let swarm = Swarm::new(["alice", "bob"]);
/// assert_eq!(swarm.plan(7), swarm.plan(7), "a plan is a function of its seed");
/// assert!((0..10).any(|seed| swarm.plan(seed) != swarm.plan(7)));
/// let simulation = Simulation::new(7).with_swarm(&swarm);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swarm {
    peers: Vec<String>,
    /// Peers that may crash.
    mortal: Vec<String>,
    /// How long faults come and go. Defaults to 60 s.
    chaos: Duration,
    /// How long the program has after that. Defaults to 120 s: four idle timeouts.
    liveness: Duration,
    /// Peers behind NATs, whose mappings may expire early.
    translated: Vec<String>,
    /// Relays that may go down.
    relays: Vec<String>,
    /// Kinds that no seed chooses.
    omitted: Vec<String>,
}

/// Faults of one kind in one run, at most.
const FAULTS_OF_KIND_MAX: u64 = 5;

/// A kind of fault that a seed may choose.
type Kind = fn(&mut Draw<'_>) -> Option<(Fault, Place)>;

/// All kinds, each with the name that keys its draws: adding one shifts no other.
const KINDS: [(&str, Kind); 20] = [
    ("cut", |draw| Some((Fault::Partition, draw.pair(true)?))),
    ("cut-one-way", |draw| Some((Fault::Partition, draw.pair(false)?))),
    ("isolation", |draw| Some((Fault::Partition, draw.peer()))),
    ("clog", |draw| Some((Fault::Clog, draw.pair(true)?))),
    ("dial-failure", |draw| Some((Fault::DialFailure(draw.chance(900_000)), draw.peer()))),
    ("dial-hang", |draw| Some((Fault::DialHang, draw.peer()))),
    ("slow", |draw| Some((Fault::Slow(draw.time(1, 500)), draw.peer()))),
    ("clock-ahead", |draw| Some((Fault::ClockAhead(draw.time(1, 3_600_000)), draw.peer()))),
    ("clock-drift", |draw| Some((Fault::ClockDriftPpm(draw.drift_ppm()), draw.peer()))),
    ("crash", |draw| Some((Fault::Crash, draw.mortal()?))),
    ("kill", |draw| Some((Fault::ConnectionKill, draw.pair(true)?))),
    ("slow-lookup", |draw| Some((Fault::SlowLookup(draw.time(100, 20_000)), draw.peer()))),
    ("stale-record", |draw| Some((Fault::StaleRecord, draw.pair(false)?))),
    ("wrong-record", |draw| draw.wrong_record()),
    ("no-file-descriptors", |draw| Some((Fault::NoFileDescriptors, draw.peer()))),
    ("relay-down", |draw| Some((Fault::RelayDown, draw.relay()?))),
    ("nat-expiry", |draw| Some((Fault::NatExpiry(draw.time(0, 10_000)), draw.translated()?))),
    ("loss", |draw| {
        let (loss, corruption) = (Some(draw.chance(300_000)), Some(draw.chance(50_000)));
        Some((Fault::Link(LinkChange { loss, corruption, ..LinkChange::default() }), draw.pair(false)?))
    }),
    ("latency", |draw| {
        let (least, more) = (draw.time(1, 300), draw.time(0, 700));
        let change = LinkChange {
            latency: Some(Latency::uniform(least, least + more)),
            reorder: Some(draw.chance(200_000)),
            duplication: Some(draw.chance(100_000)),
            ..LinkChange::default()
        };
        Some((Fault::Link(change), draw.peer()))
    }),
    ("bandwidth", |draw| {
        let change = LinkChange {
            bandwidth_bytes: Some(draw.between(20_000, 2_000_000)),
            queue_bytes_max: Some(draw.between(20_000, 500_000)),
            ..LinkChange::default()
        };
        Some((Fault::Link(change), draw.peer()))
    }),
];

impl Swarm {
    /// Faults for these peers, of which none crashes.
    pub fn new(peers: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            peers: peers.into_iter().map(Into::into).collect(),
            mortal: Vec::new(),
            chaos: Duration::from_secs(60),
            liveness: Duration::from_secs(120),
            translated: Vec::new(),
            relays: Vec::new(),
            omitted: Vec::new(),
        }
    }

    /// The names of all kinds of fault that a seed may choose.
    pub fn kinds() -> [&'static str; KINDS.len()] {
        KINDS.map(|(name, _)| name)
    }

    /// The kinds that a seed may choose for these peers: not those that are left out, nor those that take peers there are not.
    pub(crate) fn possible_kinds(&self) -> Vec<String> {
        let possible = |name: &str, kind: Kind| {
            let mut draw = Draw { swarm: self, rng: Draws::new(0).swarm_rng(name) };
            !self.peers.is_empty() && !self.omitted.iter().any(|omitted| omitted == name) && kind(&mut draw).is_some()
        };
        KINDS.into_iter().filter(|(name, kind)| possible(name, *kind)).map(|(name, _)| name.into()).collect()
    }

    /// Leaves these kinds of fault out. What the others draw stays the same. See [`kinds`](Self::kinds).
    #[must_use]
    pub fn without(mut self, kinds: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.omitted = kinds.into_iter().map(Into::into).collect();
        self
    }

    /// Lets these of the peers crash: those that [`Network::node`](crate::Network::node) made, so that they come back.
    #[must_use]
    pub fn with_crashes(mut self, peers: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.mortal = peers.into_iter().map(Into::into).collect();
        self
    }

    /// Lets relays go down, and NATs forget their mappings.
    #[must_use]
    pub fn with_topology(mut self, topology: &Topology) -> Self {
        self.translated = topology.translated_peers();
        self.relays = topology.relays.iter().map(|relay| relay.name.clone()).collect();
        self
    }

    /// Sets how long faults come and go, and how long the program has after that.
    ///
    /// # Panics
    /// If there is less than a second of chaos.
    #[must_use]
    pub const fn with_phases(mut self, chaos: Duration, liveness: Duration) -> Self {
        assert!(chaos.as_secs() > 0, "chaos takes a second at least");
        self.chaos = chaos;
        self.liveness = liveness;
        self
    }

    /// When all faults are over.
    pub const fn healed_at(&self) -> Duration {
        self.chaos
    }

    /// When the run fails if it is not done.
    pub fn deadline(&self) -> Duration {
        self.chaos + self.liveness
    }

    /// The faults of that seed. All are over when the chaos is.
    pub fn plan(&self, seed: u64) -> Plan {
        let draws = Draws::new(seed);
        let mut plan = Plan::new();
        if self.peers.is_empty() {
            return plan;
        }
        for (name, kind) in KINDS {
            let mut draw = Draw { swarm: self, rng: draws.swarm_rng(name) };
            // Half of the kinds are absent in a run.
            if draw.rng.below(2) == 0 || self.omitted.iter().any(|omitted| omitted == name) {
                continue;
            }
            for number in 0..draw.between(1, FAULTS_OF_KIND_MAX + 1) {
                let Some((what, place)) = kind(&mut draw) else {
                    break;
                };
                let (at, until) = draw.phase();
                // One that overlaps with itself is left out.
                let _ = plan.push(Entry::new(format!("{name}-{number}"), at, what, place).until(until));
            }
        }
        plan
    }
}

/// What one kind of fault draws.
struct Draw<'a> {
    swarm: &'a Swarm,
    rng: Rng,
}

impl Draw<'_> {
    /// From one moment of the chaos to another, mostly short.
    fn phase(&mut self) -> (Duration, Duration) {
        let chaos = self.swarm.chaos.as_millis() as u64;
        let at = self.rng.below(chaos);
        // The least of three draws: short faults are frequent, and some last.
        let lasts = (0..3).map(|_| self.rng.below(chaos)).min().expect("there are three");
        let until = (at + lasts.max(1)).min(chaos);
        (Duration::from_millis(at), Duration::from_millis(until))
    }

    fn peer(&mut self) -> Place {
        Place::Around(Peers::Named(vec![self.one_of(&self.swarm.peers)]))
    }

    fn relay(&mut self) -> Option<Place> {
        let relays = &self.swarm.relays;
        (!relays.is_empty()).then(|| Place::peer(&self.one_of(relays)))
    }

    fn translated(&mut self) -> Option<Place> {
        let translated = &self.swarm.translated;
        (!translated.is_empty()).then(|| Place::peer(&self.one_of(translated)))
    }

    /// Where one peer finds another to be, there is a third.
    fn wrong_record(&mut self) -> Option<(Fault, Place)> {
        let place = self.pair(false)?;
        let third: Vec<String> =
            self.swarm.peers.iter().filter(|peer| !place.names().any(|name| name == *peer)).cloned().collect();
        (!third.is_empty()).then(|| (Fault::WrongRecord(self.one_of(&third)), place))
    }

    fn mortal(&mut self) -> Option<Place> {
        let mortal = &self.swarm.mortal;
        (!mortal.is_empty()).then(|| Place::peer(&self.one_of(mortal)))
    }

    /// Two peers; nothing if there is only one.
    fn pair(&mut self, both: bool) -> Option<Place> {
        let peers = &self.swarm.peers;
        let first = self.one_of(peers);
        let others: Vec<String> = peers.iter().filter(|peer| **peer != first).cloned().collect();
        if others.is_empty() {
            return None;
        }
        let second = self.one_of(&others);
        Some(if both { Place::between(&first, &second) } else { Place::from_to(&first, &second) })
    }

    fn chance(&mut self, millionths_max: u32) -> Probability {
        Probability::per_million(self.between(1, millionths_max.into()) as u32)
    }

    fn time(&mut self, least_ms: u64, most_ms: u64) -> Duration {
        Duration::from_millis(self.between(least_ms, most_ms))
    }

    /// From `least` up to, not including, `most`.
    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.rng.below(most - least)
    }

    fn drift_ppm(&mut self) -> i32 {
        // A fifth of what is allowed: even that is a hundred times a bad crystal's.
        let most = u64::from(CLOCK_DRIFT_PPM_MAX.unsigned_abs()) / 5;
        self.rng.below(2 * most) as i32 - most as i32
    }

    fn one_of(&mut self, names: &[String]) -> String {
        names[self.rng.below(names.len() as u64) as usize].clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Nat, Relay, Router};

    #[test]
    fn every_kind_exists_on_some_seeds_and_is_absent_on_others_and_all_end_with_the_chaos() {
        let topology = Topology::new()
            .with_relay(Relay::new("relay"))
            .with_router(Router::new("home", Nat::MODERATE).with_peer("b"));
        let swarm = Swarm::new(["a", "b", "c"]).with_crashes(["c"]).with_topology(&topology);
        let plans: Vec<Plan> = (0..100).map(|seed| swarm.plan(seed)).collect();
        for (name, _) in KINDS {
            let of_kind = |entry: &Entry| entry.id.rsplit_once('-').is_some_and(|(kind, _)| kind == name);
            let with = plans.iter().filter(|plan| plan.entries().iter().any(of_kind)).count();
            assert!((30..70).contains(&with), "{name} is in {with} of 100 plans");
        }
        let entries = plans.iter().flat_map(Plan::entries);
        assert!(entries.clone().all(|entry| entry.until.is_some_and(|until| until <= swarm.healed_at())));
        assert!(entries.filter(|entry| entry.what == Fault::Crash).all(|entry| entry.place == Place::peer("c")));
    }

    #[test]
    fn a_drawn_plan_reads_back_from_its_toml() {
        for seed in 0..20 {
            let plan = Swarm::new(["a", "b"]).with_crashes(["a"]).plan(seed);
            assert_eq!(plan.to_string().parse::<Plan>().unwrap(), plan);
        }
    }

    #[test]
    fn one_peer_or_none_has_no_pairs_to_part() {
        for peers in [vec![], vec!["alone"]] {
            let swarm = Swarm::new(peers);
            assert!((0..50).all(|seed| swarm.plan(seed).check_peers(["alone"]).is_ok()));
        }
    }
}
