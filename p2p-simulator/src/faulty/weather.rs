//! A plan as a function of the time: what is wrong now, and when that may change.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use p2p::{Instant, P2PError, PeerId, Result, Runtime};
use parking_lot::Mutex;

use crate::{
    Entry, Fault, Latency, LinkChange, Plan, Probability,
    latency::share,
    world::{
        draw::{Draws, LinkDraws, Purpose},
        fault::Found,
    },
};

/// What a plan does to providers that know nothing of it. Clones are the same weather.
///
/// Its times count from when it is made, on the clock of a runtime that all of its providers should share.
///
/// | borne | how |
/// |---|---|
/// | `partition` | what arrives waits, datagrams are dropped, and timeouts do the rest |
/// | `clog` | what arrives waits |
/// | `link` with `latency`, `jitter` | what arrives is later by so much, on top of the network's own |
/// | `link` with `loss` | so many datagrams are dropped; streams lose nothing |
/// | `dial-failure`, `dial-hang`, `slow-lookup`, `stale-record`, `wrong-record` | dials fail, hang, or take longer |
/// | `connection-kill` | both ends' transports close |
/// | `no-file-descriptors` | dials fail at once, incoming connections wait to be taken |
///
/// All others need the simulator: `crash`, `slow` and clocks change a peer's own time and memory, the other settings of `link`
/// what happens to packets, `relay-down` and `nat-expiry` machines that are not there.
#[derive(Clone)]
pub struct Weather(Arc<Inner>);

struct Inner {
    entries: Vec<Entry>,
    names: BTreeMap<PeerId, String>,
    origin: Instant,
    runtime: Arc<dyn Runtime>,
    chance: Mutex<Chance>,
}

/// Draws of the seed, by link and in the order they are needed. At most a few for each pair of named peers.
struct Chance {
    draws: Draws,
    links: BTreeMap<(&'static str, PeerId, PeerId), (LinkDraws, u64)>,
}

/// What is wrong with a link now.
pub(super) struct Conditions {
    /// What arrives is dropped if it is a datagram, and waits if not.
    pub(super) is_cut: bool,
    /// What arrives waits until then at least; for ever if nothing.
    pub(super) stalled_until: Option<Option<Instant>>,
    delay: Option<Latency>,
    jitter: Duration,
    loss: Probability,
}

/// What a dial meets.
pub(super) struct Dial {
    pub(super) takes: Duration,
    pub(super) found: Found<()>,
    pub(super) hangs: bool,
    pub(super) fails: bool,
}

/// Until when a fault without an end lasts, for those who have to wait for it: longer than any run.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

impl Weather {
    /// The weather of a plan, for peers by these names, from now on by that runtime's clock. The seed chooses which dials fail
    /// and which datagrams are lost.
    ///
    /// # Errors
    /// [`InvalidInput`](P2PError::InvalidInput), which names the entry: it names a peer that is not among these, or its fault
    /// is none that a provider can bear.
    pub fn new<'a>(
        seed: u64,
        plan: &Plan,
        peers: impl IntoIterator<Item = (&'a str, PeerId)>,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Self> {
        let names: BTreeMap<PeerId, String> = peers.into_iter().map(|(name, peer)| (peer, name.into())).collect();
        plan.check_peers(names.values().map(String::as_str))?;
        for entry in plan.entries() {
            if let Some(expected) = what_it_needs(&entry.what) {
                return Err(P2PError::invalid_input(
                    format_args!("fault {:?}: {} on a provider that is no simulator", entry.id, entry.what),
                    expected,
                ));
            }
        }
        let chance = Mutex::new(Chance { draws: Draws::new(seed), links: BTreeMap::new() });
        let origin = runtime.now();
        Ok(Self(Arc::new(Inner { entries: plan.entries().to_vec(), names, origin, runtime, chance })))
    }

    pub(super) fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.0.runtime
    }

    pub(super) fn now(&self) -> Instant {
        self.0.runtime.now()
    }

    /// What is wrong with the link from one peer to another.
    pub(super) fn on_link(&self, src: PeerId, dst: PeerId) -> Conditions {
        let mut now = Conditions {
            is_cut: false,
            stalled_until: None,
            delay: None,
            jitter: Duration::ZERO,
            loss: Probability::NEVER,
        };
        for entry in self.in_effect().filter(|entry| entry.place.covers_link(self.name(src), self.name(dst))) {
            match &entry.what {
                Fault::Partition | Fault::Clog => {
                    now.is_cut |= entry.what == Fault::Partition;
                    let end = entry.until.map(|until| self.0.origin + until);
                    // Of several that overlap the last to end counts; it is looked again then.
                    now.stalled_until = Some(match now.stalled_until {
                        Some(other) => other.zip(end).map(|(a, b)| a.max(b)),
                        None => end,
                    });
                }
                Fault::Link(change) => {
                    now.delay = change.latency.or(now.delay);
                    now.jitter = change.jitter.unwrap_or(now.jitter);
                    now.loss = change.loss.unwrap_or(now.loss);
                }
                _ => {}
            }
        }
        now
    }

