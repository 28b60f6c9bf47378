//! Datagrams.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use p2p::memory::MemoryNetwork;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    time::timeout,
};

use super::{Peer, connect, share, within};

/// A UDP service that sends everything back, and says nothing of itself otherwise.
async fn echo() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let addr = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            socket.send_to(&buffer[..len], from).await.ok();
        }
    });
    addr
}

struct Pair {
    alice: Peer,
    bob: Peer,
    addr: SocketAddr,
}

impl Pair {
    async fn on(network: MemoryNetwork, idle: Duration) -> Self {
        let (alice, bob) = (Peer::new(&network, "alice"), Peer::new(&network, "bob"));
        let mut rule = share("echo", &format!("udp://{}", echo().await));
        rule.udp_idle = idle;
        alice.share([rule]).await;
        let mut rule = connect(alice.remote(), "echo", "udp://127.0.0.1:0");
        rule.udp_idle = idle;
        let addr = bob.connect_at(rule).await;
        Self { alice, bob, addr }
    }

    async fn client(&self) -> UdpSocket {
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.connect(self.addr).await.unwrap();
        client
    }
}

/// Sends until it comes back, as a resolver would.
async fn ask(client: &UdpSocket, question: &[u8]) -> Vec<u8> {
    let mut answer = vec![0; 65_536];
    within(async {
        loop {
            client.send(question).await.unwrap();
            if let Ok(Ok(len)) = timeout(Duration::from_secs(1), client.recv(&mut answer)).await {
                return answer[..len].to_vec();
            }
        }
    })
    .await
}

#[tokio::test]
async fn each_source_is_a_flow_of_its_own_and_gets_its_own_answers() {
    let pair = Pair::on(MemoryNetwork::new(), Duration::from_secs(60)).await;
    let (one, two) = (pair.client().await, pair.client().await);
    for round in 0..3 {
        for (client, text) in [(&one, "one"), (&two, "two")] {
            let text = format!("{text} {round}");
            assert_eq!(ask(client, text.as_bytes()).await, text.as_bytes());
        }
    }
    assert_eq!(ask(&one, b"").await, b"", "an empty datagram is one");
    pair.bob.until("echo", |counters| counters.flows == 2).await;
    pair.alice.until("echo", |counters| counters.flows == 2).await;
}

// A datagram of the connection carries little more than a kilobyte; what is larger goes on the stream and arrives whole.
#[tokio::test]
async fn a_datagram_of_any_size_arrives_whole() {
    for network in [MemoryNetwork::new(), MemoryNetwork::new().without_datagrams()] {
        let pair = Pair::on(network, Duration::from_secs(60)).await;
        let client = pair.client().await;
        for size in [1, 1000, 1400, 9000, 65_000] {
            let question: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            assert_eq!(ask(&client, &question).await, question, "{size} bytes");
        }
        let dropped = pair.bob.daemon.status().rules[0].counters.datagrams_dropped;
        assert_eq!(dropped, 0, "nothing was lost for its size");
    }
}

#[tokio::test]
async fn thousands_of_flows_are_swept_and_leave_nothing() {
    // Two sockets for each flow.
    crate::open_files::raise_limit();
    let pair = Pair::on(MemoryNetwork::new(), Duration::from_secs(20)).await;
    let files = open_files();
    let mut clients = Vec::new();
    for number in 0..FLOWS {
        let client = pair.client().await;
        let text = number.to_string();
        client.send(text.as_bytes()).await.unwrap();
        clients.push((client, text));
    }
    for (client, text) in &clients {
        // What a full buffer has lost is sent again.
        assert_eq!(ask(client, text.as_bytes()).await, text.as_bytes());
    }
    drop(clients);
    pair.bob.until("echo", |counters| counters.flows == 0 && counters.flows_opened == FLOWS).await;
    pair.alice.until("echo", |counters| counters.flows == 0).await;
    // Other tests have files of their own meanwhile.
    within(async {
        while open_files() >= files + FLOWS as usize / 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    // Afterwards as before.
    assert_eq!(ask(&pair.client().await, b"again").await, b"again");
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// As many as have exhausted the ports of another tool.
const FLOWS: u64 = 3500;

#[tokio::test]
async fn tcp_and_udp_are_had_by_one_rule_at_one_port() {
    let network = MemoryNetwork::new();
    let (alice, bob) = (Peer::new(&network, "alice"), Peer::new(&network, "bob"));
    // One port number with both.
    let (tcp, udp) = loop {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
            break (tcp, Arc::new(udp));
        }
    };
    alice.share([share("dns", &format!("tcp+udp://{}", tcp.local_addr().unwrap()))]).await;
    let addr = bob.connect_at(connect(alice.remote(), "dns", "tcp+udp://127.0.0.1:0")).await;

    let mut client = TcpStream::connect(addr).await.unwrap();
    client.write_all(b"x").await.unwrap();
    let (mut server, _) = within(tcp.accept()).await.unwrap();
    within(server.read_exact(&mut [0])).await.unwrap();

    let answers = udp.clone();
    tokio::spawn(async move {
        let mut buffer = [0; 100];
        while let Ok((len, from)) = answers.recv_from(&mut buffer).await {
            answers.send_to(&buffer[..len], from).await.ok();
        }
    });
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(addr).await.unwrap();
    assert_eq!(ask(&client, b"datagram").await, b"datagram");
    assert_eq!(bob.daemon.status().peers.len(), 1);
}

#[tokio::test]
async fn flows_go_on_after_the_transport_is_lost() {
    let pair = Pair::on(MemoryNetwork::new(), Duration::from_secs(60)).await;
    let client = pair.client().await;
    assert_eq!(ask(&client, b"before").await, b"before");
    assert_eq!(pair.alice.provider.kill(), 1);
    assert_eq!(ask(&client, b"after").await, b"after");
    assert_eq!(pair.bob.daemon.status().rules[0].counters.flows_opened, 1, "it is the same flow");
}
