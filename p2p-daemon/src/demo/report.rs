//! How the demonstration is told: one line for each step, aligned, with a tick.

use std::{
    cell::Cell,
    fmt,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    Console,
    ask::{State, View},
};

/// Prints steps as they are done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Report(Console);

impl Report {
    /// Prints the heading.
    pub(super) fn begin(console: Console) -> Self {
        console.line(format_args!(
            "{}\n",
            console.bold("p2pd demo: Alice shares a service, Bob uses it. Nothing leaves this machine.")
        ));
        Self(console)
    }

    /// What comes now.
    pub(super) fn heading(&self, text: &str) {
        self.0.line(format_args!("\n  {}", self.0.bold(text)));
    }

    /// A step that worked.
    pub(super) fn done(&self, step: &str, what: impl fmt::Display) {
        let tick = self.0.green("✔");
        self.0.line(format_args!("  {tick} {:<10}{what}", self.0.bold(step)));
    }

    /// A step that was left out, which is no failure.
    pub(super) fn skipped(&self, step: &str, what: impl fmt::Display) {
        let dash = self.0.yellow("–");
        self.0.line(format_args!("  {dash} {:<10}{what}", self.0.bold(step)));
    }

    /// More of the step before.
    pub(super) fn more(&self, text: impl fmt::Display) {
        self.0.line(format_args!("    {:<10}{}", "", self.0.dim(text)));
    }

    /// What `p2pd status` prints.
    pub(super) fn status(&self, state: &State) {
        let lines = View { console: self.0, events_max: EVENTS }.lines(state, None);
        lines.iter().for_each(|line| self.0.line(format_args!("      {line}").to_string().trim_end()));
    }

    /// A place to look at.
    pub(super) fn url(&self, what: &str, url: &str, path: &str) {
        self.0.line(format_args!("    {:<10}{url}{path}", self.0.dim(what)));
    }

    /// Something to type, and what for.
    pub(super) fn command(&self, command: &str, what: &str) {
        self.0.line(format_args!("    {:<46}{}", self.0.bold(command), self.0.dim(what)));
    }

    pub(super) fn line(&self, text: impl fmt::Display) {
        self.0.line(text);
    }

    /// Shows how far a download is: a bar where somebody watches, a line every few seconds where not.
    pub(super) fn progress(&self, bytes: u64) -> Progress {
        if !self.0.is_watched() {
            return Progress::Lines { report: *self, bytes, done: Cell::new(0), said_at: Cell::new(Instant::now()) };
        }
        let style = ProgressStyle::with_template(TEMPLATE).expect("the template is well formed");
        Progress::Bar(ProgressBar::new(bytes).with_style(style.progress_chars("━╸ ")))
    }
}

/// How far a download is.
pub(super) enum Progress {
    Bar(ProgressBar),
    Lines { report: Report, bytes: u64, done: Cell<u64>, said_at: Cell<Instant> },
}

impl Progress {
    pub(super) fn advance(&self, more: u64) {
        match self {
            Self::Bar(bar) => bar.inc(more),
            Self::Lines { report, bytes, done, said_at } => {
                done.set(done.get() + more);
                if said_at.get().elapsed() >= LINE_PERIOD {
                    said_at.set(Instant::now());
                    report.line(format_args!("    {:<10}{} of {} MiB", "file", done.get() >> 20, bytes >> 20));
                }
            }
        }
    }

    /// Prints something meanwhile.
    pub(super) fn while_it_goes_on(&self, print: impl FnOnce()) {
        match self {
            Self::Bar(bar) => bar.suspend(print),
            Self::Lines { .. } => print(),
        }
    }

    /// Takes a bar away; a line with the result follows.
    pub(super) fn end(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

const TEMPLATE: &str = "    file      {bar:24} {binary_bytes}, {binary_bytes_per_sec}";

/// The newest events that are shown.
const EVENTS: usize = 4;

/// Often enough to see that it goes on, seldom enough for a log.
const LINE_PERIOD: Duration = Duration::from_secs(5);
