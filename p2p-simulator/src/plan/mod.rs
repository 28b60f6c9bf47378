//! Faults as data: which, where, from when until when.
//!
//! A plan comes from code, from TOML, from a file named by `SIMULATOR_P2P_PLAN`, or is drawn by a
//! [`Swarm`](crate::Swarm). Whoever reads it gets the same run.

mod entry;
mod toml_text;

use std::fmt;

use p2p::P2PError;

pub use self::entry::Entry;

/// Entries that one plan may have.
pub const PLAN_ENTRIES_MAX: usize = 10_000;

/// What goes wrong in a run, in the order of its entries.
///
/// ```
/// use p2p_simulator::{Fault, Plan};
///
/// let plan: Plan = r#"
///     [[fault]]
///     id = "cut"
///     at = "10s"
///     until = "25s"
///     what = "partition"
///     where = "alice <-> bob"
///
///     [[fault]]
///     id = "bad-line"
///     at = "5s"
///     what = { link = { latency = "80ms..400ms", loss = 0.05 } }
///     where = "alice -> *"
/// "#.parse()?;
/// assert_eq!(plan.entries()[0].what, Fault::Partition);
/// assert!("[[fault]]\nid = 'x'\nat = '1s'\nwhat = 'partiton'\nwhere = '*'".parse::<Plan>().is_err());
/// # Ok::<(), p2p::P2PError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    entries: Vec<Entry>,
}

impl Plan {
    /// A plan in which nothing goes wrong.
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// [`InvalidInput`](P2PError::InvalidInput), which names the entry: its figures are impossible, it ends before it
    /// begins, its id is taken, it overlaps with an entry of the same fault at the same place, or the plan is full.
    pub fn with(mut self, entry: Entry) -> Result<Self, P2PError> {
        self.push(entry)?;
        Ok(self)
    }

    /// Adds an entry; see [`with`](Self::with).
    ///
    /// # Errors
    /// As [`with`](Self::with).
    pub fn push(&mut self, entry: Entry) -> Result<(), P2PError> {
        entry.check()?;
        if self.entries.len() == PLAN_ENTRIES_MAX {
            return Err(entry.invalid("a plan", format_args!("at most {PLAN_ENTRIES_MAX} entries")));
        }
        for other in &self.entries {
            if other.id == entry.id {
                return Err(entry.invalid("the id", "one that no other entry has"));
            }
            if entry.overlaps(other) {
                let what = format_args!("{} at \"{}\"", entry.what.name(), entry.place);
                return Err(entry.invalid(what, format_args!("a time at which fault {:?} is not in effect", other.id)));
            }
        }
        self.entries.push(entry);
        Ok(())
    }

    /// The entries.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether nothing goes wrong.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Checks that all of its peers are among these, on a network without relays.
    ///
    /// # Errors
    /// As [`check_names`](Self::check_names).
    pub fn check_peers<'a>(&self, known: impl IntoIterator<Item = &'a str>) -> Result<(), P2PError> {
        self.check_names(known, [])
    }

    /// Checks that all of its peers and relays are among these. A link may end at either.
    ///
    /// # Errors
    /// [`InvalidInput`](P2PError::InvalidInput), which names the entry, the peer or relay, and the nearest of the known.
    pub fn check_names<'a>(
        &self,
        peers: impl IntoIterator<Item = &'a str>,
        relays: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), P2PError> {
        let (peers, relays): (Vec<_>, Vec<_>) = (peers.into_iter().collect(), relays.into_iter().collect());
        let both: Vec<_> = peers.iter().chain(&relays).copied().collect();
        let check = |entry: &Entry, name: &str, kind: &str, known: &[&str]| {
            if known.contains(&name) {
                return Ok(());
            }
            let nearest = crate::nearest::nearest(name, known.iter().copied());
            let nearest = nearest.map_or(String::new(), |name| format!("; the nearest is {name:?}"));
            Err(entry.invalid(format_args!("{kind} {name:?}"), format_args!("a known {kind}{nearest}")))
        };
        for entry in &self.entries {
            let (kind, known) = match &entry.what {
                what if what.concerns_relays() => ("relay", &relays),
                what if what.concerns_peers() => ("peer", &peers),
                _ => ("peer", &both),
            };
            entry.place.names().try_for_each(|name| check(entry, name, kind, known))?;
            entry.what.peer().map_or(Ok(()), |name| check(entry, name, "peer", &peers))?;
        }
        Ok(())
    }
}

/// As TOML, so that it reads back.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&toml_text::write(self))
    }
}

impl std::str::FromStr for Plan {
    type Err = P2PError;

    /// Reads TOML.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        toml_text::read(text)
    }
}
