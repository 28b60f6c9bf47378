//! Capsules: a failure in a file, to be replayed anywhere.

use std::{fmt, path::Path, str::FromStr};

use p2p::P2PError;

use crate::{
    case::{Case, check_keys, in_file, invalid},
    runner::{Outcome, run_case},
    workload::Registry,
};

/// The version of capsules that is written and read. It changes when an old capsule could no longer replay as it ran.
pub const CAPSULE_VERSION: i64 = 1;

/// A case, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capsule {
    /// The case.
    pub case: Case,
    /// How it failed: the kind of its fingerprint; nothing if it ended well.
    pub kind: Option<String>,
    /// [`Outcome::hash`], in hex.
    pub hash: String,
}

impl Capsule {
    /// Keeps a case with its outcome.
    pub fn new(case: Case, outcome: &Outcome) -> Self {
        Self { case, kind: outcome.kind().map(Into::into), hash: outcome.hash.clone() }
    }

    /// Reads a capsule and checks that all its names are known.
    ///
    /// # Errors
    /// [`InvalidInput`](P2PError::InvalidInput), with the file's name: no such file, no capsule, one of another version, or an
    /// unknown name.
    pub fn load(path: &Path, registry: &Registry) -> Result<Self, P2PError> {
        let text = std::fs::read_to_string(path).map_err(|error| invalid(&path.display().to_string(), error))?;
        let read = text.parse().and_then(|mut capsule: Self| capsule.case.check(registry).map(|()| capsule));
        read.map_err(|error| in_file(path, error))
    }

    /// Runs the case again.
    ///
    /// # Errors
    /// [`InvalidInput`](P2PError::InvalidInput) if its workload is not known.
    pub fn replay(&self, registry: &Registry) -> Result<Replay, P2PError> {
        let outcome = run_case(&self.case, registry)?;
        Ok(Replay { same: outcome.hash == self.hash, outcome })
    }
}

/// What came of a replay.
#[derive(Debug)]
pub struct Replay {
    /// Whether everything happened as before, event for event.
    pub same: bool,
    /// How it ended this time.
    pub outcome: Outcome,
}

/// As TOML, so that it reads back.
impl fmt::Display for Capsule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = toml::Table::new();
        table.insert("version".into(), CAPSULE_VERSION.into());
        table.insert("hash".into(), self.hash.clone().into());
        if let Some(kind) = &self.kind {
            table.insert("kind".into(), kind.clone().into());
        }
        table.insert("case".into(), self.case.to_table().into());
        f.write_str(&toml::to_string(&table).expect("strings, numbers and tables of these"))
    }
}

impl FromStr for Capsule {
    type Err = P2PError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut table: toml::Table = toml::from_str(text).map_err(|error| invalid("the capsule", error))?;
        // Before anything else is looked at: another version may have anything in it.
        match table.get("version").and_then(toml::Value::as_integer) {
            Some(CAPSULE_VERSION) => {}
            Some(other) => {
                let what = format_args!("a capsule of version {other}");
                return Err(P2PError::invalid_input(what, format_args!("version {CAPSULE_VERSION}")));
            }
            None => return Err(P2PError::invalid_input("a capsule without a version", "version = 1")),
        }
        check_keys("key of a capsule", &table, &["version", "hash", "kind", "case"])?;
        let text = |key: &str| table.get(key).and_then(toml::Value::as_str).map(String::from);
        let (kind, hash) = (text("kind"), text("hash"));
        let hash = hash.ok_or_else(|| P2PError::invalid_input("a capsule without a hash", "hash = \"…\""))?;
        match table.remove("case") {
            Some(toml::Value::Table(case)) => Ok(Self { case: Case::from_table(case)?, kind, hash }),
            _ => Err(P2PError::invalid_input("a capsule without a case", "a table [case]")),
        }
    }
}
