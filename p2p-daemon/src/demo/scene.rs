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
    ticket: Ticket,
    shutdown: Shutdown,
    alice: Peer,
    pub(super) bob: Peer,
    pub(super) carol: Option<Peer>,
    /// Ended with it.
    forwards: JoinSet<()>,
}

/// One of them, as a process of its own would be.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) name: &'static str,
    daemon: Daemon,
    pub(super) stack: Stack,
    pub(super) admin: AdminServer,
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
        let bob = user("bob", ground.peer("bob").await?, &ticket, shutdown).await?;
        forwards.spawn(run(bob.daemon.clone()));
        let (local_addr, link) = bob.offers()?;
        report.done("bob", format_args!("has her ticket and offers the service at http://{local_addr}"));

        let (shutdown, carol) = (shutdown.clone(), None);
        Ok(Self { service, local_addr, link, begins_relayed, ticket, shutdown, alice, bob, carol, forwards })
    }

    /// Where the service is to be had by a way that can be cut, and the connection there: from Carol, who comes for it and
    /// whom a firewall leaves nothing but the relay, or from Bob where the way is the same for everybody.
    pub(super) async fn cuttable(
        &mut self,
        ground: &mut Ground,
        report: Report,
    ) -> Result<(SocketAddr, Watch<LinkState>), Error> {
        let Some(stack) = ground.firewalled_peer().await? else { return self.bob.offers() };
        let carol = user("carol", stack, &self.ticket, &self.shutdown).await?;
        self.forwards.spawn(run(carol.daemon.clone()));
        let (addr, link) = carol.offers()?;
        let has = "has the same ticket, and a firewall that only the relay passes";
        report.done("carol", format_args!("{has}; offers it at http://{addr}"));
        self.carol = Some(carol);
        Ok((addr, link))
    }

    /// Whose way can be cut.
    pub(super) fn sufferer(&self) -> &Peer {
        self.carol.as_ref().unwrap_or(&self.bob)
    }

    /// Says where to look while it runs.
    pub(super) fn say_urls(&self, report: Report) {
        report.line("\n  It all runs until Ctrl-C:");
        let service = format!("http://{}", self.local_addr);
        report.url("page", &service, "/");
        report.url("file", &service, "/file");
        for peer in [&self.alice, &self.bob].into_iter().chain(&self.carol) {
            report.url(peer.name, &peer.admin.url(), "/");
            report.url("", &peer.admin.url(), "/metrics");
        }
    }
}

/// What `p2pd share` does.
async fn alice(ground: &mut Ground, service: SocketAddr, shutdown: &Shutdown) -> Result<(Peer, Ticket), Error> {
    let target: Target = format!("tcp://{service}").parse()?;
    let share = ShareRule::new(WEB.parse()?, target);
    let rules = Rules { shares: vec![share], ..Rules::default() };
    let peer = Peer::start("alice", ground.peer("alice").await?, rules, shutdown).await?;
    let mut ticket = peer.daemon.ticket();
    ticket.addr = ground.hints(ticket.addr);
    Ok((peer, ticket))
}

/// What `p2pd connect` does.
async fn user(name: &'static str, stack: Stack, ticket: &Ticket, shutdown: &Shutdown) -> Result<Peer, Error> {
    let remote = Remote { addr: ticket.addr.clone(), token: Token::from_ticket(ticket) };
    let connect = ConnectRule::new(remote, WEB.parse()?, LOOPBACK.into());
    let rules = Rules { connects: vec![connect], ..Rules::default() };
    Peer::start(name, stack, rules, shutdown).await
}

impl Peer {
    async fn start(name: &'static str, stack: Stack, rules: Rules, shutdown: &Shutdown) -> Result<Self, Error> {
        let daemon = Daemon::start(&stack, Access::ephemeral(), shutdown.clone());
        daemon.apply(rules).await?;
        let admin = AdminServer::start(AdminAddr::Exactly(LOOPBACK), &daemon, AdminOptions::default()).await?;
        let admin = admin.expect("it is wanted");
        Ok(Self { name, daemon, stack, admin })
    }

    /// Where it offers Alice's service, and its connection to her.
    fn offers(&self) -> Result<(SocketAddr, Watch<LinkState>), Error> {
        let web = WEB.parse()?;
        let offers = self.daemon.local_addr(&web).zip(self.daemon.link(&web));
        offers.ok_or_else(|| Error::demo(format!("starting {}", self.name), "it listens nowhere"))
    }
}

/// A side of the forward as a task.
async fn run(daemon: Daemon) {
    daemon.run().await;
}

/// What the service is called.
const WEB: &str = "web";
