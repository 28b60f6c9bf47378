//! A seeded, deterministic network in memory, as a provider for [`p2p`].
//!
//! A program written against [`P2PProvider`](p2p::P2PProvider) runs here on as many peers and networks as you like, in
//! virtual time, thousands of seeds a minute. What it meets is what real networks do: latency, loss, full queues, dials
//! that fail, partitions that are nothing but silence. The same seed gives the same run, event for event, on every machine;
//! a [`Trace`] proves it, and says where two runs part.
//!
//! It simulates peers and messages, not machines: everything above the byte streams, handshake and framing included, is
//! the code that ships; CPU time costs no virtual time.
//!
//! # Where to start
//! [`Simulation`] runs a program in virtual time. [`Network::on_tokio`] lives on tokio's clock instead, in a test with
//! paused time or in a demo in real time. Both give a [`Network`], whose peers are [`SimulatorP2P`]s.
//! [`SimulatorConfig`] has all settings, and reads `SIMULATOR_P2P_*`.
//!
//! What goes wrong is a [`Fault`] at a [`Place`]: from code with [`Network::inject`], whose guard ends it; as data in a
//! [`Plan`]; or drawn by a [`Swarm`], another for each seed. [`Network::crash`] and [`Network::restart`] end a peer and
//! bring it back with nothing left of its memory.
//!
//! To run a program on many seeds, and keep what failed, make it a [`Workload`](workload::Workload): the binary `p2p-sim`
//! (feature `runner`) runs a [`Scenario`](scenario::Scenario) of it and replays [`Capsule`](capsule::Capsule)s.
//!
//! # Map
//! - `world`: the network as a state machine without tasks, clocks or I/O. Everything else drives it.
//! - `driver`: virtual time and tokio's; how a run fails. `shared`: the lock in between.
//! - [`trace`]: what happened, its hash, [`trace::locate`], and how it is shown: a page, Perfetto, lines of JSON.
//! - `provider`, `endpoint`, `connection`, `stream`: what peers hold of the world.
//! - `programs`: what peers run, and run again after a crash. `runtime`, `tasks`: the peers' time, tasks and randomness.
//! - `topology`: routers with their NATs, and relays.
//! - `faulty`: what another provider can bear of a plan, on that provider.
//! - `link`, `latency`, `profile`: what lies between peers. `fault`: what goes wrong; `plan`: when; `swarm`: by chance.
//!   `text`, `nearest`: how it is written.
//! - [`workload`]: programs under test; [`workloads`]: those that ship; [`disk`]: what they keep across a crash.
//!   [`scenario`]: how they are run; [`mod@case`]: one run as data; [`runner`]: runs; [`capsule`]: failures in files;
//!   [`mod@shrink`]: makes them smaller, and says which faults they need; `cli`: `p2p-sim`.
//!   `seeds`: [`simulate!`], tests over many seeds. [`claims`]: [`always!`], [`sometimes!`], [`eventually!`].
//! - [`config`]: settings. [`load`]: traffic to measure with.
#![cfg_attr(not(test), warn(clippy::disallowed_macros, clippy::disallowed_methods, clippy::disallowed_types))]

pub mod capsule;
pub mod case;
pub mod claims;
#[cfg(feature = "runner")]
pub mod cli;
pub mod config;
mod connection;
pub mod disk;
mod driver;
mod endpoint;
mod fault;
mod faulty;
mod latency;
mod link;
pub mod load;
mod nearest;
mod network;
mod plan;
mod probability;
mod profile;
mod programs;
mod provider;
pub mod runner;
mod runtime;
pub mod scenario;
mod seeds;
mod shared;
pub mod shrink;
mod stream;
mod swarm;
mod tasks;
mod text;
mod topology;
pub mod trace;
pub mod workload;
pub mod workloads;
mod world;

pub use self::{
    config::SimulatorConfig,
    connection::SimulatorConnection,
    driver::{Ended, Failure, Run, RunFailure, Runs, Simulation, SimulationBuilder, Waiting},
    endpoint::SimulatorEndpoint,
    fault::{CLOCK_DRIFT_PPM_MAX, Fault, FaultGuard, Hold, LinkChange, PacketInFlight, Peers, Place},
    faulty::{Faulty, Weather},
    latency::{Latency, QUANTILES, Quantiles},
    link::{LinkConfig, MTU_BYTES_MAX, MTU_BYTES_MIN},
    network::{Network, Node},
    plan::{Entry, PLAN_ENTRIES_MAX, Plan},
    probability::Probability,
    profile::Profile,
    provider::SimulatorP2P,
    seeds::run_seeds,
    stream::{SimulatorRecv, SimulatorSend},
    swarm::Swarm,
    topology::{Filtering, Mapping, Nat, RELAYS_MAX, ROUTERS_DEEP_MAX, ROUTERS_MAX, Relay, Router, Topology},
    trace::{Trace, TraceHash, TraceMode},
};

/// The guide's programs compile.
#[cfg(doctest)]
#[doc = include_str!("../../docs/SIMULATOR.md")]
struct Guide;
