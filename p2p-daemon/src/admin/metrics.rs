//! The recorder behind `/metrics`.

use std::{fmt, sync::Arc, time::Duration};

use metrics::{Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};
use metrics_process::Collector;
use p2p::layer::metrics::{FAMILIES, FamilyKind};
use tokio::time::{MissedTickBehavior, interval};

/// Collects metrics for Prometheus. Parts of the daemon are handed its [`recorder`](Self::recorder); none is global.
#[derive(Clone)]
pub struct MetricsExport {
    recorder: Arc<PrometheusRecorder>,
    /// Memory, processor time, files: read when somebody looks.
    process: Collector,
}

impl MetricsExport {
    /// A recorder that knows the buckets of every histogram, and holds `p2p_build_info` and the process's own figures.
    /// `provider` names what the daemon stands on.
    pub fn new(provider: &str) -> Self {
        let histograms = FAMILIES.iter().filter_map(|family| match family.kind {
            FamilyKind::Histogram { buckets } => Some((family.name, buckets)),
            _ => None,
        });
        #[cfg(feature = "p2p-iroh")]
        let histograms = histograms.chain(p2p_iroh::metrics::HISTOGRAMS.iter().copied());
        let builder =
            histograms.fold(PrometheusBuilder::new().with_recommended_naming(true), |builder, (name, buckets)| {
                let matcher = Matcher::Full(name.to_owned());
                builder.set_buckets_for_metric(matcher, buckets).expect("every histogram has buckets")
            });
        let export = Self { recorder: Arc::new(builder.build_recorder()), process: Collector::default() };
        export.describe_build(provider);
        metrics::with_local_recorder(&*export.recorder, || export.process.describe());
        export
    }

    /// What to count with.
    pub fn recorder(&self) -> &PrometheusRecorder {
        &self.recorder
    }

    /// All metrics, in Prometheus's text format, version 0.0.4.
    pub fn render(&self) -> String {
        metrics::with_local_recorder(&*self.recorder, || self.process.collect());
        self.recorder.handle().render()
    }

    /// The exporter's upkeep, which bounds its memory while nobody scrapes. Never ends.
    pub(crate) fn upkeep(&self) -> impl Future<Output = ()> + Send + use<> {
        let handle = self.recorder.handle();
        async move {
            let mut ticks = interval(UPKEEP_PERIOD);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                handle.run_upkeep();
            }
        }
    }

    fn describe_build(&self, provider: &str) {
        let name = "p2p_build_info";
        let labels = vec![Label::new("version", env!("CARGO_PKG_VERSION")), Label::new("impl", provider.to_owned())];
        self.recorder.describe_gauge(name.into(), None, "What runs here. Always 1.".into());
        self.recorder.register_gauge(&Key::from_parts(name, labels), &METADATA).set(1.0);
    }
}

impl fmt::Debug for MetricsExport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetricsExport")
    }
}

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

/// The exporter's own default.
const UPKEEP_PERIOD: Duration = Duration::from_secs(5);
