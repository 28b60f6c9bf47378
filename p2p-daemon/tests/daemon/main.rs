//! The program as a person runs it: real processes, real sockets, and what they print.

#[cfg(feature = "p2p-iroh")]
mod admin;
#[cfg(all(feature = "p2p-iroh", unix))]
mod ask;
#[cfg(feature = "p2p-iroh")]
mod bad_input;
#[cfg(all(feature = "p2p-iroh", unix))]
mod containers;
mod demo;
#[cfg(target_os = "linux")]
mod deploy;
#[cfg(all(feature = "p2p-iroh", unix))]
mod endings;
#[cfg(feature = "p2p-iroh")]
mod files;
#[cfg(feature = "p2p-iroh")]
mod forwarding;
mod manual;
#[cfg(all(feature = "p2p-iroh", unix))]
mod notify;
#[cfg(all(feature = "p2p-iroh", unix))]
mod page;
#[cfg_attr(not(feature = "p2p-iroh"), expect(dead_code, reason = "only the demo runs without iroh"))]
mod process;
#[cfg(feature = "p2p-iroh")]
mod prometheus;
#[cfg(feature = "p2p-iroh")]
mod relay;
#[cfg(feature = "p2p-iroh")]
mod service;
#[cfg(feature = "p2p-iroh")]
mod ticket;
#[cfg(any(feature = "p2p-iroh", target_os = "linux"))]
mod tool;
#[cfg(all(feature = "p2p-iroh", unix))]
mod tunnel;
#[cfg(feature = "p2p-iroh")]
mod up;
