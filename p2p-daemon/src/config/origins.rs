//! Where each value came from.

use std::{fmt, path::PathBuf};

use figment::Figment;

use super::{
    layers::{Config, DAEMON_KEYS, FILE, NETWORK_KEYS},
    problem::Lines,
};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Nobody said anything else.
    Default,
    /// A file.
    File {
        /// Which.
        path: PathBuf,
        /// On which line, from 1, where that is known.
        line: Option<usize>,
    },
    /// A variable or a flag, by its name.
    Named(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: None } => path.display().fmt(f),
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::Named(name) => f.write_str(name),
        }
    }
}

pub(super) fn of(figment: &Figment, lines: &Lines, path: &[&str]) -> Origin {
    let key: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
    // Figment looks into tables, not into lists; those are the file's alone.
    match figment.find_metadata(&path.join(".")) {
        Some(metadata) if metadata.name != FILE => Origin::Named(metadata.name.to_string()),
        Some(_) => lines.origin(&key),
        None if path.first().is_some_and(|first| ["share", "connect", "peers"].contains(first)) => lines.origin(&key),
        None => Origin::Default,
    }
}

impl Config {
    /// Each value and where it came from, as lines of a file: `key = value  # origin`. Secrets are not shown.
    pub fn show(&self) -> Vec<(String, String, Origin)> {
        let mut shown = Vec::new();
        let mut add = |path: &[&str], value: String| {
            shown.push((path.join("."), value, self.origin(path)));
        };
        for (key, value) in self.settings.network.entries() {
            let value = match (key, value) {
                (_, None) => "(not set)".to_owned(),
                ("relay_token", Some(_)) => "(secret)".to_owned(),
                (_, Some(value)) => format!("{value:?}"),
            };
            add(&["network", key], value);
        }
        let daemon = &self.settings.daemon;
        let admin = daemon.admin.as_ref().map_or("(not set)".to_owned(), |admin| format!("{admin:?}"));
        let values = [admin, format!("{:?}", daemon.drain), format!("{:?}", daemon.grace), daemon.watch.to_string()];
        for (key, value) in DAEMON_KEYS.into_iter().zip(values) {
            add(&["daemon", key], value);
        }
        for (name, peer) in &self.settings.peers {
            add(&["peers", name], shorten(peer));
        }
        for (at, share) in self.settings.share.iter().enumerate() {
            let target = share.target.clone().unwrap_or_else(|| format!("{} routes", share.route.len()));
            add(&["share", &at.to_string()], format!("{} → {target}", share.name));
        }
        for (at, connect) in self.settings.connect.iter().enumerate() {
            let (peer, service) = (shorten(&connect.peer), connect.service.as_deref().unwrap_or("(the only one)"));
            add(&["connect", &at.to_string()], format!("{} → {service} of {peer}", connect.listen));
        }
        debug_assert!(NETWORK_KEYS.len() == self.settings.network.entries().len());
        shown
    }
}

/// The start of an id or a ticket.
fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(20).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}
