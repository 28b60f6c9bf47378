//! What a daemon says of itself, read back. Keys that another version has beside these are passed over.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::tunnel::migrate::State as Migration;

/// What `/status.json` says.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct State {
    pub(super) peer: String,
    pub(super) stack: String,
    pub(super) version: String,
    pub(super) since: f64,
    pub(super) at: f64,
    pub(super) draining: bool,
    pub(super) ready: bool,
    pub(super) checks: Vec<Check>,
    pub(super) rules: Vec<Rule>,
    pub(super) peers: Vec<Peer>,
    pub(super) events: Vec<Event>,
    /// Of a tunnel server or a gateway.
    pub(super) migration: Option<Migration>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Check {
    pub(super) name: String,
    pub(super) problem: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Rule {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) problem: Option<String>,
    pub(super) counters: Counters,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Counters {
    pub(super) streams: u64,
    pub(super) streams_opened: u64,
    pub(super) flows: u64,
    pub(super) flows_opened: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) errors: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Peer {
    pub(super) peer: String,
    pub(super) name: Option<String>,
    pub(super) since: f64,
    pub(super) state: String,
    pub(super) via: Option<String>,
    pub(super) rtt_seconds: Option<f64>,
    pub(super) streams: u64,
    pub(super) bytes_sent: u64,
    pub(super) bytes_received: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Event {
    pub(super) at: f64,
    pub(super) kind: String,
    pub(super) peer: Option<String>,
    pub(super) name: Option<String>,
    pub(super) text: String,
}

impl State {
    /// # Errors
    /// What does not fit.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(json).map_err(|error| format!("another version of p2pd, or no p2pd, answers: {error}"))
    }

    /// Bytes a second of each rule since `before`, received and sent.
    pub(super) fn rates(&self, before: &Self) -> BTreeMap<(String, String), [f64; 2]> {
        let seconds = self.at - before.at;
        let old: BTreeMap<_, _> = before.rules.iter().map(|rule| ((&rule.kind, &rule.name), rule.counters)).collect();
        let rates = self.rules.iter().filter(|_| seconds > 0.0).filter_map(|rule| {
            let old = old.get(&(&rule.kind, &rule.name))?;
            let rate = |now: u64, old: u64| now.saturating_sub(old) as f64 / seconds;
            let rates = [rate(rule.counters.bytes_in, old.bytes_in), rate(rule.counters.bytes_out, old.bytes_out)];
            Some(((rule.kind.clone(), rule.name.clone()), rates))
        });
        rates.collect()
    }
}
