//! The one list of what [`Metrics`](super::Metrics) exports.
//!
//! Names follow Prometheus: base units, plural, counters end in `_total`. They are complete, so an exporter that adds
//! units and `_total` where they lack changes nothing.

use ::metrics::Unit;

/// Every family, in the order of a connection's life.
pub const FAMILIES: &[Family] = &[
    CONNECT_ATTEMPTS,
    CONNECT_DURATION,
    CONNECTIONS,
    CONNECTIONS_OPENED,
    CONNECTIONS_CLOSED,
    TIME_TO_DIRECT,
    PATH_CHANGES,
    PATH_RTT,
    MESSAGES,
    DATAGRAMS,
    DATAGRAMS_DROPPED,
    STREAMS_OPENED,
    BYTES,
    SEND_QUEUE_FULL,
    SENDS_WAITING,
    BACKPRESSURE,
];

/// One name, and what stands under it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Family {
    /// The name, as exported.
    pub name: &'static str,
    /// What kind of numbers.
    pub kind: FamilyKind,
    /// Of what.
    pub unit: Unit,
    /// The names of its labels, in order. Their values are fixed sets.
    pub labels: &'static [&'static str],
    /// What it means, for the exporter's help text.
    pub help: &'static str,
}

/// The kinds of families.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FamilyKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations, counted by size.
    Histogram {
        /// Upper bounds that suit what is observed, ascending. For exporters, which have to be told.
        buckets: &'static [f64],
    },
}

pub(super) const CONNECT_ATTEMPTS: Family = Family {
    name: "p2p_connect_attempts_total",
    kind: FamilyKind::Counter,
    unit: Unit::Count,
    labels: &["outcome"],
    help: "Dials that ended, by outcome; `cancelled` were dropped by their caller.",
};

pub(super) const CONNECT_DURATION: Family = Family {
    name: "p2p_connect_duration_seconds",
    kind: FamilyKind::Histogram { buckets: SECONDS_BUCKETS },
    unit: Unit::Seconds,
    labels: &["path"],
    help: "Time that successful dials took, by the path the connection began on.",
};

pub(super) const CONNECTIONS: Family = Family {
    name: "p2p_connections",
    kind: FamilyKind::Gauge,
    unit: Unit::Count,
    labels: &["path"],
    help: "Open connections, by the path they use now; `none` are between paths.",
};

pub(super) const CONNECTIONS_OPENED: Family = Family {
    name: "p2p_connections_opened_total",
    kind: FamilyKind::Counter,
    unit: Unit::Count,
    labels: &["dir"],
    help: "Connections established, `out` by this side and `in` by peers.",
};

pub(super) const CONNECTIONS_CLOSED: Family = Family {
    name: "p2p_connections_closed_total",
    kind: FamilyKind::Counter,
    unit: Unit::Count,
    labels: &["reason"],
    help: "Connections that ended, by reason; `unknown` ended with the process's runtime.",
};

pub(super) const TIME_TO_DIRECT: Family = Family {
    name: "p2p_time_to_direct_seconds",
    kind: FamilyKind::Histogram { buckets: SECONDS_BUCKETS },
    unit: Unit::Seconds,
    labels: &[],
    help: "Time from a connection's establishment to its first direct path; relayed for good counts nowhere.",
};

pub(super) const PATH_CHANGES: Family = Family {
    name: "p2p_path_changes_total",
    kind: FamilyKind::Counter,
    unit: Unit::Count,
    labels: &["from", "to"],
    help: "Changes of path within connections, also to another of the same kind.",
};

pub(super) const PATH_RTT: Family = Family {
    name: "p2p_path_rtt_seconds",
    kind: FamilyKind::Histogram { buckets: RTT_BUCKETS },
    unit: Unit::Seconds,
    labels: &["path"],
    help: "Round trips of open connections, one sample of each every 10 seconds and one at its end.",
};

pub(super) const MESSAGES: Family = Family {
    name: "p2p_messages_total",
    kind: FamilyKind::Counter,
    unit: Unit::Count,
    labels: &["dir"],
    help: "Messages, `out` when accepted for sending and `in` when handed to the application.",
};

pub(super) const DATAGRAMS: Family = Family {
    name: "p2p_datagrams_total",
    kind: FamilyKind::Counter,
    unit: Unit::Count,
    labels: &["dir"],
    help: "Datagrams, `out` when accepted for sending and `in` when handed to the application.",
};

pub(super) const DATAGRAMS_DROPPED: Family = Family {
    name: "p2p_datagrams_dropped_total",
    kind: FamilyKind::Counter,
    unit: Unit::Count,
    labels: &["reason"],
    help: "Datagrams that were not accepted for sending, by reason.",
};

pub(super) const STREAMS_OPENED: Family = Family {
    name: "p2p_streams_opened_total",
    kind: FamilyKind::Counter,
    unit: Unit::Count,
    labels: &["dir"],
    help: "Streams opened, `out` by this side and `in` by peers.",
};

pub(super) const BYTES: Family = Family {
    name: "p2p_bytes_total",
    kind: FamilyKind::Counter,
    unit: Unit::Bytes,
    labels: &["dir", "path"],
    help: "Bytes of messages, datagrams and streams without framing, as they move, by the path in use.",
};

pub(super) const SEND_QUEUE_FULL: Family = Family {
    name: "p2p_send_queue_full_total",
    kind: FamilyKind::Counter,
    unit: Unit::Count,
    labels: &[],
    help: "Messages that `try_send` gave back because the send queue was full.",
};

pub(super) const SENDS_WAITING: Family = Family {
    name: "p2p_sends_waiting",
    kind: FamilyKind::Gauge,
    unit: Unit::Count,
    labels: &["what"],
    help: "Sends of messages and writes to streams that wait for room now.",
};

pub(super) const BACKPRESSURE: Family = Family {
    name: "p2p_backpressure_seconds_total",
    kind: FamilyKind::Counter,
    unit: Unit::Seconds,
    labels: &["what"],
    help: "Time that sends of messages and writes to streams waited for room, counted as each wait ends.",
};

/// From a peer in the same room to a dial at the default deadline of a handshake and beyond.
const SECONDS_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0];

/// From loopback to a satellite behind a full queue.
const RTT_BUCKETS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 3.0,
];
