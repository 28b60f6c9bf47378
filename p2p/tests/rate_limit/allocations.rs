//! What a message costs in allocations, counted per thread, so that other tests do not disturb.
#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use bytes::Bytes;
use p2p::layer::{Rate, RateLimits, Rates, Traffic};

use crate::{SECOND, pair};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: all is left to the system's allocator; counting touches only a thread's own cell, which allocates nothing.
// `realloc` is the trait's own, which allocates and so is counted.
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
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Allocations that `work` makes on this thread.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

/// Allocations of sending, and of receiving, 100 messages, by one who is limited.
async fn through(limits: RateLimits) -> [u64; 2] {
    let (ours, theirs) = pair(limits).await;
    let message = Bytes::from_static(&[7; 64]);
    let mut counts = [0; 2];
    // The first round makes the queues as large as they get; only the second one stays in `counts`.
    for _ in 0..2 {
        let sending = allocations(|| {
            for _ in 0..100 {
                ours.try_send(message.clone()).unwrap();
            }
        });
        for _ in 0..100 {
            theirs.recv().await.unwrap();
            theirs.send(message.clone()).await.unwrap();
        }
        // In paused time this ends when nothing else is left to do, which is when all have arrived.
        tokio::time::sleep(SECOND / 100).await;
        let receiving = allocations(|| {
            for _ in 0..100 {
                ours.try_recv().unwrap().expect("all have arrived");
            }
        });
        counts = [sending, receiving];
    }
    counts
}

#[test]
fn the_count_sees_an_allocation() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_costs_no_allocation_more_with_limits_than_without() {
    let often = Rate::per_second(1_000_000);
    let traffic = Traffic::NONE.with_messages(often).with_bytes(Rate::per_second(1_000_000_000));
    let rates = Rates::NONE.with_sent(traffic).with_received(traffic);
    let limited = through(RateLimits::NONE.with_per_peer(rates).with_total(rates)).await;
    assert_eq!(limited, through(RateLimits::NONE).await);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_may_not_pass_costs_no_allocation_either() {
    let hourly = Traffic::NONE.with_messages(Rate::new(1, 3600 * SECOND));
    let (ours, theirs) =
        pair(RateLimits::NONE.with_per_peer(Rates::NONE.with_sent(hourly).with_received(hourly))).await;
    let message = Bytes::from_static(&[7; 64]);
    ours.try_send(message.clone()).unwrap();
    theirs.send(message.clone()).await.unwrap();
    ours.recv().await.unwrap();
    let count = allocations(|| {
        for _ in 0..100 {
            ours.try_send(message.clone()).unwrap_err();
            assert_eq!(ours.try_recv().unwrap(), None);
        }
    });
    assert_eq!(count, 0);
}
