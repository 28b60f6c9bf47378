//! `docs/NAT_LAB.md`: medians over several runs of every scenario, as tables, with a picture beside them.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, time::Duration};

use anyhow::{Context, Result};

use crate::{
    figures::{Figures, Rounded},
    picture,
};

/// Where the results go, which the README's readers find.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");
const PAGE: &str = "NAT_LAB.md";
const PICTURE: &str = "nat-lab.svg";

const ABOUT: &str = "\
# The NAT lab's results

What iroh's connections do behind real kernel NATs, as the lab in `p2p-iroh/tests/nat_lab/` measures it. Written by

```text
cargo test -p p2p-iroh --test nat_lab -- --table --repeats N
```

which runs every scenario N times, in turn, and writes this page and its picture after each round. All times are medians of the
runs that passed; of an even number, the lower of the two in the middle. The network adds no latency: what stands here is what the
programs and the kernel need, on a machine that others use as well, so differences of less than a factor of two mean little.

| column | is the time |
|---|---|
| first byte | from dialling through the relay until a byte came back |
| direct | from dialling until both peers' packets go straight |
| 10 MiB, 2 MiB … | of a transfer whose hash was compared |
| resumed | from the end of the fault until a byte came back |
| direct again, direct once lifted | from the end of the fault until the path was direct |
| gap | the longest between two messages, of 2,000 a second beside a stream of 100 MiB, none lost, none doubled |
| runs | passed, of those made |

![Time to a direct path by pair of NATs, and gap by cause](nat-lab.svg)
";

/// What became of one scenario, over all rounds.
#[derive(Default)]
pub(crate) struct Row {
    runs: usize,
    passed: Vec<Figures>,
}

impl Row {
    /// The median of what is called so, over the runs that measured it.
    pub(crate) fn median(&self, name: &str) -> Option<Duration> {
        let times = self.passed.iter().flat_map(Figures::times);
        let mut times: Vec<Duration> = times.filter(|(is, _)| *is == name).map(|(_, time)| *time).collect();
        times.sort();
        // The lower of the two in the middle, rather than a time that nobody measured.
        times.get(times.len().checked_sub(1)? / 2).copied()
    }

    fn path(&self) -> String {
        let path = self.passed.iter().find_map(Figures::path);
        path.map(|path| path.to_string()).unwrap_or_default()
    }

    fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.passed.iter().flat_map(Figures::times).map(|(name, _)| *name)
    }
}

/// Rows by scenario, in the order in which scenarios run.
#[derive(Default)]
pub(crate) struct Table {
    order: Vec<String>,
    rows: BTreeMap<String, Row>,
}

impl Table {
    /// Adds a run: what it measured, or that it failed.
    pub(crate) fn add(&mut self, scenario: &str, figures: Option<Figures>) {
        if !self.rows.contains_key(scenario) {
            self.order.push(scenario.to_owned());
        }
        let row = self.rows.entry(scenario.to_owned()).or_default();
        row.runs += 1;
        row.passed.extend(figures);
    }

    /// Each scenario's group, name and row.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&str, &str, &Row)> {
        self.order.iter().map(|scenario| {
            let (group, name) = scenario.split_once("::").unwrap_or(("", scenario));
            (group, name, &self.rows[scenario])
        })
    }

    /// Writes the page and the picture.
    ///
    /// # Errors
    ///
    /// Names the file that cannot be written.
    pub(crate) fn save(&self) -> Result<()> {
        for (file, text) in [(PAGE, self.to_markdown()), (PICTURE, picture::draw(self))] {
            let file = Path::new(FOLDER).join(file);
            fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        }
        Ok(())
    }

    fn to_markdown(&self) -> String {
        let mut text = ABOUT.to_owned();
        let mut groups: Vec<&str> = self.rows().map(|(group, ..)| group).collect();
        groups.dedup();
        for group in groups {
            let rows = || self.rows().filter(|(is, ..)| *is == group);
            let mut columns: Vec<&str> = Vec::new();
            for name in rows().flat_map(|(.., row)| row.names()) {
                if !columns.contains(&name) {
                    columns.push(name);
                }
            }
            let heads: String = columns.iter().map(|name| format!(" {name} |")).collect();
            writeln!(text, "\n## `{group}`\n\n| holds | path |{heads} runs |").expect("a string takes all");
            writeln!(text, "|---|---|{}---|", "---:|".repeat(columns.len())).expect("a string takes all");
            for (_, name, row) in rows() {
                let cell = |column: &&str| row.median(column).map(|time| Rounded(time).to_string()).unwrap_or_default();
                let cells: String = columns.iter().map(|column| format!(" {} |", cell(column))).collect();
                let (holds, path) = (name.replace('_', " "), row.path());
                writeln!(text, "| {holds} | {path} |{cells} {} of {} |", row.passed.len(), row.runs)
                    .expect("a string takes all");
            }
        }
        text
    }
}
