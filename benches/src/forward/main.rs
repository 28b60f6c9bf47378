//! `p2pd` beside `dumbpipe`: the same TCP service forwarded by both, as two pairs of processes on one machine.
//!
//! Each is used as its documentation says: built or installed by cargo with its own release profile, told nothing but the
//! target and the place to listen. Rounds alternate between the two, and the order rotates, so whatever else the machine
//! does falls on both; ratios are taken within a round. No network around the machine is needed, but `cargo install` asks a
//! registry the first time.
//!
//! - [`install`]: where the programs come from. [`contestant`]: the processes. [`service`]: what they forward.
//! - [`load`]: who uses it, and with a watch. [`report`]: the table.
//! - [`soak`]: with `--soak`, what becomes of `p2pd`'s memory instead.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its output is what it is for")]

mod contestant;
mod install;
mod load;
mod report;
mod service;
mod soak;

use std::{path::PathBuf, time::Duration};

use benches::machine::Machine;
use clap::Parser;
use tokio::runtime::Builder;

use self::{contestant::Contestant, load::Effort, report::Report};

/// Compares what p2pd and dumbpipe forward, over loopback.
#[derive(Debug, Parser)]
struct Args {
    /// Samples of each measure from each contestant.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Seconds for each sample of throughput.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Connections at once in the second measure.
    #[arg(long, default_value_t = 100)]
    streams: usize,
    /// Loads p2pd alone for so many seconds, while nobody scrapes its metrics, and prints its memory at rest over time.
    #[arg(long, value_name = "SECONDS")]
    soak: Option<u64>,
    /// The program to measure; by default this workspace's, built in release.
    #[arg(long, value_name = "PATH")]
    p2pd: Option<PathBuf>,
    /// The program to compare with; by default installed into --scratch.
    #[arg(long, value_name = "PATH")]
    dumbpipe: Option<PathBuf>,
    /// Where to install it.
    #[arg(long, value_name = "PATH", default_value = "target/rivals")]
    scratch: PathBuf,
}

type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Error>;

fn main() -> Result<()> {
    let args = Args::parse();
    let p2pd = args.p2pd.clone().map_or_else(install::p2pd, Ok)?;
    if let Some(seconds) = args.soak {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        return runtime.block_on(soak::soak(&p2pd, Duration::from_secs(seconds)));
    }
    let dumbpipe = args.dumbpipe.clone().map_or_else(|| install::dumbpipe(&args.scratch), Ok)?;
    Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(async {
        let service = service::start().await?;
        let contestants = [Contestant::p2pd(&p2pd, service).await?, Contestant::dumbpipe(&dumbpipe, service).await?];
        let effort = Effort { seconds: args.seconds, streams: args.streams };
        let before = Machine::now();
        let mut report = Report::default();
        // The first round warms everything up, and is thrown away.
        for round in 0..=args.rounds {
            eprint!("\rround {round} of {}", args.rounds);
            let direct = load::latency(service).await?;
            let mut samples = [None, None];
            for turn in 0..contestants.len() {
                let at = (turn + round) % contestants.len();
                samples[at] = Some(load::sample(contestants[at].addr, direct, effort).await?);
            }
            if round > 0 {
                let [ours, theirs] = samples.map(|sample| sample.expect("each had its turn"));
                report.add(ours, theirs);
            }
        }
        eprintln!();
        println!("{before} before and {:.1} after; {} rounds", Machine::now().load.unwrap_or(f64::NAN), args.rounds);
        print!("{report}");
        Ok(())
    })
}
