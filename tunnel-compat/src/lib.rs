//! The legacy tunnel: what its home servers and its tunnel server say to each other, readable and writable.
//!
//! ```text
//! remote app ──HTTP, WebSocket──► tunnel server ◄──one WebSocket── home side ──HTTP──► the home's server
//!                                      │   requests, as JSON text  ──►  │
//!                                      │ ◄──  responses, in packets     │
//! ```
//!
//! - [`wire`]: every message of that one WebSocket, byte for byte. No sockets, no tasks, no clock.
//!
//! What is written here, the real programs read; what they write, with their defects, is read here, or refused with a
//! reason. What they panic on is an error.

pub mod wire;
