//! A recorder that tests can read: every series by its text, as in `p2p_bytes_total{dir="out",path="direct"}`.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, SharedString, Unit};

#[derive(Default)]
pub(crate) struct TestRecorder {
    counters: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    gauges: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    histograms: Mutex<BTreeMap<String, Arc<Observations>>>,
    described: Mutex<BTreeMap<String, Description>>,
}

/// Kind, unit and help.
pub(crate) type Description = (&'static str, Option<Unit>, SharedString);

#[derive(Default)]
struct Observations(Mutex<Vec<f64>>);

impl HistogramFn for Observations {
    fn record(&self, value: f64) {
        self.0.lock().unwrap().push(value);
    }
}

impl TestRecorder {
    /// A counter's value. Panics if there is no such series.
    pub(crate) fn counter(&self, series: &str) -> u64 {
        let counters = self.counters.lock().unwrap();
        let counter = counters.get(series);
        counter.unwrap_or_else(|| panic!("no counter {series}")).load(Relaxed)
    }

    /// A gauge's value. Panics if there is no such series.
    pub(crate) fn gauge(&self, series: &str) -> f64 {
        let gauges = self.gauges.lock().unwrap();
        let gauge = gauges.get(series);
        f64::from_bits(gauge.unwrap_or_else(|| panic!("no gauge {series}")).load(Relaxed))
    }

    /// What a histogram observed. Panics if there is no such series.
    pub(crate) fn histogram(&self, series: &str) -> Vec<f64> {
        let histograms = self.histograms.lock().unwrap();
        let histogram = histograms.get(series);
        histogram.unwrap_or_else(|| panic!("no histogram {series}")).0.lock().unwrap().clone()
    }

    /// The sum of all counters of a family.
    pub(crate) fn sum(&self, family: &str) -> u64 {
        let counters = self.counters.lock().unwrap();
        counters
            .iter()
            .filter(|(series, _)| family_of(series) == family)
            .map(|(_, counter)| counter.load(Relaxed))
            .sum()
    }

    /// The sum of all gauges of a family.
    pub(crate) fn gauge_sum(&self, family: &str) -> f64 {
        let gauges = self.gauges.lock().unwrap();
        gauges
            .iter()
            .filter(|(series, _)| family_of(series) == family)
            .map(|(_, gauge)| f64::from_bits(gauge.load(Relaxed)))
            .sum()
    }

    /// Every series with its kind and its value; observations for a histogram.
    pub(crate) fn all(&self) -> Vec<(&'static str, String, f64)> {
        let (counters, gauges) = (self.counters.lock().unwrap(), self.gauges.lock().unwrap());
        let histograms = self.histograms.lock().unwrap();
        let counters = counters.iter().map(|(series, value)| ("counter", series.clone(), value.load(Relaxed) as f64));
        let gauges =
            gauges.iter().map(|(series, value)| ("gauge", series.clone(), f64::from_bits(value.load(Relaxed))));
        let histograms = histograms.iter().map(|(series, value)| {
            let observations = value.0.lock().unwrap().len();
            ("histogram", series.clone(), observations as f64)
        });
        counters.chain(gauges).chain(histograms).collect()
    }

    /// What was said of a family.
    pub(crate) fn described(&self, family: &str) -> Option<Description> {
        self.described.lock().unwrap().get(family).cloned()
    }
}

/// `p2p_bytes_total` of `p2p_bytes_total{dir="out"}`.
pub(crate) fn family_of(series: &str) -> &str {
    series.split('{').next().unwrap()
}

fn text(key: &Key) -> String {
    let labels: Vec<_> = key.labels().map(|label| format!("{}=\"{}\"", label.key(), label.value())).collect();
    match labels.as_slice() {
        [] => key.name().to_owned(),
        _ => format!("{}{{{}}}", key.name(), labels.join(",")),
    }
}

impl metrics::Recorder for TestRecorder {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, help: SharedString) {
        let mut described = self.described.lock().unwrap();
        described.insert(key.as_str().into(), ("counter", unit, help));
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, help: SharedString) {
        let mut described = self.described.lock().unwrap();
        described.insert(key.as_str().into(), ("gauge", unit, help));
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, help: SharedString) {
        let mut described = self.described.lock().unwrap();
        described.insert(key.as_str().into(), ("histogram", unit, help));
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let mut counters = self.counters.lock().unwrap();
        Counter::from_arc(counters.entry(text(key)).or_default().clone())
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let mut gauges = self.gauges.lock().unwrap();
        Gauge::from_arc(gauges.entry(text(key)).or_default().clone())
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let mut histograms = self.histograms.lock().unwrap();
        Histogram::from_arc(histograms.entry(text(key)).or_default().clone())
    }
}
