//! The command line of `p2p-sim`, for any workloads.
//!
//! The exit code is 0 if nothing failed, 1 if a failure was found or seen again, 2 if something could not be read.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a command line")]

use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use p2p::P2PError;

use crate::{
    capsule::Capsule,
    case::{in_file, invalid},
    runner::{Check, FreshProcess, Report, Settings, sweep, trace_case},
    scenario::Scenario,
    shrink::{Blame, Shrunk, shrink},
    trace::TraceMode,
    workload::Registry,
};

#[derive(Parser)]
#[command(
    name = "p2p-sim",
    version,
    about = "Runs programs on simulated networks, finds seeds on which they fail, replays them"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a scenario on many seeds and saves a capsule of each failure
    Run(Run),
    /// Runs a capsule again and compares what happened
    Replay {
        /// The capsule's file
        capsule: PathBuf,
    },
    /// Makes a capsule's case smaller, and says which faults the failure needs
    Shrink {
        /// The capsule's file
        capsule: PathBuf,
        /// Where the smaller capsule is saved; beside the other by default, as NAME.small.toml
        #[arg(long)]
        save: Option<PathBuf>,
    },
    /// Runs a capsule again and writes down what happened
    Trace(TraceCapsule),
    /// Shows the workloads, with their knobs and mutants
    List,
    /// Runs one case and writes down its trace, for a process that checks its own
    #[command(hide = true)]
    RunCase {
        /// The case's file
        request: PathBuf,
    },
}

#[derive(Parser)]
struct Run {
    /// The scenario's file
    scenario: PathBuf,
    /// How many seeds
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Threads
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: u16,
    /// Runs each seed once more, in a process of its own, and says where and why the two runs part if they do
    #[arg(long)]
    check: bool,
    /// A bug to switch on, in place of the scenario's
    #[arg(long)]
    mutant: Option<String>,
    /// Where capsules are saved
    #[arg(long, default_value = "capsules")]
    save: PathBuf,
    /// A folder of capsules that are replayed first
    #[arg(long)]
    regressions: Option<PathBuf>,
}

#[derive(Parser)]
struct TraceCapsule {
    /// The capsule's file
    capsule: PathBuf,
    /// A page to look at in a browser; it needs nothing else
    #[arg(long, required_unless_present_any = ["perfetto", "json_lines"])]
    html: Option<PathBuf>,
    /// JSON for https://ui.perfetto.dev
    #[arg(long)]
    perfetto: Option<PathBuf>,
    /// A line of JSON for each record
    #[arg(long)]
    json_lines: Option<PathBuf>,
    /// The first record that is written, for what happened late in a long run
    #[arg(long, default_value_t = 0)]
    from: u64,
}

/// Failures of one kind that are saved and shown; of the others only the number.
const SHOWN_MAX: usize = 5;

/// Reads the arguments of this process, does what they say, and returns the exit code.
pub fn main(registry: Registry) -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(run) => run.run(&registry),
        Command::Replay { capsule } => replay(&capsule, &registry),
        Command::Shrink { capsule, save } => shrink_capsule(&capsule, save, &registry),
        Command::Trace(trace) => trace.run(&registry),
        Command::RunCase { request } => FreshProcess::answer(&request, &registry).map(|()| true),
        Command::List => {
            list(&registry);
            Ok(true)
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("p2p-sim: {}", error.chain());
            ExitCode::from(2)
        }
    }
}

impl Run {
    /// Whether nothing failed.
    fn run(&self, registry: &Registry) -> Result<bool, P2PError> {
        let text = std::fs::read_to_string(&self.scenario);
        let text = text.map_err(|error| invalid(&self.scenario.display().to_string(), error))?;
        let mut scenario: Scenario = text.parse().map_err(|error| in_file(&self.scenario, error))?;
        if self.mutant.is_some() {
            scenario.mutant.clone_from(&self.mutant);
        }
        let mut well = true;
        for path in self.regressions.as_deref().map(capsules_in).transpose()?.unwrap_or_default() {
            let replay = Capsule::load(&path, registry)?.replay(registry)?;
            if let Some(problem) = replay.outcome.failure {
                println!("regression {}: {problem}", path.display());
                well = false;
            }
        }
        let check = if self.check { Check::Fresh(this_program()?) } else { Check::Off };
        let settings = Settings { first: self.first, seeds: self.seeds, jobs: self.jobs.into(), check };
        let bar = progress_bar(self.seeds);
        let report = sweep(&scenario, registry, &settings, &|failures| {
            bar.set_message(failures.to_string());
            bar.inc(1);
        })?;
        bar.finish_and_clear();
        self.tell(&report)?;
        Ok(well && report.is_well())
    }

    fn tell(&self, report: &Report) -> Result<(), P2PError> {
        for (fingerprint, found) in report.groups() {
            println!("{fingerprint}: {} of {} seeds", found.len(), report.seeds);
            for found in found.iter().take(SHOWN_MAX) {
                let seed = found.capsule.case.seed;
                let name = fingerprint.to_string().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
                let name = format!("{name}-{seed}.toml");
                let path = self.save.join(name);
                save(&path, &found.capsule)?;
                println!("  seed {seed}: {}", found.problem);
                println!("    p2p-sim replay {}", path.display());
            }
            if let Some(more) = found.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
                println!("  and {more} more");
            }
        }
        for what in &report.never {
            println!("never happened in {} seeds: {what}", report.seeds);
        }
        match report.seeds_to_failure(self.first) {
            Some(median) => println!(
                "{} of {} seeds failed; a failure takes {median} seeds in the median",
                report.failures.len(),
                report.seeds
            ),
            None => println!("{} seeds, no failure", report.seeds),
        }
        Ok(())
    }
}

