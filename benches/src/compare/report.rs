//! Tables and JSON.

use std::fmt;

use benches::{machine::Machine, summary::Summary};
use serde::Serialize;

use crate::{
    Samples,
    measure::{Measure, Target},
};

/// This project's place among the contestants.
const OURS: usize = 1;
/// That of the same under its layers.
const STACK: usize = 2;

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
    rows: Vec<Row>,
}

/// One contestant's.
#[derive(Debug, Serialize)]
struct Row {
    contestant: &'static str,
    value: Summary,
    /// To the first contestant's, round by round.
    ratio: Summary,
    /// The full stack's to that of the same without layers.
    layers: Option<Summary>,
    /// What one of these ratios should be, and whether it is.
    target: Option<(String, bool)>,
    samples: Vec<f64>,
}

impl Report {
    /// Sums up. The first of `contestants` is what the others are compared with, the second this project, the third the
    /// same under its layers.
    pub(crate) fn new(
        machine: [Machine; 2],
        rounds: usize,
        measures: impl Iterator<Item = &'static Measure>,
        contestants: &[&'static str],
        samples: &Samples,
    ) -> Self {
        let rows = |measure: &Measure| {
            let of = |contestant: usize| &samples[&(measure.name, contestants[contestant])];
            let ratio = |to: usize, at: usize| Summary::of(of(at).iter().zip(of(to)).map(|(value, base)| value / base));
            let row = |(at, contestant): (usize, &&'static str)| {
                let layers = (at == STACK).then(|| ratio(OURS, at));
                let target = match at {
                    OURS => measure.target.zip(Some(ratio(0, at))),
                    STACK => measure.stack_target.zip(layers),
                    _ => None,
                };
                Row {
                    contestant,
                    value: Summary::of(of(at).iter().copied()),
                    ratio: ratio(0, at),
                    layers,
                    target: target.map(|(target, ratio)| (target.to_string(), target.is_met(ratio.median))),
                    samples: of(at).clone(),
                }
            };
            let took_part =
                |(_, contestant): &(usize, &&'static str)| samples.contains_key(&(measure.name, **contestant));
            contestants.iter().enumerate().filter(took_part).map(row).collect()
        };
        let measures = measures
            .map(|measure| Rows { name: measure.name, what: measure.what, unit: measure.unit, rows: rows(measure) })
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
                if let Some(layers) = &row.layers {
                    write!(f, "   × {layers} of p2p-iroh")?;
                }
                match &row.target {
                    Some((target, met)) => writeln!(f, "   {target}: {}", if *met { "yes" } else { "NO" })?,
                    None => writeln!(f)?,
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
