//! NATs and relays: which pairs of peers come to a direct path, how long it takes them, and what happens when they lose it.

#[path = "../../../p2p-iroh/tests/nat_lab/expectation.rs"]
mod expectation;
mod faults;
mod matrix;
mod pair;
mod paths;
mod relays;