    /// By how much something that arrives now is late.
    pub(super) fn delay(&self, conditions: &Conditions, src: PeerId, dst: PeerId) -> Duration {
        let mut nanos = 0;
        if let Some(latency) = conditions.delay {
            nanos += latency.at(self.draw("latency", Purpose::Latency, src, dst));
        }
        if !conditions.jitter.is_zero() {
            nanos += share(conditions.jitter.as_nanos() as u64, self.draw("jitter", Purpose::Jitter, src, dst));
        }
        Duration::from_nanos(nanos)
    }

    /// Whether a datagram that is sent now is lost.
    pub(super) fn loses_datagram(&self, src: PeerId, dst: PeerId) -> bool {
        let conditions = self.on_link(src, dst);
        conditions.is_cut
            || (!conditions.loss.is_never() && conditions.loss.happens(self.draw("loss", Purpose::Loss, src, dst)))
    }

    /// What a dial that begins now meets.
    pub(super) fn dial(&self, src: PeerId, dst: PeerId) -> Dial {
        let mut dial = Dial { takes: Duration::ZERO, found: Found::ThePeer, hangs: false, fails: false };
        let mut failure = Probability::NEVER;
        for entry in self.in_effect().filter(|entry| entry.place.covers_link(self.name(src), self.name(dst))) {
            match &entry.what {
                Fault::DialFailure(chance) => failure = *chance,
                Fault::DialHang => dial.hangs = true,
                Fault::SlowLookup(takes) => dial.takes = dial.takes.max(*takes),
                Fault::StaleRecord => dial.found = Found::Nobody,
                Fault::WrongRecord(_) => dial.found = Found::Another(()),
                _ => {}
            }
        }
        dial.fails = !failure.is_never() && failure.happens(self.draw("dial", Purpose::DialFailure, src, dst));
        dial
    }

    /// Until when a peer can open nothing more, if that is so now.
    pub(super) fn without_files(&self, peer: PeerId) -> Option<Instant> {
        let concerns =
            |entry: &&Entry| entry.what == Fault::NoFileDescriptors && entry.place.covers_peer(self.name(peer));
        let until = self.in_effect().filter(concerns).map(|entry| entry.until.unwrap_or(FOR_EVER)).max()?;
        Some(self.0.origin + until)
    }

    /// When connections of two peers are killed next, after that.
    pub(super) fn next_kill(&self, a: PeerId, b: PeerId, after: Instant) -> Option<Instant> {
        let (a, b) = (self.name(a), self.name(b));
        let concerns = |entry: &&Entry| {
            entry.what == Fault::ConnectionKill && (entry.place.covers_link(a, b) || entry.place.covers_link(b, a))
        };
        self.0.entries.iter().filter(concerns).map(|entry| self.0.origin + entry.at).filter(|at| *at > after).min()
    }

    fn in_effect(&self) -> impl Iterator<Item = &Entry> {
        let passed = self.now() - self.0.origin;
        self.0.entries.iter().filter(move |entry| entry.at <= passed && entry.until.is_none_or(|until| passed < until))
    }

    fn name(&self, peer: PeerId) -> &str {
        self.0.names.get(&peer).map_or("", String::as_str)
    }

    fn draw(&self, kind: &'static str, purpose: Purpose, src: PeerId, dst: PeerId) -> u64 {
        let Chance { draws, links } = &mut *self.0.chance.lock();
        // By name, so that the seed counts and not the keys of a run.
        let [by_src, by_dst] = [src, dst].map(|peer| PeerId::from_name(self.name(peer)));
        let (link, index) =
            links.entry((kind, by_src, by_dst)).or_insert_with(|| (draws.on_link(purpose, by_src, by_dst), 0));
        *index += 1;
        link.at(draws, *index - 1)
    }
}

/// What would have to be used instead, for a fault that only the simulator can do.
fn what_it_needs(what: &Fault) -> Option<String> {
    match what {
        Fault::Partition
        | Fault::Clog
        | Fault::DialFailure(_)
        | Fault::DialHang
        | Fault::ConnectionKill
        | Fault::SlowLookup(_)
        | Fault::StaleRecord
        | Fault::WrongRecord(_)
        | Fault::NoFileDescriptors => None,
        Fault::Link(change) => {
            let borne = LinkChange {
                latency: change.latency,
                jitter: change.jitter,
                loss: change.loss,
                ..LinkChange::default()
            };
            (borne != *change).then(|| "of a link only latency, jitter and loss".into())
        }
        Fault::Slow(_)
        | Fault::ClockAhead(_)
        | Fault::ClockBehind(_)
        | Fault::ClockDriftPpm(_)
        | Fault::Crash
        | Fault::RelayDown
        | Fault::NatExpiry(_) => {
            let borne = Fault::NAMES.into_iter().filter(|name| BORNE.contains(name)).collect::<Vec<_>>().join(", ");
            Some(format!("one of {borne}"))
        }
    }
}

/// The names of faults that any provider bears.
const BORNE: [&str; 10] = [
    "partition",
    "clog",
    "dial-failure",
    "dial-hang",
    "link",
    "connection-kill",
    "slow-lookup",
    "stale-record",
    "wrong-record",
    "no-file-descriptors",
];

impl std::fmt::Debug for Weather {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Weather").field("entries", &self.0.entries.len()).finish_non_exhaustive()
    }
}
