//! The world stepped by hand: what is due when, and what has arrived by then.

mod accounts;
mod connections;
mod links;
mod partitions;
mod profiles;
mod quirks;
mod streams;

use std::{
    task::{Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use p2p::{StreamError, transport::TransportClosed};

use super::{
    World,
    conn::{DialAnswer, EndId, STREAMS_MAX},
    datagram::DATAGRAMS_MAX,
    node::{INCOMING_MAX, NodeIx},
    stream::{HalfId, WINDOW_BYTES},
};
use crate::{
    LinkConfig, Probability, SimulatorConfig,
    trace::{Event, TraceMode, What},
};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

fn world(link: LinkConfig) -> World {
    World::new(SimulatorConfig::new(1).with_link(link), TraceMode::Keep)
}

fn ideal() -> LinkConfig {
    LinkConfig::ideal(Duration::from_millis(50))
}

fn waker() -> &'static Waker {
    Waker::noop()
}

/// Two nodes that answer.
fn nodes(world: &mut World) -> (NodeIx, NodeIx) {
    let (a, b) = (world.node("a"), world.node("b"));
    world.start_answering(a);
    world.start_answering(b);
    (a, b)
}

/// Both ends of a connection, with nothing under way.
fn connected(world: &mut World) -> (EndId, EndId) {
    let (a, b) = nodes(world);
    let ours = world.dial(a, b);
    while world.step() {}
    assert_eq!(world.poll_dial(ours, waker()), Poll::Ready(DialAnswer::Accepted));
    let Poll::Ready(Some(theirs)) = world.poll_incoming(b, 1, waker()) else { panic!("nothing came in") };
    (ours, theirs)
}

fn open(world: &mut World, end: EndId) -> HalfId {
    match world.poll_open(end, waker()) {
        Poll::Ready(Ok(half)) => half,
        other => panic!("{other:?}"),
    }
}

fn accept(world: &mut World, end: EndId) -> Option<HalfId> {
    match world.poll_accept(end, waker()) {
        Poll::Ready(Ok(half)) => Some(half),
        Poll::Ready(Err(error)) => panic!("{error}"),
        Poll::Pending => None,
    }
}

/// Writes as much as there is room for.
fn write(world: &mut World, half: HalfId, bytes: &[u8]) -> usize {
    let mut chunks = [Bytes::copy_from_slice(bytes)];
    let mut written = 0;
    loop {
        match world.poll_write(half, &mut chunks, waker()) {
            Poll::Ready(Ok(0)) | Poll::Pending => return written,
            Poll::Ready(Ok(some)) => written += some,
            Poll::Ready(Err(error)) => panic!("{error}"),
        }
    }
}

/// Reads all that has arrived.
fn read(world: &mut World, half: HalfId) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Poll::Ready(Ok(Some(chunk))) = world.poll_read(half, usize::MAX, waker()) {
        bytes.extend_from_slice(&chunk);
    }
    bytes
}

fn numbers(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

/// A stream with both its halves, on an established connection.
fn stream(world: &mut World) -> (HalfId, HalfId, EndId, EndId) {
    let (ours, theirs) = connected(world);
    let sending = open(world, ours);
    assert_eq!(write(world, sending, b"!"), 1);
    while world.step() {}
    let receiving = accept(world, theirs).expect("a stream came");
    assert_eq!(read(world, receiving), b"!");
    (sending, receiving, ours, theirs)
}
