//! Peer connections for Rust services behind one trait.
//!
//! A service is written against [`P2PProvider`], [`P2PConnection`] and [`P2PListener`]. It runs in memory in this crate's
//! tests, in the seeded simulator over thousands of networks, and on real ones over iroh, without a change.
//!
//! This crate is the contract and all that every provider shares. It knows no network, no socket and no environment
//! variable; those belong to the providers, which are crates of their own.
//!
//! # Where to start
//! To use connections: [`P2PProvider`], then [`P2PConnection`]. To write a provider: [`transport`], then
//! [`engine::Hub`], then the `conformance` suite. To write a layer: [`layer`].
//!
//! # Map
//! - The contract: [`P2PProvider`], [`P2PListener`], [`P2PConnection`], [`BiStream`], [`P2PError`].
//! - Names and places: [`PeerId`], [`PeerAddr`], [`Ticket`], [`ProtocolId`].
//! - [`runtime`]: time, tasks and randomness, which a provider carries. [`Watch`] and [`select!`]: waiting, replayably.
//! - [`protocol`]: the bytes on the wire, as state machines without I/O.
//! - [`transport`]: what a provider supplies. [`engine`]: what turns that into connections.
//! - [`channel`]: several typed channels on one connection.
//! - [`memory`]: peers within one process. [`key_file`]: a provider's secret key on disk.
//! - [`layer`]: providers around providers.
//! - `conformance`: the contract as tests. [`mock`]: scripted and broken providers.
#![cfg_attr(not(test), warn(clippy::disallowed_macros, clippy::disallowed_methods, clippy::disallowed_types))]

mod config;
mod connection;
mod error;
mod listener;
mod peer;
mod provider;
mod select;
mod stats;
mod status;
mod stream;
mod ticket;
mod watch;

pub mod channel;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod engine;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod key_file;
pub mod layer;
pub mod memory;
pub mod mock;
pub mod protocol;
pub mod runtime;
pub mod transport;

pub use self::{
    config::{Answer, ConnectionConfig, LIVENESS_MIN, ListenConfig, MESSAGE_BYTES_CEILING, ProtocolId},
    connection::{P2PConnection, P2PConnectionExt},
    error::{P2PError, Result, SharedError, StreamError, TrySendError, chain},
    listener::P2PListener,
    peer::{PeerAddr, PeerId, PeerInfo},
    provider::{P2PProvider, P2PProviderExt},
    runtime::{BoxFuture, Instant, Interval, Rng, Runtime, RuntimeExt, TaskHandle, Timer, TokioRuntime},
    stats::{Bandwidth, ConnectionStats, Quality, RoundTrips},
    status::{
        CLOSE_REASON_BYTES_MAX, Capability, Check, CloseCode, CloseReason, ConnectionLimits, ConnectionState,
        Negotiated, Path, ProviderStatus, Refusal, RefusalCode,
    },
    stream::{BiStream, RecvHalf, RecvStream, SendHalf, SendStream},
    ticket::Ticket,
    transport::{Transport, TransportClosed, TransportStats},
    watch::{Watch, WatchEnded, WatchSender},
};

#[doc(hidden)]
pub use tokio as __tokio;
