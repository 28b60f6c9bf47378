//! Asking a relay whether it lives.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use iroh::{RelayUrl, dns::DnsResolver};
use reqwest::{
    Client,
    dns::{Name, Resolve, Resolving},
    redirect::Policy,
};

use crate::{IrohConfig, discovery};

/// How long a relay may take to answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(3);

/// Asks relays by HTTPS, over a connection that it keeps: a few dozen bytes each time, and no new handshake.
#[derive(Debug)]
pub(super) struct Prober(Client);

impl Prober {
    /// `None` if TLS cannot be set up, which binding the endpoint would have found out first.
    pub(super) fn new(config: &IrohConfig) -> Option<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = config.trust.to_iroh().client_config(provider).ok()?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(SameResolver(discovery::resolver(config)))
            .redirect(Policy::none())
            // As iroh, which does not go through one either.
            .no_proxy()
            .http1_only()
            .build();
        client.ok().map(Self)
    }

    /// Whether the relay answers.
    pub(super) fn probe(&self, relay: RelayUrl) -> impl Future<Output = bool> + Send + 'static {
        let client = self.0.clone();
        async move {
            let Ok(url) = relay.join(PROBE_PATH) else { return false };
            match client.get(url).send().await {
                // Reading the rest, which is nothing, gives the connection back.
                Ok(response) => response.status().is_success() && response.bytes().await.is_ok(),
                Err(_) => false,
            }
        }
    }
}

/// Where relays answer whoever asks: `RELAY_PROBE_PATH` of iroh-relay.
const PROBE_PATH: &str = "/ping";

/// The same name servers that iroh asks here.
struct SameResolver(DnsResolver);

impl Resolve for SameResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.0.clone();
        Box::pin(async move {
            let found = resolver.lookup_ipv4_ipv6(name.as_str(), TIMEOUT).await?;
            let found: Vec<_> = found.map(|ip| SocketAddr::new(ip, 0)).collect();
            Ok(Box::new(found.into_iter()) as _)
        })
    }
}
