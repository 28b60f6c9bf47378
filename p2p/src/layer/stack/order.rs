//! The layers by name, and which orders of them cannot work.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::StackConfig;
use crate::{P2PError, Result};

/// A layer, by the name it has in configurations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LayerKind {
    /// [`Timeout`](super::Timeout).
    Timeout,
    /// [`Limits`](super::Limits).
    Limits,
    /// [`RateLimit`](super::RateLimit).
    RateLimit,
    /// [`Reconnect`](super::Reconnect).
    Reconnect,
    /// [`Compression`](super::Compression).
    Compression,
    /// [`Metrics`](super::Metrics).
    Metrics,
}

impl LayerKind {
    /// All layers in the order that is right for most, from the network outwards; see [the order](crate::layer#order).
    pub const ORDER: [Self; 6] =
        [Self::Timeout, Self::Limits, Self::RateLimit, Self::Reconnect, Self::Compression, Self::Metrics];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Limits => "limits",
            Self::RateLimit => "rate-limit",
            Self::Reconnect => "reconnect",
            Self::Compression => "compression",
            Self::Metrics => "metrics",
        }
    }
}

impl fmt::Display for LayerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for LayerKind {
    type Err = P2PError;

    fn from_str(name: &str) -> Result<Self> {
        Self::ORDER.into_iter().find(|layer| layer.name() == name).ok_or_else(|| {
            let names = Self::ORDER.map(Self::name).join(", ");
            P2PError::invalid_input(format_args!("layer {name:?}"), format_args!("one of {names}"))
        })
    }
}

/// Whether a stack of that order can work.
pub(super) fn check(config: &StackConfig, counts: bool) -> Result<()> {
    let order = &config.order;
    let place = |layer: LayerKind| order.iter().position(|other| *other == layer);
    for (at, layer) in order.iter().enumerate() {
        if place(*layer) != Some(at) {
            let expected = "each layer once: the second would negotiate or count the same again";
            return Err(P2PError::invalid_input(format_args!("{layer} twice in the order of layers"), expected));
        }
    }
    for layer in LayerKind::ORDER {
        let wanted = config.has(layer) || (layer == LayerKind::Metrics && counts);
        if wanted && place(layer).is_none() {
            let expected = "a place for every layer that has settings";
            return Err(P2PError::invalid_input(format_args!("an order of layers without {layer}"), expected));
        }
    }
    if let (Some(bounds), Some(_)) = (&config.limits, &config.reconnect)
        && place(LayerKind::Limits) < place(LayerKind::Reconnect)
    {
        let bounds = [("connections", bounds.connections), ("connections_per_peer", bounds.connections_per_peer)];
        if let Some((name, bound)) = bounds.into_iter().find(|(_, bound)| bound.is_some_and(|bound| bound < 2)) {
            let what = format_args!("limits with {name} = {} below reconnect", bound.unwrap_or_default());
            let expected = "at least 2, or limits above reconnect: a session resumes beside its lost transport, which keeps \
                            its place until this side knows that it is lost";
            return Err(P2PError::invalid_input(what, expected));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Bounds, CompressionConfig, ReconnectConfig, stack},
        *,
    };
    use crate::memory::MemoryNetwork;

    fn build(config: &StackConfig) -> Result<String> {
        Ok(stack(MemoryNetwork::new().provider("alice"), config, None)?.provider.to_string())
    }

    #[test]
    fn an_order_that_cannot_work_names_its_layers() {
        let tight = StackConfig {
            limits: Some(Bounds::default().with_connections_per_peer(1)),
            reconnect: Some(ReconnectConfig::default()),
            ..StackConfig::none()
        };
        for (config, what) in [
            (
                tight.clone(),
                "limits with connections_per_peer = 1 below reconnect is invalid: expected at least 2, or limits above reconnect",
            ),
            (
                StackConfig::default().with_order([LayerKind::Timeout, LayerKind::Reconnect, LayerKind::Timeout]),
                "timeout twice in the order of layers is invalid",
            ),
            (
                StackConfig { compression: Some(CompressionConfig::default()), ..StackConfig::none() }
                    .with_order([LayerKind::Timeout]),
                "an order of layers without compression is invalid",
            ),
        ] {
            let error = build(&config).unwrap_err().to_string();
            assert!(error.starts_with(what), "{error}");
        }
        let above = tight.with_order([LayerKind::Reconnect, LayerKind::Limits]);
        assert!(build(&above).unwrap().starts_with("Limits(Reconnect("));
    }

    #[test]
    fn settings_and_order_make_the_stack() {
        assert!(build(&StackConfig::default()).unwrap().starts_with("Reconnect(RateLimit(Limits(Timeout("));
        assert!(!build(&StackConfig::none()).unwrap().contains('('), "no layer");
    }

    #[test]
    fn names_read_back_and_a_wrong_one_says_which_there_are() {
        for layer in LayerKind::ORDER {
            assert_eq!(layer.to_string().parse::<LayerKind>().unwrap(), layer);
            assert_eq!(serde_json::to_value(layer).unwrap(), layer.name());
        }
        let error = "cache".parse::<LayerKind>().unwrap_err();
        let expected =
            "layer \"cache\" is invalid: expected one of timeout, limits, rate-limit, reconnect, compression, metrics";
        assert_eq!(error.to_string(), expected);
    }
}
