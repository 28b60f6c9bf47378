//! The lab's relay: a real `iroh-relay` on a device of its own, which can be killed and started again.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use iroh::RelayUrl;
use iroh_relay::server::{
    Access, AccessControl, CertConfig, ClientRequest, DynAccessControl, QuicConfig, RelayConfig, Server, ServerConfig,
    TlsConfig,
};
use patchbay::{Device, IpSupport, Lab, Router};
use rustls::pki_types::CertificateDer;
use tokio::sync::oneshot;

use crate::{certificate::Authority, delay::Delay};

/// Where peers learn their public address: QUIC address discovery's usual port.
pub(crate) const DISCOVERY_PORT: u16 = 7842;
const HTTPS_PORT: u16 = 443;
/// Where HTTPS is served if a long line ends at its usual port.
const BEHIND_DELAY_PORT: u16 = 8443;
/// Serves the probe for captive portals, which must not be TLS.
const HTTP_PORT: u16 = 80;

/// Everything a peer needs to use the relay.
#[derive(Debug, Clone)]
pub(crate) struct RelayAccess {
    pub(crate) url: RelayUrl,
    pub(crate) token: String,
    pub(crate) root: CertificateDer<'static>,
    /// Who knows the name in the URL, if it has one.
    pub(crate) name_servers: Vec<IpAddr>,
}

impl RelayAccess {
    /// Whether this is the relay that a peer names so.
    pub(crate) fn is_at(&self, url: &str) -> bool {
        self.url.as_str().trim_end_matches('/') == url
    }
}

/// A relay behind a router without NAT.
pub(crate) struct Relay {
    router: Router,
    device: Device,
    /// Its name or address.
    host: String,
    authority: Authority,
    access: RelayAccess,
    process: Option<Process>,
    delay: Option<Delay>,
}

impl Relay {
    /// Adds a router and a device of these names to the lab, and starts a relay there. Clients' bytes need
    /// `one_way` to it, and back.
    pub(crate) async fn start(
        lab: &Lab,
        (router, device): (&str, &str),
        ip: IpSupport,
        one_way: Duration,
    ) -> Result<Self> {
        let router = lab.add_router(router).ip_support(ip).build().await?;
        let device = lab.add_device(device).uplink(router.id()).build().await?;
        let authority = Authority::new()?;
        let addresses: Vec<IpAddr> =
            device.ip().map(IpAddr::from).into_iter().chain(device.ip6().map(IpAddr::from)).collect();
        let (host, name_servers) = match addresses[..] {
            [IpAddr::V4(ip)] => (ip.to_string(), Vec::new()),
            // Only a name stands for two addresses, and iroh verifies no certificate of an IPv6 address.
            _ => {
                let (name, names) = (format!("{}.test", device.name()), lab.dns_server()?);
                addresses.iter().try_for_each(|&ip| names.set_host(&name, ip))?;
                (name, vec![lab.ix().gw().into(), lab.ix().gw_v6().into()])
            }
        };
        let url = format!("https://{host}").parse()?;
        let token = "only-this-lab-knows".to_owned();
        let access = RelayAccess { url, token, root: authority.root(), name_servers };
        let mut relay = Self { router, device, host, authority, access, process: None, delay: None };
        if !one_way.is_zero() {
            let from = (relay.any(), HTTPS_PORT).into();
            let to = (Ipv4Addr::LOCALHOST, BEHIND_DELAY_PORT).into();
            relay.delay = Some(Delay::start(&relay.device, from, to, one_way).await?);
        }
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
        self.start_with(Arc::new(TokenOnly(self.access.token.clone()))).await
    }

    /// Starts it again so that it answers probes, takes connections, and then never says whether it admits them.
    pub(crate) async fn restart_wedged(&mut self) -> Result<()> {
        self.start_with(Arc::new(Undecided)).await
    }

    async fn start_with(&mut self, admits: Arc<dyn DynAccessControl>) -> Result<()> {
        ensure!(self.process.is_none(), "the relay is running");
        self.process = Some(Process::start(&self.device, self.config(admits)?).await?);
        Ok(())
    }

    fn any(&self) -> IpAddr {
        // IPv6's takes IPv4 as well.
        match self.device.ip6() {
            Some(_) => Ipv6Addr::UNSPECIFIED.into(),
            None => Ipv4Addr::UNSPECIFIED.into(),
        }
    }

    fn config(&self, admits: Arc<dyn DynAccessControl>) -> Result<ServerConfig> {
        let any = self.any();
        let https_port = if self.delay.is_some() { BEHIND_DELAY_PORT } else { HTTPS_PORT };
        let server_config = self.authority.server_config(&self.host)?;
        let mut relay = RelayConfig::new((any, HTTP_PORT));
        relay.tls = Some(TlsConfig::new((any, https_port), CertConfig::Manual { server_config }));
        relay.access = admits;
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

/// Keeps everybody waiting.
#[derive(Debug)]
struct Undecided;

impl AccessControl for Undecided {
    async fn on_connect(&self, _: &ClientRequest) -> Access {
        std::future::pending().await
    }
}
