//! Who may use what, and what the others learn.

use std::{
    io::ErrorKind,
    time::{Duration, SystemTime},
};

use p2p::{P2PError, P2PProvider, RefusalCode, memory::MemoryNetwork};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{Peer, name, share, within};
use crate::{
    access::{Allow, Mint, Token},
    daemon::EventKind,
    forward::LinkState,
    rule::Remote,
};

/// Alice with `open` for whoever has a ticket and `private` for Carol alone.
struct Scene {
    network: MemoryNetwork,
    alice: Peer,
    carol: Peer,
    service: TcpListener,
}

impl Scene {
    async fn new() -> Self {
        let network = MemoryNetwork::new();
        let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (alice, carol) = (Peer::new(&network, "alice"), Peer::new(&network, "carol"));
        let target = format!("tcp://{}", service.local_addr().unwrap());
        let mut private = share("private", &target);
        private.allow = Allow::peers([carol.stack.provider.local_peer_id()]);
        alice.share([share("open", &target), private]).await;
        Self { network, alice, carol, service }
    }

    fn with(&self, token: Option<Token>) -> Remote {
        Remote { token, ..self.alice.remote() }
    }

    fn mint(&self) -> &Mint {
        self.alice.daemon.access().mint()
    }

    /// Whether `who` gets through to a service.
    async fn reaches(&self, who: &Peer, remote: Remote, service: &str) -> bool {
        let addr = who.connect(remote, service).await;
        let mut client = TcpStream::connect(addr).await.unwrap();
        client.write_all(b"x").await.unwrap();
        let mut byte = [0];
        p2p::select! {
            accepted = self.service.accept() => {
                let (mut server, _) = accepted.unwrap();
                within(server.read_exact(&mut [0])).await.unwrap();
                true
            }
            read = within(client.read(&mut byte)) => {
                assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
                false
            }
        }
    }

    /// Waits until `who` was refused in the handshake, and in which words.
    async fn refused(&self, who: &Peer, remote: Remote, service: &str) -> String {
        who.connect(remote, service).await;
        let mut link = who.daemon.link(&name(service)).unwrap();
        let failed = within(link.wait_for(|state| matches!(state, LinkState::Failed { .. }))).await;
        match failed.unwrap() {
            LinkState::Failed { error: P2PError::Refused { refusal, .. } } => {
                assert_eq!(refusal.code, RefusalCode::Rejected);
                refusal.reason
            }
            state => panic!("{state:?}"),
        }
    }

    fn reasons(&self) -> Vec<String> {
        let refused = |kind| kind == EventKind::PeerRefused;
        let events = self.alice.daemon.events().since(0);
        events.iter().filter(|event| refused(event.kind)).map(|event| event.text.clone()).collect()
    }
}

#[tokio::test]
async fn a_ticket_is_for_its_services_and_a_list_for_its_peers() {
    let scene = Scene::new().await;
    let bob = Peer::new(&scene.network, "bob");
    let ticket = Token::from_ticket(&scene.alice.daemon.ticket());
    assert!(scene.reaches(&bob, scene.with(ticket), "open").await);
    // Carol needs no ticket; what she is not on the list of, she has none for.
    assert!(scene.reaches(&scene.carol, scene.with(None), "private").await);
}

// Both are a reset with the same code, and neither is in the ticket that Bob has.
#[tokio::test]
async fn what_a_peer_may_not_use_looks_like_what_is_not_there() {
    let scene = Scene::new().await;
    let bob = Peer::new(&scene.network, "bob");
    for service in ["private", "nothing"] {
        assert!(!scene.reaches(&bob, scene.alice.remote(), service).await);
        bob.until(service, |counters| counters.errors == 1).await;
        let series = format!("p2p_forward_errors_total{{rule=\"{service}\",reason=\"unknown_service\"}} 1");
        assert!(bob.metrics().contains(&series));
    }
}

#[tokio::test]
async fn whoever_may_use_nothing_is_refused_in_the_same_words_whatever_was_shown() {
    let scene = Scene::new().await;
    let open = || vec![name("open")];
    let past = SystemTime::now() - Duration::from_secs(3600);
    let once = scene.mint().mint(open(), None, true);
    let first = Peer::new(&scene.network, "first");
    assert!(scene.reaches(&first, scene.with(Some(once.clone())), "open").await);
    // Its owner may come again.
    assert!(scene.reaches(&Peer::new(&scene.network, "first"), scene.with(Some(once.clone())), "open").await);

    let mut words = Vec::new();
    for (who, token) in [
        ("nothing", None),
        ("expired", Some(scene.mint().mint(open(), Some(past), false))),
        ("forged", Some(Mint::random().standing(open(), 0))),
        ("used", Some(once)),
        ("other", Some(scene.mint().standing(vec![name("mail")], 0))),
    ] {
        let peer = Peer::new(&scene.network, who);
        words.push(scene.refused(&peer, scene.with(token), "open").await);
    }
    words.dedup();
    assert_eq!(words.len(), 1, "{words:?}");
    // The operator is told the difference.
    let reasons = scene.reasons().join("; ");
    for reason in ["no ticket", "expired 60 min ago", "not made here", "another has used", "for other services"] {
        assert!(reasons.contains(reason), "no {reason:?} in {reasons}");
    }
}

#[tokio::test]
async fn a_rule_that_no_longer_lets_a_peer_in_holds_for_connections_there_are() {
    let scene = Scene::new().await;
    let mut rules = scene.alice.daemon.rules();
    assert!(scene.reaches(&scene.carol, scene.with(None), "private").await);
    rules.shares[1].allow = Allow::peers([]);
    scene.alice.daemon.apply(rules).await.unwrap();
    let addr = scene.carol.daemon.local_addr(&name("private")).unwrap();
    let mut client = TcpStream::connect(addr).await.unwrap();
    let error = within(client.read(&mut [0])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}
