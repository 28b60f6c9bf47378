//! A daemon's state as lines for a terminal.

use std::{collections::BTreeMap, fmt::Display, time::Duration};

use indicatif::{HumanBytes, HumanDuration};

use super::state::{Event, Peer, Rule, State};
use crate::{Console, console::duration};

/// How it is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    pub(crate) console: Console,
    /// Events to show, the newest.
    pub(crate) events_max: usize,
}

impl View {
    /// All lines; with the state before, also what moved since.
    pub(crate) fn lines(&self, state: &State, before: Option<&State>) -> Vec<String> {
        let mut lines = self.head(state);
        lines.push(String::new());
        if let Some(migration) = &state.migration {
            lines.extend(migration.lines(self.console));
            lines.push(String::new());
        }
        lines.extend(self.rules(state, before));
        lines.push(String::new());
        lines.extend(self.peers(state));
        let shown = state.events.len().min(self.events_max);
        if shown > 0 {
            lines.extend([String::new(), self.console.dim("Lately").to_string()]);
            lines.extend(state.events[state.events.len() - shown..].iter().map(|event| self.event(event, state.at)));
        }
        lines
    }

    fn head(&self, state: &State) -> Vec<String> {
        let ready = match (state.draining, state.ready) {
            (true, _) => self.console.yellow("ending"),
            (false, true) => self.console.green("ready"),
            (false, false) => self.console.yellow("not ready"),
        };
        let (peer, up) = (self.console.bold(short(&state.peer)), ago(state.at - state.since));
        let mut lines = vec![
            format!("p2pd {}, peer {peer}, {ready}, up for {up}", state.version),
            self.console.dim(&state.stack).to_string(),
        ];
        lines.extend(state.checks.iter().filter_map(|check| {
            let problem = check.problem.as_ref()?;
            Some(format!("  {} {}: {}", self.console.yellow("✖"), check.name, plain(problem)))
        }));
        lines
    }

    fn rules(&self, state: &State, before: Option<&State>) -> Vec<String> {
        if state.rules.is_empty() {
            return vec!["No rules: nothing is shared, and nothing of a peer's is used.".to_owned()];
        }
        let rates = before.map(|before| state.rates(before)).unwrap_or_default();
        let head = ["RULE", "FROM → TO", "OPEN", "TOTAL", "IN", "OUT", "ERRORS"];
        let mut table = Table::new(head.iter().copied().chain(before.map(|_| "NOW IN / OUT")));
        for rule in &state.rules {
            table.row(rule_row(rule, before.is_some(), &rates));
        }
        let mut lines = table.lines(self.console);
        for rule in &state.rules {
            if let Some(problem) = &rule.problem {
                let problem = plain(problem);
                lines.push(format!("  {} {} {}: {problem}", self.console.yellow("✖"), rule.kind, rule.name));
            }
        }
        lines
    }

    fn peers(&self, state: &State) -> Vec<String> {
        if state.peers.is_empty() {
            return vec!["No peer is connected.".to_owned()];
        }
        let mut table = Table::new(["PEER", "STATE", "PATH", "RTT", "STREAMS", "IN", "OUT", "FOR"]);
        state.peers.iter().for_each(|peer| table.row(peer_row(peer, state.at)));
        table.lines(self.console)
    }

    fn event(&self, event: &Event, now: f64) -> String {
        let who = match (&event.name, &event.peer) {
            (Some(name), _) => format!(" {name}"),
            (None, Some(peer)) => format!(" {}", short(peer)),
            (None, None) => String::new(),
        };
        let when = self.console.dim(format!("{:>8} ago", ago(now - event.at)));
        let text = if event.text.is_empty() { String::new() } else { format!(": {}", plain(&event.text)) };
        format!("  {when}  {}{who}{text}", event.kind.replace('_', " "))
    }
}

fn rule_row(rule: &Rule, moving: bool, rates: &BTreeMap<(String, String), [f64; 2]>) -> Vec<String> {
    let of = rule.counters;
    let mut row = vec![
        format!("{} {}", rule.kind, rule.name),
        format!("{} → {}", rule.from, rule.to),
        (of.streams + of.flows).to_string(),
        (of.streams_opened + of.flows_opened).to_string(),
        bytes(of.bytes_in),
        bytes(of.bytes_out),
        of.errors.to_string(),
    ];
    if moving {
        let rates = rates.get(&(rule.kind.clone(), rule.name.clone()));
        row.push(rates.map(|[bytes_in, out]| format!("{} / {}", rate(*bytes_in), rate(*out))).unwrap_or_default());
    }
    row
}

