//! What a message pays for the trait object, and for each layer on top of it.
//!
//! The connection below does nothing, so all that is timed is the way to it.
#![allow(missing_docs, reason = "criterion's macros write undocumented functions")]

mod null;

use std::{hint::black_box, sync::Arc, time::Duration};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use p2p::{
    P2PConnection, P2PProvider, P2PProviderExt, PeerId, ProtocolId,
    layer::{Deadlines, LayerExt},
};
use std::sync::atomic::AtomicU64;
use tokio::runtime::Builder;

use self::null::{NullConnection, NullProvider};

fn dispatch(c: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime on this thread");
    // A deadline for `send` makes the layer wrap connections, which it else leaves alone.
    let deadlines = Deadlines::default().with_send(Duration::from_secs(1));
    let connect = |provider: &dyn P2PProvider| {
        runtime.block_on(provider.connect(PeerId::from_name("nobody"), &ProtocolId::default())).expect("it always is")
    };
    let stacks: [(&str, Arc<dyn P2PConnection>); 4] = [
        ("dyn", Arc::new(NullConnection::default())),
        ("Timeout", connect(&NullProvider::default().with_timeout(deadlines))),
        ("Metrics", connect(&NullProvider::default().with_metrics(&Atomics))),
        ("Metrics(Timeout)", connect(&NullProvider::default().with_timeout(deadlines).with_metrics(&Atomics))),
    ];
    let message = Bytes::from_static(&[7; 64]);

    let mut group = c.benchmark_group("dispatch/try_send");
    let direct = NullConnection::default();
    group.bench_function("static", |b| b.iter(|| black_box(&direct).try_send(message.clone())));
    for (name, connection) in &stacks {
        group.bench_function(*name, |b| b.iter(|| black_box(connection).try_send(message.clone())));
    }
    group.finish();

    let mut group = c.benchmark_group("dispatch/send");
    for (name, connection) in &stacks {
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter_custom(|times| {
                runtime.block_on(async {
                    let start = std::time::Instant::now();
                    for _ in 0..times {
                        black_box(connection).send(message.clone()).await.expect("it always is");
                    }
                    start.elapsed()
                })
            });
        });
    }
    group.finish();
}

/// Counters that count, so that the layer pays what it pays in production.
struct Atomics;

impl Recorder for Atomics {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::new(AtomicU64::new(0)))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::new(AtomicU64::new(0)))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

criterion_group!(benches, dispatch);
criterion_main!(benches);
