//! Codecs: message frames, control frames, tickets.
#![allow(missing_docs, reason = "criterion's macros write undocumented functions")]

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use p2p::{
    Capability, PeerAddr, PeerId, ProtocolId, Ticket,
    protocol::{
        control::{self, Control, ControlReader},
        handshake::{Offer, Terms},
        message::{MessageDecoder, MessageEncoder},
    },
};

/// Messages framed at once.
const MESSAGES: usize = 64;

fn message_frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("message frames");
    for bytes in [64, 1024, 16 * 1024] {
        let message = Bytes::from(vec![7; bytes]);
        group.throughput(Throughput::Elements(MESSAGES as u64));
        group.bench_function(BenchmarkId::new("encode", bytes), |b| {
            let mut encoder = MessageEncoder::default();
            b.iter(|| {
                (0..MESSAGES).for_each(|_| encoder.push(message.clone()));
                let mut written = 0;
                for chunk in encoder.chunks() {
                    written += black_box(std::mem::take(chunk)).len();
                }
                encoder.advance(written);
            });
        });

        let wire = encoded(&message);
        group.bench_function(BenchmarkId::new("decode, whole", bytes), |b| {
            let mut decoder = MessageDecoder::new(bytes);
            b.iter(|| decode(&mut decoder, [wire.clone()]));
        });
        group.bench_function(BenchmarkId::new("decode, cut into packets", bytes), |b| {
            let mut decoder = MessageDecoder::new(bytes);
            let packets: Vec<Bytes> = wire.chunks(PACKET_BYTES).map(|packet| wire.slice_ref(packet)).collect();
            b.iter_batched(|| packets.clone(), |packets| decode(&mut decoder, packets), BatchSize::SmallInput);
        });
    }
    group.finish();
}

/// About what a QUIC packet carries on an Ethernet.
const PACKET_BYTES: usize = 1400;

fn encoded(message: &Bytes) -> Bytes {
    let mut encoder = MessageEncoder::default();
    (0..MESSAGES).for_each(|_| encoder.push(message.clone()));
    encoder.chunks().concat().into()
}

fn decode(decoder: &mut MessageDecoder, chunks: impl IntoIterator<Item = Bytes>) {
    let mut messages = 0;
    for chunk in chunks {
        decoder.push(chunk, |message| messages += usize::from(!black_box(message).is_empty())).expect("good frames");
    }
    assert_eq!(messages, MESSAGES);
}

fn control_frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("control frames");
    let capability = |name: &str| Capability { name: name.into(), data: vec![7; 16] };
    let handshake = Control::Handshake(Offer {
        protocol: ProtocolId::default(),
        terms: Terms { message_bytes_max: 1024 * 1024, streams_max: 100 },
        capabilities: vec![capability("compression/lz4"), capability("resume/1")],
    });
    for (name, frame) in [("keepalive", Control::Keepalive { sequence: 1000 }), ("handshake", handshake)] {
        group.bench_function(BenchmarkId::new("encode", name), |b| {
            let mut buf = BytesMut::new();
            b.iter(|| {
                buf.clear();
                control::put(black_box(&frame), &mut buf);
            });
        });
        group.bench_function(BenchmarkId::new("decode", name), |b| {
            let mut wire = BytesMut::new();
            control::put(&frame, &mut wire);
            let mut reader = ControlReader::default();
            b.iter(|| {
                reader.push(&wire);
                black_box(reader.poll_frame().expect("a good frame").expect("a whole frame"))
            });
        });
    }
    group.finish();
}

fn tickets(c: &mut Criterion) {
    let addr = PeerAddr::new(PeerId::from_name("alice"))
        .with_relay("https://relay.example")
        .with_direct("192.0.2.7:8800".parse().expect("an address"));
    let ticket = Ticket::new(addr).with_extension("service", "web");
    let text = ticket.to_string();
    let mut group = c.benchmark_group("ticket");
    group.bench_function("print", |b| b.iter(|| black_box(&ticket).to_string()));
    group.bench_function("parse", |b| b.iter(|| black_box(&text).parse::<Ticket>().expect("a good ticket")));
    group.finish();
}

criterion_group!(benches, message_frames, control_frames, tickets);
criterion_main!(benches);
