//! Decides. Told the time and what happens; owns no task.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use p2p::Instant;

use super::{
    Percentage, Phase, Policy, breaker::Breaker, bucket, clients::Clients, health::Health, percentage::stable_hash,
};
use crate::route::ClientId;

/// Settings of a migration that stay as they are while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MigrationConfig {
    /// How long the tunnel is still served once phase 4 begins. Defaults to 10 min.
    pub drain: Duration,
    /// How long phase 3 takes to move all existing clients. Each has its time in it, chosen by its clientId. Defaults to 10 min.
    pub move_over: Duration,
    /// How long a client has nothing on the tunnel before it counts as one that begins anew. Defaults to 30 s.
    pub idle_after: Duration,
    /// How long P2P has for the head of an answer before a request that is safe to repeat is sent over the tunnel as well.
    /// Defaults to 5 s.
    pub fallback_after: Duration,
    /// Failures in a row after which P2P is left alone for a while. Defaults to 5.
    pub failures_max: u32,
    /// For how long; then one request tries. Defaults to 10 s.
    pub pause: Duration,
    /// Over how long the rates below are counted. Defaults to 60 s.
    pub window: Duration,
    /// Requests in the window below which the rates say nothing. Defaults to 20.
    pub requests_min: u64,
    /// Roll back when a larger share of the window's requests failed over P2P. Defaults to 5%.
    pub error_rate_max: Percentage,
    /// An answer whose head takes longer over P2P is slow. Defaults to 5 s.
    pub latency_max: Duration,
    /// Roll back when a larger share of the window's requests was slow. Defaults to 5%: then the 95th percentile is above
    /// `latency_max`.
    pub slow_rate_max: Percentage,
}

impl Default for MigrationConfig {
    fn default() -> Self {
        let percent = |percent| Percentage::new(percent).expect("at most 100");
        Self {
            drain: Duration::from_secs(600),
            move_over: Duration::from_secs(600),
            idle_after: Duration::from_secs(30),
            fallback_after: Duration::from_secs(5),
            failures_max: 5,
            pause: Duration::from_secs(10),
            window: Duration::from_secs(60),
            requests_min: 20,
            error_rate_max: percent(5),
            latency_max: Duration::from_secs(5),
            slow_rate_max: percent(5),
        }
    }
}

/// One of the two routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The legacy tunnel.
    Tunnel,
    /// Between peers.
    P2p,
}

impl Side {
    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::Tunnel => Self::P2p,
            Self::P2p => Self::Tunnel,
        }
    }

    /// Its name in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tunnel => "legacy",
            Self::P2p => "p2p",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The route of a request, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// The route; none if the request has to be refused.
    pub side: Option<Side>,
    /// Why.
    pub why: Why,
    /// Whether the other route may be taken if this one fails.
    pub fallback: bool,
}

/// Why a request takes its route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Why {
    /// Phase 1: everything does.
    Phase1,
    /// The client is denied P2P.
    Denied,
    /// The client is denied P2P, and the tunnel is refused by now.
    DeniedAndDrained,
    /// The client is not in the percentage.
    OutsidePercentage,
    /// Phase 2, and the client uses the tunnel now.
    Existing,
    /// Phase 3, and the client's time to move has not come.
    NotYetMoved,
    /// P2P has just failed too often.
    BreakerOpen,
    /// The client begins anew.
    New,
    /// Phase 3, and the client's time to move has come.
    Moved,
    /// Phase 4: everything does.
    Phase4,
    /// P2P knows no home of the client.
    NoHome,
}

impl Why {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Phase1,
        Self::Denied,
        Self::DeniedAndDrained,
        Self::OutsidePercentage,
        Self::Existing,
        Self::NotYetMoved,
        Self::BreakerOpen,
        Self::New,
        Self::Moved,
        Self::Phase4,
        Self::NoHome,
    ];

    /// A short, stable name, for metric labels and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Phase1 => "phase_1",
            Self::Denied => "denied",
            Self::DeniedAndDrained => "denied_and_drained",
            Self::OutsidePercentage => "outside_percentage",
            Self::Existing => "existing",
            Self::NotYetMoved => "not_yet_moved",
            Self::BreakerOpen => "breaker_open",
            Self::New => "new",
            Self::Moved => "moved",
            Self::Phase4 => "phase_4",
            Self::NoHome => "no_home",
        }
    }
}

