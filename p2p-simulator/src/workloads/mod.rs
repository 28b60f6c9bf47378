//! The workloads that ship: real programs, small enough to read, with bugs that can be switched on.

mod counter;

pub use self::counter::Counter;
use crate::workload::Registry;

/// All of them.
pub fn registry() -> Registry {
    Registry::new().with(Counter)
}
