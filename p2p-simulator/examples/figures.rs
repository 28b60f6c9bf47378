//! What the simulator reaches on this machine: messages a second, simulated seconds a second, bytes a peer, seeds a minute.
//!
//! `cargo run --release -p p2p-simulator --example figures [throughput | idle | memory | sweep]...`
//!
//! Without arguments it prints all of them, each from a process of its own. The trace's hash is on everywhere.

#![allow(clippy::print_stdout, reason = "this is a program for people")]

use std::{
    process::Command,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use p2p::{ConnectionConfig, ListenConfig, P2PConnection, P2PProvider, ProtocolId, RuntimeExt};
use p2p_simulator::{
    LinkConfig, Network, Probability, Simulation,
    load::{Exchange, Ring},
};

/// A figure, its name, and what it is.
type Figure = (&'static str, fn());

const FIGURES: [Figure; 4] = [("throughput", throughput), ("idle", idle), ("memory", memory), ("sweep", sweep)];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    for (name, measure) in FIGURES {
        if wanted.iter().any(|wanted| wanted == name) {
            measure();
        } else if wanted.is_empty() {
            let program = std::env::current_exe().expect("a program knows where it is");
            let status = Command::new(program).arg(name).status().expect("it runs again");
            assert!(status.success(), "{name}: {status}");
        }
    }
}

/// 50 ms, 1 % loss, 100 Mbit/s, and no dial that fails.
fn link() -> LinkConfig {
    LinkConfig::default().with_dial_failure(Probability::NEVER)
}

/// 64 B messages through the trait, by `try_send` and `try_recv`, in a ring of peers.
fn throughput() {
    println!("messages of 64 B delivered per second of this core; rounds, the best last");
    for (peers, target) in [(1_000, 1_000_000), (10_000, 400_000)] {
        for in_flight in [1, 4, 16, 64] {
            let mut rates: Vec<u64> = (0..3).map(|seed| delivered_per_second(seed, peers, in_flight)).collect();
            rates.sort_unstable();
            println!("  {peers:>6} peers, {in_flight:>2} under way on each connection: {rates:?}  (target {target})");
        }
    }
}

fn delivered_per_second(seed: u64, peers: usize, in_flight: usize) -> u64 {
    let there_and_back = 2 * in_flight;
    let messages = (2_000_000 / peers / there_and_back).max(1) * there_and_back;
    let run = Simulation::new(seed).with_link(link()).run(|network| async move {
        let ring = Ring::connect(&network, peers).await.expect("dials do not fail here");
        let start = cpu_time();
        let exchange = Exchange { message_bytes: 64, in_flight, messages };
        let delivered = ring.exchange(exchange).await.expect("connections last");
        delivered as f64 / (cpu_time() - start).as_secs_f64()
    });
    run.output as u64
}

/// 10,000 peers that are connected in pairs, and say nothing but keepalives every 15 s.
fn idle() {
    const PEERS: usize = 10_000;
    const SIMULATED: Duration = Duration::from_secs(3_000);
    println!("{PEERS} idle peers, a keepalive every 15 s; simulated seconds per second of this core  (target 500)");
    for (what, connections) in [("in pairs", PEERS / 2), ("in a ring", PEERS)] {
        let run = Simulation::new(1).with_link(link()).run(|network| async move {
            let _held = connect(&network, PEERS, connections, Duration::from_secs(15)).await;
            let clock = network.provider("clock").runtime().clone();
            let start = cpu_time();
            clock.sleep(SIMULATED).await;
            cpu_time() - start
        });
        println!("  {what}: {:.0}", SIMULATED.as_secs_f64() / run.output.as_secs_f64());
    }
}

type Connections = Vec<std::sync::Arc<dyn P2PConnection>>;

/// Connects peers with the next: so many of them, in pairs if it is half.
async fn connect(
    network: &Network,
    peers: usize,
    connections: usize,
    keepalive: Duration,
) -> (Connections, Vec<p2p_simulator::SimulatorP2P>) {
    let protocol: ProtocolId = "idle/1".parse().expect("a name and a version");
    let step = peers / connections;
    let providers: Vec<_> = (0..peers).map(|number| network.provider(&format!("peer-{number}"))).collect();
    let mut held = Vec::new();
    let config = || {
        let mut config = ConnectionConfig::new(protocol.clone());
        (config.keepalive_interval, config.idle_timeout) = (Some(keepalive), Some(4 * keepalive));
        config
    };
    for ours in (0..peers).step_by(step) {
        let theirs = &providers[(ours + 1) % peers];
        let mut listen = ListenConfig::new(protocol.clone());
        listen.connection = config();
        let listener = theirs.listen_with(listen).await.expect("nobody else listens");
        let dialled = providers[ours].connect_with(theirs.local_peer_id().into(), config()).await;
        held.push(dialled.expect("dials do not fail here"));
        held.push(listener.accept().await.expect("the other side is there"));
    }
    (held, providers)
}

/// What a peer with two connections takes, by the process's resident memory.
fn memory() {
    println!("bytes a peer, each with one connection made and one taken  (target 20000)");
    for peers in [1_000, 10_000, 100_000] {
        let before = resident_bytes();
        let run = Simulation::new(1).with_link(link()).with_watchdog(None).run(|network| async move {
            let start = Instant::now();
            let _held = Ring::connect(&network, peers).await.expect("dials do not fail here");
            let connected = start.elapsed();
            network.provider("clock").runtime().sleep(Duration::from_secs(60)).await;
            (resident_bytes(), connected)
        });
        let (bytes, took) = run.output;
        println!("  {peers:>6} peers: {:>6}  (connected in {took:.1?})", (bytes - before) / peers as u64);
    }
}

/// 1,000 seeds of 10 peers over 60 s, each of which sends 20 messages a second to the next.
fn sweep() {
    const SEEDS: u64 = 1_000;
    let (next, delivered) = (AtomicU64::new(0), AtomicU64::new(0));
    let jobs = thread::available_parallelism().map_or(2, usize::from).min(2);
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(seed) = Some(next.fetch_add(1, Relaxed)).filter(|seed| *seed < SEEDS) {
                    delivered.fetch_add(talk(seed), Relaxed);
                }
            });
        }
    });
    println!(
        "{SEEDS} seeds of 10 peers over 60 s, 20 messages a second each, on {jobs} threads: {:.1?}, {} messages  (target 60 s)",
        start.elapsed(),
        delivered.into_inner()
    );
}

