//! Two processes, and what goes through them.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::LazyLock,
};

use crate::process::P2pd;
use crate::service::{connect, echo, free_tcp_addr, free_udp_port, get, http, serve, serve_on, share, ticket};

/// Large enough to fill every window and buffer on the way, and no two parts of it alike.
static DOCUMENT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut document = vec![0; 16 * 1024 * 1024];
    blake3::Hasher::new().finalize_xof().fill(&mut document);
    document
});

#[test]
fn a_file_arrives_with_the_same_checksum() {
    let (_share, ticket) = share(serve(http(&DOCUMENT)), &[]);
    let (_connect, addr) = connect(&ticket);
    let (status, body) = get(addr, "/file");
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert_eq!(blake3::hash(&body), blake3::hash(&DOCUMENT));
}

// The service answers only once its reader has seen the end, and the answer can arrive only if that end closed no more
// than one direction.
#[test]
fn a_half_closed_connection_still_carries_the_answer() {
    let counts = |mut tcp: TcpStream| {
        let mut question = Vec::new();
        tcp.read_to_end(&mut question).unwrap();
        tcp.write_all(question.len().to_string().as_bytes()).unwrap();
    };
    let (_share, ticket) = share(serve(counts), &[]);
    let (_connect, addr) = connect(&ticket);
    let mut tcp = TcpStream::connect(addr).unwrap();
    tcp.write_all(&[7; 100_000]).unwrap();
    tcp.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "100000");
}

#[test]
fn a_service_that_refuses_is_a_reset_and_ends_nobody() {
    let service = free_tcp_addr();
    let (_share, ticket) = share(service, &[]);
    let (_connect, addr) = connect(&ticket);

    let mut tcp = TcpStream::connect(addr).unwrap();
    let error = tcp.read(&mut [0]).expect_err("an ordinary end would look like an empty answer");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);

    // The same two processes forward as soon as the service is there.
    serve_on(TcpListener::bind(service).unwrap(), http(b"here now"));
    assert_eq!(get(addr, "/").1, b"here now");
}

#[test]
fn a_service_that_speaks_first_is_heard() {
    let greets = |mut tcp: TcpStream| tcp.write_all(b"220 hello").unwrap();
    let (_share, ticket) = share(serve(greets), &[]);
    let (_connect, addr) = connect(&ticket);
    let mut greeting = String::new();
    TcpStream::connect(addr).unwrap().read_to_string(&mut greeting).unwrap();
    assert_eq!(greeting, "220 hello");
}

#[test]
fn a_killed_peer_is_reported_and_found_again_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    let port = free_udp_port().to_string();
    let more = ["--key-file", key.to_str().unwrap(), "--port", &port];
    let service = serve(echo);

    let (mut first, first_ticket) = share(service, &more);
    let (connect, addr) = connect(&first_ticket);
    first.kill();
    let (_second, second_ticket) = share(service, &more);
    assert_eq!(second_ticket, first_ticket, "the key and the port are the same, so the ticket is");

    connect.says("The connection is interrupted");
    // The one that came back knows nothing of it.
    connect.says("The peer is gone");
    // Waits for the new connection inside.
    let mut tcp = TcpStream::connect(addr).unwrap();
    tcp.write_all(b"still there?").unwrap();
    tcp.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "still there?");
    assert_eq!(connect.stdout.text().matches("Connected in").count(), 2);
}

#[test]
fn connect_may_come_before_share() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    let port = free_udp_port().to_string();
    let more = ["--key-file", key.to_str().unwrap(), "--port", &port];
    let service = serve(echo);
    let (mut share_once, its_ticket) = share(service, &more);
    share_once.kill();

    let connect = P2pd::start(&["connect", &its_ticket, "--listen", "127.0.0.1:0", "--admin", "off"]);
    connect.says("Listening on");
    let (again, _) = share(service, &more);
    assert_eq!(ticket(&again), its_ticket);
    connect.says("Connected in");
}

/// Files that p2pd may open: it has about 20 of its own.
#[cfg(unix)]
const FILES_MAX: u32 = 64;

// Where the accept loop ended at the first error, no connection would be forwarded afterwards.
#[cfg(unix)]
#[test]
fn a_shortage_of_file_descriptors_passes() {
    let (_share, ticket) = share(serve(echo), &[]);
    let args = ["connect", &ticket, "--listen", "127.0.0.1:0", "--admin", "off"];
    let connect = P2pd::start_with_files_max(FILES_MAX, &args);
    let addr = crate::process::addr_in(&connect.says("Listening on"));
    connect.says("Connected in");

    let too_many: Vec<_> = (0..FILES_MAX + 20).map(|_| TcpStream::connect(addr).unwrap()).collect();
    connect.stderr.wait_for("No connection can be accepted for now").expect("it says what is wrong");
    drop(too_many);

    let mut tcp = TcpStream::connect(addr).unwrap();
    tcp.write_all(b"anybody there?").unwrap();
    tcp.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "anybody there?");
}

// Thousands of clients of one connection, all open before the first speaks.
#[cfg(unix)]
#[test]
fn thousands_of_streams_share_one_connection() {
    p2p_daemon::open_files::raise_limit();
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    // Each takes three files here: the client's, and two of the service.
    let count = usize::try_from(files.saturating_sub(500) / 3).unwrap_or(usize::MAX).min(CLIENTS);
    assert!(count > 256, "more than a few hundred files may be open: {files}");

    let (_share, ticket) = share(serve(echo), &[]);
    let (_connect, addr) = connect(&ticket);
    let clients: Vec<_> = (0..count)
        .map(|client| {
            let mut tcp = TcpStream::connect(addr).unwrap();
            tcp.write_all(&client.to_le_bytes()).unwrap();
            tcp
        })
        .collect();
    // The last first: nobody's bytes depend on who came before.
    for (client, mut tcp) in clients.iter().enumerate().rev() {
        let mut back = [0; size_of::<usize>()];
        tcp.read_exact(&mut back).unwrap();
        assert_eq!(usize::from_le_bytes(back), client, "everybody hears himself");
    }
    for tcp in &clients {
        tcp.shutdown(Shutdown::Write).unwrap();
    }
    for mut tcp in clients {
        assert_eq!(tcp.read(&mut [0]).unwrap(), 0, "both directions end");
    }
}

/// Less than the bound of a connection, and what a machine bears in threads.
const CLIENTS: usize = 3000;
