//! Messages over memory: what the engine costs where the network costs nothing.
#![allow(missing_docs, reason = "criterion's macros write undocumented functions")]

use std::{hint::black_box, time::Instant};

use benches::pair::Pair;
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Messages that are sent before the first of them is received.
const BURST: u64 = 256;

fn bursts(c: &mut Criterion) {
    let mut group = c.benchmark_group("memory/try_send and try_recv");
    for bytes in [64, 1024, 16 * 1024] {
        let pair = Pair::new();
        let message = Bytes::from(vec![7; bytes]);
        // The queue holds 1 MiB; what is larger goes in fewer messages.
        let burst = BURST.min(512 * 1024 / bytes as u64);
        group.throughput(Throughput::Elements(burst));
        group.bench_function(BenchmarkId::from_parameter(bytes), |b| {
            b.iter_custom(|times| pair.bursts(&message, burst, times));
        });
    }
    group.finish();
}

fn round_trips(c: &mut Criterion) {
    let mut group = c.benchmark_group("memory/round trip");
    for bytes in [64, 1024, 64 * 1024] {
        let Pair { runtime, ours, theirs } = Pair::new();
        let echo = runtime.spawn(async move {
            while let Ok(message) = theirs.recv().await {
                if theirs.send(message).await.is_err() {
                    break;
                }
            }
        });
        let message = Bytes::from(vec![7; bytes]);
        group.bench_function(BenchmarkId::from_parameter(bytes), |b| {
            b.iter_custom(|times| {
                runtime.block_on(async {
                    let start = Instant::now();
                    for _ in 0..times {
                        ours.send(message.clone()).await.expect("the connection lives");
                        black_box(ours.recv().await.expect("the connection lives"));
                    }
                    start.elapsed()
                })
            });
        });
        drop(ours);
        runtime.block_on(echo).expect("the echo does not panic");
    }
    group.finish();
}

criterion_group!(benches, bursts, round_trips);
criterion_main!(benches);
