//! The contract as tests: one function per sentence, for the authors of providers and layers.
//!
//! A property is an async function whose name is the sentence and whose first comment says why its assertions prove it.
//! A [`Harness`] yields the providers it is tried on. [`PROPERTIES`] lists them all, each with its [`Kind`] and with the
//! [`Fault`](crate::mock::Fault)s that must fail it; [`Saboteur`](crate::mock::Saboteur) plays those.
//!
//! Properties know no clock but the provider's [runtime](crate::runtime): they hold under latency and loss, in virtual
//! time and in real time.
//!
//! # A provider's tests
//! ```
//! use std::sync::Arc;
//! use p2p::{P2PProvider, conformance::Harness, memory::MemoryNetwork};
//!
//! struct Memory;
//!
//! #[async_trait::async_trait]
//! impl Harness for Memory {
//!     async fn providers(&self) -> (Arc<dyn P2PProvider>, Arc<dyn P2PProvider>) {
//!         let network = MemoryNetwork::new();
//!         (Arc::new(network.provider("alice")), Arc::new(network.provider("bob")))
//!     }
//! }
//!
//! p2p::conformance_tests!(#[tokio::test(start_paused = true)] Memory);
//! # fn main() {}
//! ```
//!
//! A simulator tries each property on many networks instead:
//! ```no_run
//! # async fn simulate(harness: &dyn p2p::conformance::Harness) {
//! for property in p2p::conformance::PROPERTIES {
//!     property.run(harness).await; // within a simulation of its own, for each seed
//! }
//! # }
//! ```
//!
//! # Map
//! - What runs: [`Harness`], [`Property`], [`Pair`], and the table of them in `table.rs`.
//! - What is sent: [`messages`], [`backpressure`], [`streams`], [`stream_ends`], [`datagrams`].
//! - What is dropped: [`cancellation`], [`last_drop`].
//! - How it ends: [`close`], [`finish`], [`shutdown`].
//! - How it begins: [`dialling`], [`handshake`], [`listeners`].
//! - What is told: [`accounts`].

pub mod accounts;
pub mod backpressure;
pub mod cancellation;
pub mod close;
pub mod datagrams;
pub mod dialling;
pub mod finish;
pub mod handshake;
mod harness;
pub mod last_drop;
pub mod listeners;
pub mod messages;
mod pair;
mod property;
pub mod shutdown;
pub mod stream_ends;
pub mod streams;
mod table;

pub use self::{
    harness::{Capabilities, Harness, Silence, SilentPeer},
    pair::{Pair, Patience, connected_pair, connected_pair_with},
    property::{Failure, Interruption, Kind, Outcome, Property, Verdict},
    table::{PROPERTIES, property},
};
