//! How fast the simulator simulates: messages delivered through the trait, per second of one core.
//!
//! Peers in a ring throw messages back and forth over links with the default latency and loss. The simulator runs on one
//! thread, whose own CPU time is counted, so what else the machine does matters little. How many messages each
//! connection has under way decides how much of the work is shared: one pays for a whole packet, wake-up and event, sixty-four
//! share them.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::time::{Duration, Instant};

use benches::{machine::Machine, summary::Summary};
use clap::Parser;
use p2p_simulator::{
    LinkConfig, Probability, Simulation, TraceMode,
    load::{Exchange, Ring},
};

/// Measures the simulator's throughput.
#[derive(Debug, Parser)]
struct Args {
    /// Peers in the ring, and so connections.
    #[arg(long, default_value_t = 1000)]
    peers: usize,
    /// Messages in one sample, in all.
    #[arg(long, default_value_t = 1_000_000)]
    messages: usize,
    /// Samples of each row.
    #[arg(long, default_value_t = 5)]
    rounds: u64,
    /// Messages that each connection has under way; may be repeated.
    #[arg(long, default_values_t = [1, 4, 16, 64])]
    in_flight: Vec<usize>,
}

fn main() {
    let args = Args::parse();
    println!("{}", Machine::now());
    println!("{} peers, 64 B messages; delivered per second of a core\n", args.peers);
    println!("{:>9}  {:>16}  {:>8}  {:>16}  {:>8}", "in flight", "with trace hash", "", "without a trace", "");
    for &in_flight in &args.in_flight {
        let sample = |trace| Summary::of((0..args.rounds).map(|seed| throughput(&args, in_flight, trace, seed)));
        let [hashed, off] = [TraceMode::Hash, TraceMode::Off].map(sample);
        let spread = |summary: Summary| format!("± {:.0} %", summary.spread() * 100.0);
        println!(
            "{in_flight:>9}  {:>16.0}  {:>8}  {:>16.0}  {:>8}",
            hashed.median,
            spread(hashed),
            off.median,
            spread(off)
        );
    }
}

/// Messages per second of one run.
fn throughput(args: &Args, in_flight: usize, trace: TraceMode, seed: u64) -> f64 {
    let peers = args.peers;
    let there_and_back = 2 * in_flight;
    let messages = (args.messages / peers / there_and_back).max(1) * there_and_back;
    let link = LinkConfig::default().with_dial_failure(Probability::NEVER);
    let run = Simulation::new(seed).with_link(link).with_trace(trace).run(|network| async move {
        let ring = Ring::connect(&network, peers).await.expect("dials do not fail here");
        let clock = Clock::start();
        let exchange = Exchange { message_bytes: 64, in_flight, messages };
        let delivered = ring.exchange(exchange).await.expect("connections last");
        delivered as f64 / clock.elapsed().as_secs_f64()
    });
    run.output
}

/// This thread's time on a core where the system tells it, else time.
struct Clock {
    wall: Instant,
    cpu: Option<Duration>,
}

impl Clock {
    fn start() -> Self {
        Self { wall: Instant::now(), cpu: cpu_time() }
    }

    fn elapsed(&self) -> Duration {
        match (self.cpu, cpu_time()) {
            (Some(start), Some(now)) => now - start,
            _ => self.wall.elapsed(),
        }
    }
}

fn cpu_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}
