//! TCP connections and Unix domain sockets.

use std::{io::ErrorKind, time::Duration};

use p2p::{P2PProvider, memory::MemoryNetwork};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{Pair, Peer, connect, name, share, within};
use crate::{
    access::Allow,
    forward::LinkState,
    rule::{Bandwidth, Rules, Target},
};

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
    pair.bob.until("web", |counters| (counters.streams, counters.bytes_in, counters.bytes_out) == (0, 6, 8)).await;
    assert!(pair.bob.metrics().contains("p2p_forward_bytes_total{rule=\"web\",dir=\"in\"} 6"));
}

// The transport is killed again and again in the middle of a download; the bytes go on where they were.
#[tokio::test]
async fn a_stream_outlives_its_transport() {
    let pair = Pair::new().await;
    let (mut client, mut server) = pair.open_and_speak().await;
    let mut file = vec![0; 24 * 1024 * 1024];
    blake3::Hasher::new().finalize_xof().fill(&mut file);
    let expected = blake3::hash(&file);
    let upload = tokio::spawn(async move {
        server.write_all(&file).await.unwrap();
        server.shutdown().await.unwrap();
    });

    let (mut received, mut killed) = (Vec::new(), 0);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let len = within(client.read(&mut buffer)).await.expect("the client notices nothing");
        if len == 0 {
            break;
        }
        received.extend_from_slice(&buffer[..len]);
        if received.len() > (killed + 1) * 4 * 1024 * 1024 {
            killed += pair.alice.provider.kill();
        }
    }
    within(upload).await.unwrap();
    assert_eq!(blake3::hash(&received), expected);
    assert!(killed >= 4, "{killed} transports were killed");
    assert!(pair.bob.stack.reconnect.totals().resumed >= 4);
}

