//! Windows, order, ends and bounds of streams.

use super::*;

#[test]
fn a_reader_that_does_not_read_stops_the_writer_at_the_window() {
    let mut world = world(ideal());
    let (sending, receiving, ..) = stream(&mut world);
    let window = WINDOW_BYTES as usize;
    let sent = numbers(2 * window);
    // The one byte that was read is not credited yet.
    assert_eq!(write(&mut world, sending, &sent), window - 1);
    while world.step() {}
    assert_eq!(write(&mut world, sending, &sent), 0, "nobody has read");
    assert_eq!(read(&mut world, receiving), sent[..window - 1]);
    let read_at = world.now();
    world.advance_to(read_at + 50 * MS - 1);
    assert_eq!(write(&mut world, sending, &sent), 0, "the news travels too");
    world.advance_to(read_at + 50 * MS);
    assert!(write(&mut world, sending, &sent) >= window / 2);
}

#[test]
fn finish_is_acknowledged_when_everything_has_arrived() {
    let mut world = world(ideal().with_loss(Probability::percent(30)));
    let (sending, receiving, ..) = stream(&mut world);
    let sent = numbers(100_000);
    write(&mut world, sending, &sent);
    world.finish(sending).unwrap();
    assert!(matches!(world.finish(sending), Err(StreamError::Done)));
    assert!(world.poll_delivered(sending, waker()).is_pending());
    while world.step() {}
    assert!(matches!(world.poll_delivered(sending, waker()), Poll::Ready(Ok(()))));
    assert_eq!(read(&mut world, receiving), sent);
    assert!(matches!(world.poll_read(receiving, 1, waker()), Poll::Ready(Ok(None))));
}

#[test]
fn resets_and_stops_travel_with_their_codes() {
    let mut world = world(ideal());
    let (sending, receiving, ours, theirs) = stream(&mut world);
    world.reset(sending, 7);
    while world.step() {}
    assert!(matches!(world.poll_read(receiving, 1, waker()), Poll::Ready(Err(StreamError::Reset { code: 7 }))));

    let second = open(&mut world, ours);
    write(&mut world, second, b"more");
    while world.step() {}
    let read = accept(&mut world, theirs).unwrap();
    world.stop(read, 9);
    assert!(matches!(world.poll_read(read, 1, waker()), Poll::Ready(Err(StreamError::Done))));
    while world.step() {}
    let stopped = world.poll_write(second, &mut [Bytes::from_static(b"x")], waker());
    assert!(matches!(stopped, Poll::Ready(Err(StreamError::Stopped { code: 9 }))));
}

#[test]
fn a_reader_that_left_before_the_first_byte_still_stops_the_writer() {
    let mut world = world(ideal());
    let (ours, theirs) = connected(&mut world);
    let half = open(&mut world, ours);
    // The opener wants to write only; what the peer writes back has no reader.
    world.stop(half, 3);
    write(&mut world, half, b"hello");
    while world.step() {}
    let back = accept(&mut world, theirs).unwrap();
    let written = world.poll_write(back, &mut [Bytes::from_static(b"x")], waker());
    assert!(matches!(written, Poll::Ready(Err(StreamError::Stopped { code: 3 }))), "{written:?}");
}

#[test]
fn streams_come_in_the_order_they_were_opened_even_when_the_first_is_lost() {
    let mut world = world(ideal());
    let (ours, theirs) = connected(&mut world);
    let (first, second) = (open(&mut world, ours), open(&mut world, ours));
    let link = world.link(0, 1);
    world.set_link(link, ideal().with_latency(Duration::from_millis(500)));
    write(&mut world, first, b"first");
    world.set_link(link, ideal());
    write(&mut world, second, b"second");
    let start = world.now();
    world.advance_to(start + 60 * MS);
    let accepted = [accept(&mut world, theirs).unwrap(), accept(&mut world, theirs).unwrap()];
    assert_eq!((read(&mut world, accepted[0]), read(&mut world, accepted[1])), (vec![], b"second".to_vec()));
    while world.step() {}
    assert_eq!(read(&mut world, accepted[0]), b"first");
}

#[test]
fn streams_beyond_the_bound_wait_until_the_peer_lets_one_go() {
    let mut world = world(ideal());
    let (ours, theirs) = connected(&mut world);
    let halves: Vec<_> = (0..STREAMS_MAX).map(|_| open(&mut world, ours)).collect();
    assert!(world.poll_open(ours, waker()).is_pending());
    // An unused one gives its place back at once.
    for _ in 0..2 {
        world.release_half(halves[1]);
    }
    let again = open(&mut world, ours);
    write(&mut world, halves[0], b"x");
    world.finish(halves[0]).unwrap();
    while world.step() {}
    let theirs = accept(&mut world, theirs).unwrap();
    for half in [halves[0], halves[0], theirs, theirs] {
        assert!(world.poll_open(ours, waker()).is_pending());
        world.release_half(half);
    }
    while world.step() {}
    assert!(world.poll_open(ours, waker()).is_ready());
    let _ = again;
}
