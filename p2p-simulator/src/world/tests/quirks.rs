//! Distributions, reordering, copies, corruption, MTU.

use super::*;
use crate::{Fault, Latency, Place};

/// When each of these datagrams arrived, by number.
fn arrivals(link: LinkConfig, count: u8) -> Vec<(u64, u8)> {
    let mut world = world(link);
    let (ours, theirs) = connected(&mut world);
    let start = world.now();
    for number in 0..count {
        world.send_datagram(ours, Bytes::copy_from_slice(&[number])).unwrap();
    }
    let mut got = Vec::new();
    while world.step() {
        while let Poll::Ready(Ok(datagram)) = world.poll_datagram(theirs, waker()) {
            got.push((world.now() - start, datagram[0]));
        }
    }
    got
}

#[test]
fn a_distribution_is_drawn_for_each_packet_and_stays_within_its_bounds() {
    let [min, max] = [10, 90].map(Duration::from_millis);
    let got = arrivals(ideal().with_latency(Latency::uniform(min, max)), 200);
    assert_eq!(got.len(), 200);
    assert!(got.iter().all(|(at, _)| (10 * MS..90 * MS).contains(at)));
    let early = got.iter().filter(|(at, _)| *at < 50 * MS).count();
    assert!((70..130).contains(&early), "{early} of 200 are below the median");
}

#[test]
fn some_packets_are_overtaken_and_none_is_later_than_twice_its_latency() {
    let got = arrivals(ideal().with_reorder(Probability::percent(20)), 200);
    let late = got.iter().filter(|(at, _)| *at > 50 * MS).count();
    assert!((20..70).contains(&late) && got.iter().all(|(at, _)| *at < 100 * MS), "{late} late");
    assert!(!got.is_sorted_by_key(|(_, number)| *number));
}

#[test]
fn corrupted_datagrams_are_lost_and_streams_stay_whole() {
    let link = ideal().with_corruption(Probability::percent(30));
    let got = arrivals(link, 200).len();
    assert!((100..180).contains(&got), "{got} of 200 arrived");
    let mut world = world(link);
    let (sending, receiving, ..) = stream(&mut world);
    let sent = numbers(300_000);
    write(&mut world, sending, &sent);
    while world.step() {}
    assert_eq!(read(&mut world, receiving), sent);
}

#[test]
fn copies_cost_bandwidth_and_are_never_seen() {
    // A second of a million bytes, every segment twice: half as many are through after the same time.
    let link = ideal().with_bandwidth(1_000_000, 1_000_000);
    let took = |link| {
        let mut world = world(link);
        let (sending, receiving, ..) = stream(&mut world);
        let (start, sent) = (world.now(), numbers(600_000));
        write(&mut world, sending, &sent);
        while world.step() {}
        assert_eq!(read(&mut world, receiving), sent);
        world.now() - start
    };
    let (once, twice) = (took(link), took(link.with_duplication(Probability::ALWAYS)));
    assert!(twice > once + 30 * MS, "{once} ns, and {twice} ns with copies");
    assert_eq!(arrivals(ideal().with_duplication(Probability::ALWAYS), 50).len(), 50);
}

#[test]
fn the_mtu_is_the_largest_datagram_and_the_unit_of_loss() {
    let mut world = world(ideal().with_mtu(600));
    let (ours, _) = connected(&mut world);
    assert!(world.send_datagram(ours, Bytes::from(vec![0; 600])).is_ok());
    let error = world.send_datagram(ours, Bytes::from(vec![0; 601])).unwrap_err();
    assert!(error.to_string().contains("600"), "{error}");
    assert_eq!(world.transport_stats(ours).packets_sent, Some(2));
    let half = open(&mut world, ours);
    write(&mut world, half, &[0; 6000]);
    assert_eq!(world.transport_stats(ours).packets_sent, Some(12));
}

// The draws of a quirk are its own: without it, everything else happens as it did.
#[test]
fn a_fault_that_came_and_went_leaves_every_later_packet_as_it_would_have_been() {
    let run = |what: Option<&str>| {
        let link = LinkConfig::default().with_loss(Probability::percent(10)).with_jitter(Duration::from_millis(5));
        let mut world = world(link);
        let (ours, theirs) = connected(&mut world);
        let mut at = Vec::new();
        for round in 0..400u32 {
            let place = Place::from_to("a", "b");
            if let (100, Some(change)) = (round, what) {
                let spot = world.find_spot(&place).unwrap();
                let change = toml::from_str(change).unwrap();
                assert_eq!(world.begin_fault(Fault::Link(change), spot), 1);
            }
            if round == 200 {
                world.end_fault(1);
            }
            world.send_datagram(ours, Bytes::copy_from_slice(&round.to_le_bytes())).unwrap();
            world.advance_to(SECOND + u64::from(round) * 200 * MS);
            while let Poll::Ready(Ok(datagram)) = world.poll_datagram(theirs, waker()) {
                at.push(datagram);
            }
        }
        let trace = world.trace();
        let of_datagrams = trace.kept.iter().filter(|record| record.what == What::Datagram);
        of_datagrams.map(|record| (record.t, record.event)).filter(|(t, _)| *t > 42 * SECOND).collect::<Vec<_>>()
    };
    let calm = run(None);
    assert!(calm.len() > 200);
    for change in ["latency = '10ms..80ms'", "reorder = 0.5", "duplication = 0.5", "corruption = 0.5", "loss = 0.9"] {
        assert!(run(Some(change)) == calm, "{change} shifted what came after it");
    }
}
