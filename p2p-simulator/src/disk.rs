//! What peers keep when they crash: a disk each, owned by the run and not by the peer's tasks.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use p2p::RuntimeExt;
use parking_lot::Mutex;

use crate::Node;

/// The disks of a run's peers, each with one value of type `T`. Clones are the same disks.
///
/// What is written is in the drive's memory first; [`Disk::flush`] makes it durable. A crash loses the rest: when a later
/// life of the peer opens the disk, it finds what was durable.
#[derive(Clone, Default)]
pub struct Disks<T>(Arc<Mutex<BTreeMap<String, Platter<T>>>>);

#[derive(Clone, Default)]
struct Platter<T> {
    /// Which life of the peer opened it last.
    life: u32,
    written: T,
    durable: T,
    /// Flushes that began, and the last of them that is durable: one that was overtaken must not undo a later one.
    begun: u64,
    done: u64,
}

impl<T: Clone + Default> Disks<T> {
    /// Disks without anything on them.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the disk of a peer, for this life of it. What earlier lives have not flushed is lost.
    pub fn open(&self, node: &Node) -> Disk<T> {
        let mut disks = self.0.lock();
        let platter = disks.entry(node.name().into()).or_default();
        if platter.life != node.incarnation() {
            platter.life = node.incarnation();
            platter.written = platter.durable.clone();
        }
        Disk { disks: self.clone(), node: node.clone() }
    }

    /// What is durable on the disk of that peer: the view of whoever judges the run.
    pub fn durable(&self, peer: &str) -> T {
        self.0.lock().get(peer).map(|platter| platter.durable.clone()).unwrap_or_default()
    }

    /// Acts on a peer's platter; nothing if a later life has opened it.
    fn on<R>(&self, node: &Node, act: impl FnOnce(&mut Platter<T>) -> R) -> Option<R> {
        let mut disks = self.0.lock();
        disks.get_mut(node.name()).filter(|platter| platter.life == node.incarnation()).map(act)
    }
}

impl<T> fmt::Debug for Disks<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disks").finish_non_exhaustive()
    }
}

/// A peer's disk, for one life. Clones are the same disk. After that life, it does nothing and reads as empty.
#[derive(Clone)]
pub struct Disk<T> {
    disks: Disks<T>,
    node: Node,
}

impl<T: Clone + Default> Disk<T> {
    /// Looks at what is written, durable or not.
    pub fn read<R: Default>(&self, look: impl FnOnce(&T) -> R) -> R {
        self.disks.on(&self.node, |platter| look(&platter.written)).unwrap_or_default()
    }

    /// Looks at what is durable.
    pub fn read_durable<R: Default>(&self, look: impl FnOnce(&T) -> R) -> R {
        self.disks.on(&self.node, |platter| look(&platter.durable)).unwrap_or_default()
    }

    /// Writes. A crash before the next [`flush`](Self::flush) loses it.
    pub fn write<R: Default>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        self.disks.on(&self.node, |platter| change(&mut platter.written)).unwrap_or_default()
    }

    /// Makes durable what is written now, which takes that long.
    ///
    /// # Cancel safety
    /// Dropping the future, as a crash does, makes nothing durable.
    pub async fn flush(&self, takes: Duration) {
        let snapshot = self.disks.on(&self.node, |platter| {
            platter.begun += 1;
            (platter.begun, platter.written.clone())
        });
        self.node.runtime().sleep(takes).await;
        let Some((number, snapshot)) = snapshot else {
            return;
        };
        self.disks.on(&self.node, |platter| {
            if number > platter.done {
                (platter.done, platter.durable) = (number, snapshot);
            }
        });
    }
}

impl<T> fmt::Debug for Disk<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("peer", &self.node.name()).finish_non_exhaustive()
    }
}
