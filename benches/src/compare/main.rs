//! Raw iroh, this project over iroh without and with its layers, and raw quinn, side by side.
//!
//! All of them run in this one process over loopback, in rounds: each round takes one sample of each measure from each
//! contestant, in an order that rotates, so that whatever else the machine does falls on all of them alike. Ratios are
//! taken within a round, and summarised over the rounds.
//!
//! - [`measure`]: what is measured, how it is run, and what it should reach.
//! - [`contestant`]: what takes part, as two traits. `raw`: iroh and quinn as a competent user would write to them.
//!   `ours`: this project.
//! - [`report`]: tables and JSON.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its output is what it is for")]

mod contestant;
mod measure;
mod ours;
mod raw;
mod report;

use std::{collections::BTreeMap, sync::Arc};

use benches::machine::Machine;
use clap::Parser;
use tokio::runtime::Builder;

use self::{
    contestant::Contestant,
    measure::{ALL, Measure, Workload},
    report::Report,
};

/// Compares raw iroh, p2p-iroh and raw quinn over loopback.
#[derive(Debug, Parser)]
struct Args {
    /// Samples of each measure from each contestant.
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Only the measure of that name; may be repeated.
    #[arg(long, value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(ALL.iter().map(|measure| measure.name)))]
    only: Vec<String>,
    /// Has `TunnelP2P` take part, over a tunnel server in this process, in whatever does not need datagrams.
    #[arg(long)]
    tunnel: bool,
    /// Prints JSON with every sample, not a table.
    #[arg(long)]
    json: bool,
}

type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Error>;

fn main() -> Result<()> {
    let args = Args::parse();
    // The same two threads for all; a third, this one, only waits.
    let runtime = Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    runtime.block_on(async { tokio::spawn(run(args)).await? })
}

const WORKERS: usize = 2;

async fn run(args: Args) -> Result<()> {
    let wanted = |measure: &&Measure| args.only.is_empty() || args.only.iter().any(|name| name == measure.name);
    let workloads: Vec<Workload> = Workload::ALL
        .into_iter()
        .filter(|workload| ALL.iter().filter(wanted).any(|measure| measure.workload == *workload))
        .collect();
    let mut contestants: Vec<Arc<dyn Contestant>> = vec![
        Arc::new(raw::iroh::start().await?),
        Arc::new(ours::start().await?),
        Arc::new(ours::start_stacked().await?),
        Arc::new(raw::quinn::start().await?),
    ];
    if args.tunnel {
        contestants.push(Arc::new(ours::start_tunnel().await?));
    }

    let before = Machine::now();
    let mut samples: Samples = BTreeMap::new();
    // The first round warms code and sockets up, and is thrown away.
    for round in 0..=args.rounds {
        eprint!("\rround {round} of {}", args.rounds);
        for workload in &workloads {
            for turn in 0..contestants.len() {
                let contestant = &contestants[(turn + round) % contestants.len()];
                if contestant.name() == ours::TUNNEL && *workload == Workload::Datagrams {
                    continue;
                }
                let taken = workload.run(&**contestant).await?;
                if round > 0 {
                    for (measure, value) in taken {
                        samples.entry((measure, contestant.name())).or_default().push(value);
                    }
                }
            }
        }
    }
    eprintln!();
    let measures = ALL.iter().filter(wanted);
    let names: Vec<_> = contestants.iter().map(|contestant| contestant.name()).collect();
    let report = Report::new([before, Machine::now()], args.rounds, measures, &names, &samples);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    Ok(())
}

/// By the names of measure and contestant, one of each round.
type Samples = BTreeMap<(&'static str, &'static str), Vec<f64>>;
