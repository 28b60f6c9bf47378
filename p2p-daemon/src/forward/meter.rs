//! What one rule counts, and how fast it may go.
//!
//! Each number is kept twice: here, for whoever asks the daemon, and at the recorder, for Prometheus. Both move while bytes
//! move. No label has a value that a peer chooses.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use metrics::{Key, Label, Level, Metadata, Recorder, Unit};
use p2p::layer::metrics::FamilyKind;
use serde::Serialize;

use super::{
    failure::{Failure, Reason},
    throttle::Throttle,
};
use crate::rule::Bandwidth;

/// A name, and what stands under it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Family {
    /// The name, as exported.
    pub name: &'static str,
    /// What kind of numbers.
    pub kind: FamilyKind,
    /// Of what.
    pub unit: Unit,
    /// What it means.
    pub help: &'static str,
}

/// Every family that forwarding exports, beside those of [`p2p::layer::metrics::FAMILIES`].
pub const FAMILIES: &[Family] = &[STREAMS, OPENED, BYTES, ERRORS, FLOWS, FLOWS_OPENED, DATAGRAMS, DROPPED];

const fn family(name: &'static str, kind: FamilyKind, unit: Unit, help: &'static str) -> Family {
    Family { name, kind, unit, help }
}

const STREAMS: Family =
    family("p2p_forward_streams", FamilyKind::Gauge, Unit::Count, "Connections that are being forwarded now, by rule.");
const OPENED: Family = family(
    "p2p_forward_streams_opened_total",
    FamilyKind::Counter,
    Unit::Count,
    "Connections whose forwarding began, by rule.",
);
const BYTES: Family = family(
    "p2p_forward_bytes_total",
    FamilyKind::Counter,
    Unit::Bytes,
    "Bytes forwarded as they move, by rule; `out` to the peer, `in` from it. Of UDP the payload.",
);
const ERRORS: Family = family(
    "p2p_forward_errors_total",
    FamilyKind::Counter,
    Unit::Count,
    "Connections that were not forwarded to their end, by rule and reason.",
);
const FLOWS: Family =
    family("p2p_forward_flows", FamilyKind::Gauge, Unit::Count, "UDP flows that are being forwarded now, by rule.");
const FLOWS_OPENED: Family = family(
    "p2p_forward_flows_opened_total",
    FamilyKind::Counter,
    Unit::Count,
    "UDP flows whose forwarding began, by rule.",
);
const DATAGRAMS: Family = family(
    "p2p_forward_datagrams_total",
    FamilyKind::Counter,
    Unit::Count,
    "UDP datagrams forwarded, by rule and direction.",
);
const DROPPED: Family = family(
    "p2p_forward_datagrams_dropped_total",
    FamilyKind::Counter,
    Unit::Count,
    "UDP datagrams that were not forwarded, by rule and reason.",
);

/// What one rule counts, and how fast it may go.
#[derive(Debug)]
pub(crate) struct Meter {
    numbers: Arc<Numbers>,
    pace: Option<(Throttle, Throttle)>,
}

/// The numbers of one rule. All series exist from the start, at zero.
#[derive(Debug)]
struct Numbers {
    streams: Number,
    opened: Number,
    bytes_in: Number,
    bytes_out: Number,
    flows: Number,
    flows_opened: Number,
    datagrams_in: Number,
    datagrams_out: Number,
    /// By [`Reason`].
    errors: Vec<Number>,
    /// By [`Dropped`].
    dropped: Vec<Number>,
}

/// A rule's numbers as they are now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Counters {
    /// Connections that are being forwarded.
    pub streams: u64,
    /// Connections whose forwarding began.
    pub streams_opened: u64,
    /// Bytes to the peer.
    pub bytes_out: u64,
    /// Bytes from the peer.
    pub bytes_in: u64,
    /// UDP flows that are being forwarded.
    pub flows: u64,
    /// UDP flows whose forwarding began.
    pub flows_opened: u64,
    /// Datagrams to the peer.
    pub datagrams_out: u64,
    /// Datagrams from the peer.
    pub datagrams_in: u64,
    /// Datagrams that were not forwarded.
    pub datagrams_dropped: u64,
    /// Connections that were not forwarded to their end.
    pub errors: u64,
}

