//! A provider with the layers that the daemon puts on it.

use std::{sync::Arc, time::Duration};

use p2p::{
    P2PProvider,
    layer::{Bounds, Reconnect, ReconnectConfig, StackConfig, stack},
};
use p2p_providers::ProviderConfig;
use tokio::time::timeout;

use crate::{Error, admin::MetricsExport};

/// One peer: `Metrics(Reconnect(RateLimit(Limits(Timeout(provider)))))`, and what it is measured with.
#[derive(Debug)]
pub struct Stack {
    /// To listen and dial with.
    pub provider: Arc<dyn P2PProvider>,
    /// What to serve at `/metrics`.
    pub export: MetricsExport,
    /// The layer by which connections outlive their transports, for its totals.
    pub reconnect: Reconnect<Arc<dyn P2PProvider>>,
}

impl Stack {
    /// The stack over the provider that `config` asks for.
    ///
    /// # Errors
    /// Whatever keeps the provider from starting: a port in use, a bad key file, a bad relay.
    pub async fn start(config: ProviderConfig, grace: Duration) -> Result<Self, Error> {
        #[cfg(feature = "p2p-iroh")]
        if config.implementation == p2p_providers::Implementation::Iroh {
            config.validate()?;
            let streams_max = u32::try_from(crate::forward::STREAMS_MAX).expect("a small constant");
            // Each forwarded TCP connection is a stream, and browsers alone open dozens.
            let iroh = config.to_iroh()?.with_streams_max(streams_max);
            let iroh = Arc::new(p2p_iroh::IrohP2P::bind(iroh).await?);
            let stack = Self::new(iroh.clone(), grace)?;
            iroh.export_metrics(stack.export.recorder());
            return Ok(stack);
        }
        Self::new(p2p_providers::provider(config).await?, grace)
    }

    /// The stack over that provider. `grace` is how long a connection may be without a transport.
    ///
    /// # Errors
    /// If a setting of a layer cannot be used.
    pub fn new(provider: Arc<dyn P2PProvider>, grace: Duration) -> Result<Self, Error> {
        let export = MetricsExport::new(&provider.to_string());
        let config = StackConfig {
            limits: Some(Bounds::default().with_streams(crate::forward::STREAMS_MAX)),
            reconnect: Some(ReconnectConfig::default().with_grace(grace)),
            ..StackConfig::default()
        };
        let stack = stack(provider, &config, Some(export.recorder()))?;
        let reconnect = stack.reconnect.expect("it has settings");
        Ok(Self { provider: stack.provider, export, reconnect })
    }

    /// Ends the provider: what was accepted is delivered, and peers learn of the end.
    pub async fn end(&self) {
        end(&*self.provider).await;
    }
}

/// Ends a provider. Peers that are gone are not waited for.
pub(crate) async fn end(provider: &dyn P2PProvider) {
    timeout(DELIVERED + ACKNOWLEDGED, provider.shutdown(DELIVERED)).await.ok();
}

/// How long a connection may be without a transport, unless told otherwise: a relay or a router has started again by then.
pub const GRACE: Duration = Duration::from_secs(60);

/// What was accepted before the drain's end is on its way within this, or is not going to be.
const DELIVERED: Duration = Duration::from_secs(2);

/// For peers to acknowledge the end.
const ACKNOWLEDGED: Duration = Duration::from_secs(1);
