//! Providers around providers.
//!
//! A layer wraps a [`P2PProvider`] and is one, so a stack of layers goes wherever a provider goes. [`LayerExt`] builds
//! stacks, `Display` prints them, innermost last:
//!
//! ```
//! use p2p::{layer::{Deadlines, LayerExt}, memory::MemoryNetwork};
//!
//! let provider = MemoryNetwork::new()
//!     .provider("alice")
//!     .with_timeout(Deadlines::default())
//!     .with_metrics(&metrics::NoopRecorder);
//! assert!(provider.to_string().starts_with("Metrics(Timeout("));
//! ```
//!
//! # Map
//! - [`timeout`]: each attempt has a deadline. Innermost.
//! - [`reconnect`]: a connection outlives its transport.
//! - [`compression`]: messages take fewer bytes.
//! - [`routes`]: one peer, several ways to it. A provider over providers, under everything else.
//! - [`rate_limit`]: limits how often things happen. [`limits`]: limits how much there is at once.
//! - [`metrics`]: counts what passes. Outermost.
//! - [`pool`]: shares connections among those who dial. Above the stack, for clients.
//! - [`stack`](mod@stack): all of them from one configuration.
//!
//! # Order
//! Written in the order of the calls: what is nearest to the network comes first. [`stack()`] builds this one from a
//! [`StackConfig`], and refuses those that cannot work.
//!
//! | from the network outwards | why there |
//! |---|---|
//! | [`Timeout`] | bounds *one attempt*; around a layer that dials again it would bound all of them together |
//! | [`Limits`], [`RateLimit`] | see every transport, so a peer that dials again and again meets them |
//! | [`Reconnect`] | sees each attempt fail by name |
//! | [`Compression`] | what may have to be sent again is kept, and sent again, compressed |
//! | [`Metrics`] | counts what the application gets, once, whatever it took below |
//!
//! Other orders compile, run, and answer another question. Here the deadline passes *outside* of the counting, so
//! an attempt that ran into it was, to `Metrics`, merely dropped by its caller: `p2p_connect_attempts_total` says
//! `cancelled` where an operator looks for `timeout`. And compression *below* `Reconnect` does its work again at each
//! resume, while messages wait for their acknowledgement, and fill the replay's budget, in full size.
//!
//! ```
//! use p2p::{layer::{CompressionConfig, Deadlines, LayerExt, ReconnectConfig}, memory::MemoryNetwork};
//!
//! let network = MemoryNetwork::new();
//! let right = network.provider("alice")
//!     .with_timeout(Deadlines::default())
//!     .with_reconnect(ReconnectConfig::default())?
//!     .with_compression(CompressionConfig::default())
//!     .with_metrics(&metrics::NoopRecorder);
//! let wrong = network.provider("bob")
//!     .with_metrics(&metrics::NoopRecorder)
//!     .with_compression(CompressionConfig::default())
//!     .with_reconnect(ReconnectConfig::default())?
//!     .with_timeout(Deadlines::default());
//! # assert!(right.to_string().starts_with("Metrics(Compression(Reconnect(Timeout("));
//! # assert!(wrong.to_string().starts_with("Timeout(Reconnect(Compression(Metrics("));
//! # Ok::<(), p2p::P2PError>(())
//! ```
//!
//! # Writing a layer
//! - State lives in the layer, behind an `Arc`; the listeners and connections it wraps only share it. So a stack that is
//!   cloned, or held by many connections, has one budget and one set of counters.
//! - Forward what you do not change, and prove it with `#[deny(clippy::missing_trait_methods)]` on each `impl`.
//! - Keep the contract's cancel safety: after an inner future has resolved, wait for nothing more.
//! - A task must not hold a connection, only [`Weak`](std::sync::Weak): the last handle's drop closes it.
//! - Time, tasks and randomness come from [`P2PProvider::runtime`].
//! - Run the conformance suite over the layer. Its promise is that the contract holds through it.

mod answer;
#[macro_use]
mod forward;
pub mod compression;
mod held;
pub mod limits;
pub mod metrics;
pub mod pool;
pub mod rate_limit;
pub mod reconnect;
pub mod routes;
pub mod stack;
pub mod timeout;

use crate::{P2PProvider, Result};

pub use self::{
    compression::{Compression, CompressionConfig, CompressionTotals},
    limits::{Bounds, Limits},
    metrics::Metrics,
    pool::{Check, LazyPeer, Pool, PoolConfig, PoolStats, PooledConnection},
    rate_limit::{Rate, RateLimit, RateLimits, Rates, Traffic},
    reconnect::{Reconnect, ReconnectConfig, ReconnectTotals},
    routes::{Route, Routes, RoutesHandle, Turn},
    stack::{LayerKind, Stack, StackConfig, stack},
    timeout::{Deadlines, Timeout},
};

/// Stacks layers on a provider, which may be an `Arc<dyn P2PProvider>`. See [the module](self) for the order.
pub trait LayerExt: P2PProvider + Sized {
    /// Gives each attempt a deadline. See [`Timeout`].
    fn with_timeout(self, deadlines: Deadlines) -> Timeout<Self> {
        Timeout::new(self, deadlines)
    }

    /// Limits how often things happen. See [`RateLimit`].
    fn with_rate_limits(self, limits: RateLimits) -> RateLimit<Self> {
        RateLimit::new(self, limits)
    }

    /// Limits how much there is at once. See [`Limits`].
    fn with_limits(self, bounds: Bounds) -> Limits<Self> {
        Limits::new(self, bounds)
    }

    /// Shares connections among those who dial by way of this stack. Stands above it, and is no provider. See [`Pool`].
    fn into_pool(self, config: PoolConfig) -> Pool {
        Pool::new(self, config)
    }

    /// Makes connections outlive their transports. See [`Reconnect`].
    ///
    /// # Errors
    /// [`InvalidInput`](crate::P2PError::InvalidInput) names a setting that cannot be used.
    fn with_reconnect(self, config: ReconnectConfig) -> Result<Reconnect<Self>> {
        Reconnect::new(self, config)
    }

    /// Compresses messages where both sides have this layer. See [`Compression`].
    fn with_compression(self, config: CompressionConfig) -> Compression<Self> {
        Compression::new(self, config)
    }

    /// Counts what passes, by way of `recorder`. See [`Metrics`].
    fn with_metrics(self, recorder: &dyn ::metrics::Recorder) -> Metrics<Self> {
        Metrics::new(self, recorder)
    }
}

impl<P: P2PProvider> LayerExt for P {}