impl Meter {
    pub(crate) fn new(recorder: &dyn Recorder, rule: &str, bandwidth: Option<Bandwidth>) -> Self {
        FAMILIES.iter().for_each(|family| describe(recorder, family));
        let make = Maker { recorder, rule };
        let numbers = Numbers {
            streams: make.number(&STREAMS, None),
            opened: make.number(&OPENED, None),
            bytes_in: make.number(&BYTES, Some(("dir", "in"))),
            bytes_out: make.number(&BYTES, Some(("dir", "out"))),
            flows: make.number(&FLOWS, None),
            flows_opened: make.number(&FLOWS_OPENED, None),
            datagrams_in: make.number(&DATAGRAMS, Some(("dir", "in"))),
            datagrams_out: make.number(&DATAGRAMS, Some(("dir", "out"))),
            errors: Reason::ALL.iter().map(|reason| make.number(&ERRORS, Some(("reason", reason.text())))).collect(),
            dropped: Dropped::ALL.iter().map(|why| make.number(&DROPPED, Some(("reason", why.text())))).collect(),
        };
        Self { numbers: Arc::new(numbers), pace: pace(bandwidth) }
    }

    /// The same numbers at another speed.
    pub(crate) fn with_bandwidth(&self, bandwidth: Option<Bandwidth>) -> Self {
        Self { numbers: self.numbers.clone(), pace: pace(bandwidth) }
    }

    /// Counts a connection for as long as the guard lives.
    pub(crate) fn open(&self) -> Open {
        self.numbers.opened.add(1);
        self.numbers.streams.add(1);
        Open { numbers: self.numbers.clone(), flow: false }
    }

    /// Counts a UDP flow for as long as the guard lives.
    pub(crate) fn open_flow(&self) -> Open {
        self.numbers.flows_opened.add(1);
        self.numbers.flows.add(1);
        Open { numbers: self.numbers.clone(), flow: true }
    }

    pub(crate) fn bytes_in(&self, bytes: usize) {
        self.numbers.bytes_in.add(bytes as u64);
    }

    pub(crate) fn bytes_out(&self, bytes: usize) {
        self.numbers.bytes_out.add(bytes as u64);
    }

    pub(crate) fn datagram_in(&self, bytes: usize) {
        self.numbers.datagrams_in.add(1);
        self.bytes_in(bytes);
    }

    pub(crate) fn datagram_out(&self, bytes: usize) {
        self.numbers.datagrams_out.add(1);
        self.bytes_out(bytes);
    }

    pub(crate) fn dropped(&self, why: Dropped) {
        self.numbers.dropped[why as usize].add(1);
    }

    pub(crate) fn failed(&self, failure: &Failure) {
        self.failed_for(failure.reason());
    }

    pub(crate) fn failed_for(&self, reason: Reason) {
        self.numbers.errors[reason as usize].add(1);
    }

    /// Waits until the rule may send that many bytes more.
    pub(crate) async fn pace_out(&self, bytes: usize) {
        if let Some((out, _)) = &self.pace {
            out.pace(bytes).await;
        }
    }

    /// Waits until the rule may receive that many bytes more.
    pub(crate) async fn pace_in(&self, bytes: usize) {
        if let Some((_, inwards)) = &self.pace {
            inwards.pace(bytes).await;
        }
    }

    /// Whether the rule may send a datagram of that many bytes now.
    pub(crate) fn admits_out(&self, bytes: usize) -> bool {
        self.pace.as_ref().is_none_or(|(out, _)| out.admits(bytes))
    }

    /// Whether the rule may receive a datagram of that many bytes now.
    pub(crate) fn admits_in(&self, bytes: usize) -> bool {
        self.pace.as_ref().is_none_or(|(_, inwards)| inwards.admits(bytes))
    }

