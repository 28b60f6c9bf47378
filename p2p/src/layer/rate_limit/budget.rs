//! What is left of every rate, for one peer or for all.

use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::{gcra::Gcra, limits::Rates, rate::Rate};
use crate::{Instant, P2PError};

/// What is limited, each with a rate and a budget of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Dials,
    Accepts,
    MessagesSent,
    BytesSent,
    StreamsSent,
    MessagesReceived,
    BytesReceived,
    StreamsReceived,
}

impl Kind {
    pub(super) const ALL: [Self; 8] = [
        Self::Dials,
        Self::Accepts,
        Self::MessagesSent,
        Self::BytesSent,
        Self::StreamsSent,
        Self::MessagesReceived,
        Self::BytesReceived,
        Self::StreamsReceived,
    ];

    /// What an error names: with one peer, and altogether.
    const fn scopes(self) -> [&'static str; 2] {
        match self {
            Self::Dials => ["dials to one peer", "dials"],
            Self::Accepts => ["connections from one peer", "connections accepted"],
            Self::MessagesSent => ["messages to one peer", "messages sent"],
            Self::BytesSent => ["bytes to one peer", "bytes sent"],
            Self::StreamsSent => ["streams to one peer", "streams opened"],
            Self::MessagesReceived => ["messages from one peer", "messages received"],
            Self::BytesReceived => ["bytes from one peer", "bytes received"],
            Self::StreamsReceived => ["streams from one peer", "streams accepted"],
        }
    }
}

impl Rates {
    pub(super) const fn of(&self, kind: Kind) -> Option<Rate> {
        match kind {
            Kind::Dials => self.dials,
            Kind::Accepts => self.accepts,
            Kind::MessagesSent => self.sent.messages,
            Kind::BytesSent => self.sent.bytes,
            Kind::StreamsSent => self.sent.streams,
            Kind::MessagesReceived => self.received.messages,
            Kind::BytesReceived => self.received.bytes,
            Kind::StreamsReceived => self.received.streams,
        }
    }

    pub(super) fn concern(&self, kinds: impl IntoIterator<Item = Kind>) -> bool {
        kinds.into_iter().any(|kind| self.of(kind).is_some())
    }
}

/// What an act costs: of each kind that many units. An act that is to cost what only its outcome tells names the kind
/// with 0: it needs one unit to be there, and takes none.
pub(super) type Cost = [(Kind, u64)];

/// Why an act may not be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Denied {
    pub(super) scope: &'static str,
    /// When that was.
    now: Instant,
    /// When it may be tried again.
    pub(super) until: Instant,
}

impl Denied {
    pub(super) fn retry_after(self) -> Duration {
        self.until - self.now
    }
}

impl From<Denied> for P2PError {
    fn from(denied: Denied) -> Self {
        Self::RateLimited { scope: denied.scope, retry_after: denied.retry_after() }
    }
}

/// Whose budget.
#[derive(Debug, Clone, Copy)]
pub(super) enum Level {
    Peer,
    Total,
}

/// The budgets of one peer, or of all.
#[derive(Debug, Default)]
pub(super) struct Budget(Mutex<[Gcra; Kind::ALL.len()]>);

impl Budget {
    /// The part of it that `cost` is about; nothing if these rates do not limit it.
    pub(super) fn open<'a>(&'a self, level: Level, rates: &'a Rates, cost: &Cost) -> Option<OpenBudget<'a>> {
        let concerns = rates.concern(cost.iter().map(|&(kind, _)| kind));
        concerns.then(|| OpenBudget { level, rates, left: self.0.lock() })
    }

    /// When all of it is there again.
    pub(super) fn full_at(&self, rates: &Rates) -> Instant {
        let left = self.0.lock();
        let full = |kind| rates.of(kind).map(|rate| left[kind as usize].full_at(rate));
        Kind::ALL.into_iter().filter_map(full).max().unwrap_or(Instant::ZERO)
    }
}

/// A budget under its lock.
pub(super) struct OpenBudget<'a> {
    level: Level,
    rates: &'a Rates,
    left: MutexGuard<'a, [Gcra; Kind::ALL.len()]>,
}

impl OpenBudget<'_> {
    /// What keeps the act waiting longest, if anything does.
    pub(super) fn denied(&self, cost: &Cost, now: Instant) -> Option<Denied> {
        let denied = |&(kind, _): &(Kind, u64)| {
            let until = self.left[kind as usize].check(self.rates.of(kind)?, now).err()?;
            Some(Denied { scope: kind.scopes()[self.level as usize], now, until })
        };
        cost.iter().filter_map(denied).max_by_key(|denied| denied.until)
    }

    pub(super) fn take(&mut self, cost: &Cost, now: Instant) {
        for &(kind, units) in cost {
            if let Some(rate) = self.rates.of(kind) {
                self.left[kind as usize].take(rate, now, units);
            }
        }
    }

    pub(super) fn give_back(&mut self, cost: &Cost) {
        for &(kind, units) in cost {
            if let Some(rate) = self.rates.of(kind) {
                self.left[kind as usize].give_back(rate, units);
            }
        }
    }
}
