//! Who is in the pool, who is on the way, and who has to go.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    config::PoolConfig,
    member::{Lease, Member},
    stats::PoolStats,
};
use crate::{Instant, P2PError, PeerId, ProtocolId, Result, Watch};

pub(super) type Key = (PeerId, ProtocolId);

/// What a dial, or the check of a connection, leads to; nothing while it is under way.
pub(super) type Outcome = Option<Result<Lease>>;

/// The state of a pool: it knows no tasks and no clock, and is told the time.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: BTreeMap<Key, Slot>,
    pub(super) stats: PoolStats,
}

#[derive(Debug)]
enum Slot {
    Pending(Watch<Outcome>),
    Connected(Arc<Member>),
}

/// What there is for somebody who asks.
pub(super) enum Found {
    Connected(Lease),
    /// Somebody else asked first.
    Pending(Watch<Outcome>),
    /// Nothing, and room for it; perhaps a connection to check first.
    Nothing {
        unchecked: Option<Lease>,
    },
}

impl Slots {
    pub(super) fn find(&mut self, key: &Key, config: &PoolConfig, now: Instant) -> Result<Found> {
        match self.slots.get(key) {
            Some(Slot::Pending(outcome)) => {
                self.stats.joined += 1;
                return Ok(Found::Pending(outcome.clone()));
            }
            Some(Slot::Connected(member)) if member.is_sound() => {
                let idle_since = member.idle_since();
                let is_due = idle_since.is_some_and(|since| now - since >= config.check_after);
                if config.check.is_some() && is_due {
                    return Ok(Found::Nothing { unchecked: Some(member.lease()) });
                }
                self.stats.hits += 1;
                return Ok(Found::Connected(member.lease()));
            }
            Some(Slot::Connected(_)) => {
                self.slots.remove(key);
                self.stats.found_dead += 1;
            }
            None => {}
        }
        self.make_room(config.connections_max)?;
        Ok(Found::Nothing { unchecked: None })
    }

    fn make_room(&mut self, most: usize) -> Result<()> {
        if self.slots.len() < most {
            return Ok(());
        }
        self.remove_closed();
        if self.slots.len() < most {
            return Ok(());
        }
        let idle = self.slots.iter().filter_map(|(key, slot)| Some((slot.idle_since()?, key)));
        match idle.min().map(|(_, key)| key.clone()) {
            Some(longest) => {
                self.slots.remove(&longest);
                self.stats.evicted_for_room += 1;
                Ok(())
            }
            None => {
                self.stats.refused += 1;
                Err(P2PError::LimitReached { what: "connections of a pool, all in use", limit: most })
            }
        }
    }

    /// Notes that a dial, or the check of the connection that was here, is under way.
    pub(super) fn begin(&mut self, key: Key, outcome: Watch<Outcome>) {
        self.slots.insert(key, Slot::Pending(outcome));
    }

    /// The dial or check has ended, with a connection or without.
    pub(super) fn land(&mut self, key: &Key, lease: Option<&Lease>) {
        match lease {
            Some(lease) => self.slots.insert(key.clone(), Slot::Connected(lease.member().clone())),
            None => self.slots.remove(key),
        };
    }

    /// Lets go of what has been idle too long or has closed. Returns when to look again, if anything is left.
    pub(super) fn evict(&mut self, config: &PoolConfig, now: Instant) -> Option<Instant> {
        self.remove_closed();
        let before = self.slots.len();
        // What becomes idle after this look cannot be due sooner than a whole timeout from now.
        let mut next = now + config.idle_timeout;
        self.slots.retain(|_, slot| match slot.idle_since().map(|since| since + config.idle_timeout) {
            Some(due) if due <= now => false,
            Some(due) => {
                next = next.min(due);
                true
            }
            None => true,
        });
        self.stats.evicted_idle += (before - self.slots.len()) as u64;
        (!self.slots.is_empty()).then_some(next)
    }

    pub(super) fn stats(&self) -> PoolStats {
        let connections = self.slots.values().filter(|slot| matches!(slot, Slot::Connected(_))).count();
        let idle = self.slots.values().filter(|slot| slot.idle_since().is_some()).count();
        PoolStats { connections, idle, pending: self.slots.len() - connections, ..self.stats }
    }

    fn remove_closed(&mut self) {
        let before = self.slots.len();
        self.slots.retain(|_, slot| match slot {
            Slot::Pending(_) => true,
            Slot::Connected(member) => member.connection.close_reason().is_none(),
        });
        self.stats.found_dead += (before - self.slots.len()) as u64;
    }
}

impl Slot {
    fn idle_since(&self) -> Option<Instant> {
        match self {
            Self::Pending(_) => None,
            Self::Connected(member) => member.idle_since(),
        }
    }
}
