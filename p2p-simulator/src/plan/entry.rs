//! One fault of a plan.

use std::{fmt, time::Duration};

use p2p::P2PError;

use crate::{Fault, Peers, Place};

/// One fault of a [`Plan`](crate::Plan).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, in reports and when a plan is made smaller. Unique within the plan.
    pub id: String,
    /// When it begins.
    pub at: Duration,
    /// When it ends; nothing if never.
    pub until: Option<Duration>,
    /// What goes wrong.
    pub what: Fault,
    /// Where.
    pub place: Place,
}

impl Entry {
    /// A fault that begins then and does not end.
    pub fn new(id: impl Into<String>, at: Duration, what: Fault, place: Place) -> Self {
        Self { id: id.into(), at, until: None, what, place }
    }

    /// Ends the fault then.
    #[must_use]
    pub const fn until(mut self, until: Duration) -> Self {
        self.until = Some(until);
        self
    }

    /// The names in it: of peers, and of relays.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.place.names().chain(self.what.peer())
    }

    pub(super) fn check(&self) -> Result<(), P2PError> {
        if self.id.trim().is_empty() {
            return Err(self.invalid("the id", "a name"));
        }
        if let Some(until) = self.until
            && until <= self.at
        {
            return Err(self.invalid(format_args!("until = {until:?}"), format_args!("later than at = {:?}", self.at)));
        }
        self.what.check_place(&self.place).map_err(|error| match error {
            P2PError::InvalidInput { what, expected } => self.invalid(what, expected),
            other => other,
        })
    }

    /// Whether the same thing would go wrong at the same place twice at once.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let before = |a: &Self, b: &Self| a.until.is_some_and(|until| until <= b.at);
        let together = !before(self, other) && !before(other, self);
        together && self.what.kind_number() == other.what.kind_number() && meet(&self.place, &other.place)
    }

    pub(super) fn invalid(&self, what: impl fmt::Display, expected: impl fmt::Display) -> P2PError {
        P2PError::invalid_input(format_args!("fault {:?}: {what}", self.id), expected)
    }
}

/// Whether two places are the same, or have a peer in common.
fn meet(one: &Place, other: &Place) -> bool {
    match (one, other) {
        (Place::Around(Peers::All), Place::Around(_)) | (Place::Around(_), Place::Around(Peers::All)) => true,
        (Place::Around(_), Place::Around(_)) => one.names().any(|name| other.names().any(|other| name == other)),
        (Place::Ways { from, to, both }, Place::Ways { from: other_from, to: other_to, both: other_both }) => {
            let same = |from, to| same(from, other_from) && same(to, other_to);
            both == other_both && (same(from, to) || (*both && same(to, from)))
        }
        _ => false,
    }
}

/// Whether these are the same peers, in whatever order.
fn same(one: &Peers, other: &Peers) -> bool {
    match (one, other) {
        (Peers::Named(one), Peers::Named(other)) => {
            one.len() == other.len() && one.iter().all(|name| other.contains(name))
        }
        _ => one == other,
    }
}
