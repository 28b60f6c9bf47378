//! Runs scenarios one after the other, with libtest's arguments, lines and exit codes.

use std::{
    collections::BTreeSet,
    future::Future,
    io::Write,
    pin::Pin,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};

use crate::{figures::Figures, table::Table};

/// No scenario may take longer; the slowest waits for a path to be given up, about half of this.
const SCENARIO_MAX: Duration = Duration::from_secs(90);

/// Exit code of a failed run, the same as libtest's.
const FAILED: u8 = 101;

/// One thing that has to hold, by name.
pub(crate) struct Scenario {
    name: String,
    run: Box<dyn Fn() -> ScenarioFuture>,
}

type ScenarioFuture = Pin<Box<dyn Future<Output = Result<Figures>>>>;

impl Scenario {
    /// Names a scenario. It starts when its turn comes.
    pub(crate) fn new<F>(name: impl Into<String>, run: impl Fn() -> F + 'static) -> Self
    where
        F: Future<Output = Result<Figures>> + 'static,
    {
        Self { name: name.into(), run: Box::new(move || Box::pin(run())) }
    }
}

/// The arguments of a libtest binary, as far as they mean something here.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Print names instead of running anything.
    pub(crate) list: bool,
    exact: bool,
    ignored_only: bool,
    /// Write the results down.
    table: bool,
    /// How often everything runs.
    repeats: Option<usize>,
    filters: Vec<String>,
    skips: Vec<String>,
}

impl Options {
    /// Reads arguments as libtest does. A flag that changes nothing here is accepted, as `cargo` hands the same
    /// ones to every test binary.
    pub(crate) fn from_args(args: impl IntoIterator<Item = String>) -> Self {
        let mut options = Self::default();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--list" => options.list = true,
                "--exact" => options.exact = true,
                "--ignored" => options.ignored_only = true,
                "--table" => options.table = true,
                "--repeats" => options.repeats = args.next().and_then(|count| count.parse().ok()),
                "--skip" => options.skips.extend(args.next()),
                "--test-threads" | "--format" | "--color" | "--logfile" | "--shuffle-seed" | "-Z" => drop(args.next()),
                flag if flag.starts_with('-') => {
                    let name = flag.strip_prefix("--skip=").map(str::to_owned);
                    options.skips.extend(name);
                }
                _ => options.filters.push(arg),
            }
        }
        options
    }

    fn selects(&self, name: &str) -> bool {
        let matches = |pattern: &String| match self.exact {
            true => name == pattern,
            false => name.contains(pattern.as_str()),
        };
        // Nothing here is ignored, so whoever asks for the ignored ones gets none.
        !self.ignored_only
            && (self.filters.is_empty() || self.filters.iter().any(matches))
            && !self.skips.iter().any(matches)
    }
}

/// The scenarios that the arguments ask for.
pub(crate) struct Selection {
    scenarios: Vec<Scenario>,
    filtered_out: usize,
    rounds: usize,
    /// Results so far, where they are to be written down.
    table: Option<Table>,
}

impl Selection {
    /// Keeps what `options` select.
    ///
    /// # Panics
    ///
    /// When two scenarios have the same name, as no argument could then run one of them alone.
    pub(crate) fn new(all: Vec<Scenario>, options: &Options) -> Self {
        let names: BTreeSet<&str> = all.iter().map(|scenario| scenario.name.as_str()).collect();
        assert_eq!(names.len(), all.len(), "two scenarios have the same name");
        let total = all.len();
        let scenarios: Vec<Scenario> = all.into_iter().filter(|scenario| options.selects(&scenario.name)).collect();
        Self {
            filtered_out: total - scenarios.len(),
            scenarios,
            rounds: options.repeats.unwrap_or(1).max(1),
            table: options.table.then(Table::default),
        }
    }

    /// Whether there is nothing to run.
    pub(crate) fn is_empty(&self) -> bool {
        self.scenarios.is_empty()
    }

    /// Prints the names, in the form that `cargo nextest` reads.
    pub(crate) fn list(&self) -> ExitCode {
        for scenario in &self.scenarios {
            println!("{}: test", scenario.name);
        }
        ExitCode::SUCCESS
    }

    /// Says why nothing runs, which is a failure only where `NAT_LAB=required`.
    pub(crate) fn skip(&self, missing: &str) -> ExitCode {
        let required = std::env::var("NAT_LAB").is_ok_and(|value| value == "required");
        println!("\nrunning {} tests", self.scenarios.len());
        for scenario in &self.scenarios {
            match required {
                true => println!("test {} ... FAILED", scenario.name),
                false => println!("test {} ... ignored, {missing}", scenario.name),
            }
        }
        println!("\nnat_lab: not run on this machine: {missing}");
        let count = self.scenarios.len();
        match required {
            true => {
                println!("nat_lab: `NAT_LAB=required` makes that a failure");
                self.finish(0, count, 0, Duration::ZERO)
            }
            false => self.finish(0, 0, count, Duration::ZERO),
        }
    }

    /// Runs what was selected.
    pub(crate) async fn run(mut self) -> ExitCode {
        let start = Instant::now();
        let scenarios = std::mem::take(&mut self.scenarios);
        let count = scenarios.len() * self.rounds;
        println!("\nrunning {count} tests");
        let mut failures = Vec::new();
        // Round by round, so that a busy minute of the machine falls on one run of each rather than on all runs of a few.
        for (index, Scenario { name, run }) in (0..self.rounds).flat_map(|_| scenarios.iter().enumerate()) {
            print!("test {name} ... ");
            // Whoever watches wants to know which one it is that takes so long.
            std::io::stdout().flush().ok();
            let result = tokio::time::timeout(SCENARIO_MAX, run())
                .await
                .unwrap_or_else(|_| Err(anyhow!("still running after {SCENARIO_MAX:?}")));
            match &result {
                Ok(figures) => println!("ok ({figures})"),
                Err(_) => println!("FAILED"),
            }
            let figures = result.map_err(|error| failures.push((name.clone(), error))).ok();
            if let Some(table) = &mut self.table {
                table.add(name, figures);
                if index + 1 == scenarios.len()
                    && let Err(error) = table.save()
                {
                    failures.push(("the table".to_owned(), error));
                }
            }
        }
        if !failures.is_empty() {
            println!("\nfailures:");
            for (name, error) in &failures {
                println!("\n---- {name} ----\n{error:#}");
            }
            println!("\nfailures:");
            for (name, _) in &failures {
                println!("    {name}");
            }
        }
        let failed = failures.len();
        self.finish(count.saturating_sub(failed), failed, 0, start.elapsed())
    }

    fn finish(&self, passed: usize, failed: usize, ignored: usize, took: Duration) -> ExitCode {
        let (word, code) = match failed {
            0 => ("ok", ExitCode::SUCCESS),
            _ => ("FAILED", ExitCode::from(FAILED)),
        };
        println!(
            "\ntest result: {word}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; \
             {} filtered out; finished in {:.2}s\n",
            self.filtered_out,
            took.as_secs_f64()
        );
        code
    }
}