/// What became of a request over P2P.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The head of the answer came after so long.
    Answered(Duration),
    /// No answer came, or it broke off.
    Failed,
}

/// The state of a migration.
#[derive(Debug, Clone)]
pub struct Machine {
    config: MigrationConfig,
    policy: Policy,
    phase_began: Instant,
    drain_until: Option<Instant>,
    tunnel_is_closed: bool,
    clients: Clients,
    breaker: Breaker,
    health: Health,
}

impl Machine {
    /// A migration with that policy, which may have been set long ago: `wall` is what a clock on the wall shows `now`.
    pub fn new(config: MigrationConfig, policy: Policy, now: Instant, wall: SystemTime) -> Self {
        let mut machine = Self {
            config,
            policy: policy.clone(),
            phase_began: now,
            drain_until: None,
            tunnel_is_closed: false,
            clients: Clients::default(),
            breaker: Breaker::default(),
            health: Health::default(),
        };
        machine.set_policy(policy, now, wall);
        machine
    }

    /// The settings.
    pub const fn config(&self) -> &MigrationConfig {
        &self.config
    }

    /// What is set.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether the tunnel is refused.
    pub const fn tunnel_is_closed(&self) -> bool {
        self.tunnel_is_closed
    }

    /// Whether P2P is left alone because it has failed.
    pub const fn breaker_is_open(&self) -> bool {
        self.breaker.is_open()
    }

    /// Sets the policy. In a new phase P2P is judged anew.
    pub fn set_policy(&mut self, policy: Policy, now: Instant, wall: SystemTime) {
        if policy.phase != self.policy.phase {
            self.breaker = Breaker::default();
            self.health.clear();
        }
        self.phase_began = now - wall.duration_since(policy.since).unwrap_or_default();
        self.drain_until = policy.drain_until.map(|until| now + until.duration_since(wall).unwrap_or_default());
        self.policy = policy;
        self.tunnel_is_closed = false;
        self.handle_timeout(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.drain_until.filter(|_| !self.tunnel_is_closed)
    }

    /// Refuses the tunnel when its time is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.tunnel_is_closed = self.drain_until.is_some_and(|until| now >= until);
    }

    /// The route of a client's next request.
    ///
    /// In the phases before the last, whatever this says, the other route is there to fall back to.
    pub fn decide(&mut self, now: Instant, client: &ClientId) -> Decision {
        self.handle_timeout(now);
        let (side, why) = self.choose(now, client);
        let pause = self.config.pause;
        // With the tunnel refused there is nothing better than to try.
        if side == Some(Side::P2p) && !self.tunnel_is_closed && !self.breaker.admits(now, pause) {
            let fallback = self.may_fall_back(client, Some(Side::Tunnel));
            return Decision { side: Some(Side::Tunnel), why: Why::BreakerOpen, fallback };
        }
        Decision { side, why, fallback: self.may_fall_back(client, side) }
    }

    /// The same for a client of whom P2P knows no home: whatever the phase, it stays on the tunnel for as long as that is there.
    pub fn decide_without_p2p(&mut self, now: Instant) -> Decision {
        self.handle_timeout(now);
        let why = if self.policy.phase == Phase::Tunnel { Why::Phase1 } else { Why::NoHome };
        Decision { side: (!self.tunnel_is_closed).then_some(Side::Tunnel), why, fallback: false }
    }