fn peer_row(peer: &Peer, now: f64) -> Vec<String> {
    let rtt = peer.rtt_seconds.and_then(|rtt| Duration::try_from_secs_f64(rtt).ok());
    vec![
        peer.name.clone().unwrap_or_else(|| short(&peer.peer).to_owned()),
        peer.state.clone(),
        peer.via.clone().unwrap_or_default(),
        rtt.map(duration).unwrap_or_default(),
        peer.streams.to_string(),
        bytes(peer.bytes_received),
        bytes(peer.bytes_sent),
        ago(now - peer.since),
    ]
}

/// Words that may be a peer's, such as the reason of a close, without what would steer a terminal.
fn plain(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// A peer id's first digits.
fn short(peer: &str) -> &str {
    peer.get(..10).unwrap_or(peer)
}

pub(crate) fn bytes(bytes: u64) -> String {
    HumanBytes(bytes).to_string()
}

/// Bytes per second.
pub(crate) fn rate(per_second: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is positive and far from 2^64")]
    let whole = per_second.max(0.0) as u64;
    format!("{}/s", HumanBytes(whole))
}

fn ago(seconds: f64) -> String {
    format!("{:#}", HumanDuration(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default()))
}

/// Columns as wide as what stands in them.
struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new(head: impl IntoIterator<Item = impl Display>) -> Self {
        Self { rows: vec![head.into_iter().map(|name| name.to_string()).collect()] }
    }

    fn row(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    fn lines(&self, console: Console) -> Vec<String> {
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
        let widths: Vec<_> = (0..self.rows[0].len()).map(width).collect();
        let lines = self.rows.iter().map(|row| {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        });
        let mut lines: Vec<_> = lines.collect();
        lines[0] = console.dim(&lines[0]).to_string();
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(at: f64, bytes_in: u64) -> State {
        let json = serde_json::json!({
            "peer": "8f3a00112233445566", "stack": "Metrics(iroh)", "version": "0.1.0", "since": 0.0, "at": at,
            "draining": false, "ready": false, "new": "a key of a later version",
            "checks": [{"name": "running", "problem": null}, {"name": "relay", "problem": "away"}],
            "rules": [{
                "kind": "share", "name": "web", "from": "web", "to": "tcp://127.0.0.1:8080", "problem": null,
                "counters": {"streams": 2, "streams_opened": 9, "flows": 1, "flows_opened": 3, "bytes_in": bytes_in,
                    "bytes_out": 0, "errors": 4},
            }],
            "peers": [{"peer": "77aa", "name": "laptop", "since": 0.0, "state": "connected", "via": "direct 192.0.2.1:5",
                "rtt_seconds": 0.0123, "streams": 2, "bytes_sent": 5, "bytes_received": 2048}],
            "events": [{"at": 0.0, "kind": "peer_connected", "peer": "77aa", "name": null, "text": "bye\u{1b}[2J\n"}],
        });
        State::parse(json.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn what_a_person_asks_first_stands_there_and_columns_line_up() {
        let view = View { console: Console::silent(), events_max: 5 };
        let lines = view.lines(&state(7200.0, 1024), None);
        let text = lines.join("\n");
        for part in [
            "peer 8f3a001122, not ready, up for 2h",
            "✖ relay: away",
            "share web",
            "laptop",
            "12.3 ms",
            "peer connected 77aa: bye [2J",
        ] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
        assert!(!text.contains('\u{1b}'), "a peer's words steer the terminal:\n{text:?}");
        assert!(!text.contains("running"), "what is well is not listed:\n{text}");
        let at = |line: &str, part: &str| line.find(part).unwrap_or_else(|| panic!("no {part:?} in {line:?}"));
        let head = lines.iter().position(|line| line.starts_with("RULE")).unwrap();
        let place = |line: &str, part: &str| line[..at(line, part)].chars().count();
        assert_eq!(place(&lines[head], "OPEN"), place(&lines[head + 1], "3  "), "{text}");
    }

    #[test]
    fn what_moved_since_the_last_look_is_a_rate() {
        let view = View { console: Console::silent(), events_max: 0 };
        let text = view.lines(&state(102.0, 4096 + 1024), Some(&state(100.0, 1024))).join("\n");
        assert!(text.contains("2.00 KiB/s / 0 B/s"), "{text}");
        State::parse(b"{}").unwrap_err();
    }
}
