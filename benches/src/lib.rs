//! What the project costs, measured.
//!
//! Two kinds of numbers. The criterion benches in `benches/` time one hot path each, in memory, to the nanosecond: they
//! tell whether an edit made it slower. `compare` runs the real thing over sockets beside what somebody would use
//! instead, in one process and in alternating rounds: it tells what the contract costs its users. `sim_throughput`
//! tells how fast the simulator simulates.
//!
//! `docs/BENCHMARKS.md` has the results, and how they were taken.
//!
//! # Map
//! - `benches/`: one file a subject: `messages`, `streams`, `protocol`, `watch`, `dispatch`.
//! - `src/compare/`: the side-by-side runner.
//! - [`summary`]: many samples in three numbers. [`machine`]: where they were taken.
//! - [`pair`]: two peers in memory, for the benches.

pub mod machine;
pub mod pair;
pub mod summary;
