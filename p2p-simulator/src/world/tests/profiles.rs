//! Links as they are named do what their figures say, in each direction by itself.

use super::*;
use crate::{Latency, Profile, latency::QUANTILES};

/// The latency of each datagram that arrived, sent one after the other: what the link adds to the time of its bits on the line.
fn latencies(link: LinkConfig, count: u32) -> Vec<u64> {
    let mut world = world(link);
    let (ours, theirs) = connected(&mut world);
    let mut got = Vec::new();
    for number in 0..count {
        let start = world.now();
        world.send_datagram(ours, Bytes::copy_from_slice(&number.to_le_bytes())).unwrap();
        while world.step() {}
        if let Poll::Ready(Ok(datagram)) = world.poll_datagram(theirs, waker()) {
            assert_eq!(datagram[..], number.to_le_bytes());
            got.push(world.now() - start);
        }
    }
    got.sort_unstable();
    got
}

#[test]
fn a_quantile_table_is_met_at_each_of_its_points() {
    let table = crate::latency::Quantiles::from_micros([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000]);
    let micros = table.micros().map(u64::from);
    let got = latencies(ideal().with_latency(Latency::Quantiles(table)), 4000);
    assert_eq!(got.len(), 4000);
    for (point, most) in QUANTILES.into_iter().zip(micros) {
        let below = got.iter().filter(|&&latency| latency <= most * 1000).count();
        let expected = usize::from(point) * got.len() / 10_000;
        // Three standard deviations of 4,000 draws are 2.4 % of these, where they are most.
        assert!(below.abs_diff(expected) <= 100, "{below} of 4000 take {most} µs at most, {point} in 10,000 should");
    }
}

#[test]
fn each_profile_delays_and_loses_as_its_figures_say_up_and_down() {
    for (profile, link) in
        Profile::ALL.into_iter().flat_map(|profile| [(profile, profile.up()), (profile, profile.down())])
    {
        let got = latencies(link, 3000);
        let lost = 3000 - got.len();
        let expected = link.loss.to_string().parse::<f64>().unwrap() * 3000.0;
        assert!(
            (lost as f64 - expected).abs() <= 4.0 * expected.sqrt(),
            "{profile:?}: {lost} lost, {expected} expected"
        );
        let (least, middle) = (got[0], got[got.len() / 2]);
        let (from, typical) = (link.latency.at(0), link.latency.typical().as_nanos() as u64);
        let bits = 1_000_000_000 * 100 / link.bandwidth.unwrap();
        assert!((from..=from + from / 4 + bits).contains(&least), "{profile:?}: {least} ns at least, {from} expected");
        let jitter = link.jitter.as_nanos() as u64;
        let about = typical + jitter / 2;
        assert!(
            middle.abs_diff(about) <= about / 10 + bits,
            "{profile:?}: {middle} ns in the middle, {about} expected"
        );
        assert!(jitter == 0 || got[got.len() - 1] - least > jitter / 2, "{profile:?} has jitter");
    }
}

#[test]
fn each_profile_carries_as_much_as_its_figures_say_and_no_larger_datagram() {
    for (profile, link) in
        Profile::ALL.into_iter().flat_map(|profile| [(profile, profile.up()), (profile, profile.down())])
    {
        let bandwidth = link.bandwidth.expect("real networks have a bound");
        // What takes a quarter of a second of the line's time, with a reader that keeps up.
        let (bytes, line) = (bandwidth as usize / 4, SECOND / 4);
        let mut world = world(link);
        let (sending, receiving, ours, _) = stream(&mut world);
        let (start, chunk) = (world.now(), numbers(64 * 1024));
        let (mut written, mut got) = (0, 0);
        while got < bytes {
            written += write(&mut world, sending, &chunk[..chunk.len().min(bytes - written)]);
            got += read(&mut world, receiving).len();
            assert!(got == bytes || world.step(), "{profile:?}: stopped at {got} of {bytes}");
        }
        let took = world.now() - start;
        // A lost segment costs a round trip and more, and holds up those behind it; so does one that is among the latest.
        let worst = link.latency.at(u64::MAX) + link.jitter.as_nanos() as u64;
        assert!((line..line + 6 * worst + 100 * MS).contains(&took), "{profile:?}: {bytes} bytes in {took} ns");

        let mtu = link.mtu_bytes as usize;
        assert!(world.send_datagram(ours, Bytes::from(vec![0; mtu])).is_ok());
        assert!(world.send_datagram(ours, Bytes::from(vec![0; mtu + 1])).is_err(), "{profile:?}");
    }
}

#[test]
fn the_two_ways_between_two_peers_are_links_of_their_own() {
    let mut world = world(ideal());
    let (ours, theirs) = connected(&mut world);
    let (up, down) = (world.link(0, 1), world.link(1, 0));
    world.set_link(up, LinkConfig::ideal(Duration::from_millis(300)).with_mtu(600));
    world.set_link(down, LinkConfig::ideal(Duration::from_millis(7)).with_loss(Probability::ALWAYS));
    let start = world.now();
    world.send_datagram(ours, Bytes::from_static(b"up")).unwrap();
    world.send_datagram(theirs, Bytes::from(vec![0; 1000])).unwrap();
    while world.step() {}
    assert_eq!(world.now() - start, 300 * MS);
    assert!(world.poll_datagram(theirs, waker()).is_ready() && world.poll_datagram(ours, waker()).is_pending());
    assert!(world.send_datagram(ours, Bytes::from(vec![0; 1000])).is_err(), "the bound is the way's own");
}
