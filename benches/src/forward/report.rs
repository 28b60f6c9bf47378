//! The table.

use std::fmt;

use benches::summary::Summary;

use crate::load::Sample;

/// All samples, of a round each.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// This project's, and the other's.
    rounds: Vec<(Sample, Sample)>,
}

impl Report {
    pub(crate) fn add(&mut self, ours: Sample, theirs: Sample) {
        self.rounds.push((ours, theirs));
    }
}

struct Measure {
    name: &'static str,
    unit: &'static str,
    value: fn(&Sample) -> f64,
    target: Target,
}

enum Target {
    AtLeast(f64),
    AtMost(f64),
}

const MEASURES: [Measure; 4] = [
    Measure { name: "one connection", unit: "MiB/s", value: |sample| sample.one, target: Target::AtLeast(1.0) },
    Measure { name: "many at once", unit: "MiB/s", value: |sample| sample.many, target: Target::AtLeast(1.2) },
    Measure {
        name: "a request more than direct",
        unit: "µs",
        value: |sample| sample.kept,
        target: Target::AtMost(1.0),
    },
    Measure { name: "on its own connection", unit: "µs", value: |sample| sample.own, target: Target::AtMost(1.0) },
];

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, ours, theirs) = ("", "p2pd", "dumbpipe");
        writeln!(f, "{what:<28}{ours:>20}{theirs:>20}   p2pd / dumbpipe")?;
        for Measure { name, unit, value, target } in MEASURES {
            let ours = Summary::of(self.rounds.iter().map(|(ours, _)| value(ours)));
            let theirs = Summary::of(self.rounds.iter().map(|(_, theirs)| value(theirs)));
            let ratio = Summary::of(self.rounds.iter().map(|(ours, theirs)| value(ours) / value(theirs)));
            let show = |value: Summary| format!("{:.0} {unit} ± {:.0} %", value.median, value.spread() * 100.0);
            let (bound, met) = match target {
                Target::AtLeast(least) => (format!("at least {least:.2}"), ratio.median >= least),
                Target::AtMost(most) => (format!("at most {most:.2}"), ratio.median <= most),
            };
            let (ours, theirs, met) = (show(ours), show(theirs), if met { "yes" } else { "NO" });
            writeln!(f, "{name:<28}{ours:>20}{theirs:>20}   {ratio}; {bound}: {met}")?;
        }
        Ok(())
    }
}
