//! What a message pays for the trait object, and for each layer on top of it.
//!
//! The connection below does nothing, so all that is timed is the way to it; but for the last group, in which messages
//! go through memory, bare and through the full stack on both sides.
#![allow(missing_docs, reason = "criterion's macros write undocumented functions")]

mod null;

use std::{hint::black_box, sync::Arc, time::Duration};

use benches::{counting::Atomics, pair::Pair};
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use p2p::{
    P2PConnection, P2PProvider, P2PProviderExt, PeerId, ProtocolId,
    layer::{Deadlines, LayerExt},
};
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

fn full_stack(c: &mut Criterion) {
    const BURST: u64 = 256;
    let mut group = c.benchmark_group("dispatch/through memory");
    group.throughput(Throughput::Elements(BURST));
    let message = Bytes::from_static(&[7; 64]);
    for (name, pair) in [("bare", Pair::new()), ("full stack", Pair::stacked(&Atomics))] {
        group.bench_function(name, |b| b.iter_custom(|times| pair.bursts(&message, BURST, times)));
    }
    group.finish();
}

criterion_group!(benches, dispatch, full_stack);
criterion_main!(benches);
