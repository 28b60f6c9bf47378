//! SOCKS5 and HTTP CONNECT.

use std::net::SocketAddr;

use p2p::memory::MemoryNetwork;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{Peer, connect, within};
use crate::{
    proxy::Destinations,
    rule::{ShareRule, Target},
};

struct Scene {
    addr: SocketAddr,
    service: TcpListener,
    allowed: u16,
    _peers: [Peer; 2],
}

/// Bob has a proxy of that kind, by which Alice lets him reach one port of her machine, and one at which nobody listens.
async fn scene(scheme: &str) -> Scene {
    let network = MemoryNetwork::new();
    let (alice, bob) = (Peer::new(&network, "alice"), Peer::new(&network, "bob"));
    let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let allowed = service.local_addr().unwrap().port();
    let patterns = [format!("127.0.0.0/8:{allowed}"), "127.0.0.1:1".to_owned(), format!("localhost:{allowed}")];
    let destinations = Destinations::parse(patterns.iter().map(String::as_str)).unwrap();
    alice.share([ShareRule::new("lan".parse().unwrap(), Target::Proxy(destinations))]).await;
    let addr = bob.connect_at(connect(alice.remote(), "lan", &format!("{scheme}://127.0.0.1:0"))).await;
    Scene { addr, service, allowed, _peers: [alice, bob] }
}

/// Says what a SOCKS5 client says, and returns the code of the answer.
async fn socks(scene: &Scene, request: &[u8]) -> (TcpStream, u8) {
    let mut client = TcpStream::connect(scene.addr).await.unwrap();
    client.write_all(&[5, 2, 2, 0]).await.unwrap();
    let mut method = [0; 2];
    within(client.read_exact(&mut method)).await.unwrap();
    assert_eq!(method, [5, 0]);
    client.write_all(request).await.unwrap();
    let mut reply = [0; 10];
    within(client.read_exact(&mut reply)).await.unwrap();
    (client, reply[1])
}

fn by_ip(command: u8, port: u16) -> Vec<u8> {
    [&[5, command, 0, 1, 127, 0, 0, 1][..], &port.to_be_bytes()].concat()
}

fn by_name(host: &str, port: u16) -> Vec<u8> {
    [&[5, 1, 0, 3, host.len() as u8][..], host.as_bytes(), &port.to_be_bytes()].concat()
}

#[tokio::test]
async fn socks_clients_reach_what_the_peer_allows_by_address_and_by_name() {
    let scene = scene("socks5").await;
    for request in [by_ip(1, scene.allowed), by_name("localhost", scene.allowed)] {
        let (mut client, code) = socks(&scene, &request).await;
        assert_eq!(code, 0);
        client.write_all(b"hello").await.unwrap();
        let (mut server, _) = within(scene.service.accept()).await.unwrap();
        let mut text = [0; 5];
        within(server.read_exact(&mut text)).await.unwrap();
        assert_eq!(&text, b"hello");
    }
}

#[tokio::test]
async fn socks_clients_are_told_what_they_cannot_have() {
    let scene = scene("socks5").await;
    assert_eq!(socks(&scene, &by_ip(1, scene.allowed ^ 1)).await.1, 4, "not allowed by the peer");
    assert_eq!(socks(&scene, &by_ip(1, 1)).await.1, 4, "nobody listens");
    assert_eq!(socks(&scene, &by_ip(2, scene.allowed)).await.1, 7, "BIND is not known");
    let mut client = TcpStream::connect(scene.addr).await.unwrap();
    client.write_all(&[5, 1, 2]).await.unwrap();
    let mut method = [0; 2];
    within(client.read_exact(&mut method)).await.unwrap();
    assert_eq!(method, [5, 0xff], "nobody authenticates here");
    let mut client = TcpStream::connect(scene.addr).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(!matches!(within(client.read(&mut [0])).await, Ok(1..)), "not SOCKS");
}

async fn http(scene: &Scene, request: &str) -> (TcpStream, String) {
    let mut client = TcpStream::connect(scene.addr).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within(client.read_u8()).await.unwrap());
    }
    (client, String::from_utf8(head).unwrap())
}

#[tokio::test]
async fn connect_reaches_what_the_peer_allows_and_is_told_of_the_rest() {
    let scene = scene("http-proxy").await;
    let port = scene.allowed;
    let (mut client, head) = http(&scene, &format!("CONNECT localhost:{port} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    client.write_all(b"hello").await.unwrap();
    let (mut server, _) = within(scene.service.accept()).await.unwrap();
    let mut text = [0; 5];
    within(server.read_exact(&mut text)).await.unwrap();

    for (request, status) in [
        ("CONNECT 10.0.0.1:80 HTTP/1.1\r\n\r\n".to_owned(), "502"),
        ("CONNECT nonsense HTTP/1.1\r\n\r\n".to_owned(), "400"),
        ("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "405"),
        ("hello\r\n\r\n".to_owned(), "400"),
        (format!("CONNECT a:1 HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000)), "431"),
    ] {
        let (_, head) = http(&scene, &request).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
    }
}
