//! All that runs during the demonstration.

use std::net::SocketAddr;

use p2p::{P2PProvider, Ticket, Watch};
use tokio::task::JoinSet;

use super::{LOOPBACK, ground::Ground, report::Report, service::Service};
use crate::{
    Daemon, Error, Shutdown,
    access::{Access, Token},
    admin::{AdminAddr, AdminOptions, AdminServer},
    console::short,
    forward::LinkState,
    rule::{ConnectRule, Remote, Rules, ShareRule, Target},
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
    daemon: Daemon,
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
        let (alice, ticket) = alice(ground, at, shutdown).await?;
        forwards.spawn(run(alice.daemon.clone()));
        let peer = short(alice.stack.provider.local_peer_id());
        report.done("alice", format_args!("is peer {peer} and shares the service"));

        let begins_relayed = !ticket.addr.relays.is_empty() && ticket.addr.direct.is_empty();
        // Bob comes when Alice is there, as it would be with two people.
        let bob = bob(ground, &ticket, shutdown).await?;
        forwards.spawn(run(bob.daemon.clone()));
        let (local_addr, link) = bob
            .daemon
            .local_addr(&WEB.parse()?)
            .zip(bob.daemon.link(&WEB.parse()?))
            .ok_or_else(|| Error::demo("starting Bob", "he listens nowhere"))?;
        report.done("bob", format_args!("has her ticket and offers the service at http://{local_addr}"));

        Ok(Self { service, local_addr, link, begins_relayed, alice, bob, _forwards: forwards })
    }

    /// Says where to look while it runs.
    pub(super) fn say_urls(&self, report: Report) {
        report.line("\n  It all runs until Ctrl-C:");
        let service = format!("http://{}", self.local_addr);
        report.url("page", &service, "/");
        report.url("file", &service, "/file");
        for (who, peer) in [("alice", &self.alice), ("bob", &self.bob)] {
            report.url(who, &peer.admin.url(), "/");
            report.url("", &peer.admin.url(), "/metrics");
        }
    }
}

/// What `p2pd share` does.
async fn alice(ground: &mut Ground, service: SocketAddr, shutdown: &Shutdown) -> Result<(Peer, Ticket), Error> {
    let target: Target = format!("tcp://{service}").parse()?;
    let share = ShareRule::new(WEB.parse()?, target);
    let rules = Rules { shares: vec![share], ..Rules::default() };
    let peer = Peer::start(ground.peer("alice").await?, rules, shutdown).await?;
    let mut ticket = peer.daemon.ticket();
    ticket.addr = ground.hints(ticket.addr);
    Ok((peer, ticket))
}

/// What `p2pd connect` does.
async fn bob(ground: &mut Ground, ticket: &Ticket, shutdown: &Shutdown) -> Result<Peer, Error> {
    let remote = Remote { addr: ticket.addr.clone(), token: Token::from_ticket(ticket) };
    let connect = ConnectRule::new(remote, WEB.parse()?, LOOPBACK.into());
    let rules = Rules { connects: vec![connect], ..Rules::default() };
    Peer::start(ground.peer("bob").await?, rules, shutdown).await
}

impl Peer {
    async fn start(stack: Stack, rules: Rules, shutdown: &Shutdown) -> Result<Self, Error> {
        let daemon = Daemon::start(&stack, Access::ephemeral(), shutdown.clone());
        daemon.apply(rules).await?;
        let admin = AdminServer::start(AdminAddr::Exactly(LOOPBACK), &daemon, AdminOptions::default()).await?;
        let admin = admin.expect("it is wanted");
        Ok(Self { daemon, stack, admin })
    }
}

/// A side of the forward as a task.
async fn run(daemon: Daemon) {
    daemon.run().await;
}

/// What the service is called.
const WEB: &str = "web";
