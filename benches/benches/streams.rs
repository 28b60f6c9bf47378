//! Bulk bytes on one stream over memory: no byte is copied, so this is the cost of passing chunks on.
#![allow(missing_docs, reason = "criterion's macros write undocumented functions")]

use std::time::{Duration, Instant};

use benches::pair::Pair;
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use p2p::{RecvStream, SendStream};

const BYTES: usize = 4 * 1024 * 1024;

fn bulk(c: &mut Criterion) {
    let mut group = c.benchmark_group("memory/stream");
    group.throughput(Throughput::Bytes(BYTES as u64));
    for chunk in [4 * 1024, 64 * 1024] {
        let Pair { runtime, ours, theirs } = Pair::new();
        let chunk = Bytes::from(vec![7; chunk]);
        let (mut send, mut recv) = runtime.block_on(async {
            let mut opened = ours.open_stream().await.expect("the connection lives");
            opened.send.write_all(b"!").await.expect("the connection lives");
            let mut accepted = theirs.accept_stream().await.expect("the connection lives");
            accepted.recv.read_chunk(1).await.expect("the connection lives");
            (opened.send, accepted.recv)
        });
        group.bench_function(BenchmarkId::from_parameter(chunk.len()), |b| {
            b.iter_custom(|times| {
                runtime.block_on(async {
                    let mut spent = Duration::ZERO;
                    for _ in 0..times {
                        let start = Instant::now();
                        tokio::join!(write(&mut send, &chunk), read(&mut recv));
                        spent += start.elapsed();
                    }
                    spent
                })
            });
        });
    }
    group.finish();
}

async fn write(send: &mut SendStream, chunk: &Bytes) {
    for _ in 0..BYTES / chunk.len() {
        let mut rest = chunk.clone();
        while !rest.is_empty() {
            send.write_chunk(&mut rest).await.expect("the connection lives");
        }
    }
}

async fn read(recv: &mut RecvStream) {
    let mut missing = BYTES;
    while missing > 0 {
        let chunk = recv.read_chunk(missing).await.expect("the connection lives");
        missing -= chunk.expect("the writer goes on").len();
    }
}

criterion_group!(benches, bulk);
criterion_main!(benches);
