//! What a fault changes about a link.

use std::time::Duration;

use p2p::P2PError;
use serde::{Deserialize, Serialize};

use crate::{
    Latency, LinkConfig, Probability,
    link::{MTU_BYTES_MAX, MTU_BYTES_MIN},
    text,
};

/// Some settings of a link, to be put in place of what it has. Those that are nothing stay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LinkChange {
    /// See [`LinkConfig::latency`]; written `"50ms"`, `"20ms..80ms"` or as the seven durations of a quantile table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// See [`LinkConfig::jitter`].
    #[serde(with = "text::optional_duration", skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Duration>,
    /// See [`LinkConfig::loss`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<Probability>,
    /// See [`LinkConfig::bandwidth`]. Bytes per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth_bytes: Option<u64>,
    /// See [`LinkConfig::queue_bytes_max`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_bytes_max: Option<u64>,
    /// See [`LinkConfig::reorder`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reorder: Option<Probability>,
    /// See [`LinkConfig::duplication`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplication: Option<Probability>,
    /// See [`LinkConfig::corruption`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corruption: Option<Probability>,
    /// See [`LinkConfig::mtu_bytes`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu_bytes: Option<u32>,
}

impl LinkChange {
    pub(crate) fn apply_to(&self, link: &mut LinkConfig) {
        link.latency = self.latency.unwrap_or(link.latency);
        link.jitter = self.jitter.unwrap_or(link.jitter);
        link.loss = self.loss.unwrap_or(link.loss);
        link.bandwidth = self.bandwidth_bytes.or(link.bandwidth);
        link.queue_bytes_max = self.queue_bytes_max.unwrap_or(link.queue_bytes_max);
        link.reorder = self.reorder.unwrap_or(link.reorder);
        link.duplication = self.duplication.unwrap_or(link.duplication);
        link.corruption = self.corruption.unwrap_or(link.corruption);
        link.mtu_bytes = self.mtu_bytes.unwrap_or(link.mtu_bytes);
    }

    pub(super) fn check(&self) -> Result<(), P2PError> {
        let refuse = |what: &str, value: u64, expected: String| {
            Err(P2PError::invalid_input(format_args!("link: {what} = {value}"), expected))
        };
        match (self.bandwidth_bytes, self.queue_bytes_max, self.mtu_bytes) {
            (Some(0), _, _) => refuse("bandwidth-bytes", 0, "at least 1, so that something passes".into()),
            (_, Some(0), _) => refuse("queue-bytes-max", 0, "at least 1, so that something passes".into()),
            (_, _, Some(mtu)) if !(MTU_BYTES_MIN..=MTU_BYTES_MAX).contains(&mtu) => {
                refuse("mtu-bytes", mtu.into(), format!("from {MTU_BYTES_MIN} to {MTU_BYTES_MAX}"))
            }
            _ => Ok(()),
        }
    }
}