#[tokio::test]
async fn a_reset_on_either_side_is_a_reset_on_the_other() {
    let pair = Pair::new().await;
    for client_breaks in [true, false] {
        let (client, server) = pair.open_and_speak().await;
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
async fn a_service_of_another_name_is_a_reset_with_its_reason_counted() {
    let pair = Pair::new().await;
    let addr = pair.bob.connect(pair.alice.remote(), "mail").await;
    let mut client = TcpStream::connect(addr).await.unwrap();
    let error = within(client.read(&mut [0])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    pair.bob.until("mail", |counters| counters.errors == 1).await;
    let series = "p2p_forward_errors_total{rule=\"mail\",reason=\"unknown_service\"} 1";
    assert!(pair.bob.metrics().contains(series));
}

#[tokio::test]
async fn a_peer_that_left_resets_what_is_open_and_is_dialled_again() {
    let mut pair = Pair::new().await;
    let (mut client, _server) = pair.open_and_speak().await;
    let mut link = pair.bob.daemon.link(&name("web")).unwrap();
    pair.alice.stack.provider.shutdown(Duration::ZERO).await;
    let error = within(client.read(&mut [0])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    within(link.wait_for(|state| matches!(state, LinkState::Down { was_up: true, .. }))).await.unwrap();
    // Which ticket it was does not matter to one that lets anybody in.
    let network = MemoryNetwork::new();
    let (alice, bob) = (Peer::new(&network, "alice"), Peer::new(&network, "bob"));
    let mut rule = share("web", &format!("tcp://{}", pair.service.local_addr().unwrap()));
    rule.allow = Allow::anyone();
    alice.share([rule]).await;
    pair.addr = bob.connect(alice.remote(), "web").await;
    pair.open_and_speak().await;
}

#[tokio::test]
async fn a_shutdown_lets_streams_end_and_takes_no_new_ones() {
    let pair = Pair::new().await;
    let (mut client, mut server) = pair.open_and_speak().await;
    pair.alice.shutdown.request();
    server.write_all(b"the rest").await.unwrap();
    drop(server);
    let mut rest = String::new();
    client.shutdown().await.unwrap();
    within(client.read_to_string(&mut rest)).await.unwrap();
    assert_eq!(rest, "the rest");
    // With its last stream the connection ends, and Bob dials somebody who no longer listens.
    let mut link = pair.bob.daemon.link(&name("web")).unwrap();
    within(link.wait_for(|state| !matches!(state, LinkState::Up { .. }))).await.unwrap();
}

#[tokio::test]
async fn a_port_range_is_forwarded_port_by_port() {
    let network = MemoryNetwork::new();
    let (alice, bob) = (Peer::new(&network, "alice"), Peer::new(&network, "bob"));
    let (first, services) = consecutive_ports(3).await;
    alice.share([share("range", &format!("tcp://127.0.0.1:{first}-{}", first + 2))]).await;
    let (free, held) = consecutive_ports(3).await;
    drop(held);
    let listen = format!("tcp://127.0.0.1:{free}-{}", free + 2);
    bob.connect_at(connect(alice.remote(), "range", &listen)).await;
    for (offset, service) in (0..).zip(&services) {
        let mut client = TcpStream::connect(("127.0.0.1", free + offset)).await.unwrap();
        client.write_all(b"x").await.unwrap();
        let (mut server, _) = within(service.accept()).await.unwrap();
        within(server.read_exact(&mut [0])).await.unwrap();
    }
}

async fn consecutive_ports(count: u16) -> (u16, Vec<TcpListener>) {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = first.local_addr().unwrap().port();
        let mut all = vec![first];
        for offset in 1..count {
            if let Ok(next) = TcpListener::bind(("127.0.0.1", port.saturating_add(offset))).await {
                all.push(next);
            }
        }
        if all.len() == usize::from(count) {
            return (port, all);
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn unix_sockets_are_forwarded_at_both_ends_and_the_file_goes_with_the_rule() {
    let folder = tempfile::tempdir().unwrap();
    let (theirs, ours) = (folder.path().join("service"), folder.path().join("here"));
    let service = tokio::net::UnixListener::bind(&theirs).unwrap();
    // A program that died left this behind.
    drop(std::os::unix::net::UnixListener::bind(&ours).unwrap());
    let network = MemoryNetwork::new();
    let (alice, bob) = (Peer::new(&network, "alice"), Peer::new(&network, "bob"));
    alice.share([share("app", &format!("unix:{}", theirs.display()))]).await;
    let rule = connect(alice.remote(), "app", &format!("unix:{}", ours.display()));
    bob.daemon.apply(Rules { connects: vec![rule], ..Rules::default() }).await.unwrap();

    let mut client = tokio::net::UnixStream::connect(&ours).await.unwrap();
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let (mut server, _) = within(service.accept()).await.unwrap();
    let mut text = String::new();
    within(server.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "question");
    bob.daemon.apply(Rules::default()).await.unwrap();
    assert!(!ours.exists(), "the socket's file is removed with its rule");
}

// The peer that has the service dials; the one that wants it only waits.
#[tokio::test]
async fn a_reverse_rule_uses_the_connection_that_the_peer_dialled() {
    let network = MemoryNetwork::new();
    let (server, laptop) = (Peer::new(&network, "server"), Peer::new(&network, "laptop"));
    let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let laptop_id = laptop.stack.provider.local_peer_id();
    let mut wants = connect(laptop_id.into(), "ssh", "127.0.0.1:0");
    wants.reverse = true;
    let addr = server.connect_at(wants).await;

    let mut has = share("ssh", &format!("tcp://{}", service.local_addr().unwrap()));
    has.allow = Allow::peers([]);
    has.reverse_to = vec![server.remote()];
    laptop.share([has]).await;

    let mut client = TcpStream::connect(addr).await.unwrap();
    client.write_all(b"x").await.unwrap();
    let (mut at_service, _) = within(service.accept()).await.unwrap();
    within(at_service.read_exact(&mut [0])).await.unwrap();
    let status = server.daemon.status();
    assert!(!status.peers[0].dialled && status.peers[0].peer == laptop_id);
}

#[tokio::test]
async fn a_rule_carries_no_more_than_its_bandwidth() {
    let network = MemoryNetwork::new();
    let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (alice, bob) = (Peer::new(&network, "alice"), Peer::new(&network, "bob"));
    alice.share([share("web", &format!("tcp://{}", service.local_addr().unwrap()))]).await;
    let mut rule = connect(alice.remote(), "web", "127.0.0.1:0");
    rule.bandwidth = Bandwidth::bytes_per_second(1_000_000);
    let addr = bob.connect_at(rule).await;

    let start = Instant::now();
    let mut streams = JoinSet::new();
    for _ in 0..2 {
        let mut client = TcpStream::connect(addr).await.unwrap();
        streams.spawn(async move {
            client.write_all(&[0; 500_000]).await.unwrap();
            client.shutdown().await.unwrap();
        });
        let (mut server, _) = within(service.accept()).await.unwrap();
        streams.spawn(async move {
            assert_eq!(server.read_to_end(&mut Vec::new()).await.unwrap(), 500_000);
        });
    }
    within(streams.join_all()).await;
    // Both together: 1 MB at 1 MB/s, less what passes at once.
    assert!(start.elapsed() >= Duration::from_millis(800), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_target_that_hangs_up_halfway_ends_the_client_likewise() {
    let pair = Pair::new().await;
    let (mut client, mut server) = pair.open_and_speak().await;
    server.write_all(b"half of").await.unwrap();
    server.set_zero_linger().unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(server);
    let mut read = Vec::new();
    let error = within(client.read_to_end(&mut read)).await.expect_err("half an answer is not an answer");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn hundreds_of_streams_share_one_connection_and_outlive_it() {
    let pair = Pair::new().await;
    let mut open = Vec::new();
    for _ in 0..STREAMS {
        open.push(pair.open().await);
    }
    pair.bob.until("web", |counters| counters.streams == STREAMS as u64).await;
    assert_eq!(pair.bob.daemon.status().peers.len(), 1, "one connection carries all of them");
    for (client, server) in &mut open {
        client.write_all(b"x").await.unwrap();
        within(server.read_exact(&mut [0])).await.unwrap();
    }
    // And all of them outlive it.
    assert_eq!(pair.alice.provider.kill(), 1);
    for (client, server) in &mut open {
        server.write_all(b"y").await.unwrap();
        within(client.read_exact(&mut [0])).await.unwrap();
    }
}

/// Two sockets each on both sides are below what a process may open where nobody raised that.
const STREAMS: usize = 200;

#[tokio::test]
async fn one_target_that_is_down_says_so_and_harms_no_other() {
    let network = MemoryNetwork::new();
    let (alice, bob) = (Peer::new(&network, "alice"), Peer::new(&network, "bob"));
    let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let up = format!("tcp://{}", service.local_addr().unwrap());
    alice.share([share("up", &up), share("down", &format!("tcp://{gone}"))]).await;
    let (up, down) = (bob.connect(alice.remote(), "up").await, bob.connect(alice.remote(), "down").await);
    let mut client = TcpStream::connect(down).await.unwrap();
    within(client.read(&mut [0])).await.expect_err("an ordinary end would look like an empty answer");
    bob.until("down", |counters| counters.errors == 1).await;
    let mut client = TcpStream::connect(up).await.unwrap();
    client.write_all(b"x").await.unwrap();
    within(service.accept()).await.unwrap();
    assert_eq!(bob.daemon.status().peers.len(), 1, "two rules share the connection");
    assert!(matches!(alice.daemon.rules().shares[0].target, Target::Net(..)));
}
