//! Latency, loss, bandwidth and queues.

use super::*;

// Latency must delay, not serialise: a thousand writes at once arrive together, one latency later.
#[test]
fn latency_is_a_delay_and_not_a_queue() {
    let mut world = world(ideal());
    let (sending, receiving, ..) = stream(&mut world);
    let start = world.now();
    for _ in 0..1000 {
        assert_eq!(write(&mut world, sending, &[7; 100]), 100);
    }
    world.advance_to(start + 50 * MS - 1);
    assert_eq!(read(&mut world, receiving).len(), 0);
    world.advance_to(start + 50 * MS);
    assert_eq!(read(&mut world, receiving).len(), 100_000);
}

#[test]
fn loss_delays_a_stream_and_loses_nothing() {
    let mut world = world(ideal().with_loss(Probability::percent(30)));
    let (sending, receiving, ours, _) = stream(&mut world);
    let start = world.now();
    let sent = numbers(500_000);
    assert_eq!(write(&mut world, sending, &sent), sent.len());
    world.advance_to(start + 51 * MS);
    let mut got = read(&mut world, receiving);
    assert!(got.len() < sent.len(), "30 % of 417 segments are lost at first");
    while world.step() {}
    got.extend(read(&mut world, receiving));
    assert_eq!(got, sent);
    let stats = world.transport_stats(ours);
    assert!(stats.packets_lost.unwrap() > 80 && stats.packets_sent > stats.packets_lost);
}

#[test]
fn a_loss_holds_up_its_own_stream_only() {
    let mut world = world(ideal().with_loss(Probability::percent(20)));
    let (ours, theirs) = connected(&mut world);
    let halves: Vec<_> = (0..200).map(|_| open(&mut world, ours)).collect();
    for &half in &halves {
        write(&mut world, half, b"hello");
    }
    let start = world.now();
    world.advance_to(start + 50 * MS);
    let mut early = 0;
    while let Some(half) = accept(&mut world, theirs) {
        early += usize::from(read(&mut world, half) == b"hello");
    }
    assert!((120..190).contains(&early), "{early} of 200 arrived in time");
}

#[test]
fn datagrams_are_lost_and_never_sent_again() {
    let mut world = world(ideal().with_loss(Probability::percent(30)));
    let (ours, theirs) = connected(&mut world);
    let start = world.now();
    for number in 0..200u8 {
        world.send_datagram(ours, Bytes::copy_from_slice(&[number])).unwrap();
    }
    world.advance_to(start + 50 * MS);
    let mut got = Vec::new();
    while let Poll::Ready(Ok(datagram)) = world.poll_datagram(theirs, waker()) {
        got.push(datagram[0]);
    }
    assert!((100..180).contains(&got.len()), "{} of 200 arrived", got.len());
    assert!(got.is_sorted(), "without jitter they keep their order");
    while world.step() {}
    assert!(world.poll_datagram(theirs, waker()).is_pending());
}

#[test]
fn datagrams_nobody_reads_push_out_the_oldest() {
    let mut world = world(ideal());
    let (ours, theirs) = connected(&mut world);
    for number in 0..DATAGRAMS_MAX as u32 + 10 {
        world.send_datagram(ours, Bytes::copy_from_slice(&number.to_le_bytes())).unwrap();
    }
    while world.step() {}
    let Poll::Ready(Ok(first)) = world.poll_datagram(theirs, waker()) else { panic!() };
    assert_eq!(first[..], 10u32.to_le_bytes());
}

#[test]
fn bandwidth_spreads_a_stream_out_and_a_full_queue_stops_the_writer() {
    let link = ideal().with_bandwidth(1_000_000, 100_000);
    let mut world = world(link);
    let (sending, receiving, ..) = stream(&mut world);
    let start = world.now();
    assert_eq!(write(&mut world, sending, &[1; 500_000]), 100_000);
    // A second of the link's time is a million bytes; 100,000 take 100 ms and then 50 ms to arrive.
    world.advance_to(start + 149 * MS);
    assert!(read(&mut world, receiving).len() < 100_000);
    world.advance_to(start + 150 * MS);
    assert!(write(&mut world, sending, &[1; 500_000]) > 0, "there is room again");
}

#[test]
fn writers_take_turns_on_a_crowded_link() {
    let link = ideal().with_bandwidth(1_000_000, 50_000);
    let mut world = world(link);
    let (ours, theirs) = connected(&mut world);
    let halves: Vec<_> = (0..5).map(|_| open(&mut world, ours)).collect();
    let (mut written, mut reading) = ([0; 5], Vec::new());
    for _ in 0..2000 {
        for (written, &half) in written.iter_mut().zip(&halves) {
            *written += write(&mut world, half, &[0; 100_000]);
        }
        world.advance_to(world.now() + MS);
        reading.extend(accept(&mut world, theirs));
        for &half in &reading {
            read(&mut world, half);
        }
    }
    let (least, most) = (written.iter().min().unwrap(), written.iter().max().unwrap());
    assert!(*least > 0 && most - least <= 100_000, "{written:?}");
}

#[test]
fn datagrams_in_front_of_a_full_link_are_dropped() {
    let mut world = world(ideal().with_bandwidth(1_000_000, 10_000));
    let (ours, theirs) = connected(&mut world);
    for _ in 0..50 {
        world.send_datagram(ours, Bytes::from_static(&[0; 1000])).unwrap();
    }
    while world.step() {}
    let mut got = 0;
    while world.poll_datagram(theirs, waker()).is_ready() {
        got += 1;
    }
    assert_eq!(got, 10);
    assert_eq!(world.transport_stats(ours).packets_lost, Some(40));
}
