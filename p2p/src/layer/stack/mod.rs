//! The whole stack from one configuration.
//!
//! [`StackConfig`] says which layers there are and with which settings, [`stack`] builds them, `order` knows which orders
//! cannot work.

mod order;

use std::sync::Arc;

use super::{
    Bounds, Compression, CompressionConfig, Deadlines, Limits, Metrics, RateLimit, RateLimits, Reconnect,
    ReconnectConfig, Timeout,
};
use crate::{P2PProvider, Result};

pub use self::order::LayerKind;

/// Which layers a stack has, with their settings, and in which order.
///
/// ```
/// use p2p::layer::{CompressionConfig, StackConfig, stack};
/// use p2p::memory::MemoryNetwork;
///
/// let config = StackConfig { compression: Some(CompressionConfig::default()), ..StackConfig::default() };
/// let alice = stack(MemoryNetwork::new().provider("alice"), &config, Some(&metrics::NoopRecorder))?;
/// assert!(alice.provider.to_string().starts_with("Metrics(Compression(Reconnect(RateLimit(Limits(Timeout("));
/// assert_eq!(alice.reconnect.unwrap().totals().losses, 0);
/// # Ok::<(), p2p::P2PError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct StackConfig {
    /// Deadlines of attempts. Defaults to [`Deadlines::default`].
    pub timeout: Option<Deadlines>,
    /// How much there may be at once. Defaults to [`Bounds::default`].
    pub limits: Option<Bounds>,
    /// How often things may happen. Defaults to [`RateLimits::default`].
    pub rate_limits: Option<RateLimits>,
    /// How connections outlive their transports. Defaults to [`ReconnectConfig::default`].
    pub reconnect: Option<ReconnectConfig>,
    /// When messages are compressed. Defaults to nothing: it tells somebody who watches the wire about what is in a message,
    /// which its user must know; see [`Compression`].
    pub compression: Option<CompressionConfig>,
    /// The layers from the network outwards. Defaults to [`LayerKind::ORDER`]. A layer without settings is left out.
    pub order: Vec<LayerKind>,
}

impl Default for StackConfig {
    fn default() -> Self {
        Self {
            timeout: Some(Deadlines::default()),
            limits: Some(Bounds::default()),
            rate_limits: Some(RateLimits::default()),
            reconnect: Some(ReconnectConfig::default()),
            compression: None,
            order: LayerKind::ORDER.to_vec(),
        }
    }
}

impl StackConfig {
    /// No layer at all, to add some to.
    pub fn none() -> Self {
        Self { timeout: None, limits: None, rate_limits: None, reconnect: None, ..Self::default() }
    }

    /// Sets the order, from the network outwards.
    #[must_use]
    pub fn with_order(mut self, order: impl Into<Vec<LayerKind>>) -> Self {
        self.order = order.into();
        self
    }

    /// Whether the stack has that layer, but for `Metrics`, for which there are no settings.
    const fn has(&self, layer: LayerKind) -> bool {
        match layer {
            LayerKind::Timeout => self.timeout.is_some(),
            LayerKind::Limits => self.limits.is_some(),
            LayerKind::RateLimit => self.rate_limits.is_some(),
            LayerKind::Reconnect => self.reconnect.is_some(),
            LayerKind::Compression => self.compression.is_some(),
            LayerKind::Metrics => false,
        }
    }
}

/// A stack of layers: the provider, and what can be asked of some of them.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stack {
    /// The outermost layer.
    pub provider: Arc<dyn P2PProvider>,
    /// That layer, if there is one: its totals.
    pub reconnect: Option<Reconnect<Arc<dyn P2PProvider>>>,
    /// That layer, if there is one: its totals.
    pub compression: Option<Compression<Arc<dyn P2PProvider>>>,
}

/// Stacks on `provider` what `config` says. With a recorder the stack counts, by [`Metrics`], into it.
///
/// # Errors
/// [`InvalidInput`](crate::P2PError::InvalidInput) for an order that cannot work, which names the layers, or a setting that
/// cannot be used.
pub fn stack(
    provider: impl P2PProvider,
    config: &StackConfig,
    recorder: Option<&dyn ::metrics::Recorder>,
) -> Result<Stack> {
    order::check(config, recorder.is_some())?;
    let mut stack = Stack { provider: Arc::new(provider), reconnect: None, compression: None };
    for layer in &config.order {
        stack.add(*layer, config, recorder)?;
    }
    Ok(stack)
}

impl Stack {
    fn add(
        &mut self,
        layer: LayerKind,
        config: &StackConfig,
        recorder: Option<&dyn ::metrics::Recorder>,
    ) -> Result<()> {
        let inner = self.provider.clone();
        match layer {
            LayerKind::Timeout => {
                if let Some(deadlines) = config.timeout {
                    self.provider = Arc::new(Timeout::new(inner, deadlines));
                }
            }
            LayerKind::Limits => {
                if let Some(bounds) = config.limits {
                    self.provider = Arc::new(Limits::new(inner, bounds));
                }
            }
            LayerKind::RateLimit => {
                if let Some(limits) = config.rate_limits {
                    self.provider = Arc::new(RateLimit::new(inner, limits));
                }
            }
            LayerKind::Reconnect => {
                if let Some(config) = &config.reconnect {
                    let reconnect = Reconnect::new(inner, config.clone())?;
                    self.provider = Arc::new(reconnect.clone());
                    self.reconnect = Some(reconnect);
                }
            }
            LayerKind::Compression => {
                if let Some(config) = config.compression {
                    let compression = Compression::new(inner, config);
                    self.provider = Arc::new(compression.clone());
                    self.compression = Some(compression);
                }
            }
            LayerKind::Metrics => {
                if let Some(recorder) = recorder {
                    self.provider = Arc::new(Metrics::new(inner, recorder));
                }
            }
        }
        Ok(())
    }
}
