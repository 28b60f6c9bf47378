//! The table's picture: a bar per pair of NATs and per cause of a gap, as an SVG for light and dark pages.

use std::{fmt::Write as _, time::Duration};

use crate::{
    figures::Rounded,
    table::{Row, Table},
};

/// Pixels.
const WIDTH: f64 = 860.0;
const LABELS: f64 = 290.0;
const PLOT: f64 = 470.0;
const ROW: f64 = 21.0;
const BAR: f64 = 13.0;

/// The scale is logarithmic, since a hole is punched in milliseconds and a link is down for seconds.
const SHORTEST_S: f64 = 0.001;
const DECADES: i32 = 5;

const STYLE: &str = "\
text { font: 12px system-ui, sans-serif; fill: #24292f } .head { font-weight: 600; font-size: 13px } .scale { fill: #57606a; font-size: 11px }
line { stroke: #d0d7de } .direct { fill: #1a7f5a } .relayed { fill: #bf6a02 } .gap { fill: #3b6fd4 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .scale { fill: #9198a1 } line { stroke: #3d444d }
.direct { fill: #3fb98a } .relayed { fill: #e0973a } .gap { fill: #79a6f6 } }";

/// One bar.
struct Bar {
    label: String,
    class: &'static str,
    time: Duration,
}

/// Draws what the table has.
pub(crate) fn draw(table: &Table) -> String {
    let bars = |group: &'static str, bar: fn(&str, &Row) -> Option<Bar>| -> Vec<Bar> {
        table.rows().filter(|(is, ..)| *is == group).filter_map(|(_, name, row)| bar(name, row)).collect()
    };
    let panels = [
        (
            "From dialling to a direct path (green), or to the first byte where it stays relayed (orange)",
            bars("matrix", pair),
        ),
        ("The longest gap between two of 2,000 messages a second, none lost or doubled", bars("resume", cause)),
    ];
    let mut body = String::new();
    let mut top = 8.0;
    for (head, bars) in panels.into_iter().filter(|(_, bars)| !bars.is_empty()) {
        panel(&mut body, head, &bars, &mut top);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {top}\" role=\"img\">\n\
         <title>The NAT lab's results</title>\n<style>{STYLE}</style>\n{body}</svg>\n"
    )
}

fn pair(name: &str, row: &Row) -> Option<Bar> {
    let (pair, _) = name.split_once("_becomes").or_else(|| name.split_once("_stays"))?;
    let label = pair.replace("_to_", " → ");
    match row.median("direct") {
        Some(time) => Some(Bar { label, class: "direct", time }),
        None => Some(Bar { label, class: "relayed", time: row.median("first byte")? }),
    }
}

fn cause(name: &str, row: &Row) -> Option<Bar> {
    let label = name.trim_start_matches("nothing_lost_when_").replace('_', " ");
    Some(Bar { label, class: "gap", time: row.median("gap")? })
}

fn panel(body: &mut String, head: &str, bars: &[Bar], top: &mut f64) {
    let (first, last) = (*top + 44.0, *top + 44.0 + ROW * bars.len() as f64);
    writeln!(body, "<text class=\"head\" x=\"8\" y=\"{}\">{head}</text>", *top + 14.0).expect("a string takes all");
    for decade in 0..=DECADES {
        let seconds = SHORTEST_S * 10_f64.powi(decade);
        let (x, mark) = (LABELS + across(seconds), Rounded(Duration::from_secs_f64(seconds)).to_string());
        let mark = mark.replace(".0", "");
        writeln!(
            body,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{first}\" y2=\"{last}\"/>\
             <text class=\"scale\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{mark}</text>",
            first - 6.0
        )
        .expect("a string takes all");
    }
    for (index, Bar { label, class, time }) in bars.iter().enumerate() {
        let y = first + ROW * index as f64 + (ROW - BAR) / 2.0;
        let length = across(time.as_secs_f64()).max(2.0);
        writeln!(
            body,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>\
             <rect class=\"{class}\" x=\"{LABELS}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"{BAR}\" rx=\"2\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LABELS - 8.0,
            y + BAR - 2.5,
            LABELS + length + 6.0,
            y + BAR - 2.5,
            Rounded(*time)
        )
        .expect("a string takes all");
    }
    *top = last + 22.0;
}

/// How far to the right so many seconds are.
fn across(seconds: f64) -> f64 {
    PLOT * (seconds / SHORTEST_S).log10().clamp(0.0, f64::from(DECADES)) / f64::from(DECADES)
}
