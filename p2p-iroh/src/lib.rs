//! Peer connections over [iroh]: QUIC from machine to machine, hole punching, relays where no direct path exists.
//!
//! [`IrohP2P`] is a [`P2PProvider`](p2p::P2PProvider) like any other; what is said of connections there holds here.
//! This crate adds what only a real network needs: an [`Identity`] that outlives the process, [relays](RelayServer)
//! with tokens and private certificate authorities, discovery on the local network.
//!
//! ```
//! use p2p::{P2PConnectionExt, P2PProvider, P2PProviderExt};
//! use p2p_iroh::{IrohConfig, IrohP2P};
//!
//! # #[tokio::main] async fn main() -> p2p::Result<()> {
//! let (alice, bob) = (IrohP2P::bind(IrohConfig::default()).await?, IrohP2P::bind(IrohConfig::default()).await?);
//!
//! let chat: p2p::ProtocolId = "chat/1".parse()?;
//! let listener = bob.listen(&chat).await?;
//! let (ours, theirs) = tokio::try_join!(alice.connect(listener.local_addr(), &chat), listener.accept())?;
//!
//! ours.send("hello".into()).await?;
//! assert_eq!(theirs.recv().await?, "hello");
//!
//! alice.shutdown(std::time::Duration::from_secs(1)).await;
//! bob.shutdown(std::time::Duration::from_secs(1)).await;
//! # Ok(()) }
//! ```
//!
//! # What leaves the machine
//! By default, packets to peers that are dialled, and to the relays in their addresses. With relays configured: HTTPS
//! and address discovery to those relays, and name lookups for them at the system's name servers, never at others.
//! With [LAN discovery](IrohConfig::lan_discovery): multicast on the local network. With port mapping: requests to the
//! router. None of the servers that iroh's authors run is ever contacted.
//!
//! # Map
//! - What is configured: [`IrohConfig`], [`Identity`] and its file, [`RelayServer`], [`TrustRoots`],
//!   [`AccessList`], [`IrohLimits`].
//! - Who gets in, and how much of the endpoint: `admission`; the bytes it lends, `budget`; a peer's share of them, `window`
//!   and `datagrams`.
//! - The provider: [`IrohP2P`] (`provider`), the `endpoint` it binds, its `accept` loop, its `status`, the `peers` it
//!   knows, those it finds on the `lan`.
//! - What the engine speaks over: `transport`, one connection; `stream`, the halves of a stream.
//! - Requests in the first packet, for those who opt in: `early`.
//! - Translation: `addr` for names and places, `error` for everything that goes wrong.
//!
//! [iroh]: https://docs.rs/iroh

mod accept;
mod access;
mod addr;
mod admission;
mod bootstrap;
mod budget;
mod config;
mod datagrams;
mod discovery;
pub mod doctor;
mod early;
mod endpoint;
mod error;
mod failover;
mod identity;
mod lan;
mod limits;
pub mod metrics;
mod options;
mod peers;
mod provider;
mod relay;
mod status;
mod stream;
mod transport;
mod trust;
mod window;

pub use self::{
    access::AccessList,
    config::IrohConfig,
    discovery::{DnsOrigin, PkarrServer, Publish},
    early::{EARLY_ANSWER_BYTES_MAX, EARLY_REQUEST_BYTES_MAX, EarlyAnswer, EarlyRequest},
    identity::Identity,
    limits::{CONNECTION_BYTES_MIN, IrohLimits},
    options::{Congestion, KeyExchange},
    provider::IrohP2P,
    relay::RelayServer,
    trust::TrustRoots,
};
