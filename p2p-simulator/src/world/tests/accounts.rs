//! What must hold of a whole run.

use super::*;
use crate::Latency;

#[test]
fn every_packet_that_was_sent_arrived_or_was_lost() {
    let mut world =
        world(LinkConfig::default().with_loss(Probability::percent(20)).with_jitter(Duration::from_millis(9)));
    let (sending, receiving, ours, _) = stream(&mut world);
    let link = world.link(0, 1);
    let mut got = 1;
    for round in 0..200 {
        write(&mut world, sending, &[1; 5000]);
        let _ = world.send_datagram(ours, Bytes::from_static(b"d"));
        match round % 50 {
            20 => world.block(link),
            30 => world.unblock(link),
            _ => {}
        }
        world.advance_to(world.now() + 17 * MS);
        got += read(&mut world, receiving).len();
    }
    while world.step() {}
    got += read(&mut world, receiving).len();
    while world.step() {}
    assert_eq!(world.audit(), Ok(()));
    let trace = world.trace();
    let count = |event| trace.kept.iter().filter(|record| record.event == event).count();
    assert_eq!(count(Event::Sent), count(Event::Arrived) + count(Event::Lost));
    let bytes: u64 = trace
        .kept
        .iter()
        .filter(|record| (record.event, record.what) == (Event::Sent, What::Data))
        .map(|record| u64::from(record.len))
        .sum();
    assert_eq!(bytes, got as u64);
}

// A packet that is taken out by hand stands for a bug that loses one.
#[test]
fn a_packet_that_is_gone_without_a_record_does_not_pass_the_audit() {
    let mut world = world(LinkConfig::default());
    let (sending, ..) = stream(&mut world);
    write(&mut world, sending, &[1; 3000]);
    assert_eq!(world.audit(), Ok(()));
    assert!(world.packets.pop().is_some());
    let error = world.audit().unwrap_err();
    assert!(error.contains("conservation from a to b"), "{error}");
}

// The heart of replaying: what happens on one link is a function of that link alone.
#[test]
fn another_peer_and_another_fault_change_nothing_between_these_two() {
    let run = |others: bool, fault: bool| {
        let link = LinkConfig::default()
            .with_latency(Latency::uniform(Duration::from_millis(20), Duration::from_millis(60)))
            .with_loss(Probability::percent(10))
            .with_jitter(Duration::from_millis(5))
            .with_reorder(Probability::percent(5))
            .with_duplication(Probability::percent(5))
            .with_corruption(Probability::percent(5));
        let mut world = world(link);
        let other = others.then(|| {
            let (c, d) = (world.node("c"), world.node("d"));
            world.start_answering(d);
            (c, d, world.dial(c, d))
        });
        let (sending, receiving, ..) = {
            let (a, b) = nodes(&mut world);
            let ours = world.dial(a, b);
            while world.poll_dial(ours, waker()).is_pending() {
                world.step();
            }
            let Poll::Ready(Some(theirs)) = world.poll_incoming(b, 1, waker()) else { panic!() };
            let sending = open(&mut world, ours);
            write(&mut world, sending, b"!");
            let receiving = loop {
                match accept(&mut world, theirs) {
                    Some(half) => break half,
                    None => world.step(),
                };
            };
            (sending, receiving)
        };
        let start = 10 * SECOND;
        world.advance_to(start);
        for round in 0..300 {
            write(&mut world, sending, &numbers(3000));
            if let Some((c, d, end)) = other {
                let _ = world.send_datagram(end, Bytes::from_static(b"noise"));
                let link = world.link(c, d);
                match round {
                    100 if fault => world.block(link),
                    150 if fault => world.crash(d),
                    200 if fault => world.unblock(link),
                    250 if fault => world.restart(d),
                    _ => {}
                }
            }
            world.advance_to(start + round * 7 * MS);
            read(&mut world, receiving);
        }
        world.advance_to(100 * SECOND);
        let trace = world.trace();
        trace
            .between("a", "b")
            .map(|record| (record.t, crate::trace::Record { seq: 0, parent: 0, ..*record }))
            .collect::<Vec<_>>()
    };
    let alone = run(false, false);
    assert!(alone.len() > 600);
    assert!(alone == run(true, false), "a peer more changed what happened between two others");
    assert!(alone == run(true, true), "a fault elsewhere changed what happened between two others");
}
