//! What is counted here, and iroh's own counters, into one recorder.
//!
//! | name | kind | labels | |
//! |---|---|---|---|
//! | `p2p_holepunch_attempts_total` | counter | `outcome`: `direct`, `relayed` | connections that began by a relay, by whether they ever became direct |
//! | `p2p_path_loss_ratio` | histogram | | packets lost of those sent, 0 to 1, one observation per connection, at its end |
//! | `p2p_relay_connected` | gauge | `relay` | 1 for the relay that this endpoint is reachable through, 0 for those that stand by |
//! | `p2p_turned_away_total` | counter | `reason`: `full`, `access`, `per_peer` | peers that were not let in |
//! | `iroh_…` | counter | | iroh's, under its own names: `iroh_socket_holepunch_attempts_total` and so on |
//!
//! Path kinds, round trips, time to direct and everything that all providers have in common are the
//! [`Metrics`](p2p::layer::Metrics) layer's. All series exist from the start. No label names a peer.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use ::metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder, Unit};
use iroh::{Endpoint, Watcher, endpoint::ConnectionStats};
use iroh_metrics::{MetricType, MetricValue, MetricsGroupSet};
use p2p::{Runtime, RuntimeExt};

use crate::{RelayServer, addr};

/// The histograms, with upper bounds that suit them, for exporters, which have to be told.
pub const HISTOGRAMS: &[(&str, &[f64])] =
    &[("p2p_path_loss_ratio", &[0.0, 0.0001, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0])];

/// The series that connections count with, once there are any.
#[derive(Debug, Default, Clone)]
pub(crate) struct Telemetry(Arc<OnceLock<Series>>);

struct Series {
    punched: Counter,
    relayed: Counter,
    loss: Histogram,
    full: Counter,
    access: Counter,
    per_peer: Counter,
}

/// Why a peer was not let in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TurnedAway {
    Full,
    Access,
    PerPeer,
}

impl Telemetry {
    /// Makes all series, unless they are there already.
    pub(crate) fn register(&self, recorder: &dyn Recorder) -> bool {
        let punch = "Connections that began by a relay, by whether they ever became direct.";
        let away = "Peers that were not let in, by reason.";
        recorder.describe_histogram(
            "p2p_path_loss_ratio".into(),
            None,
            "Packets lost of those sent, one observation per connection, at its end.".into(),
        );
        let series = Series {
            punched: counter(recorder, "p2p_holepunch_attempts_total", &[("outcome", "direct")], punch),
            relayed: counter(recorder, "p2p_holepunch_attempts_total", &[("outcome", "relayed")], punch),
            loss: recorder.register_histogram(&Key::from_static_name("p2p_path_loss_ratio"), &METADATA),
            full: counter(recorder, "p2p_turned_away_total", &[("reason", "full")], away),
            access: counter(recorder, "p2p_turned_away_total", &[("reason", "access")], away),
            per_peer: counter(recorder, "p2p_turned_away_total", &[("reason", "per_peer")], away),
        };
        self.0.set(series).is_ok()
    }

    /// A connection that had begun by a relay became direct.
    pub(crate) fn punched(&self) {
        self.count(|series| series.punched.increment(1));
    }

    /// A connection ended, having begun by a relay without ever becoming direct or not.
    pub(crate) fn ended(&self, stayed_relayed: bool, stats: &ConnectionStats) {
        self.count(|series| {
            if stayed_relayed {
                series.relayed.increment(1);
            }
            if stats.sent_packets > 0 {
                series.loss.record(stats.lost_packets as f64 / stats.sent_packets as f64);
            }
        });
    }

    pub(crate) fn turned_away(&self, why: TurnedAway) {
        self.count(|series| {
            let counter = match why {
                TurnedAway::Full => &series.full,
                TurnedAway::Access => &series.access,
                TurnedAway::PerPeer => &series.per_peer,
            };
            counter.increment(1);
        });
    }

    fn count(&self, with: impl FnOnce(&Series)) {
        if let Some(series) = self.0.get() {
            with(series);
        }
    }
}

impl fmt::Debug for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Series")
    }
}

/// Brings iroh's counters over, now and every five seconds, and says which relay is in use. Does not keep the endpoint
/// alive.
pub(crate) fn follow(
    endpoint: &Endpoint,
    relays: &[RelayServer],
    recorder: &dyn Recorder,
    runtime: Arc<dyn Runtime>,
) -> impl Future<Output = ()> + Send + use<> {
    let theirs = endpoint.metrics().clone();
    let counters: Vec<Counter> = theirs
        .iter()
        .filter(|(_, item)| item.r#type() == MetricType::Counter)
        .map(|(group, item)| counter(recorder, format!("iroh_{group}_{}_total", item.name()), &[], item.help()))
        .collect();
    let help = "1 for the relay that this endpoint is reachable through, 0 for those that stand by.";
    let relays: Vec<(String, Gauge)> = relays
        .iter()
        .map(|relay| {
            recorder.describe_gauge("p2p_relay_connected".into(), None, help.into());
            let key = Key::from_parts("p2p_relay_connected", vec![Label::new("relay", relay.url())]);
            (relay.url(), recorder.register_gauge(&key, &METADATA))
        })
        .collect();
    let mut home = endpoint.home_relay_status();
    async move {
        loop {
            let values = theirs.iter().filter(|(_, item)| item.r#type() == MetricType::Counter);
            for (counter, (_, item)) in counters.iter().zip(values) {
                if let MetricValue::Counter(value) = item.value() {
                    counter.absolute(value);
                }
            }
            let home_now = home.get();
            for (url, gauge) in &relays {
                let in_use = home_now.iter().any(|home| home.is_connected() && addr::relay_text(home.url()) == *url);
                gauge.set(f64::from(u8::from(in_use)));
            }
            runtime.sleep(INTERVAL).await;
        }
    }
}

fn counter(
    recorder: &dyn Recorder,
    name: impl Into<::metrics::KeyName>,
    labels: &[(&'static str, &'static str)],
    help: &'static str,
) -> Counter {
    let name = name.into();
    recorder.describe_counter(name.clone(), Some(Unit::Count), help.into());
    let labels: Vec<Label> = labels.iter().map(|(name, value)| Label::new(*name, *value)).collect();
    recorder.register_counter(&Key::from_parts(name, labels), &METADATA)
}

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

/// Well below any scraper's.
const INTERVAL: Duration = Duration::from_secs(5);
