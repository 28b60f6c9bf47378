//! A relay of one's own: what peers meet at before they have a direct path, and what carries their data if they never get
//! one. It sees ciphertext alone.
//!
//! The server is iroh's; here it gets its TLS, says who may use it, and is refused what would not work.
//!
//! - [`Certificate`]: by what the relay proves its name, from files or made here. [`Authority`]: who vouches for the latter.
//! - [`RelayAccess`]: who may use it.

mod access;
mod authority;
mod certificate;

use std::{net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};

use iroh_relay::server::{CertConfig, ClientRateLimit, QuicConfig, RelayConfig, Server, ServerConfig, TlsConfig};
use tokio::{task::JoinSet, time::timeout};

pub use self::{access::RelayAccess, authority::Authority, certificate::Certificate};
use crate::Error;

/// Where a relay listens, and for whom.
#[derive(Debug)]
pub struct RelayOptions {
    /// Where peers connect, by HTTPS. Port 443 unless they are told another.
    pub https: SocketAddr,
    /// Where peers find out that no captive portal is in their way, by plain HTTP. Port 80, or they do not.
    pub http: SocketAddr,
    /// Where peers learn the address that others see of them, by QUIC over UDP, without which there are few direct paths.
    /// Port 7842 unless they are told another.
    pub quic: SocketAddr,
    /// By what it proves its name.
    pub certificate: Certificate,
    /// Who may use it.
    pub access: RelayAccess,
    /// The most that each peer may send through it, in bytes per second. No limit if there is none.
    pub client_bytes_per_second: Option<NonZeroU32>,
}

/// A running relay. It ends when it is dropped, and better by [`end`](Self::end).
#[derive(Debug)]
pub struct Relay {
    server: Server,
    /// Looks for a renewed certificate.
    _tasks: JoinSet<()>,
}

impl Relay {
    /// Starts a relay.
    ///
    /// # Errors
    /// [`Error::Relay`] for an address that cannot be listened on. The certificate was checked when it was read.
    pub async fn start(options: RelayOptions) -> Result<Self, Error> {
        let mut tasks = JoinSet::new();
        let server_config = options.certificate.server_config(&mut tasks);
        let mut relay = RelayConfig::new(options.http);
        relay.tls = Some(TlsConfig::new(options.https, CertConfig::Manual { server_config }));
        relay.access = Arc::new(options.access);
        relay.limits.client_rx = options.client_bytes_per_second.map(ClientRateLimit::new);
        let mut config = ServerConfig::default();
        config.relay = Some(relay);
        config.quic = Some(QuicConfig::new(options.quic));
        let server = Server::spawn(config).await.map_err(|source| Error::Relay { source: Box::new(source) })?;
        Ok(Self { server, _tasks: tasks })
    }

    /// Where peers connect.
    pub fn https_addr(&self) -> SocketAddr {
        self.server.https_addr().expect("a relay is started with TLS")
    }

    /// Where peers learn their address.
    pub fn quic_addr(&self) -> SocketAddr {
        self.server.quic_addr().expect("a relay is started with address discovery")
    }

    /// Waits for as long as it works.
    ///
    /// # Errors
    /// [`Error::Relay`] says what ended it.
    pub async fn failed(&mut self) -> Error {
        let source = match self.server.join().await {
            Ok(Ok(())) => "it ended by itself".into(),
            Ok(Err(error)) => Box::new(error) as _,
            Err(error) => Box::new(error) as _,
        };
        Error::Relay { source }
    }

    /// Ends it, and the connections of those who use it.
    pub async fn end(self) {
        timeout(END_TIMEOUT, self.server.shutdown()).await.ok();
    }
}

/// Its clients have left by then, or lose the connection.
const END_TIMEOUT: Duration = Duration::from_secs(1);