    fn choose(&self, now: Instant, client: &ClientId) -> (Option<Side>, Why) {
        let Policy { phase, percentage, allow, deny, .. } = &self.policy;
        if *phase == Phase::Tunnel {
            return (Some(Side::Tunnel), Why::Phase1);
        }
        if deny.contains(client) {
            return match self.tunnel_is_closed {
                true => (None, Why::DeniedAndDrained),
                false => (Some(Side::Tunnel), Why::Denied),
            };
        }
        if *phase == Phase::P2pOnly {
            return (Some(Side::P2p), Why::Phase4);
        }
        if !allow.contains(client) && !percentage.takes(bucket(client)) {
            return (Some(Side::Tunnel), Why::OutsidePercentage);
        }
        if !self.clients.uses(now, client, self.config.idle_after) {
            return (Some(Side::P2p), Why::New);
        }
        match *phase == Phase::MoveExisting {
            true if now >= self.moves_at(client) => (Some(Side::P2p), Why::Moved),
            true => (Some(Side::Tunnel), Why::NotYetMoved),
            false => (Some(Side::Tunnel), Why::Existing),
        }
    }

    /// A client's time in phase 3: anywhere in it, the same on every server.
    fn moves_at(&self, client: &ClientId) -> Instant {
        // A part of 2³² of the time that all take together.
        let part = stable_hash("p2p-move/1/", client) >> 32;
        let nanos = (self.config.move_over.as_nanos() * u128::from(part)) >> 32;
        self.phase_began + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn may_fall_back(&self, client: &ClientId, side: Option<Side>) -> bool {
        match side {
            Some(Side::P2p) => !self.tunnel_is_closed,
            Some(Side::Tunnel) => self.policy.phase != Phase::Tunnel && !self.policy.deny.contains(client),
            None => false,
        }
    }

    /// A client's request begins over the tunnel.
    pub fn handle_tunnel_begin(&mut self, now: Instant, client: &ClientId) {
        self.clients.begin(now, client, self.config.idle_after);
    }

    /// A client's request over the tunnel has ended.
    pub fn handle_tunnel_end(&mut self, now: Instant, client: &ClientId) {
        self.clients.end(now, client);
    }

    /// Takes what became of a request over P2P. Says why the migration has to go back, if it has to; whoever asks sets the policy.
    #[must_use = "a reason to roll back has to be acted on"]
    pub fn handle_outcome(&mut self, now: Instant, outcome: Outcome) -> Option<String> {
        let MigrationConfig { failures_max, pause, .. } = self.config;
        match outcome {
            Outcome::Answered(_) if self.breaker.handle_success() => {
                tracing::info!("P2P answers again: requests take it as the phase says.");
            }
            Outcome::Failed if self.breaker.handle_failure(now, failures_max, pause) => {
                tracing::warn!(failures = failures_max, ?pause, "P2P failed too often in a row and is left alone.");
            }
            Outcome::Answered(_) | Outcome::Failed => {}
        }
        let verdict = self.health.take(now, outcome, &self.config);
        // In phase 1 nothing takes P2P but shadows and what is left of before.
        verdict.filter(|_| self.policy.phase != Phase::Tunnel)
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn client(name: &str) -> ClientId {
        name.parse().unwrap()
    }

    fn at(seconds: u64) -> (Instant, SystemTime) {
        let since = seconds * SECOND.as_secs();
        (Instant::ZERO + Duration::from_secs(since), UNIX_EPOCH + Duration::from_secs(since))
    }

    fn machine() -> Machine {
        let (now, wall) = at(0);
        Machine::new(MigrationConfig::default(), Policy::new(wall), now, wall)
    }

    fn change(machine: &mut Machine, seconds: u64, change: impl FnOnce(&mut Policy)) {
        let (now, wall) = at(seconds);
        let mut policy = machine.policy().clone();
        change(&mut policy);
        machine.set_policy(policy, now, wall);
    }

    fn go(machine: &mut Machine, seconds: u64, phase: Phase) {
        let drain = machine.config().drain;
        change(machine, seconds, |policy| policy.set_phase(phase, at(seconds).1, drain));
    }

    fn check(machine: &mut Machine, seconds: u64, name: &str, side: Option<Side>, why: Why) {
        let decision = machine.decide(at(seconds).0, &client(name));
        assert_eq!((decision.side, decision.why), (side, why), "{name} at {seconds} s");
    }

    const TUNNEL: Option<Side> = Some(Side::Tunnel);
    const P2P: Option<Side> = Some(Side::P2p);

    #[test]
    fn phase_1_takes_the_tunnel_whatever_the_lists_say() {
        let mut machine = machine();
        change(&mut machine, 0, |policy| policy.allow(client("a")).unwrap());
        check(&mut machine, 0, "a", TUNNEL, Why::Phase1);
        assert!(!machine.decide(at(0).0, &client("a")).fallback);
    }

    #[test]
    fn phase_2_leaves_clients_on_the_tunnel_until_they_begin_anew() {
        let mut machine = machine();
        machine.handle_tunnel_begin(at(0).0, &client("old"));
        go(&mut machine, 1, Phase::NewOverP2p);
        check(&mut machine, 1, "old", TUNNEL, Why::Existing);
        check(&mut machine, 1, "new", P2P, Why::New);
        machine.handle_tunnel_end(at(10).0, &client("old"));
        check(&mut machine, 39, "old", TUNNEL, Why::Existing);
        check(&mut machine, 40, "old", P2P, Why::New);
    }

    #[test]
    fn phase_3_moves_all_existing_clients_within_its_time_and_not_all_at_once() {
        let mut machine = machine();
        let names: Vec<String> = (0..200).map(|n| format!("home-{n}")).collect();
        names.iter().for_each(|name| machine.handle_tunnel_begin(at(0).0, &client(name)));
        go(&mut machine, 0, Phase::MoveExisting);
        let mut moved_at = |seconds| {
            let decided = names.iter().map(|name| machine.decide(at(seconds).0, &client(name)).side);
            decided.filter(|side| *side == P2P).count()
        };
        let moved: Vec<usize> = (0..=6).map(|minutes| moved_at(minutes * 100)).collect();
        assert!(moved[0] == 0 && moved[6] == 200, "{moved:?}");
        assert!(moved.windows(2).all(|step| (10..=60).contains(&(step[1] - step[0]))), "{moved:?}");
    }

    #[test]
    fn phase_4_refuses_the_tunnel_at_the_drain_deadline_and_going_back_opens_it() {
        let mut machine = machine();
        change(&mut machine, 0, |policy| policy.deny(client("denied")).unwrap());
        go(&mut machine, 0, Phase::P2pOnly);
        check(&mut machine, 599, "denied", TUNNEL, Why::Denied);
        assert!(machine.decide(at(599).0, &client("a")).fallback);
        check(&mut machine, 600, "denied", None, Why::DeniedAndDrained);
        check(&mut machine, 600, "a", P2P, Why::Phase4);
        assert!(machine.tunnel_is_closed() && !machine.decide(at(600).0, &client("a")).fallback);
        go(&mut machine, 601, Phase::Tunnel);
        check(&mut machine, 601, "denied", TUNNEL, Why::Phase1);
        assert!(!machine.tunnel_is_closed() && machine.poll_timeout().is_none());
    }

    #[test]
    fn a_restart_changes_neither_the_drain_deadline_nor_the_times_of_moving() {
        let mut before = machine();
        go(&mut before, 100, Phase::P2pOnly);
        // The new process's own clock begins at zero while the wall's went on.
        let kept = Policy::from_json(&before.policy().to_json()).unwrap();
        let mut after = Machine::new(*before.config(), kept, Instant::ZERO, at(500).1);
        assert_eq!(after.poll_timeout(), Some(at(200).0));
        after.handle_timeout(at(200).0);
        assert!(after.tunnel_is_closed());
    }

    #[test]
    fn lists_come_before_the_percentage_and_denying_before_allowing() {
        let mut machine = machine();
        go(&mut machine, 0, Phase::NewOverP2p);
        change(&mut machine, 0, |policy| {
            policy.percentage = Percentage::NONE;
            policy.allow(client("friend")).unwrap();
            policy.deny(client("foe")).unwrap();
        });
        check(&mut machine, 0, "anybody", TUNNEL, Why::OutsidePercentage);
        check(&mut machine, 0, "friend", P2P, Why::New);
        check(&mut machine, 0, "foe", TUNNEL, Why::Denied);
    }

    #[test]
    fn p2p_that_fails_in_a_row_is_left_alone_and_tried_again() {
        let mut machine = machine();
        go(&mut machine, 0, Phase::NewOverP2p);
        (0..5).for_each(|_| assert_eq!(machine.handle_outcome(at(0).0, Outcome::Failed), None));
        check(&mut machine, 1, "a", TUNNEL, Why::BreakerOpen);
        check(&mut machine, 10, "a", P2P, Why::New);
        check(&mut machine, 10, "a", TUNNEL, Why::BreakerOpen);
        assert_eq!(machine.handle_outcome(at(11).0, Outcome::Answered(SECOND)), None);
        check(&mut machine, 11, "a", P2P, Why::New);
    }

    #[test]
    fn too_many_errors_are_a_reason_to_go_back_and_going_back_forgets_them() {
        let mut machine = machine();
        go(&mut machine, 0, Phase::MoveExisting);
        (0..19).for_each(|_| assert_eq!(machine.handle_outcome(at(0).0, Outcome::Failed), None));
        assert!(machine.handle_outcome(at(0).0, Outcome::Failed).unwrap().contains("20 of 20"));
        change(&mut machine, 1, |policy| policy.roll_back("errors", at(1).1));
        assert_eq!(machine.handle_outcome(at(1).0, Outcome::Failed), None);
        check(&mut machine, 1, "a", TUNNEL, Why::Phase1);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Wait(u64),
        Phase(usize),
        Percentage(u8),
        Allow(u8),
        Deny(u8),
        Begin(u8),
        End(u8),
        Outcome(bool),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_u64..400).prop_map(Step::Wait),
            (0_usize..4).prop_map(Step::Phase),
            (0_u8..=100).prop_map(Step::Percentage),
            (0_u8..6).prop_map(Step::Allow),
            (0_u8..6).prop_map(Step::Deny),
            (0_u8..6).prop_map(Step::Begin),
            (0_u8..6).prop_map(Step::End),
            any::<bool>().prop_map(Step::Outcome),
        ]
    }

