//! Which relay failed, and what to do about it: a state machine that is told what was seen, and when.
//!
//! Relays are numbers here. A relay is *watched* while it is the home relay or carries a connection, *suspected* from
//! the first sign that something is wrong with it, and has *failed* once that is certain. One that failed is
//! *withdrawn* if another answers, and comes back after a rest that grows each time.

use std::{fmt, time::Duration};

use p2p::Instant;

/// The home relay, and whether the endpoint is connected to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Home {
    pub(super) relay: usize,
    pub(super) connected: bool,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Ask it whether it lives, and tell [`Failover::handle_probe`].
    Probe(usize),
    /// Use it no more.
    Withdraw(usize, Failure),
    /// Use it again, or look again whether it should be the home relay.
    Restore(usize),
    /// End the connections that run through it.
    GiveUp(usize),
}

/// How a relay failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// It does not answer.
    Silent,
    /// It lost the endpoint's connection, and does not answer.
    Gone,
    /// It answers, but lets nobody connect.
    Wedged,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => "it does not answer",
            Self::Gone => "it closed the connection and does not answer",
            Self::Wedged => "it answers, but no connection to it succeeds",
        })
    }
}

/// The state of all relays.
#[derive(Debug)]
pub(super) struct Failover {
    relays: Vec<Relay>,
    home: Option<(Home, Instant)>,
}

#[derive(Debug)]
struct Relay {
    serves: bool,
    in_use: bool,
    /// Since when a probe is under way.
    probing: Option<Instant>,
    /// When the last one ended, and how.
    probed: Option<(Instant, bool)>,
    /// Probes in a row that failed, and that succeeded.
    failures: u32,
    answers: u32,
    /// Bytes received through it, and when there were last more of them.
    received: u64,
    heard: Option<Instant>,
    /// When it was withdrawn or restored.
    changed: Instant,
    rest: Duration,
}

impl Failover {
    pub(super) fn new(relays: usize, now: Instant) -> Self {
        let relay = || Relay {
            serves: true,
            in_use: false,
            probing: None,
            probed: None,
            failures: 0,
            answers: 0,
            received: 0,
            heard: None,
            changed: now,
            rest: REST_MIN,
        };
        Self { relays: std::iter::repeat_with(relay).take(relays).collect(), home: None }
    }

    /// The home relay, or its state, changed.
    pub(super) fn handle_home(&mut self, now: Instant, home: Option<Home>) {
        // A new attempt to connect is no news.
        if home != self.home.map(|(home, _)| home) {
            self.home = home.map(|home| (home, now));
        }
    }

    /// Tells which relays carry connections.
    pub(super) fn handle_use(&mut self, is_used: impl Fn(usize) -> bool) {
        for (number, relay) in self.relays.iter_mut().enumerate() {
            relay.in_use = is_used(number);
        }
    }

    /// Tells how many bytes the connections that there are have received through each.
    pub(super) fn handle_received(&mut self, now: Instant, received: impl Fn(usize) -> u64) {
        for (number, relay) in self.relays.iter_mut().enumerate() {
            // Fewer, when a connection has closed.
            let before = std::mem::replace(&mut relay.received, received(number));
            if relay.received > before {
                relay.heard = Some(now);
            }
        }
    }

    /// A probe ended. What came through the relay meanwhile counts as an answer: whoever forwards lives, also if it, or
    /// what is before it, has no time for probes.
    pub(super) fn handle_probe(&mut self, now: Instant, relay: usize, answered: bool) {
        let relay = &mut self.relays[relay];
        let asked = relay.probing.take();
        let answered = answered || relay.heard > asked;
        relay.probed = Some((now, answered));
        match answered {
            true => (relay.failures, relay.answers) = (0, relay.answers.saturating_add(1)),
            false => (relay.failures, relay.answers) = (relay.failures.saturating_add(1), 0),
        }
    }

