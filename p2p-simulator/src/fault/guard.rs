//! Faults from code: each lasts as long as its guard.

use std::{fmt, sync::Arc};

use p2p::Instant;

use crate::{shared::Shared, trace::What, world::link::LinkIx};

/// A fault in effect. Dropping this ends it.
#[must_use = "dropping the guard ends the fault"]
pub struct FaultGuard {
    shared: Arc<Shared>,
    number: u64,
    is_kept: bool,
}

impl FaultGuard {
    pub(crate) const fn new(shared: Arc<Shared>, number: u64) -> Self {
        Self { shared, number, is_kept: false }
    }

    /// Ends the fault.
    pub fn lift(self) {
        drop(self);
    }

    /// Leaves the fault in effect for good.
    pub fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for FaultGuard {
    fn drop(&mut self) {
        if !self.is_kept {
            self.shared.with(|world| world.end_fault(self.number));
        }
    }
}

impl fmt::Debug for FaultGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultGuard").field("number", &self.number).finish_non_exhaustive()
    }
}

/// A link whose packets wait until they are released, one by one or all together when this is dropped.
#[must_use = "dropping this releases everything"]
#[derive(Debug)]
pub struct Hold {
    guard: FaultGuard,
    link: LinkIx,
}

impl Hold {
    pub(crate) const fn new(guard: FaultGuard, link: LinkIx) -> Self {
        Self { guard, link }
    }

    /// What is on the link: first what waits, in the order of its release, then what is still travelling.
    pub fn in_flight(&self) -> Vec<PacketInFlight> {
        self.guard.shared.with(|world| world.in_flight(self.link))
    }

    /// Lets the first `count` waiting packets arrive now, and returns how many there were.
    pub fn release(&self, count: usize) -> usize {
        self.guard.shared.with(|world| world.release(self.link, count))
    }
}

/// A packet between two peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PacketInFlight {
    /// What it is.
    pub what: What,
    /// Bytes of its payload.
    pub bytes: u32,
    /// When it was sent.
    pub sent_at: Instant,
    /// When it arrives; nothing while it waits for the end of a fault.
    pub arrives_at: Option<Instant>,
}
