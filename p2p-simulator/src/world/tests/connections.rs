//! Dials, closes, timers.

use super::*;

#[test]
fn a_dial_takes_one_round_trip() {
    let mut world = world(ideal());
    let (a, b) = nodes(&mut world);
    let end = world.dial(a, b);
    world.advance_to(100 * MS - 1);
    assert!(world.poll_dial(end, waker()).is_pending());
    world.advance_to(100 * MS);
    assert_eq!(world.poll_dial(end, waker()), Poll::Ready(DialAnswer::Accepted));
}

#[test]
fn dials_fail_as_often_as_configured_and_each_on_its_own_draw() {
    let mut world = world(ideal().with_dial_failure(Probability::percent(20)));
    let (a, b) = nodes(&mut world);
    let ends: Vec<_> = (0..INCOMING_MAX).map(|_| world.dial(a, b)).collect();
    while world.step() {}
    let failed = ends.iter().filter(|&&end| world.poll_dial(end, waker()) == Poll::Ready(DialAnswer::Failed)).count();
    // 1024 draws at 20 %: 205, with a standard deviation of 13.
    assert!((140..270).contains(&failed), "{failed} failed");
}

#[test]
fn nobody_answers_where_nobody_listens_and_a_full_node_says_so() {
    let mut world = world(ideal());
    let (a, b) = (world.node("a"), world.node("b"));
    let unanswered = world.dial(a, b);
    while world.step() {}
    assert_eq!(world.poll_dial(unanswered, waker()), Poll::Ready(DialAnswer::NobodyAnswers));
    world.start_answering(b);
    let ends: Vec<_> = (0..=INCOMING_MAX).map(|_| world.dial(a, b)).collect();
    while world.step() {}
    let answers = ends.iter().map(|&end| world.poll_dial(end, waker()));
    let full = answers.filter(|answer| *answer == Poll::Ready(DialAnswer::Full)).count();
    assert_eq!(full, 1);
}

#[test]
fn a_close_flies_with_code_and_reason_and_the_first_counts() {
    let mut world = world(ideal());
    let (sending, receiving, ours, theirs) = stream(&mut world);
    write(&mut world, sending, b"late");
    let start = world.now();
    world.close(ours, 7, b"enough");
    world.close(ours, 8, b"ignored");
    assert_eq!(world.poll_closed(ours, waker()), Poll::Ready(TransportClosed::Local));
    assert!(world.poll_closed(theirs, waker()).is_pending());
    world.advance_to(start + 50 * MS);
    let closed = TransportClosed::Peer { code: 7, reason: Bytes::from_static(b"enough") };
    assert_eq!(world.poll_closed(theirs, waker()), Poll::Ready(closed));
    // What arrived before the close can still be read, then it is over.
    assert_eq!(read(&mut world, receiving), b"late");
    assert!(matches!(world.poll_read(receiving, 1, waker()), Poll::Ready(Err(StreamError::Connection(_)))));
    assert!(world.poll_write(sending, &mut [Bytes::from_static(b"x")], waker()).is_ready());
}

#[test]
fn nothing_is_left_when_all_handles_are_gone() {
    let mut world = world(ideal().with_loss(Probability::percent(20)));
    let (sending, receiving, ours, theirs) = stream(&mut world);
    write(&mut world, sending, &numbers(50_000));
    for half in [sending, sending, receiving, receiving] {
        world.release_half(half);
    }
    assert!(world.poll_closed(ours, waker()).is_pending(), "the connection itself is still held");
    for end in [ours, theirs] {
        world.release_handle(end);
    }
    while world.step() {}
    assert_eq!((world.connections(), world.streams.len(), world.packets.len()), (0, 0, 0));
}

#[test]
fn timers_fire_in_order_and_at_the_nanosecond() {
    let mut world = world(ideal());
    let node = world.node("a");
    let timers: Vec<_> = [1900, 1100, 1500]
        .map(|at| {
            let timer = world.create_timer(world.life(node));
            world.set_timer(timer, Some(at));
            timer
        })
        .into();
    let fired: Vec<u64> = std::iter::from_fn(|| world.step().then(|| world.now())).collect();
    assert_eq!(fired, [1100, 1500, 1900]);
    assert!(timers.iter().all(|&timer| world.poll_timer(timer, waker()).is_ready()));
    world.set_timer(timers[0], Some(5000));
    assert!(world.poll_timer(timers[0], waker()).is_pending());
    world.set_timer(timers[0], None);
    assert_eq!(world.next_at(), None);
}
