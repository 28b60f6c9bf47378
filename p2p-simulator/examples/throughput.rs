//! How many messages a second and core the simulator delivers, through the trait, with the trace's hash on.
//!
//! `cargo run --release -p p2p-simulator --example throughput [PEERS [IN_FLIGHT [MESSAGES]]]`

#![allow(clippy::print_stdout, reason = "this is a program for people")]

use std::time::Duration;

use p2p_simulator::{
    LinkConfig, Probability, Simulation, TraceMode,
    load::{Exchange, Ring},
};

fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse().expect("a number"));
    let peers: usize = args.next().unwrap_or(1000);
    let in_flight: Option<usize> = args.next();
    let messages: usize = args.next().unwrap_or(2_000_000);
    let link = LinkConfig::default().with_latency(Duration::from_millis(50)).with_dial_failure(Probability::NEVER);

    println!("{peers} peers, 64 B messages, 50 ms, 1 % loss; delivered messages per second of this core");
    for in_flight in in_flight.map_or(vec![1, 4, 16, 64], |one| vec![one]) {
        let per_round = 2 * in_flight;
        let messages = (messages / peers / per_round).max(1) * per_round;
        for trace in [TraceMode::Hash, TraceMode::Off] {
            let run = Simulation::new(1).with_link(link).with_trace(trace).run(|network| async move {
                let ring = Ring::connect(&network, peers).await.expect("dials do not fail here");
                let start = cpu_time();
                let exchange = Exchange { message_bytes: 64, in_flight, messages };
                let delivered = ring.exchange(exchange).await.expect("connections last");
                (delivered, cpu_time() - start)
            });
            let (delivered, took) = run.output;
            println!(
                "{in_flight:>4} in flight each, trace {trace:?}: {:>10.0}/s  ({delivered} in {took:.2?}, {} records, {:.1?} virtual)",
                delivered as f64 / took.as_secs_f64(),
                run.trace.records,
                run.elapsed,
            );
        }
    }
}

/// Time this thread has had a core for, so that what else the machine does counts for little.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells a thread's CPU time");
    let nanos = stat.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.expect("the first number is nanoseconds"))
}
