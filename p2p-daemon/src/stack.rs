//! A provider with the layers that the daemon puts on it.

use std::{sync::Arc, time::Duration};

use p2p::{
    P2PProvider,
    layer::{Deadlines, LayerExt},
};
use p2p_providers::ProviderConfig;
use tokio::time::timeout;

use crate::{Error, admin::MetricsExport};

/// One peer: `Metrics(Timeout(provider))`, and what it is measured with.
#[derive(Debug)]
pub struct Stack {
    /// To listen and dial with.
    pub provider: Arc<dyn P2PProvider>,
    /// What to serve at `/metrics`.
    pub export: MetricsExport,
}

impl Stack {
    /// The stack over the provider that `config` asks for.
    ///
    /// # Errors
    /// Whatever keeps the provider from starting: a port in use, a bad key file, a bad relay.
    pub async fn start(config: ProviderConfig) -> Result<Self, Error> {
        #[cfg(feature = "p2p-iroh")]
        if config.implementation == p2p_providers::Implementation::Iroh {
            config.validate()?;
            let streams_max = u32::try_from(crate::forward::STREAMS_MAX).expect("a small constant");
            // Each forwarded TCP connection is a stream, and browsers alone open dozens.
            let iroh = config.to_iroh()?.with_streams_max(streams_max);
            return Ok(Self::new(Arc::new(p2p_iroh::IrohP2P::bind(iroh).await?)));
        }
        Ok(Self::new(p2p_providers::provider(config).await?))
    }

    /// The stack over that provider.
    pub fn new(provider: Arc<dyn P2PProvider>) -> Self {
        let export = MetricsExport::new(&provider.to_string());
        let provider = provider.with_timeout(Deadlines::default()).with_metrics(export.recorder());
        Self { provider: Arc::new(provider), export }
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

/// What was accepted before the drain's end is on its way within this, or is not going to be.
const DELIVERED: Duration = Duration::from_secs(2);

/// For peers to acknowledge the end.
const ACKNOWLEDGED: Duration = Duration::from_secs(1);
