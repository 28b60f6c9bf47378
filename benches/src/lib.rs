//! What the project costs, measured.
//!
//! Two kinds of numbers. The criterion benches in `benches/` time one hot path each, in memory, to the nanosecond: they
//! tell whether an edit made it slower. `compare` runs the real thing over sockets beside what somebody would use
//! instead, in one process and in alternating rounds: it tells what the contract costs its users. `forward` does so for
//! `p2pd` and `dumbpipe`, as processes, and `bridge` for the ways of an app to its home. `memory` tells what a process keeps. `sim_throughput` tells how fast the simulator simulates.
//!
//! `docs/BENCHMARKS.md` has the results, and how they were taken.
//!
//! # Map
//! - `benches/`: one file a subject: `messages`, `streams`, `protocol`, `watch`, `dispatch`.
//! - `src/compare/`: the side-by-side runner. `src/forward/`: the one of forwarders, `src/bridge/` of
//!   bridges. `src/memory/`: idle connections, and half an hour of coming and going.
//! - [`summary`]: many samples in three numbers, and a line through them. [`machine`]: where they were taken.
//! - [`pair`]: two peers in memory, for the benches. [`full_stack`]: every layer at work.
//!   [`counting`]: what they count with.

pub mod counting;
pub mod machine;
pub mod pair;
pub mod summary;

use p2p::layer::{Bounds, CompressionConfig, Rate, RateLimits, Rates, StackConfig, Traffic};

/// Every layer of `p2p::layer::stack`, each with something to do for every message and byte, and no bound that a bench
/// meets.
pub fn full_stack() -> StackConfig {
    let ample = Rate::per_second(100_000_000_000);
    let traffic = Traffic::NONE.with_messages(ample).with_bytes(ample).with_streams(ample);
    let rates = Rates::NONE.with_dials(ample).with_accepts(ample).with_sent(traffic).with_received(traffic);
    StackConfig {
        limits: Some(Bounds::default().with_connections_per_peer(1024)),
        rate_limits: Some(RateLimits::NONE.with_per_peer(rates).with_total(rates)),
        compression: Some(CompressionConfig::default()),
        ..StackConfig::default()
    }
}
