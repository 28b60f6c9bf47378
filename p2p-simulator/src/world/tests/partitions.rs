//! Silence, and what comes after it.

use super::*;

#[test]
fn a_partition_is_silence_and_what_was_sent_arrives_after_it() {
    let mut world = world(ideal());
    let (sending, receiving, ours, theirs) = stream(&mut world);
    let (there, back) = (world.link(0, 1), world.link(1, 0));
    write(&mut world, sending, b"in flight ");
    world.advance_to(world.now() + 10 * MS);
    world.block(there);
    world.block(back);
    write(&mut world, sending, b"held");
    world.send_datagram(ours, Bytes::from_static(b"gone")).unwrap();
    world.advance_to(world.now() + 20 * SECOND);
    assert_eq!(read(&mut world, receiving), b"");
    assert!(world.poll_closed(ours, waker()).is_pending() && world.poll_closed(theirs, waker()).is_pending());
    let healed = world.now();
    world.unblock(there);
    world.unblock(back);
    world.advance_to(healed + 3 * SECOND);
    assert_eq!(read(&mut world, receiving), b"in flight held");
    assert!(world.poll_datagram(theirs, waker()).is_pending());
}

#[test]
fn a_dial_into_a_partition_gets_no_answer_until_it_ends() {
    let mut world = world(ideal());
    let (a, b) = nodes(&mut world);
    let link = world.link(a, b);
    world.block(link);
    let end = world.dial(a, b);
    world.advance_to(1000 * SECOND);
    assert!(world.poll_dial(end, waker()).is_pending());
    world.unblock(link);
    world.advance_to(1003 * SECOND);
    assert_eq!(world.poll_dial(end, waker()), Poll::Ready(DialAnswer::Accepted));
}

#[test]
fn a_sender_gives_up_after_its_patience_and_the_peer_learns_when_it_speaks() {
    let mut world = world(ideal());
    let (sending, _, ours, theirs) = stream(&mut world);
    let link = world.link(0, 1);
    let start = world.now();
    world.block(link);
    write(&mut world, sending, b"hello?");
    world.advance_to(start + 60 * SECOND - 1);
    assert!(world.poll_closed(ours, waker()).is_pending());
    world.advance_to(start + 60 * SECOND);
    assert_eq!(world.poll_closed(ours, waker()), Poll::Ready(TransportClosed::TimedOut));
    world.unblock(link);
    while world.step() {}
    assert!(world.poll_closed(theirs, waker()).is_pending(), "nobody told it");
    let half = open(&mut world, theirs);
    write(&mut world, half, b"are you there?");
    while world.step() {}
    assert!(matches!(world.poll_closed(theirs, waker()), Poll::Ready(TransportClosed::Lost(_))));
}

#[test]
fn a_partition_that_ends_in_time_leaves_no_patience_running() {
    let mut world = world(ideal());
    let (sending, receiving, ours, _) = stream(&mut world);
    let link = world.link(0, 1);
    world.block(link);
    write(&mut world, sending, b"hello");
    world.advance_to(world.now() + 30 * SECOND);
    world.unblock(link);
    while world.step() {}
    assert!(world.now() < 40 * SECOND, "a timer that was cancelled moved time to {}", world.now());
    assert_eq!(read(&mut world, receiving), b"hello");
    assert!(world.poll_closed(ours, waker()).is_pending());
}

#[test]
fn a_close_lost_in_a_partition_is_said_again_when_the_peer_speaks() {
    let mut world = world(ideal());
    let (_, receiving, ours, theirs) = stream(&mut world);
    let link = world.link(0, 1);
    world.block(link);
    world.close(ours, 5, b"bye");
    while world.step() {}
    world.advance_to(world.now() + SECOND);
    world.unblock(link);
    while world.step() {}
    assert!(world.poll_closed(theirs, waker()).is_pending());
    write(&mut world, receiving, b"still there?");
    while world.step() {}
    let closed = TransportClosed::Peer { code: 5, reason: Bytes::from_static(b"bye") };
    assert_eq!(world.poll_closed(theirs, waker()), Poll::Ready(closed));
}

#[test]
fn dials_given_up_during_a_partition_do_not_pile_up() {
    let mut world = world(ideal());
    let (a, b) = nodes(&mut world);
    let link = world.link(a, b);
    world.block(link);
    for _ in 0..10_000 {
        let end = world.dial(a, b);
        world.release_handle(end);
    }
    assert_eq!(world.connections(), 0);
    assert!(world.links[link as usize].held.len() < 200);
}
