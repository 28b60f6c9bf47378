//! All that runs during the demonstration.

use std::net::SocketAddr;

use p2p::{ListenConfig, P2PProvider, Ticket, Watch};
use tokio::task::JoinSet;

use super::{LOOPBACK, ground::Ground, report::Report, service::Service};
use crate::{
    Error, Shutdown, Target,
    admin::{AdminServer, Health},
    console::short,
    forward::{Connect, LinkState, ServiceName, Share, connection_config},
    stack::Stack,
};

/// Two peers, a service, and the forward between them.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) service: Service,
    /// Where Bob offers the service.
    pub(super) local_addr: SocketAddr,
    /// Bob's connection to Alice.
    pub(super) link: Watch<LinkState>,
    /// Whether a relay is all that Bob knows of Alice.
    pub(super) begins_relayed: bool,
    alice: Peer,
    bob: Peer,
    /// Ended with it.
    _forwards: JoinSet<()>,
}

/// One of the two, as a process of its own would be.
#[derive(Debug)]
struct Peer {
    stack: Stack,
    admin: AdminServer,
}

impl Scene {
    /// Starts it all, and tells of each part.
    pub(super) async fn set(
        file_mib: u64,
        ground: &mut Ground,
        shutdown: &Shutdown,
        report: Report,
    ) -> Result<Self, Error> {
        let (name, what) = ground.description();
        report.done(name, what);

        let service = Service::start(file_mib).await?;
        let at = service.local_addr();
        report.done("service", format_args!("http://{at}: a page, and a file of {file_mib} MiB"));

        let mut forwards = JoinSet::new();
        let (alice, share, ticket) = alice(ground, at, shutdown).await?;
        forwards.spawn(run(share.run(shutdown.clone())));
        let peer = short(alice.stack.provider.local_peer_id());
        report.done("alice", format_args!("is peer {peer} and shares the service"));

        let begins_relayed = !ticket.addr.relays.is_empty() && ticket.addr.direct.is_empty();
        // Bob comes when Alice is there, as it would be with two people.
        let (bob, connect) = bob(ground, ticket, shutdown).await?;
        let (local_addr, link) = (connect.local_addr(), connect.link());
        forwards.spawn(run(connect.run(shutdown.clone())));
        report.done("bob", format_args!("has her ticket and offers the service at http://{local_addr}"));

        Ok(Self { service, local_addr, link, begins_relayed, alice, bob, _forwards: forwards })
    }

    /// Says where to look while it runs.
    pub(super) fn say_urls(&self, report: Report) {
        report.line("\n  It all runs until Ctrl-C:");
        report.url("page", self.local_addr, "/");
        report.url("file", self.local_addr, "/file");
        for (who, peer) in [("alice", &self.alice), ("bob", &self.bob)] {
            report.url(who, peer.admin.local_addr(), "/metrics");
            report.url("", peer.admin.local_addr(), "/readyz");
        }
    }
}

/// What `p2pd share` does.
async fn alice(ground: &mut Ground, service: SocketAddr, shutdown: &Shutdown) -> Result<(Peer, Share, Ticket), Error> {
    let stack = ground.peer("alice").await?;
    let name: ServiceName = "web".parse()?;
    let target: Target = format!("tcp://{service}").parse()?;
    let listener = stack.provider.listen_with(ListenConfig::from(connection_config())).await?;
    let ticket = ServiceName::into_ticket(Ticket::new(ground.hints(listener.local_addr())), [&name]);
    let share = Share::new(listener, [(name, target)], stack.export.recorder());
    let health = Health::default().with_shutdown(shutdown.clone()).with_provider(&stack.provider);
    Ok((Peer::watched(stack, health).await?, share, ticket))
}

/// What `p2pd connect` does.
async fn bob(ground: &mut Ground, ticket: Ticket, shutdown: &Shutdown) -> Result<(Peer, Connect), Error> {
    let stack = ground.peer("bob").await?;
    let name = ServiceName::from_ticket(&ticket)?.pop().unwrap_or_default();
    let (provider, recorder) = (stack.provider.clone(), stack.export.recorder());
    let connect = Connect::bind(provider, ticket.addr, name, LOOPBACK, recorder).await?;
    let health =
        Health::default().with_shutdown(shutdown.clone()).with_provider(&stack.provider).with_link(connect.link());
    Ok((Peer::watched(stack, health).await?, connect))
}

impl Peer {
    async fn watched(stack: Stack, health: Health) -> Result<Self, Error> {
        let admin = AdminServer::start(LOOPBACK, &stack.export, health).await?;
        Ok(Self { stack, admin })
    }
}

/// A side of the forward as a task.
async fn run(side: impl Future<Output = Result<(), Error>>) {
    if let Err(error) = side.await {
        tracing::error!(error = p2p::chain(&error), "A side of the forward ended.");
    }
}