fn talk(seed: u64) -> u64 {
    const PEERS: usize = 10;
    let run = Simulation::new(seed).with_link(link()).run(|network| async move {
        let (held, providers) = connect(&network, PEERS, PEERS, Duration::from_secs(5)).await;
        let (done, mut finished) = tokio::sync::mpsc::channel(2 * PEERS);
        for (number, pair) in held.chunks(2).enumerate() {
            let [ours, theirs] = [pair[0].clone(), pair[1].clone()];
            let (sender, runtime) = (providers[number].runtime().clone(), providers[number].runtime().clone());
            let send = async move {
                for _ in 0..60 * 20 {
                    ours.send(vec![7; 64].into()).await.expect("connections last");
                    runtime.sleep(Duration::from_millis(50)).await;
                }
                ours.finish().await.expect("connections last");
            };
            sender.spawn("send", Box::pin(send)).detach();
            let done = done.clone();
            let receive = async move {
                let mut received = 0;
                while theirs.recv().await.is_ok() {
                    received += 1;
                }
                done.send(received).await.expect("the run waits");
            };
            providers[(number + 1) % PEERS].runtime().spawn("receive", Box::pin(receive)).detach();
        }
        let mut total = 0;
        for _ in 0..PEERS {
            total += finished.recv().await.expect("each tells");
        }
        total
    });
    run.output
}

/// Time this thread has had a core for, so that what else the machine does counts for little.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells a thread's CPU time");
    let nanos = stat.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.expect("the first number is nanoseconds"))
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells a process's memory");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it tells resident memory");
    1024 * line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of KiB")
}
