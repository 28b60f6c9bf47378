//! The home's server directly, over the bridge between peers, and over our tunnel server with our sender, side by side.
//!
//! As in real life the client, the home's server and each way's two ends are processes of their own, on one machine over loopback;
//! `--together` has all of it in one process. It goes in rounds, of which each takes one sample of each measure from each way, in an
//! order that rotates. Ratios are taken within a round. The bridge is what `p2pd gateway` and `p2pd tunnel send --allow` are: TCP,
//! HTTP, streams between two iroh endpoints under `Reconnect`, HTTP, TCP.
//!
//! - [`ways`]: what takes part. [`parts`]: the processes. [`client`]: a client that costs as little as it can. [`rival`]: dumbpipe,
//!   for bodies of 5 MiB.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

mod client;
mod parts;
mod rival;
mod ways;

use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use benches::{
    machine::Machine,
    summary::{Summary, quantile},
};
use clap::Parser;
use tokio::runtime::Builder;

use self::{client::Client, rival::Dumbpipe, ways::Ways};

type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T = ()> = std::result::Result<T, Error>;

/// Compares requests to a home's server directly, over the bridge, and over our tunnel server.
#[derive(Debug, Parser)]
struct Args {
    /// Samples of each measure from each way.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Requests, one after another, among which stalls are counted for each way.
    #[arg(long, default_value_t = 10_000)]
    stall_requests: usize,
    /// The program dumbpipe, to be measured beside: `cargo install dumbpipe --version 0.40.1 --root FOLDER` puts it into
    /// FOLDER/bin.
    #[arg(long, value_name = "PATH")]
    dumbpipe: Option<PathBuf>,
    /// Has everything but dumbpipe in one process, on two threads.
    #[arg(long)]
    together: bool,
    /// Asks by one way alone, one request after another, for ten seconds: for a profiler.
    #[arg(long, value_name = "WAY", value_parser = NAMES)]
    hold: Option<String>,
    /// Is one of the other processes.
    #[arg(long, hide = true, num_args = 1..)]
    part: Option<Vec<String>>,
}

fn main() -> Result {
    let args = Args::parse();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        match args.part {
            Some(part) => tokio::spawn(parts::be(part)).await?,
            None => tokio::spawn(run(args)).await?,
        }
    })
}

/// What one way took in one round.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// Small requests a second, with 1 and with 8 in flight.
    per_second: [f64; 2],
    /// Of small requests with 1 in flight, in milliseconds.
    p50_ms: f64,
    p99_ms: f64,
    /// Until the first 16 KiB of a stream of 16 KiB every 100 ms are there, in milliseconds.
    first_byte_ms: f64,
    /// Bodies of 5 MiB, one after another.
    mib_per_second: f64,
}

const NAMES: [&str; 3] = ["direct", "bridge", "tunnel"];

async fn run(args: Args) -> Result {
    let together = if args.together { "one process" } else { "processes of their own" };
    println!("{}; {} rounds; {together}; debug build: {}", Machine::now(), args.rounds, cfg!(debug_assertions));
    let ways = if args.together { Ways::start().await? } else { parts::start().await? };
    let addrs = [ways.direct, ways.bridge, ways.tunnel];
    if let Some(held) = args.hold.and_then(|way| NAMES.iter().position(|name| *name == way)) {
        let (per_second, _) = requests(addrs[held], &ways.token, 1, Duration::from_secs(10)).await?;
        println!("{}: {per_second:.0} small requests/s", NAMES[held]);
        return Ok(());
    }
    let dumbpipe = match &args.dumbpipe {
        Some(path) => Some(Dumbpipe::start(path, ways.direct).await?),
        None => None,
    };
    for addr in addrs {
        requests(addr, &ways.token, 1, Duration::from_millis(500)).await?;
    }
    let (mut rounds, mut rival) = (Vec::new(), Vec::new());
    for round in 0..args.rounds {
        let mut samples = [None; 3];
        for at in (0..3).map(|at| (at + round) % 3) {
            samples[at] = Some(sample(addrs[at], &ways.token).await?);
        }
        if let Some(dumbpipe) = &dumbpipe {
            rival.push(bulk(dumbpipe.addr, &ways.token).await?);
        }
        rounds.push(samples.map(|sample| sample.expect("each way was sampled")));
    }
    for (at, name) in NAMES.iter().enumerate() {
        report(name, &rounds, at);
    }
    if !rival.is_empty() {
        println!("dumbpipe: 5 MiB bodies {:.0} MiB/s", Summary::of(rival.iter().copied()).median);
        let ratio = rounds.iter().zip(&rival).map(|(round, rival)| round[1].mib_per_second / rival);
        println!("bridge / dumbpipe, 5 MiB bodies: {}", Summary::of(ratio));
    }
    for (name, addr) in NAMES.iter().zip(addrs) {
        stalls(name, addr, &ways.token, args.stall_requests).await?;
    }
    println!("{}", Machine::now());
    Ok(())
}

