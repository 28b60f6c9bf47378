//! What the servers of the tunnel share: a peer, an admin interface, an end.

use std::{
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use p2p::{P2PProvider, Runtime};
use p2p_providers::{ProviderConfig, Role};
use tunnel_compat::{
    http::{Handler, ServeConfig, serve},
    migration::{Control, Router},
    tcp::TcpAcceptor,
};

use super::args::TunnelRunArgs;
use crate::{
    Console, Error,
    admin::{AdminServer, Controls},
    cli::PeerArgs,
    command::{Running, say_admin},
    config,
    notify::Manager,
};

/// A peer that runs a part of the tunnel.
pub(super) struct Part {
    pub(super) running: Running,
    pub(super) console: Console,
    /// Where a router keeps its state, unless told otherwise.
    pub(super) state: PathBuf,
}

impl Part {
    /// Starts it; it has the identity in a key file, because others let it in by that.
    pub(super) async fn start(
        command: &'static str,
        peer: &PeerArgs,
        run: &TunnelRunArgs,
        console: Console,
    ) -> Result<Self, Error> {
        let mut config: ProviderConfig = config::provider(command, Role::Listener, peer)?;
        if peer.port.is_none() && config.listen_port == p2p_providers::LISTEN_PORT {
            // The usual port is the one of `share`, which may run beside.
            config.listen_port = 0;
        }
        let state = state_beside(config.key_file.as_deref(), command);
        let running = Running::start(config, run.drain, run.grace, console).await?;
        Ok(Self { running, console, state })
    }

    pub(super) fn provider(&self) -> &Arc<dyn P2PProvider> {
        self.running.daemon.provider()
    }

    pub(super) fn runtime(&self) -> Arc<dyn Runtime> {
        self.provider().runtime().clone()
    }

    /// Its whole id, for the other side's `--allow`.
    pub(super) fn say_peer(&self) {
        self.console.line(format_args!("This is peer {}.", self.provider().local_peer_id()));
    }

    /// Answers HTTP at `addr` until the end, and lets what is open then finish within the drain.
    pub(super) async fn serve(&self, apps: TcpAcceptor, handler: Arc<dyn Handler>) -> Result<(), Error> {
        let shutdown = self.running.daemon.shutdown();
        let config = ServeConfig { drain_timeout: shutdown.drain(), ..ServeConfig::default() };
        let served = serve(apps, handler, config, self.runtime(), shutdown.watch()).await;
        served.map_err(|source| Error::System { what: "to accept connections", source })
    }

    /// The admin interface, by which also the migration is told what to do.
    pub(super) async fn admin(
        &self,
        run: &TunnelRunArgs,
        default_port: u16,
        router: Option<&Router>,
    ) -> Result<Option<AdminServer>, Error> {
        let controls = match router {
            Some(router) => Controls::default().with_migration(Control::new(router.clone())),
            None => Controls::default(),
        };
        let admin = self.running.admin(config::admin(run.admin.clone(), default_port), controls).await?;
        say_admin(admin.as_ref(), self.console);
        Ok(admin)
    }

    /// Does what the part does until the end is asked for, then ends in good order, whatever came of it.
    pub(super) async fn until_the_end(&self, work: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
        self.running
            .until_the_end(async {
                self.console.line("Ctrl-C ends it.");
                let _told = Manager::of_process().follow(&self.running.daemon);
                work.await
            })
            .await
    }
}

/// Listens for apps or homes.
pub(super) async fn listen(addr: SocketAddr) -> Result<(TcpAcceptor, SocketAddr), Error> {
    let failed = |source| Error::Listen { addr, option: "--listen", source };
    let acceptor = TcpAcceptor::bind(addr).await.map_err(failed)?;
    let at = acceptor.local_addr().map_err(failed)?;
    Ok((acceptor, at))
}

/// `key` becomes `key.gateway.json`: two parts with one key do not share their state.
fn state_beside(key_file: Option<&Path>, command: &str) -> PathBuf {
    let mut path = key_file.unwrap_or(Path::new("p2pd")).to_owned().into_os_string();
    path.push(format!(".{}.json", command.replace(' ', "-")));
    path.into()
}
