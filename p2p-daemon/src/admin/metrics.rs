//! The recorder behind `/metrics`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics::{Key, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use p2p::layer::metrics::{FAMILIES, FamilyKind};
use tokio::time::{MissedTickBehavior, interval};

/// Collects metrics for Prometheus. Parts of the daemon are handed its [`recorder`](Self::recorder); none is global.
#[derive(Debug)]
pub struct MetricsExport {
    recorder: PrometheusRecorder,
}

impl MetricsExport {
    /// A recorder that knows the buckets of every histogram, and holds `p2p_build_info` and
    /// `process_start_time_seconds`. `provider` names what the daemon stands on.
    pub fn new(provider: &str) -> Self {
        let histograms = FAMILIES.iter().filter_map(|family| match family.kind {
            FamilyKind::Histogram { buckets } => Some((family.name, buckets)),
            _ => None,
        });
        let builder =
            histograms.fold(PrometheusBuilder::new().with_recommended_naming(true), |builder, (name, buckets)| {
                let matcher = Matcher::Full(name.to_owned());
                builder.set_buckets_for_metric(matcher, buckets).expect("every histogram has buckets")
            });
        let export = Self { recorder: builder.build_recorder() };
        export.describe_process(provider);
        export
    }

    /// What to count with.
    pub const fn recorder(&self) -> &PrometheusRecorder {
        &self.recorder
    }

    /// All metrics as text.
    pub fn render(&self) -> String {
        self.recorder.handle().render()
    }

    /// What [`AdminServer`](super::AdminServer) renders, and the exporter's upkeep, which bounds its memory while nobody
    /// scrapes. Never ends.
    pub(super) fn handle(&self) -> (PrometheusHandle, impl Future<Output = ()> + Send + use<>) {
        let handle = self.recorder.handle();
        let kept = handle.clone();
        let upkeep = async move {
            let mut ticks = interval(UPKEEP_PERIOD);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                kept.run_upkeep();
            }
        };
        (handle, upkeep)
    }

    fn describe_process(&self, provider: &str) {
        let gauge = |name: &'static str, unit, help: &'static str, labels: Vec<Label>, value: f64| {
            self.recorder.describe_gauge(name.into(), unit, help.into());
            self.recorder.register_gauge(&Key::from_parts(name, labels), &METADATA).set(value);
        };
        let version = Label::new("version", env!("CARGO_PKG_VERSION"));
        let provider = Label::new("impl", provider.to_owned());
        gauge("p2p_build_info", None, "What runs here. Always 1.", vec![version, provider], 1.0);
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        gauge(
            "process_start_time_seconds",
            Some(Unit::Seconds),
            "When the process started, since the Unix epoch.",
            Vec::new(),
            since_epoch.as_secs_f64(),
        );
    }
}

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

/// The exporter's own default.
const UPKEEP_PERIOD: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use p2p::{layer::LayerExt, memory::MemoryNetwork};

    use super::*;
    use crate::forward;

    // The one list of what is exported. Dashboards and alerts are written against these names, so none changes or
    // vanishes by accident, and all are there before anything has happened.
    const GOLDEN: &[(&str, &str)] = &[
        ("p2p_backpressure_seconds_total", "counter"),
        ("p2p_build_info", "gauge"),
        ("p2p_bytes_total", "counter"),
        ("p2p_connect_attempts_total", "counter"),
        ("p2p_connect_duration_seconds", "histogram"),
        ("p2p_connections", "gauge"),
        ("p2p_connections_closed_total", "counter"),
        ("p2p_connections_opened_total", "counter"),
        ("p2p_datagrams_dropped_total", "counter"),
        ("p2p_datagrams_total", "counter"),
        ("p2p_forward_bytes_total", "counter"),
        ("p2p_forward_errors_total", "counter"),
        ("p2p_forward_streams", "gauge"),
        ("p2p_forward_streams_opened_total", "counter"),
        ("p2p_messages_total", "counter"),
        ("p2p_path_changes_total", "counter"),
        ("p2p_path_rtt_seconds", "histogram"),
        ("p2p_send_queue_full_total", "counter"),
        ("p2p_sends_waiting", "gauge"),
        ("p2p_streams_opened_total", "counter"),
        ("p2p_time_to_direct_seconds", "histogram"),
        ("process_start_time_seconds", "gauge"),
    ];

    #[tokio::test]
    async fn the_names_are_those_of_the_golden_list_from_the_start() {
        let export = MetricsExport::new("memory");
        let _stack = MemoryNetwork::new().provider("alice").with_metrics(export.recorder());
        forward::register(export.recorder(), "web");

        let text = export.render();
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let types: BTreeMap<_, _> = types.collect();
        assert_eq!(types, GOLDEN.iter().copied().collect(), "{text}");
        for (name, _) in GOLDEN {
            assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
        }
    }
}
