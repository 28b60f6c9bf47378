//! Over iroh, by way of a relay and nothing else: what happens when it dies.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use p2p::{ConnectionState, P2PProvider};
use p2p_iroh::{IrohConfig, IrohP2P, RelayServer, TrustRoots};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{DRAIN, GRACE, connect, name, share, within};
use crate::{
    Daemon, Shutdown, ShutdownTrigger,
    access::{Access, Token},
    forward::LinkState,
    relay::{Authority, Certificate, Relay, RelayAccess, RelayOptions},
    rule::{Remote, Rules},
    stack::Stack,
};

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

async fn relay(https: SocketAddr, authority: &Authority) -> Relay {
    Relay::start(RelayOptions {
        https,
        http: LOOPBACK,
        quic: LOOPBACK,
        certificate: Certificate::issued(&LOOPBACK.ip().to_string(), authority).unwrap(),
        access: RelayAccess::anybody(),
        client_bytes_per_second: None,
    })
    .await
    .unwrap()
}

async fn peer(relay: SocketAddr, authority: &Authority) -> (Daemon, ShutdownTrigger) {
    let config = IrohConfig::default()
        .with_bind([LOOPBACK])
        .with_relays([RelayServer::new(&format!("https://{relay}")).unwrap()])
        .with_trust(TrustRoots::none().with_der(&authority.root()).unwrap())
        .with_relay_only(true);
    let stack = Stack::new(Arc::new(IrohP2P::bind(config).await.unwrap()), GRACE).unwrap();
    let (trigger, shutdown) = Shutdown::new(DRAIN);
    (Daemon::start(&stack, Access::ephemeral(), shutdown), trigger)
}

// The relay is killed in the middle of a download and stays away until the connection is known to be lost. When another is
// there at its address, the download goes on, and its checksum holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_outlives_its_relay() {
    let authority = Authority::new("test").unwrap();
    let first = relay(LOOPBACK, &authority).await;
    let addr = first.https_addr();
    let ((alice, _a), (bob, _b)) = (peer(addr, &authority).await, peer(addr, &authority).await);
    let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("tcp://{}", service.local_addr().unwrap());
    alice.apply(Rules { shares: vec![share("web", &target)], ..Rules::default() }).await.unwrap();
    let ticket = alice.ticket();
    let remote = Remote { token: Token::from_ticket(&ticket), addr: ticket.addr };
    assert!(remote.addr.direct.is_empty(), "the relay is the only way: {:?}", remote.addr);
    let rules = Rules { connects: vec![connect(remote, "web", "127.0.0.1:0")], ..Rules::default() };
    bob.apply(rules).await.unwrap();

    let mut file = vec![0; 32 * 1024 * 1024];
    blake3::Hasher::new().finalize_xof().fill(&mut file);
    let (expected, len) = (blake3::hash(&file), file.len());
    tokio::spawn(async move {
        let (mut server, _) = service.accept().await.unwrap();
        server.write_all(&file).await.unwrap();
    });
    let mut client = TcpStream::connect(bob.local_addr(&name("web")).unwrap()).await.unwrap();
    let mut received = vec![0; len];
    within(client.read_exact(&mut received[..1024 * 1024])).await.unwrap();

    first.end().await;
    let link = bob.link(&name("web")).unwrap().get();
    let LinkState::Up { mut connection, .. } = link else { panic!("{link:?}") };
    let lost = connection.wait_for(|state| matches!(state, ConnectionState::Reconnecting { .. }));
    within(lost).await.unwrap();
    let _second = relay(addr, &authority).await;
    within(client.read_exact(&mut received[1024 * 1024..])).await.expect("the client notices nothing but a pause");
    assert_eq!(blake3::hash(&received), expected);
    assert_eq!(bob.status().rules[0].counters.bytes_in, len as u64);
    for daemon in [alice, bob] {
        daemon.end().await;
        daemon.provider().shutdown(std::time::Duration::ZERO).await;
    }
}
