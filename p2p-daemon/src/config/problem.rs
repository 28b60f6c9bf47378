//! What is wrong with a configuration, in words that say where to look.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use figment::error::{Actual, Kind};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{layers::FILE, origins::Origin};

/// A value or a key that cannot be used. `Display` is one line: where it stands, its key, what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigProblem {
    /// Where it stands.
    pub origin: Origin,
    /// Its key, from the outside in; places in lists as numbers from 0.
    pub key: Vec<String>,
    /// What is wrong, and what was expected.
    pub what: String,
}

impl ConfigProblem {
    pub(super) fn of_file(path: &Path, what: impl Into<String>) -> Self {
        Self { origin: Origin::File { path: path.to_owned(), line: None }, key: Vec::new(), what: what.into() }
    }

    /// What serde found.
    pub(super) fn of_figment(error: &figment::Error, lines: &Lines) -> Self {
        let mut key = error.path.clone();
        let what = match &error.kind {
            Kind::UnknownField(field, known) => {
                if key.last() != Some(field) {
                    key.push(field.clone());
                }
                match nearest(field, known.iter().copied()) {
                    Some(nearest) => format!("there is no such key; did you mean {nearest:?}?"),
                    None => format!("there is no such key, only {}", known.join(", ")),
                }
            }
            Kind::MissingField(field) => format!("it lacks {field:?}"),
            Kind::InvalidType(actual, expected) => format!("expected {expected}, found {}", found(actual)),
            Kind::InvalidValue(actual, expected) => format!("expected {expected}, found {}", found(actual)),
            Kind::Message(message) => message.clone(),
            other => other.to_string(),
        };
        let origin = match &error.metadata {
            Some(metadata) if metadata.name != FILE => Origin::Named(metadata.name.to_string()),
            _ => lines.origin(&key),
        };
        Self { origin, key, what }
    }
}

fn found(actual: &Actual) -> String {
    match actual {
        Actual::Str(text) => format!("{text:?}"),
        Actual::Bool(value) => value.to_string(),
        Actual::Unsigned(value) => value.to_string(),
        Actual::Signed(value) => value.to_string(),
        Actual::Float(value) => value.to_string(),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => "a table".to_owned(),
        other => other.to_string(),
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        for (at, part) in self.key.iter().enumerate() {
            match part.parse::<usize>() {
                Ok(place) if at > 0 => write!(f, "[{place}]")?,
                _ => write!(f, "{}{part}", if at > 0 { "." } else { "" })?,
            }
        }
        let separator = if self.key.is_empty() { "" } else { ": " };
        write!(f, "{separator}{}", self.what)
    }
}

impl std::error::Error for ConfigProblem {}

/// A file's text, and on which line each key stands.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    file: Option<PathBuf>,
    text: String,
}

impl Lines {
    pub(super) fn new(file: Option<&Path>, text: String) -> Self {
        Self { file: file.map(Path::to_owned), text }
    }

    /// The file as a table.
    pub(super) fn table(&self) -> Result<toml::Table, ConfigProblem> {
        self.text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map(|span| self.line(span.start));
            let path = self.file.clone().unwrap_or_default();
            // What toml says has its own drawing of the line below the first line.
            let what = error.message().lines().collect::<Vec<_>>().join("; ");
            ConfigProblem { origin: Origin::File { path, line }, key: Vec::new(), what }
        })
    }

    /// Where a key stands in the file, or as much of it as there is.
    pub(super) fn origin(&self, key: &[String]) -> Origin {
        match &self.file {
            None => Origin::Default,
            Some(path) => Origin::File { path: path.clone(), line: self.find(key).map(|at| self.line(at)) },
        }
    }

    fn find(&self, key: &[String]) -> Option<usize> {
        let document = DeTable::parse(&self.text).ok()?;
        walk(document.get_ref(), key).0
    }

    fn line(&self, at: usize) -> usize {
        1 + self.text.as_bytes()[..at.min(self.text.len())].iter().filter(|byte| **byte == b'\n').count()
    }
}

/// Where the last part of `key` that is there stands, and how many parts are there.
fn walk(table: &DeTable<'_>, key: &[String]) -> (Option<usize>, usize) {
    let Some((first, rest)) = key.split_first() else { return (None, 0) };
    let Some((name, value)) = table.iter().find(|(name, _)| name.get_ref().as_ref() == first.as_str()) else {
        return (None, 0);
    };
    let (deeper, parts) = walk_value(value, rest);
    (deeper.or(Some(name.span().start)), parts + 1)
}

fn walk_value(value: &Spanned<DeValue<'_>>, key: &[String]) -> (Option<usize>, usize) {
    match (value.get_ref(), key.split_first()) {
        (DeValue::Table(table), Some(_)) => walk(table, key),
        (DeValue::Array(values), Some((place, rest))) => {
            match place.parse::<usize>().ok().and_then(|place| values.get(place)) {
                Some(value) => {
                    let (deeper, parts) = walk_value(value, rest);
                    (deeper.or(Some(value.span().start)), parts + 1)
                }
                None => (None, 0),
            }
        }
        _ => (None, 0),
    }
}

/// The word that looks most like `word`, if one looks like it at all.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, nearest) = known.map(|known| (strsim::damerau_levenshtein(word, known), known)).min()?;
    (distance <= 1 + word.len() / 3).then_some(nearest)
}
