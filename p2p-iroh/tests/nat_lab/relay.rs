//! The lab's relay: a real `iroh-relay` on a device of its own, which can be killed and started again.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    thread::JoinHandle,
};

use anyhow::{Context, Result, ensure};
use iroh::RelayUrl;
use iroh_relay::server::{
    Access, AccessControl, CertConfig, ClientRequest, QuicConfig, RelayConfig, Server, ServerConfig, TlsConfig,
};
use patchbay::{Device, Lab, Router};
use rustls::pki_types::CertificateDer;
use tokio::sync::oneshot;

use crate::certificate::Authority;

/// Where peers learn their public address: QUIC address discovery's usual port.
pub(crate) const DISCOVERY_PORT: u16 = 7842;
const HTTPS_PORT: u16 = 443;
/// Serves the probe for captive portals, which must not be TLS.
const HTTP_PORT: u16 = 80;

/// Everything a peer needs to use the relay.
#[derive(Debug, Clone)]
pub(crate) struct RelayAccess {
    pub(crate) url: RelayUrl,
    pub(crate) token: String,
    pub(crate) root: CertificateDer<'static>,
}

/// A relay behind a router without NAT.
pub(crate) struct Relay {
    router: Router,
    device: Device,
    authority: Authority,
    access: RelayAccess,
    process: Option<Process>,
}

impl Relay {
    /// Adds a router and a device to the lab and starts a relay there.
    pub(crate) async fn start(lab: &Lab) -> Result<Self> {
        let router = lab.add_router("datacenter").build().await?;
        let device = lab.add_device("relay").uplink(router.id()).build().await?;
        let ip = device.ip().context("the relay's device has an address")?;
        let authority = Authority::new()?;
        let access = RelayAccess {
            url: format!("https://{ip}").parse()?,
            token: "only-this-lab-knows".to_owned(),
            root: authority.root(),
        };
        let mut relay = Self { router, device, authority, access, process: None };
        relay.restart().await?;
        Ok(relay)
    }

    /// What a peer needs to use it.
    pub(crate) fn access(&self) -> &RelayAccess {
        &self.access
    }

    /// The router that all of its packets cross.
    pub(crate) fn router(&self) -> &Router {
        &self.router
    }

    /// Ends the relay as a crash does: nobody is told, and the kernel closes its sockets.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again with the same address, certificate authority and token.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "the relay is running");
        self.process = Some(Process::start(&self.device, self.config()?).await?);
        Ok(())
    }

    fn config(&self) -> Result<ServerConfig> {
        let ip = self.device.ip().context("the relay's device has an address")?;
        let any = Ipv4Addr::UNSPECIFIED;
        let server_config = self.authority.server_config(IpAddr::V4(ip))?;
        let mut relay = RelayConfig::new((any, HTTP_PORT));
        relay.tls = Some(TlsConfig::new((any, HTTPS_PORT), CertConfig::Manual { server_config }));
        relay.access = Arc::new(TokenOnly(self.access.token.clone()));
        let mut config = ServerConfig::default();
        config.relay = Some(relay);
        config.quic = Some(QuicConfig::new((any, DISCOVERY_PORT)));
        Ok(config)
    }
}

/// A running server, on a thread with a runtime of its own.
///
/// Dropping iroh-relay's `Server` stops its listeners but leaves established connections alive, in tasks of their
/// own. Only the end of their runtime ends them all, as the end of a process would.
struct Process {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Process {
    async fn start(device: &Device, config: ServerConfig) -> Result<Self> {
        let (stop, stopped) = oneshot::channel::<()>();
        let (started, starting) = oneshot::channel();
        let thread = device.spawn_thread(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async move {
                let server = Server::spawn(config).await;
                let (server, result) = match server {
                    Ok(server) => (Some(server), Ok(())),
                    Err(error) => (None, Err(error)),
                };
                started.send(result).ok();
                // Ends when the sender is dropped.
                stopped.await.ok();
                drop(server);
            });
            Ok(())
        })?;
        starting.await.context("the relay's thread ended")??;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop.take();
        // Once the thread has ended its sockets are closed, and the ports free for a successor.
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// Admits whoever has the token.
#[derive(Debug)]
struct TokenOnly(String);

impl AccessControl for TokenOnly {
    async fn on_connect(&self, request: &ClientRequest) -> Access {
        match request.auth_token() {
            Some(token) if token == self.0 => Access::Allow,
            _ => Access::Deny { reason: Some("wrong token".to_owned()) },
        }
    }
}
