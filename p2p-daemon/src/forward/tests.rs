//! Both sides in one process, over the in-memory provider: what the module promises, without a network.

use std::{io::ErrorKind, net::SocketAddr, sync::Arc, time::Duration};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use p2p::{ListenConfig, P2PProvider, memory::MemoryNetwork};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};

use super::{Connect, LinkState, ServiceName, Share, connection_config};
use crate::{Shutdown, ShutdownTrigger};

/// A service, Alice who shares it, and Bob who forwards to her.
struct Pair {
    network: MemoryNetwork,
    service: TcpListener,
    /// Where Bob listens.
    addr: SocketAddr,
    link: p2p::Watch<LinkState>,
    alice: Arc<dyn P2PProvider>,
    alice_shutdown: ShutdownTrigger,
    recorder: PrometheusRecorder,
    _bob: ShutdownTrigger,
    tasks: JoinSet<()>,
}

impl Pair {
    async fn new() -> Self {
        Self::asking_for("web").await
    }

    /// Bob asks for that service; Alice has `web`.
    async fn asking_for(service_name: &str) -> Self {
        let network = MemoryNetwork::new();
        let recorder = PrometheusBuilder::new().build_recorder();
        let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut tasks = JoinSet::new();
        let (alice, alice_shutdown) = share(&network, service.local_addr().unwrap(), &recorder, &mut tasks).await;

        let bob: Arc<dyn P2PProvider> = Arc::new(network.provider("bob"));
        let listen = "127.0.0.1:0".parse().unwrap();
        let peer = alice.local_peer_id().into();
        let name = service_name.parse().unwrap();
        let connect = Connect::bind(bob, peer, name, listen, &recorder).await.unwrap();
        let (addr, link) = (connect.local_addr(), connect.link());
        let (bob, shutdown) = Shutdown::new(DRAIN);
        tasks.spawn(async { connect.run(shutdown).await.unwrap() });
        Self { network, service, addr, link, alice, alice_shutdown, recorder, _bob: bob, tasks }
    }

    /// A client's connection to Bob, and what becomes of it at the service.
    async fn open(&self) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(self.addr).await.unwrap();
        let (server, _) = within(self.service.accept()).await.unwrap();
        (client, server)
    }

    async fn until_counted(&self, series: &str) {
        within(async {
            while !self.recorder.handle().render().lines().any(|line| line == series) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

async fn share(
    network: &MemoryNetwork,
    service: SocketAddr,
    recorder: &PrometheusRecorder,
    tasks: &mut JoinSet<()>,
) -> (Arc<dyn P2PProvider>, ShutdownTrigger) {
    let alice: Arc<dyn P2PProvider> = Arc::new(network.provider("alice"));
    let listener = alice.listen_with(ListenConfig::from(connection_config())).await.unwrap();
    let name: ServiceName = "web".parse().unwrap();
    let target = format!("tcp://{service}").parse().unwrap();
    let share = Share::new(listener, [(name, target)], recorder);
    let (trigger, shutdown) = Shutdown::new(DRAIN);
    // Ends with an error where a test shuts Alice's provider down under it.
    tasks.spawn(async { drop(share.run(shutdown).await) });
    (alice, trigger)
}

async fn within<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("it does not take this long")
}

#[tokio::test]
async fn bytes_and_ends_pass_in_each_direction_on_its_own() {
    let pair = Pair::new().await;
    let (mut client, mut server) = pair.open().await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut text = String::new();
    within(server.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "question");

    server.write_all(b"answer").await.unwrap();
    drop(server);
    text.clear();
    within(client.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "answer");
    pair.until_counted("p2p_forward_streams{rule=\"web\"} 0").await;
}

#[tokio::test]
async fn a_reset_on_either_side_is_a_reset_on_the_other() {
    let pair = Pair::new().await;
    for client_breaks in [true, false] {
        let (mut client, mut server) = pair.open().await;
        client.write_all(b"x").await.unwrap();
        within(server.read_exact(&mut [0])).await.unwrap();
        let (breaks, mut sees) = if client_breaks { (client, server) } else { (server, client) };
        breaks.set_zero_linger().unwrap();
        drop(breaks);
        let error = within(sees.read(&mut [0])).await.expect_err("an ordinary end would be taken for success");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

// The writer stops long before it has written everything, because what is on its way is bounded; and nothing of it is
// lost once the reader wakes up.
#[tokio::test]
async fn a_slow_reader_slows_the_writer() {
    let pair = Pair::new().await;
    let (mut client, mut server) = pair.open().await;
    let all = vec![7; 64 * 1024 * 1024];
    let mut written = 0;
    while let Ok(Ok(len)) = timeout(Duration::from_millis(500), client.write(&all[written..])).await {
        written += len;
        assert!(written < all.len(), "nothing slowed the writer");
    }
    let rest = tokio::spawn(async move {
        client.write_all(&all[written..]).await.unwrap();
        client.shutdown().await.unwrap();
        all.len()
    });
    let mut read = Vec::new();
    within(server.read_to_end(&mut read)).await.unwrap();
    assert_eq!(read.len(), rest.await.unwrap());
    assert!(read.iter().all(|byte| *byte == 7));
}

#[tokio::test]
async fn an_unknown_service_is_a_reset_with_its_reason_counted() {
    let pair = Pair::asking_for("mail").await;
    let mut client = TcpStream::connect(pair.addr).await.unwrap();
    let error = within(client.read(&mut [0])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    for rule in ["mail", "none"] {
        pair.until_counted(&format!("p2p_forward_errors_total{{rule=\"{rule}\",reason=\"unknown_service\"}} 1")).await;
    }
}

#[tokio::test]
async fn a_lost_peer_resets_what_is_open_and_is_dialled_again() {
    let mut pair = Pair::new().await;
    let (mut client, mut server) = pair.open().await;
    client.write_all(b"x").await.unwrap();
    within(server.read_exact(&mut [0])).await.unwrap();

    pair.alice.shutdown(Duration::ZERO).await;
    let error = within(client.read(&mut [0])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    within(pair.link.wait_for(|state| matches!(state, LinkState::Down { was_up: true, .. }))).await.unwrap();

    let service = pair.service.local_addr().unwrap();
    let (alice, trigger) = share(&pair.network, service, &pair.recorder, &mut pair.tasks).await;
    (pair.alice, pair.alice_shutdown) = (alice, trigger);
    let (mut client, mut server) = pair.open().await;
    client.write_all(b"y").await.unwrap();
    within(server.read_exact(&mut [0])).await.unwrap();
}

#[tokio::test]
async fn a_shutdown_lets_streams_end_and_takes_no_new_ones() {
    let pair = Pair::new().await;
    let (mut client, mut server) = pair.open().await;
    client.write_all(b"x").await.unwrap();
    within(server.read_exact(&mut [0])).await.unwrap();
    pair.alice_shutdown.request();

    server.write_all(b"the rest").await.unwrap();
    drop(server);
    let mut rest = String::new();
    client.shutdown().await.unwrap();
    within(client.read_to_string(&mut rest)).await.unwrap();
    assert_eq!(rest, "the rest");
    // With its last stream the connection ends, and Bob dials somebody who no longer listens.
    let mut link = pair.link.clone();
    within(link.wait_for(|state| matches!(state, LinkState::Down { .. }))).await.unwrap();
}

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longer than any test, so that what ends does so by itself.
const DRAIN: Duration = Duration::from_secs(60);