    /// The numbers now.
    pub(crate) fn counters(&self) -> Counters {
        let sum = |numbers: &[Number]| numbers.iter().map(Number::get).sum();
        Counters {
            streams: self.numbers.streams.get(),
            streams_opened: self.numbers.opened.get(),
            bytes_out: self.numbers.bytes_out.get(),
            bytes_in: self.numbers.bytes_in.get(),
            flows: self.numbers.flows.get(),
            flows_opened: self.numbers.flows_opened.get(),
            datagrams_out: self.numbers.datagrams_out.get(),
            datagrams_in: self.numbers.datagrams_in.get(),
            datagrams_dropped: sum(&self.numbers.dropped),
            errors: sum(&self.numbers.errors),
        }
    }
}

/// One throttle for each direction: out, in.
fn pace(bandwidth: Option<Bandwidth>) -> Option<(Throttle, Throttle)> {
    bandwidth.map(|bandwidth| (Throttle::new(bandwidth), Throttle::new(bandwidth)))
}

/// An open connection or flow.
#[derive(Debug)]
pub(crate) struct Open {
    numbers: Arc<Numbers>,
    flow: bool,
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.flow { &self.numbers.flows } else { &self.numbers.streams }.subtract(1);
    }
}

/// Why a datagram was not forwarded, as a metric's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dropped {
    Bandwidth,
    FlowLimit,
    PeerUnreachable,
    QueueFull,
    TargetRefused,
    TooLarge,
    Unknown,
}

impl Dropped {
    const ALL: [Self; 7] = [
        Self::Bandwidth,
        Self::FlowLimit,
        Self::PeerUnreachable,
        Self::QueueFull,
        Self::TargetRefused,
        Self::TooLarge,
        Self::Unknown,
    ];

    const fn text(self) -> &'static str {
        match self {
            Self::Bandwidth => "bandwidth",
            Self::FlowLimit => "flow_limit",
            Self::PeerUnreachable => "peer_unreachable",
            Self::QueueFull => "queue_full",
            Self::TargetRefused => "target_refused",
            Self::TooLarge => "too_large",
            Self::Unknown => "unknown_flow",
        }
    }
}

/// A number, here and at the recorder.
struct Number {
    here: AtomicU64,
    there: There,
}

enum There {
    Counter(metrics::Counter),
    Gauge(metrics::Gauge),
}

impl Number {
    fn add(&self, by: u64) {
        self.here.fetch_add(by, Relaxed);
        match &self.there {
            There::Counter(counter) => counter.increment(by),
            There::Gauge(gauge) => gauge.increment(by as f64),
        }
    }

    /// Of a gauge.
    fn subtract(&self, by: u64) {
        self.here.fetch_sub(by, Relaxed);
        if let There::Gauge(gauge) = &self.there {
            gauge.decrement(by as f64);
        }
    }

    fn get(&self) -> u64 {
        self.here.load(Relaxed)
    }
}

impl std::fmt::Debug for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}

struct Maker<'a> {
    recorder: &'a dyn Recorder,
    rule: &'a str,
}

impl Maker<'_> {
    fn number(&self, family: &Family, label: Option<(&'static str, &'static str)>) -> Number {
        let key = self.key(family, label);
        let there = match family.kind {
            FamilyKind::Gauge => There::Gauge(self.recorder.register_gauge(&key, &METADATA)),
            _ => There::Counter(self.recorder.register_counter(&key, &METADATA)),
        };
        Number { here: AtomicU64::new(0), there }
    }

    fn key(&self, family: &Family, label: Option<(&'static str, &'static str)>) -> Key {
        let rule = Label::new("rule", self.rule.to_owned());
        let more = label.map(|(name, value)| Label::from_static_parts(name, value));
        Key::from_parts(family.name, std::iter::once(rule).chain(more).collect::<Vec<_>>())
    }
}

fn describe(recorder: &dyn Recorder, family: &Family) {
    let (name, unit, help) = (family.name.into(), Some(family.unit), family.help.into());
    match family.kind {
        FamilyKind::Counter => recorder.describe_counter(name, unit, help),
        FamilyKind::Gauge => recorder.describe_gauge(name, unit, help),
        FamilyKind::Histogram { .. } => recorder.describe_histogram(name, unit, help),
    }
}

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));
