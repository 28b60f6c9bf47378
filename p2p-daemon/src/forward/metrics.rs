//! What forwarding counts. The rule is the service's name, which the operator chose; no label has more values.

use metrics::{Counter, Gauge, Key, Label, Level, Metadata, Recorder, Unit};
use p2p::layer::metrics::FamilyKind;

use super::failure::{Failure, Reason};

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
pub const FAMILIES: &[Family] = &[STREAMS, OPENED, BYTES, ERRORS];

const STREAMS: Family = Family {
    name: "p2p_forward_streams",
    kind: FamilyKind::Gauge,
    unit: Unit::Count,
    help: "TCP connections that are being forwarded now, by rule.",
};

const OPENED: Family = Family {
    name: "p2p_forward_streams_opened_total",
    kind: FamilyKind::Counter,
    unit: Unit::Count,
    help: "TCP connections whose forwarding began, by rule.",
};

const BYTES: Family = Family {
    name: "p2p_forward_bytes_total",
    kind: FamilyKind::Counter,
    unit: Unit::Bytes,
    help: "Bytes forwarded as they move, by rule; `out` to the peer, `in` from it.",
};

const ERRORS: Family = Family {
    name: "p2p_forward_errors_total",
    kind: FamilyKind::Counter,
    unit: Unit::Count,
    help: "TCP connections that were not forwarded to their end, by rule and reason.",
};

/// The handles of one rule. All series exist from the start, at zero.
pub(super) struct ForwardMetrics {
    streams: Gauge,
    opened: Counter,
    pub(super) bytes_in: Counter,
    pub(super) bytes_out: Counter,
    /// By [`Reason`].
    errors: Vec<Counter>,
}

impl ForwardMetrics {
    pub(super) fn new(recorder: &dyn Recorder, rule: &str) -> Self {
        FAMILIES.iter().for_each(|family| describe(recorder, family));
        let make = Maker { recorder, rule };
        Self {
            streams: recorder.register_gauge(&make.key(&STREAMS, None), &METADATA),
            opened: make.counter(&OPENED, None),
            bytes_in: make.counter(&BYTES, Some(("dir", "in"))),
            bytes_out: make.counter(&BYTES, Some(("dir", "out"))),
            errors: Reason::ALL.iter().map(|reason| make.counter(&ERRORS, Some(("reason", reason.text())))).collect(),
        }
    }

    /// Counts a stream for as long as the guard lives.
    pub(super) fn open(&self) -> OpenStream {
        self.opened.increment(1);
        self.streams.increment(1);
        OpenStream(self.streams.clone())
    }

    pub(super) fn failed(&self, failure: &Failure) {
        self.errors(failure.reason()).increment(1);
    }

    pub(super) fn errors(&self, reason: Reason) -> &Counter {
        &self.errors[reason as usize]
    }
}

impl std::fmt::Debug for ForwardMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ForwardMetrics")
    }
}

/// An open stream, as the gauge sees it.
pub(super) struct OpenStream(Gauge);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

struct Maker<'a> {
    recorder: &'a dyn Recorder,
    rule: &'a str,
}

impl Maker<'_> {
    fn counter(&self, family: &Family, label: Option<(&'static str, &'static str)>) -> Counter {
        self.recorder.register_counter(&self.key(family, label), &METADATA)
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
