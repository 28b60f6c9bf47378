//! Traces for other programs: what is written is what they read, and what belongs together is joined.

use std::{collections::BTreeSet, time::Duration};

use p2p::{P2PProvider, RuntimeExt};
use p2p_simulator::{
    Fault, Place, Simulation, Trace, TraceMode,
    load::{Exchange, Ring},
    trace::Event,
};
use serde_json::Value;

fn trace() -> Trace {
    let simulation = Simulation::new(3).with_trace(TraceMode::Keep);
    let run = simulation.run(|network| async move {
        let ring = Ring::connect(&network, 3).await.expect("no dial fails on this seed");
        let _slow = network.inject(Fault::Slow(Duration::from_millis(3)), Place::peer("peer-1"));
        network.note("peer-0", "here \"we\" go");
        ring.exchange(Exchange { message_bytes: 64, in_flight: 1, messages: 300 }).await.expect("connections last");
    });
    run.trace
}

#[test]
fn every_arrow_for_perfetto_leads_from_a_sending_to_its_arrival() {
    let trace = trace();
    let mut text = Vec::new();
    trace.write_perfetto(&mut text).unwrap();
    let json: Value = serde_json::from_slice(&text).unwrap();
    let events = json["traceEvents"].as_array().unwrap();
    let ids = |ph: &str| -> BTreeSet<u64> {
        events.iter().filter(|event| event["ph"] == ph).map(|event| event["id"].as_u64().unwrap()).collect()
    };
    let (begun, ended) = (ids("s"), ids("f"));
    let arrivals = trace.kept.iter().filter(|record| record.event == Event::Arrived).count();
    assert_eq!(ended.len(), arrivals);
    assert!(arrivals > 100 && ended.is_subset(&begun), "an arrow without a beginning");
    let named = |name: &str| events.iter().any(|event| event["args"]["name"] == name);
    assert!(["faults", "peer-0", "peer-1", "peer-2"].into_iter().all(named), "every peer is a process");
    assert!(events.iter().any(|event| event["name"] == "here \"we\" go"));
    assert!(events.iter().any(|event| event["ph"] == "b" && event["name"] == "slow = \"3ms\" at peer-1"));
}

#[test]
fn each_record_is_a_line_of_json_after_the_header() {
    let trace = trace();
    let mut text = Vec::new();
    trace.write_json_lines(&mut text).unwrap();
    let lines: Vec<Value> =
        String::from_utf8(text).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1 + trace.kept.len());
    assert_eq!(lines[0]["hash"], trace.hash.to_string());
    assert!(
        lines[1..].iter().zip(&trace.kept).all(|(line, record)| line["seq"] == record.seq && line["t"] == record.t)
    );
}

#[test]
fn a_timer_fires_because_of_what_set_it_and_not_of_what_came_before() {
    let simulation = Simulation::new(1).with_trace(TraceMode::Keep);
    let run = simulation.run(|network| async move {
        let [alice, bob] = ["alice", "bob"].map(|name| network.provider(name).runtime().clone());
        let early = alice.sleep(Duration::from_secs(1));
        bob.sleep(Duration::from_millis(500)).await;
        let late = bob.sleep(Duration::from_secs(1));
        early.await;
        late.await;
    });
    let fired: Vec<_> = run.trace.kept.iter().filter(|record| record.event == Event::Fired).collect();
    let [first, early, late] = fired[..] else { panic!("three timers, not {}", fired.len()) };
    assert_eq!((first.t, early.t, late.t), (500_000_000, 1_000_000_000, 1_500_000_000));
    assert!(early.parent < first.seq, "it was set before the other fired");
    assert_eq!(late.parent, first.seq, "it was set when the first fired");
    assert!(run.trace.kept.iter().all(|record| record.parent < record.seq || record.seq == 0));
}
