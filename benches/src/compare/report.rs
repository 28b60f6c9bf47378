//! Tables and JSON.

use std::fmt;

use benches::{machine::Machine, summary::Summary};
use serde::Serialize;

use crate::{
    Samples,
    measure::{Measure, Target},
};

/// All results.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Before and after.
    machine: [Machine; 2],
    rounds: usize,
    measures: Vec<Rows>,
}

/// One measure's.
#[derive(Debug, Serialize)]
struct Rows {
    name: &'static str,
    what: &'static str,
    unit: &'static str,
    target: Option<String>,
    rows: Vec<Row>,
}

/// One contestant's.
#[derive(Debug, Serialize)]
struct Row {
    contestant: &'static str,
    value: Summary,
    /// To the first contestant's, round by round.
    ratio: Summary,
    /// Whether `ratio` is what it should be, if it should be something.
    met: Option<bool>,
    samples: Vec<f64>,
}

impl Report {
    /// Sums up. The first of `contestants` is what the others are compared with; targets are the second's.
    pub(crate) fn new(
        machine: [Machine; 2],
        rounds: usize,
        measures: impl Iterator<Item = &'static Measure>,
        contestants: &[&'static str],
        samples: &Samples,
    ) -> Self {
        let rows = |measure: &Measure| {
            let base = &samples[&(measure.name, contestants[0])];
            let row = |(at, contestant): (usize, &&'static str)| {
                let samples = &samples[&(measure.name, *contestant)];
                let ratio = Summary::of(samples.iter().zip(base).map(|(value, base)| value / base));
                let target = measure.target.filter(|_| at == 1);
                Row {
                    contestant,
                    value: Summary::of(samples.iter().copied()),
                    ratio,
                    met: target.map(|target| target.is_met(ratio.median)),
                    samples: samples.clone(),
                }
            };
            contestants.iter().enumerate().map(row).collect()
        };
        let measures = measures
            .map(|measure| Rows {
                name: measure.name,
                what: measure.what,
                unit: measure.unit,
                target: measure.target.map(|target| target.to_string()),
                rows: rows(measure),
            })
            .collect();
        Self { machine, rounds, measures }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [before, after] = &self.machine;
        writeln!(f, "{before} before and {:.1} after; {} rounds", after.load.unwrap_or(f64::NAN), self.rounds)?;
        for measure in &self.measures {
            writeln!(f, "\n{}: {}", measure.name, measure.what)?;
            for row in &measure.rows {
                let value = format!("{:.1} {}", row.value.median, measure.unit);
                let spread = format!("± {:.0} %", row.value.spread() * 100.0);
                write!(f, "  {:<10} {value:>14} {spread:>8}   × {}", row.contestant, row.ratio)?;
                match (row.met, &measure.target) {
                    (Some(true), Some(target)) => writeln!(f, "   {target}: yes")?,
                    (Some(false), Some(target)) => writeln!(f, "   {target}: NO")?,
                    _ => writeln!(f)?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "at least {least:.2}"),
            Self::AtMost(most) => write!(f, "at most {most:.2}"),
        }
    }
}
