//! `p2pd`: shares a local service with a peer, reaches a peer's service, and can be watched while it does.
//!
//! This is the daemon as a library; `main.rs` only parses the command line and reports an error. It stands on
//! [`p2p`]'s traits and takes its provider from [`p2p_providers`], so what it does over iroh it does over the simulator.
//! Being the outermost part of the project it owns sockets, signals and stdout, and uses tokio's tasks directly.
//!
//! # Where to start
//! To use it: `p2pd --help`, or [`cli`]. To understand it: [`forward`], which is the job; everything else is around it.
//!
//! # Map
//! - [`forward`]: TCP connections as streams between peers. [`Target`]: what is shared.
//! - [`admin`]: `/metrics`, `/livez`, `/readyz`.
//! - `relay`: a relay of one's own, with the feature `p2p-iroh`.
//! - [`demo`]: all of it on one machine.
//! - [`command`]: what `share`, `connect` and `id` do. [`cli`]: their arguments. [`config`]: the environment.
//! - [`stack`]: the provider and its layers.
//! - [`Shutdown`], [`Error`], [`Console`], [`logging`]: the end, what goes wrong, what a person reads, what is logged.
//! - `accept`: a TCP listener that survives a shortage of file descriptors.

mod accept;
pub mod admin;
pub mod cli;
pub mod command;
pub mod config;
mod console;
pub mod demo;
mod error;
pub mod forward;
pub mod logging;
#[cfg(feature = "p2p-iroh")]
pub mod relay;
mod shutdown;
pub mod stack;
mod target;

pub use self::{
    console::{Console, Styled},
    error::Error,
    shutdown::{Shutdown, ShutdownTrigger},
    target::Target,
};