/// How this program is started to run one case.
fn this_program() -> Result<FreshProcess, P2PError> {
    let path = std::env::current_exe().map_err(|error| invalid("this program's path", error))?;
    Ok(FreshProcess::new(path, ["run-case"]))
}

fn replay(path: &Path, registry: &Registry) -> Result<bool, P2PError> {
    let capsule = Capsule::load(path, registry)?;
    let replay = capsule.replay(registry)?;
    println!("hash {}", replay.outcome.hash);
    match replay.same {
        true => println!("the same run as before"),
        false => println!(
            "another run than before, whose hash was {}: the program has changed, or does not replay",
            capsule.hash
        ),
    }
    match &replay.outcome.failure {
        Some(problem) => println!("{problem}"),
        None => println!("no failure"),
    }
    Ok(replay.same && replay.outcome.failure.is_none())
}

fn shrink_capsule(path: &Path, to: Option<PathBuf>, registry: &Registry) -> Result<bool, P2PError> {
    let before = Capsule::load(path, registry)?.case;
    let Shrunk { capsule, blame, runs } = shrink(&before, registry)?;
    let to = to.unwrap_or_else(|| path.with_extension("small.toml"));
    save(&to, &capsule)?;
    for (what, from, to) in [
        ("faults", before.plan.entries().len(), capsule.case.plan.entries().len()),
        ("peers", before.peers.len(), capsule.case.peers.len()),
        ("steps", before.steps.len(), capsule.case.steps.len()),
        ("routers", before.topology.routers.len(), capsule.case.topology.routers.len()),
        ("relays", before.topology.relays.len(), capsule.case.topology.relays.len()),
    ] {
        if from == 0 {
            continue;
        }
        println!("{what}: {from} -> {to}");
    }
    println!("{runs} runs; the failure is still {:?}", capsule.kind.as_deref().unwrap_or_default());
    if blame.is_empty() {
        println!("the failure needs no fault");
    }
    for Blame { entry, without } in blame {
        let fault = format!("fault {:?}, {} at \"{}\"", entry.id, entry.what.name(), entry.place);
        match without {
            None => println!("the failure needs {fault}: without it all is well"),
            Some(kind) => println!("the failure does not go away without {fault}: it is {kind:?} then"),
        }
    }
    println!("  p2p-sim replay {}", to.display());
    Ok(false)
}

impl TraceCapsule {
    /// Whether the run did not fail, and was that of the capsule.
    fn run(&self, registry: &Registry) -> Result<bool, P2PError> {
        let capsule = Capsule::load(&self.capsule, registry)?;
        let (outcome, trace) = trace_case(&capsule.case, registry, TraceMode::KeepFrom(self.from))?;
        let failure = outcome.failure.as_ref().map(ToString::to_string);
        let title = format!("{}, seed {}", capsule.case.workload, capsule.case.seed);
        if let Some(path) = &self.html {
            write(path, |out| trace.write_html(out, &title, failure.as_deref()))?;
        }
        if let Some(path) = &self.perfetto {
            write(path, |out| trace.write_perfetto(out))?;
        }
        if let Some(path) = &self.json_lines {
            write(path, |out| trace.write_json_lines(out))?;
        }
        println!("{} of {} records, {}", trace.kept.len(), trace.records, failure.as_deref().unwrap_or("no failure"));
        if outcome.hash != capsule.hash {
            println!("another run than the capsule's: the program has changed, or does not replay");
        }
        Ok(outcome.failure.is_none() && outcome.hash == capsule.hash)
    }
}

/// Writes a file, or says which could not be written.
fn write(path: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<(), P2PError> {
    let written = File::create(path).and_then(|file| {
        let mut out = BufWriter::new(file);
        fill(&mut out)?;
        out.flush()
    });
    written.map_err(|error| invalid(&path.display().to_string(), error))?;
    println!("  {}", path.display());
    Ok(())
}

fn list(registry: &Registry) {
    for workload in registry.iter() {
        println!("{}: {}", workload.name(), workload.about());
        for knob in workload.knobs() {
            println!("  knob {} = {}: {}", knob.name, knob.default, knob.about);
        }
        for mutant in workload.mutants() {
            println!("  mutant {}: {}", mutant.name, mutant.about);
        }
    }
}

/// Saves a capsule, and the folder it is in.
fn save(path: &Path, capsule: &Capsule) -> Result<(), P2PError> {
    let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let saved = folder.and_then(|()| std::fs::write(path, capsule.to_string()));
    saved.map_err(|error| invalid(&path.display().to_string(), error))
}

/// The capsules in a folder, by name.
fn capsules_in(folder: &Path) -> Result<Vec<PathBuf>, P2PError> {
    let read =
        || -> std::io::Result<Vec<PathBuf>> { std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect() };
    let mut paths = read().map_err(|error| invalid(&folder.display().to_string(), error))?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    Ok(paths)
}

/// On standard error, if that is a terminal.
fn progress_bar(seeds: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(Some(seeds), ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} seeds, {per_sec}, {msg} failures, {eta} left");
    ProgressBar::new(seeds).with_style(style.expect("a template that is always the same")).with_message("0")
}
