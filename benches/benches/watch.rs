//! A watched value: looking at it, changing it, waiting for it.
#![allow(missing_docs, reason = "criterion's macros write undocumented functions")]

use std::{
    future::Future,
    hint::black_box,
    task::{Context, Waker},
};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use p2p::WatchSender;

fn watch(c: &mut Criterion) {
    let mut group = c.benchmark_group("watch");
    let sender = WatchSender::new(0_u64);
    let watch = sender.subscribe();
    group.bench_function("get", |b| b.iter(|| black_box(&watch).get()));
    group.bench_function("set, the same value", |b| b.iter(|| sender.set(black_box(0))));
    group.bench_function("set, nobody waits", |b| b.iter(|| increment(&sender)));
    for readers in [1, 16] {
        let mut watches: Vec<_> = (0..readers).map(|_| sender.subscribe()).collect();
        group.bench_function(BenchmarkId::new("set and wake readers", readers), |b| {
            b.iter(|| {
                let mut waiting: Vec<_> = watches.iter_mut().map(|watch| Box::pin(watch.changed())).collect();
                let mut cx = Context::from_waker(Waker::noop());
                waiting.iter_mut().for_each(|reader| assert!(reader.as_mut().poll(&mut cx).is_pending()));
                increment(&sender);
                waiting.iter_mut().for_each(|reader| assert!(black_box(reader.as_mut().poll(&mut cx)).is_ready()));
            });
        });
    }
    group.finish();
}

fn increment(sender: &WatchSender<u64>) {
    sender.modify(|value| {
        *value += 1;
        true
    });
}

criterion_group!(benches, watch);
criterion_main!(benches);
