use std::collections::BTreeSet;

use super::*;

/// Two relays and iroh, in steps of a tenth of a second. Each relay answers probes, and lets connect, or not.
struct World {
    failover: Failover,
    now: Instant,
    answers: [bool; 2],
    connects: [bool; 2],
    home: usize,
    serving: BTreeSet<usize>,
    in_use: BTreeSet<usize>,
    /// Bytes come through it.
    forwards: [bool; 2],
    received: [u64; 2],
    under_way: Vec<(Instant, usize, bool)>,
    log: Vec<(Duration, Action)>,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            failover: Failover::new(2, Instant::ZERO),
            now: Instant::ZERO,
            answers: [true; 2],
            connects: [true; 2],
            home: 0,
            serving: [0, 1].into(),
            in_use: BTreeSet::new(),
            forwards: [false; 2],
            received: [0; 2],
            under_way: Vec::new(),
            log: Vec::new(),
        };
        world.run(Duration::from_secs(60));
        world
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += Duration::from_millis(100);
            if !self.serving.contains(&self.home) {
                self.home = *self.serving.first().expect("the last is never withdrawn");
            }
            let home = Home { relay: self.home, connected: self.connects[self.home] };
            self.failover.handle_home(self.now, Some(home));
            for relay in 0..2 {
                self.received[relay] += u64::from(self.forwards[relay]);
            }
            let received = self.received;
            self.failover.handle_received(self.now, |relay| received[relay]);
            let done = |probe: &mut (Instant, usize, bool)| probe.0 <= self.now;
            for (_, relay, answered) in self.under_way.extract_if(.., done) {
                self.failover.handle_probe(self.now, relay, answered);
            }
            let in_use = self.in_use.clone();
            self.failover.handle_use(|relay| in_use.contains(&relay));
            while let Some(action) = self.failover.poll(self.now) {
                self.act(action);
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Probe(relay) => {
                let answers = self.answers[relay];
                let took = if answers { Duration::from_millis(100) } else { Duration::from_secs(3) };
                self.under_way.push((self.now + took, relay, answers));
                return;
            }
            Action::Withdraw(relay, _) => assert!(self.serving.remove(&relay)),
            Action::Restore(relay) => drop(self.serving.insert(relay)),
            Action::GiveUp(relay) => assert!(self.in_use.remove(&relay)),
        }
        self.log.push((self.now - Instant::ZERO, action));
    }

    fn fails(&mut self, relay: usize) {
        (self.answers[relay], self.connects[relay]) = (false, false);
    }

    /// What was done in this time.
    fn actions(&mut self, time: Duration) -> Vec<Action> {
        self.log.clear();
        self.run(time);
        self.log.iter().map(|(_, action)| *action).collect()
    }
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn relays_that_work_are_left_alone_and_the_other_is_not_asked() {
    let mut world = World::new();
    assert_eq!(world.actions(s(600)), []);
    assert!(world.failover.relays[1].probed.is_none());
}

#[test]
fn a_home_relay_that_dies_is_replaced_within_5_s() {
    let mut world = World::new();
    world.fails(0);
    assert_eq!(world.actions(s(5)), [Action::Withdraw(0, Failure::Gone)]);
}

// iroh itself notices nothing for up to 20 s.
#[test]
fn a_home_relay_that_goes_silent_is_replaced_within_12_s() {
    let mut world = World::new();
    world.answers[0] = false;
    assert_eq!(world.actions(s(12)), [Action::Withdraw(0, Failure::Silent)]);
}

#[test]
fn a_home_relay_that_answers_but_lets_nobody_connect_is_replaced() {
    let mut world = World::new();
    world.connects[0] = false;
    assert_eq!(world.actions(s(4)), []);
    assert_eq!(world.actions(s(4)), [Action::Withdraw(0, Failure::Wedged)]);
}

#[test]
fn connections_through_another_relay_that_dies_are_given_up() {
    let mut world = World::new();
    world.in_use.insert(1);
    world.run(s(10));
    world.answers[1] = false;
    assert_eq!(world.actions(s(12)), [Action::Withdraw(1, Failure::Silent), Action::GiveUp(1)]);
}

#[test]
fn nothing_is_done_while_no_relay_answers() {
    let mut world = World::new();
    world.in_use.insert(0);
    world.fails(0);
    world.fails(1);
    assert_eq!(world.actions(s(300)), []);
}

#[test]
fn a_short_loss_of_the_connection_changes_nothing() {
    let mut world = World::new();
    world.connects[0] = false;
    world.run(s(2));
    world.connects[0] = true;
    assert_eq!(world.actions(s(60)), []);
}

// A busy relay, or a firewall in front of it, may leave probes unanswered.
#[test]
fn a_relay_that_forwards_is_not_silent() {
    let mut world = World::new();
    world.in_use.insert(0);
    (world.answers[0], world.forwards[0]) = (false, true);
    assert_eq!(world.actions(s(120)), []);
    world.forwards[0] = false;
    assert_eq!(world.actions(s(15)), [Action::Withdraw(0, Failure::Silent), Action::GiveUp(0)]);
}

// The bytes that came before it died are no sign of life.
#[test]
fn a_relay_that_dies_under_traffic_is_replaced_within_5_s() {
    let mut world = World::new();
    world.in_use.insert(0);
    world.forwards[0] = true;
    world.run(s(10));
    world.forwards[0] = false;
    world.fails(0);
    assert_eq!(world.actions(s(5)), [Action::Withdraw(0, Failure::Gone), Action::GiveUp(0)]);
}

#[test]
fn one_probe_that_fails_changes_nothing() {
    let mut world = World::new();
    world.answers[0] = false;
    world.run(s(4));
    world.answers[0] = true;
    assert_eq!(world.actions(s(60)), []);
}

#[test]
fn a_relay_that_is_back_is_used_after_a_rest() {
    let mut world = World::new();
    world.fails(0);
    world.run(s(10));
    (world.answers[0], world.connects[0]) = (true, true);
    assert_eq!(world.actions(s(10)), []);
    assert_eq!(world.actions(s(40)), [Action::Restore(0)]);
}

// Else the endpoint would go back and forth between a working relay and one that only seems to.
#[test]
fn a_relay_that_stays_wedged_rests_longer_each_time() {
    let mut world = World::new();
    world.connects[0] = false;
    world.log.clear();
    // The nearest is home whenever it serves.
    for _ in 0..3000 {
        world.run(Duration::from_secs(1));
        if world.serving.contains(&0) {
            world.home = 0;
        }
    }
    let withdrawn = world.log.iter().filter(|(_, action)| matches!(action, Action::Withdraw(0, _)));
    let at: Vec<_> = withdrawn.map(|(at, _)| *at).collect();
    let rests: Vec<_> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(rests.len() >= 4 && rests.is_sorted(), "{rests:?}");
    assert!(rests[3] > 2 * rests[1], "{rests:?}");
}

#[test]
fn a_withdrawn_relay_comes_back_at_once_when_the_other_fails() {
    let mut world = World::new();
    world.fails(0);
    world.run(s(10));
    (world.answers[0], world.connects[0]) = (true, true);
    world.fails(1);
    assert_eq!(world.actions(s(8)), [Action::Restore(0), Action::Withdraw(1, Failure::Gone)]);
}

#[test]
fn it_asks_to_be_woken_when_something_is_due() {
    let mut world = World::new();
    world.connects[0] = false;
    world.run(s(1));
    for _ in 0..40 {
        let next = world.failover.next_timeout().expect("a relay is suspected");
        assert!(next <= world.now + PROBE_INTERVAL, "{next:?}");
        world.run(Duration::from_millis(100));
    }
}
