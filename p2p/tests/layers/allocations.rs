//! What a message costs in allocations, counted per thread, so that other tests do not disturb.
#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use p2p::{ConnectionConfig, ListenConfig, P2PConnection, P2PProvider, layer::LayerExt, memory::MemoryNetwork};

use crate::{
    recorder::TestRecorder,
    stub::{StubConnection, StubProvider, direct, peer},
};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: all is left to the system's allocator; counting touches only a thread's own cell, which allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Allocations that `work` makes on this thread.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn the_count_sees_an_allocation() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

// The connection below allocates nothing, so whatever there is would be the layer's.
#[tokio::test]
async fn metrics_allocate_nothing_for_a_message() {
    let recorder = TestRecorder::default();
    let inner = StubConnection::new(direct());
    let provider = StubProvider::of(&inner).with_metrics(&recorder);
    let connection = provider.connect_with(peer(), ConnectionConfig::default()).await.unwrap();
    let message = Bytes::from_static(b"hello");
    let count = allocations(|| {
        for _ in 0..1000 {
            connection.try_send(message.clone()).unwrap();
            connection.try_recv().unwrap().unwrap();
        }
    });
    assert_eq!(count, 0);
    assert_eq!(recorder.sum("p2p_messages_total"), 2000);
}

/// Allocations of sending, and of receiving, 100 messages through the engine.
async fn through(alice: impl P2PProvider, bob: impl P2PProvider) -> [u64; 2] {
    let listener = bob.listen_with(ListenConfig::default()).await.unwrap();
    let (ours, theirs): (Arc<dyn P2PConnection>, _) = tokio::try_join!(
        alice.connect_with(bob.local_peer_id().into(), ConnectionConfig::default()),
        listener.accept()
    )
    .unwrap();
    let message = Bytes::from_static(&[7; 64]);
    let mut counts = [0; 2];
    // The first round makes the queues as large as they get; only the second one stays in `counts`.
    for _ in 0..2 {
        let sending = allocations(|| {
            for _ in 0..100 {
                ours.try_send(message.clone()).unwrap();
            }
        });
        // In paused time this ends when nothing else is left to do, which is when all have arrived.
        tokio::time::sleep(Duration::from_millis(10)).await;
        let receiving = allocations(|| {
            for _ in 0..100 {
                theirs.try_recv().unwrap().expect("all have arrived");
            }
        });
        counts = [sending, receiving];
    }
    counts
}

#[tokio::test(start_paused = true)]
async fn over_the_engine_a_message_costs_no_allocation_more_with_metrics_than_without() {
    let network = MemoryNetwork::new();
    let bare = through(network.provider("alice"), network.provider("bob")).await;
    let recorder = TestRecorder::default();
    let counted =
        through(network.provider("carol").with_metrics(&recorder), network.provider("dave").with_metrics(&recorder))
            .await;
    assert_eq!(counted, bare);
    assert_eq!(recorder.sum("p2p_messages_total"), 400);
}