async fn sample(addr: SocketAddr, token: &str) -> Result<Sample> {
    let (one, mut times) = requests(addr, token, 1, Duration::from_secs(1)).await?;
    let (eight, _) = requests(addr, token, 8, Duration::from_secs(1)).await?;
    times.sort_by(f64::total_cmp);
    Ok(Sample {
        per_second: [one, eight],
        p50_ms: quantile(&times, 0.5),
        p99_ms: quantile(&times, 0.99),
        first_byte_ms: first_byte(addr, token).await?,
        mib_per_second: bulk(addr, token).await?,
    })
}

/// Requests a second over that many connections, and what each took in milliseconds.
async fn requests(addr: SocketAddr, token: &str, in_flight: usize, span: Duration) -> Result<(f64, Vec<f64>)> {
    let begun = Instant::now();
    let clients = (0..in_flight).map(|_| {
        let token = token.to_owned();
        tokio::spawn(async move {
            let mut client = Client::connect(addr, &token).await?;
            let mut times = Vec::new();
            while begun.elapsed() < span {
                let sent = Instant::now();
                client.get("/small").await?;
                times.push(sent.elapsed().as_secs_f64() * 1e3);
            }
            Ok::<_, Error>(times)
        })
    });
    let mut times = Vec::new();
    for client in clients.collect::<Vec<_>>() {
        times.extend(client.await??);
    }
    Ok((times.len() as f64 / begun.elapsed().as_secs_f64(), times))
}

async fn first_byte(addr: SocketAddr, token: &str) -> Result<f64> {
    let mut client = Client::connect(addr, token).await?;
    // The connection is there, as an app's is.
    client.get("/small").await?;
    let mut times = Vec::new();
    for _ in 0..5 {
        let sent = Instant::now();
        let first = client.first_byte("/stream").await?;
        times.push((first - sent).as_secs_f64() * 1e3);
    }
    Ok(Summary::of(times).median)
}

/// MiB a second of bodies of 5 MiB, one after another.
async fn bulk(addr: SocketAddr, token: &str) -> Result<f64> {
    let mut client = Client::connect(addr, token).await?;
    client.get("/bulk").await?;
    let begun = Instant::now();
    for _ in 0..BULKS {
        assert_eq!(client.get("/bulk").await?, 5 << 20, "the body is whole");
    }
    Ok(5.0 * BULKS as f64 / begun.elapsed().as_secs_f64())
}

const BULKS: usize = 20;

fn report(name: &str, rounds: &[[Sample; 3]], at: usize) {
    let of = |pick: fn(&Sample) -> f64| Summary::of(rounds.iter().map(|round| pick(&round[at])));
    let ratio = |pick: fn(&Sample) -> f64| Summary::of(rounds.iter().map(|round| pick(&round[at]) / pick(&round[0])));
    let added = |pick: fn(&Sample) -> f64| Summary::of(rounds.iter().map(|round| pick(&round[at]) - pick(&round[0])));
    println!("{name}:");
    println!(
        "  small requests/s, 1 in flight   {:>9.0}, of direct {}",
        of(|s| s.per_second[0]).median,
        ratio(|s| s.per_second[0])
    );
    println!(
        "  small requests/s, 8 in flight   {:>9.0}, of direct {}",
        of(|s| s.per_second[1]).median,
        ratio(|s| s.per_second[1])
    );
    println!("  p50, ms                         {:>9.3}, added {}", of(|s| s.p50_ms).median, added(|s| s.p50_ms));
    println!("  p99, ms                         {:>9.3}, added {}", of(|s| s.p99_ms).median, added(|s| s.p99_ms));
    println!(
        "  first byte of a stream, ms      {:>9.3}, added {}",
        of(|s| s.first_byte_ms).median,
        added(|s| s.first_byte_ms)
    );
    println!(
        "  5 MiB bodies, MiB/s             {:>9.0}, of direct {}",
        of(|s| s.mib_per_second).median,
        ratio(|s| s.mib_per_second)
    );
}

/// Counts requests that took longer than [`STALL`].
async fn stalls(name: &str, addr: SocketAddr, token: &str, count: usize) -> Result {
    let mut client = Client::connect(addr, token).await?;
    let (mut stalls, mut longest) = (0, Duration::ZERO);
    for _ in 0..count {
        let sent = Instant::now();
        client.get("/medium").await?;
        let took = sent.elapsed();
        stalls += usize::from(took > STALL);
        longest = longest.max(took);
    }
    println!("{name}: {stalls} of {count} requests for 200 kB took longer than {STALL:?}; the longest {longest:.0?}");
    Ok(())
}

/// The legacy tunnel's stalls last from 2.7 to 5 s; nothing here waits for a tenth of that but to be stuck.
const STALL: Duration = Duration::from_millis(250);
