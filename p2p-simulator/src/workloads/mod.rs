//! The workloads that ship: real programs, small enough to read, with bugs that can be switched on.

mod counter;
mod gossip;
mod notes;

pub use self::{counter::Counter, gossip::Gossip, notes::Notes};
use crate::workload::Registry;

/// All of them.
pub fn registry() -> Registry {
    Registry::new().with(Counter).with(Gossip).with(Notes)
}
