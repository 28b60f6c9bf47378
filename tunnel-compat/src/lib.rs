//! The legacy tunnel, and the way off it: both of its ends, and a bridge that takes its place.
//!
//! ```text
//! remote app ──HTTP, WebSocket──► tunnel server ◄──one WebSocket── home side ──HTTP──► the home's server
//!                                      │   requests, as JSON text  ──►  │
//!                                      │ ◄──  responses, in packets     │
//!
//! remote app ──HTTP, WebSocket──► gateway, beside the app ──streams between peers──► home side ──HTTP──► the home's server
//! ```
//!
//! # Where to start
//! - [`route`]: the way a request takes to the home, as one trait. What calls it: the server and the gateway.
//! - [`http`]: servers and clients on any byte streams; the bridge between peers is made of these.
//!   [`homes`]: several homes, each by a route of its own.
//! - [`connector`]: the byte streams that everything stands on. [`tcp`]: those of the edge, [`tls`] over them. [`peer`]: those
//!   between peers.
//! - [`socket`]: WebSockets, as messages.
//! - [`sender`]: the home's side of a tunnel server, the legacy one or ours.
//! - [`server`]: a tunnel server at the legacy one's URL; [`legacy`]: its route to homes. [`endpoint`]: further WebSockets on it.
//! - [`gateway`]: beside an app, the home's API on loopback; an app's way over a tunnel server.
//! - [`migration`]: which route a request takes, phase by phase.
//! - [`tunnel_p2p`]: peers over byte streams that somebody else carries, end to end encrypted.
//! - [`wire`]: every message of the legacy tunnel's one WebSocket, byte for byte. No sockets, no tasks, no clock.
//!
//! What is written here, the real programs read; what they write, with their defects, is read here, or refused with a
//! reason. What they panic on is an error.

pub mod connector;
pub mod endpoint;
pub mod gateway;
pub mod homes;
pub mod http;
pub mod legacy;
pub mod migration;
pub mod peer;
mod query;
pub mod route;
pub mod sender;
pub mod server;
pub mod socket;
pub mod tcp;
pub mod tls;
pub mod tunnel_p2p;
pub mod wire;
