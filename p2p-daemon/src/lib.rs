//! `p2pd`: shares a local service with a peer, reaches a peer's service, and can be watched while it does.
//!
//! This is the daemon as a library; `main.rs` only parses the command line and reports an error. It stands on
//! [`p2p`]'s traits and takes its provider from [`p2p_providers`], so what it does over iroh it does over the simulator.
//! Being the outermost part of the project it owns sockets, signals and stdout, and uses tokio's tasks directly.
//!
//! # Where to start
//! To use it: `p2pd --help`, or [`cli`]. To understand it: [`daemon`], which is the running thing, and [`forward`], which
//! is its job.
//!
//! # Map
//! - [`rule`]: what is to be forwarded. [`access`]: for whom. [`config`]: the file, the environment and the flags that say
//!   so.
//! - [`Daemon`]: the rules at work, with whom it is connected, what happened.
//! - [`reload`]: another configuration while it runs.
//! - [`forward`]: connections and datagrams between peers. [`http`]: requests by host and path. [`proxy`]: SOCKS5 and
//!   `CONNECT`.
//! - [`transfer`]: files and folders. `measure`: round trips and throughput.
//! - [`tunnel`]: the legacy tunnel, its server, both its ends, and the way off it.
//! - [`admin`]: `/metrics`, `/livez`, `/readyz`; `ask`: the same from another process.
//! - `relay`: a relay of one's own, with the feature `p2p-iroh`.
//! - [`demo`]: all of it on one machine.
//! - [`command`]: what `share`, `connect` and the others do. [`cli`]: their arguments.
//! - [`stack`]: the provider and its layers.
//! - [`Shutdown`], [`Error`], [`Console`], [`logging`]: the end, what goes wrong, what a person reads, what is logged.
//! - `notify`: what systemd is told.
//! - [`open_files`]: how many connections there can be. `accept`: a TCP listener that survives a shortage of file descriptors.

mod accept;
pub mod access;
pub mod admin;
mod ask;
pub mod cli;
pub mod command;
pub mod config;
mod console;
pub mod daemon;
pub mod demo;
mod error;
pub mod forward;
pub mod http;
pub mod logging;
mod measure;
mod notify;
pub mod open_files;
pub mod proxy;
#[cfg(feature = "p2p-iroh")]
pub mod relay;
pub mod reload;
pub mod rule;
mod shutdown;
pub mod stack;
pub mod transfer;
pub mod tunnel;

pub use self::{
    console::{Console, Styled},
    daemon::Daemon,
    error::Error,
    shutdown::{Shutdown, ShutdownTrigger},
};