    /// What is to be done now, one thing at a time; `None` when nothing is left until something happens or
    /// [`next_timeout`](Self::next_timeout) comes.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Action> {
        self.poll_failed(now).or_else(|| self.poll_restore(now)).or_else(|| self.poll_probe(now))
    }

    /// When to poll again at the latest.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let probes = (0..self.relays.len()).filter(|&relay| self.relays[relay].probing.is_none());
        let probes = probes.filter_map(|relay| self.probe_due(relay));
        let home = self.home.filter(|(home, _)| !home.connected);
        let home = home.into_iter().flat_map(|(home, since)| {
            let moving = self.relays[home.relay].changed + NUDGE_AFTER;
            [since + DISCONNECTED_MAX, since + WEDGED_AFTER, moving]
        });
        // What is past has been dealt with, or waits for a probe.
        let polled = self.relays.iter().filter_map(|relay| relay.probed).map(|(at, _)| at).max();
        let polled = polled.max(self.home.map(|(_, since)| since));
        probes.chain(home.filter(|&at| polled.is_none_or(|polled| at > polled))).min()
    }

    /// Withdraws what failed, if there is another.
    fn poll_failed(&mut self, now: Instant) -> Option<Action> {
        for number in 0..self.relays.len() {
            let Some(failure) = self.failure(number, now) else { continue };
            let Some(other) = self.substitute(number, now) else { continue };
            if !self.relays[other].serves {
                self.relays[other].restore(now);
                return Some(Action::Restore(other));
            }
            let relay = &mut self.relays[number];
            if relay.serves {
                relay.withdraw(now);
                return Some(Action::Withdraw(number, failure));
            }
            if std::mem::take(&mut relay.in_use) {
                return Some(Action::GiveUp(number));
            }
            if self.is_home(number) && now >= self.relays[number].changed + NUDGE_AFTER {
                self.relays[number].changed = now;
                return Some(Action::Restore(other));
            }
        }
        None
    }

    /// Brings back what has rested and answers.
    fn poll_restore(&mut self, now: Instant) -> Option<Action> {
        let rested = |relay: &Relay| !relay.serves && now >= relay.changed + relay.rest && relay.answers >= ANSWERS_MIN;
        let number = self.relays.iter().position(rested)?;
        self.relays[number].restore(now);
        Some(Action::Restore(number))
    }

    fn poll_probe(&mut self, now: Instant) -> Option<Action> {
        let due =
            |relay: usize| self.relays[relay].probing.is_none() && self.probe_due(relay).is_some_and(|due| due <= now);
        let number = (0..self.relays.len()).find(|&relay| due(relay))?;
        self.relays[number].probing = Some(now);
        Some(Action::Probe(number))
    }

    fn probe_due(&self, number: usize) -> Option<Instant> {
        let relay = &self.relays[number];
        let watched = relay.in_use || self.is_home(number);
        let interval = match () {
            () if watched && self.is_suspected(number) => SUSPECT_INTERVAL,
            () if watched => PROBE_INTERVAL,
            () if (0..self.relays.len()).any(|other| self.is_suspected(other)) => STANDBY_INTERVAL,
            () if !relay.serves => REST_INTERVAL,
            () => return None,
        };
        Some(relay.probed.map_or(Instant::ZERO, |(at, _)| at + interval))
    }

    fn is_home(&self, number: usize) -> bool {
        self.home.is_some_and(|(home, _)| home.relay == number)
    }

    /// Since when the home relay is not connected, if that is this one.
    fn disconnected(&self, number: usize) -> Option<Instant> {
        self.home.filter(|(home, _)| home.relay == number && !home.connected).map(|(_, since)| since)
    }

    fn is_suspected(&self, number: usize) -> bool {
        let relay = &self.relays[number];
        let watched = relay.in_use || self.is_home(number);
        watched && (relay.failures > 0 || self.disconnected(number).is_some())
    }

    fn failure(&self, number: usize, now: Instant) -> Option<Failure> {
        let relay = &self.relays[number];
        if !relay.in_use && !self.is_home(number) {
            return None;
        }
        let disconnected = self.disconnected(number);
        let long = |max: Duration| disconnected.is_some_and(|since| now >= since + max);
        if relay.failures > 0 && long(DISCONNECTED_MAX) {
            Some(Failure::Gone)
        } else if relay.failures >= FAILURES_MAX {
            Some(Failure::Silent)
        } else if long(WEDGED_AFTER) {
            Some(Failure::Wedged)
        } else {
            None
        }
    }

    /// Another relay that is known to work now; rather one that serves.
    fn substitute(&self, instead_of: usize, now: Instant) -> Option<usize> {
        let works = |&number: &usize| {
            let fresh = self.relays[number].probed.is_some_and(|(at, answered)| answered && now <= at + FRESH);
            number != instead_of && fresh && self.failure(number, now).is_none()
        };
        (0..self.relays.len()).filter(works).max_by_key(|&number| self.relays[number].serves)
    }
}

impl Relay {
    fn withdraw(&mut self, now: Instant) {
        if now >= self.changed + FORGIVEN_AFTER {
            self.rest = REST_MIN;
        }
        (self.serves, self.changed, self.answers) = (false, now, 0);
    }

    fn restore(&mut self, now: Instant) {
        self.rest = (self.rest * 2).min(REST_MAX);
        (self.serves, self.changed) = (true, now);
    }
}

/// How often a relay that is in use is asked. Bounds how long silence goes unnoticed, with what follows: 3 s until it is
/// asked, twice 3 s without an answer, once more if the first was asked just before.
const PROBE_INTERVAL: Duration = Duration::from_secs(3);

/// How soon it is asked again after the first sign of trouble.
const SUSPECT_INTERVAL: Duration = Duration::from_millis(500);

/// How often the others are asked meanwhile.
const STANDBY_INTERVAL: Duration = Duration::from_secs(1);

/// How often one that is withdrawn is asked.
const REST_INTERVAL: Duration = Duration::from_secs(10);

/// For how long an answer says that a relay works.
const FRESH: Duration = Duration::from_secs(5);

/// Probes in a row without an answer after which a relay has failed.
const FAILURES_MAX: u32 = 2;

/// How long the home relay may be disconnected before a failed probe is enough. A connection that is lost for a reason of
/// its own is back within a tenth of it.
const DISCONNECTED_MAX: Duration = Duration::from_secs(1);

/// How long the home relay may be disconnected although it answers probes. Half of what iroh gives one attempt to connect.
const WEDGED_AFTER: Duration = Duration::from_secs(5);

/// How long after a withdrawal iroh may keep to the relay before it is made to look again; its own look takes 3 s.
const NUDGE_AFTER: Duration = Duration::from_secs(4);

/// For how long a relay is withdrawn at least: at first, and at most, after doubling each time.
const REST_MIN: Duration = Duration::from_secs(30);
const REST_MAX: Duration = Duration::from_secs(15 * 60);

/// Answers in a row that bring a relay back.
const ANSWERS_MIN: u32 = 2;

/// How long a relay that is back has to work until its earlier failures do not count.
const FORGIVEN_AFTER: Duration = Duration::from_secs(10 * 60);

#[cfg(test)]
mod tests;
