//! Several daemons in one process, over the in-memory provider with the whole stack on it, and real sockets on loopback:
//! what the module promises, with a transport that a test can kill.

mod access;
mod http;
#[expect(clippy::allow_attributes, reason = "which of its methods are used differs from crate to crate")]
#[allow(dead_code, reason = "shared with the simulator's tests")]
#[path = "../../../../p2p-simulator/tests/reconnect/killable.rs"]
mod killable;
mod proxy;
#[cfg(feature = "p2p-iroh")]
mod relay;
mod reload;
mod streams;
mod udp;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use p2p::{
    P2PProvider,
    memory::{MemoryNetwork, MemoryP2P},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use self::killable::Killable;
use super::ServiceName;
use crate::{
    Daemon, Shutdown, ShutdownTrigger,
    access::{Access, Token},
    rule::{ConnectRule, Listen, Remote, Rules, ShareRule},
    stack::Stack,
};

/// A daemon, and the means to hurt it.
struct Peer {
    daemon: Daemon,
    provider: Killable<MemoryP2P>,
    stack: Stack,
    shutdown: ShutdownTrigger,
}

impl Peer {
    fn new(network: &MemoryNetwork, name: &str) -> Self {
        let provider = Killable::new(network.provider(name));
        let stack = Stack::new(Arc::new(provider.clone()), GRACE).unwrap();
        let (trigger, shutdown) = Shutdown::new(DRAIN);
        let daemon = Daemon::start(&stack, Access::ephemeral(), shutdown);
        let running = daemon.clone();
        tokio::spawn(async move { running.run().await });
        Self { daemon, provider, stack, shutdown: trigger }
    }

    async fn share(&self, shares: impl IntoIterator<Item = ShareRule>) {
        let rules = Rules { shares: shares.into_iter().collect(), ..self.daemon.rules() };
        self.daemon.apply(rules).await.unwrap();
    }

    /// What another needs to use its services.
    fn remote(&self) -> Remote {
        let ticket = self.daemon.ticket();
        Remote { token: Token::from_ticket(&ticket), addr: self.stack.provider.local_peer_id().into() }
    }

    /// Makes `service` of `remote` available at any free port; where.
    async fn connect(&self, remote: Remote, service: &str) -> SocketAddr {
        self.connect_at(connect(remote, service, "127.0.0.1:0")).await
    }

    async fn connect_at(&self, rule: ConnectRule) -> SocketAddr {
        let mut rules = self.daemon.rules();
        let name = rule.name.clone();
        rules.connects.push(rule);
        self.daemon.apply(rules).await.unwrap();
        self.daemon.local_addr(&name).unwrap()
    }

    /// Waits until a rule's numbers are as wanted.
    async fn until(&self, rule: &str, wanted: impl Fn(&super::Counters) -> bool) {
        let counters = || {
            let status = self.daemon.status();
            status.rules.into_iter().find(|status| status.name == rule).expect("there is such a rule").counters
        };
        within(async {
            while !wanted(&counters()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    fn metrics(&self) -> String {
        self.daemon.export().render()
    }
}

/// Alice shares one TCP service as `web`, and Bob has it at an address of his.
struct Pair {
    alice: Peer,
    bob: Peer,
    service: TcpListener,
    addr: SocketAddr,
}

impl Pair {
    async fn new() -> Self {
        let network = MemoryNetwork::new();
        let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (alice, bob) = (Peer::new(&network, "alice"), Peer::new(&network, "bob"));
        alice.share([share("web", &format!("tcp://{}", service.local_addr().unwrap()))]).await;
        let addr = bob.connect(alice.remote(), "web").await;
        Self { alice, bob, service, addr }
    }

    /// A client's connection to Bob, and what becomes of it at the service.
    async fn open(&self) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(self.addr).await.unwrap();
        let (server, _) = within(self.service.accept()).await.unwrap();
        (client, server)
    }

    /// The same, with a byte that has passed.
    async fn open_and_speak(&self) -> (TcpStream, TcpStream) {
        let (mut client, mut server) = self.open().await;
        client.write_all(b"x").await.unwrap();
        within(server.read_exact(&mut [0])).await.unwrap();
        (client, server)
    }
}

fn share(name: &str, target: &str) -> ShareRule {
    ShareRule::new(name.parse().unwrap(), target.parse().unwrap())
}

fn connect(remote: Remote, service: &str, listen: &str) -> ConnectRule {
    ConnectRule::new(remote, name(service), listen.parse::<Listen>().unwrap())
}

fn name(text: &str) -> ServiceName {
    text.parse().unwrap()
}

async fn within<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("it does not take this long")
}

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longer than any test, so that what ends does so by itself.
const DRAIN: Duration = Duration::from_secs(120);

/// Likewise.
const GRACE: Duration = Duration::from_secs(120);