    proptest! {
        // What holds after any history, of any client: the promises of the module's table.
        #[test]
        fn every_decision_keeps_what_its_phase_promises(steps in prop::collection::vec(step(), 1..80)) {
            let mut machine = machine();
            let mut seconds = 0;
            for step in steps {
                let name = |n: u8| client(&format!("c{n}"));
                match step {
                    Step::Wait(more) => seconds += more,
                    Step::Phase(phase) => go(&mut machine, seconds, Phase::ALL[phase]),
                    Step::Percentage(percent) => {
                        change(&mut machine, seconds, |policy| policy.percentage = Percentage::new(percent).unwrap());
                    }
                    Step::Allow(n) => change(&mut machine, seconds, |policy| policy.allow(name(n)).unwrap()),
                    Step::Deny(n) => change(&mut machine, seconds, |policy| policy.deny(name(n)).unwrap()),
                    Step::Begin(n) => machine.handle_tunnel_begin(at(seconds).0, &name(n)),
                    Step::End(n) => machine.handle_tunnel_end(at(seconds).0, &name(n)),
                    Step::Outcome(fails) => {
                        let outcome = if fails { Outcome::Failed } else { Outcome::Answered(SECOND) };
                        if let Some(why) = machine.handle_outcome(at(seconds).0, outcome) {
                            prop_assert!(machine.policy().phase != Phase::Tunnel);
                            change(&mut machine, seconds, |policy| policy.roll_back(why, at(seconds).1));
                        }
                    }
                }
                let now = at(seconds).0;
                for n in 0..6 {
                    let (decision, policy) = (machine.decide(now, &name(n)), machine.policy());
                    let denied = policy.deny.contains(&name(n));
                    if policy.phase == Phase::Tunnel {
                        prop_assert_eq!(decision.side, TUNNEL);
                    }
                    if denied {
                        prop_assert!(decision.side != P2P);
                    }
                    // Refused by the tunnel, a client that may takes P2P, and nobody takes the tunnel.
                    if machine.tunnel_is_closed() {
                        prop_assert_eq!(decision.side, if denied { None } else { P2P });
                        prop_assert!(!decision.fallback);
                    } else {
                        prop_assert!(decision.side.is_some());
                    }
                    prop_assert_eq!(machine.tunnel_is_closed(), policy.drain_until.is_some_and(|until| at(seconds).1 >= until));
                }
            }
        }
    }
}
