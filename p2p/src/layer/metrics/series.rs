//! A handle to every series, made once.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use ::metrics::{Counter, Gauge, Histogram, Key, KeyName, Label as KeyLabel, Level, Metadata, Recorder};

use super::{
    families::{self as family, FAMILIES, Family, FamilyKind},
    labels::{Closed, ConnectOutcome, Dir, Dropped, Each, Label, PathKind, What},
};

/// What all connections of a layer count with.
pub(super) struct Series {
    pub(super) connect_attempts: Each<ConnectOutcome, Counter>,
    pub(super) connect_duration: Each<PathKind, Histogram>,
    pub(super) connections: Each<PathKind, Gauge>,
    pub(super) connections_opened: Each<Dir, Counter>,
    pub(super) connections_closed: Each<Closed, Counter>,
    pub(super) time_to_direct: Histogram,
    /// From, to.
    pub(super) path_changes: Each<PathKind, Each<PathKind, Counter>>,
    pub(super) path_rtt: Each<PathKind, Histogram>,
    pub(super) messages: Each<Dir, Counter>,
    pub(super) datagrams: Each<Dir, Counter>,
    pub(super) datagrams_dropped: Each<Dropped, Counter>,
    pub(super) streams_opened: Each<Dir, Counter>,
    pub(super) bytes: Each<Dir, Each<PathKind, Counter>>,
    pub(super) send_queue_full: Counter,
    pub(super) sends_waiting: Each<What, Gauge>,
    pub(super) backpressure: Each<What, Seconds>,
}

impl Series {
    /// Describes every family and makes all its series, at zero.
    pub(super) fn new(recorder: &dyn Recorder, labels: &[(&'static str, &'static str)]) -> Self {
        FAMILIES.iter().for_each(|family| describe(recorder, family));
        let make = Maker { recorder, labels };
        Self {
            connect_attempts: Each::new(|outcome: ConnectOutcome| {
                make.counter(&family::CONNECT_ATTEMPTS, &[outcome.text()])
            }),
            connect_duration: Each::new(|path: PathKind| make.histogram(&family::CONNECT_DURATION, &[path.text()])),
            connections: Each::new(|path: PathKind| make.gauge(&family::CONNECTIONS, &[path.text()])),
            connections_opened: Each::new(|dir: Dir| make.counter(&family::CONNECTIONS_OPENED, &[dir.text()])),
            connections_closed: Each::new(|reason: Closed| make.counter(&family::CONNECTIONS_CLOSED, &[reason.text()])),
            time_to_direct: make.histogram(&family::TIME_TO_DIRECT, &[]),
            path_changes: Each::new(|from: PathKind| {
                Each::new(|to: PathKind| make.counter(&family::PATH_CHANGES, &[from.text(), to.text()]))
            }),
            path_rtt: Each::new(|path: PathKind| make.histogram(&family::PATH_RTT, &[path.text()])),
            messages: Each::new(|dir: Dir| make.counter(&family::MESSAGES, &[dir.text()])),
            datagrams: Each::new(|dir: Dir| make.counter(&family::DATAGRAMS, &[dir.text()])),
            datagrams_dropped: Each::new(|reason: Dropped| make.counter(&family::DATAGRAMS_DROPPED, &[reason.text()])),
            streams_opened: Each::new(|dir: Dir| make.counter(&family::STREAMS_OPENED, &[dir.text()])),
            bytes: Each::new(|dir: Dir| {
                Each::new(|path: PathKind| make.counter(&family::BYTES, &[dir.text(), path.text()]))
            }),
            send_queue_full: make.counter(&family::SEND_QUEUE_FULL, &[]),
            sends_waiting: Each::new(|what: What| make.gauge(&family::SENDS_WAITING, &[what.text()])),
            backpressure: Each::new(|what: What| Seconds::new(make.counter(&family::BACKPRESSURE, &[what.text()]))),
        }
    }
}

impl fmt::Debug for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Series")
    }
}

/// Time on a counter, which holds whole numbers only: each second is added by whoever completes it.
pub(super) struct Seconds {
    counter: Counter,
    nanos: AtomicU64,
}

impl Seconds {
    fn new(counter: Counter) -> Self {
        Self { counter, nanos: AtomicU64::new(0) }
    }

    pub(super) fn add(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let before = self.nanos.fetch_add(nanos, Ordering::Relaxed);
        let completed = before.saturating_add(nanos) / NANOS_PER_SECOND - before / NANOS_PER_SECOND;
        if completed > 0 {
            self.counter.increment(completed);
        }
    }
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;

fn describe(recorder: &dyn Recorder, family: &Family) {
    let name = KeyName::from_const_str(family.name);
    let (unit, help) = (Some(family.unit), family.help.into());
    match family.kind {
        FamilyKind::Counter => recorder.describe_counter(name, unit, help),
        FamilyKind::Gauge => recorder.describe_gauge(name, unit, help),
        FamilyKind::Histogram { .. } => recorder.describe_histogram(name, unit, help),
    }
}

/// Makes series with the constant labels and those of their family.
struct Maker<'a> {
    recorder: &'a dyn Recorder,
    labels: &'a [(&'static str, &'static str)],
}

impl Maker<'_> {
    fn counter(&self, family: &Family, values: &[&'static str]) -> Counter {
        self.recorder.register_counter(&self.key(family, values), &METADATA)
    }

    fn gauge(&self, family: &Family, values: &[&'static str]) -> Gauge {
        self.recorder.register_gauge(&self.key(family, values), &METADATA)
    }

    fn histogram(&self, family: &Family, values: &[&'static str]) -> Histogram {
        self.recorder.register_histogram(&self.key(family, values), &METADATA)
    }

    fn key(&self, family: &Family, values: &[&'static str]) -> Key {
        assert_eq!(family.labels.len(), values.len(), "labels of {}", family.name);
        let own = family.labels.iter().copied().zip(values.iter().copied());
        let labels: Vec<_> = self
            .labels
            .iter()
            .copied()
            .chain(own)
            .map(|(name, value)| KeyLabel::from_static_parts(name, value))
            .collect();
        Key::from_parts(family.name, labels)
    }
}

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn parts_of_seconds_add_up_to_whole_ones() {
        let value = Arc::new(AtomicU64::new(0));
        let seconds = Seconds::new(Counter::from_arc(value.clone()));
        for _ in 0..7 {
            seconds.add(Duration::from_millis(300));
        }
        assert_eq!(value.load(Ordering::Relaxed), 2, "2.1 s");
        seconds.add(Duration::from_millis(2900));
        assert_eq!(value.load(Ordering::Relaxed), 5, "5.0 s");
    }
}
