//! `TunnelP2P`: a provider whose connections are byte streams that somebody else joins, end to end encrypted.
//!
//! Whoever carries the bytes, a tunnel server for one, sees TLS 1.3 and nothing else: both sides prove with a raw ed25519 key
//! (RFC 7250) which [`PeerId`](p2p::PeerId) they are. There are no datagrams, and connections say so.
//!
//! ```text
//! P2PProvider      TunnelP2P, Identity
//! engine           p2p's
//! transport        the streams of one connection, driven by a task      transport, driver
//! mux              streams on one pair of byte streams, sans-IO          [mux]
//! tls              who the peer is, and that nobody else reads           tls
//! byte streams     a [`Rendezvous`] joins two peers' ends
//! ```
//!
//! The rendezvous that is here is a tunnel server: [`ServerRendezvous`] at the peers, [`PeerEndpoint`] in the server. [`TunnelP2PConfig`]
//! is what a program is told of it, [`LocalServer`] one to try things on.

mod config;
mod driver;
mod handshakes;
mod identity;
mod local;
pub mod mux;
mod proof;
mod provider;
mod rendezvous;
mod server;
mod server_rendezvous;
mod tls;
mod transport;

pub use self::{
    config::TunnelP2PConfig,
    identity::Identity,
    local::LocalServer,
    provider::TunnelP2P,
    rendezvous::Rendezvous,
    server::{PeerBounds, PeerEndpoint},
    server_rendezvous::{ServerRendezvous, ServerRendezvousConfig},
};
