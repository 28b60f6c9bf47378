//! Services to share, and pairs of processes that share them.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
};

use crate::process::{P2pd, addr_in};

/// A TCP server that handles each connection on a thread of its own, for as long as the tests run.
pub(crate) fn serve(handle: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> SocketAddr {
    serve_on(TcpListener::bind("127.0.0.1:0").unwrap(), handle)
}

pub(crate) fn serve_on(listener: TcpListener, handle: impl Fn(TcpStream) + Send + Clone + 'static) -> SocketAddr {
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for tcp in listener.incoming().map_while(Result::ok) {
            let handle = handle.clone();
            thread::spawn(move || handle(tcp));
        }
    });
    addr
}

/// Sends back whatever comes.
pub(crate) fn echo(mut tcp: TcpStream) {
    let mut reader = tcp.try_clone().unwrap();
    std::io::copy(&mut reader, &mut tcp).ok();
}

/// Answers any HTTP request with `document`.
pub(crate) fn http(document: &'static [u8]) -> impl Fn(TcpStream) + Send + Sync + Clone {
    move |mut tcp| {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if tcp.read(&mut byte).unwrap_or(0) == 0 {
                return;
            }
            request.push(byte[0]);
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", document.len());
        tcp.write_all(head.as_bytes()).and_then(|()| tcp.write_all(document)).ok();
    }
}

/// Gets the path over HTTP: status line and body.
pub(crate) fn get(addr: SocketAddr, path: &str) -> (String, Vec<u8>) {
    let mut tcp = TcpStream::connect(addr).unwrap();
    write!(tcp, "GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = Vec::new();
    tcp.read_to_end(&mut response).unwrap();
    let head = response.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a response has a head");
    let status = String::from_utf8_lossy(&response[..head]).lines().next().unwrap_or_default().to_owned();
    (status, response.split_off(head + 4))
}

/// `p2pd share` of that service, and its ticket.
pub(crate) fn share(service: SocketAddr, more: &[&str]) -> (P2pd, String) {
    let target = format!("tcp://{service}");
    let mut args = vec!["share", &target, "--admin", "127.0.0.1:0"];
    if !more.contains(&"--port") {
        args.extend(["--port", "0"]);
    }
    args.extend(more);
    let share = P2pd::start(&args);
    let ticket = ticket(&share);
    (share, ticket)
}

/// The ticket in what `p2pd share` prints.
pub(crate) fn ticket(share: &P2pd) -> String {
    let line = share.says("p2p1-");
    line.split_whitespace().find(|word| word.starts_with("p2p1-")).expect("it stands alone").to_owned()
}

/// `p2pd connect` with that ticket, once it is connected, and the address of the service there.
pub(crate) fn connect(ticket: &str) -> (P2pd, SocketAddr) {
    let connect = P2pd::start(&["connect", ticket, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let addr = addr_in(&connect.says("Listening on"));
    connect.says("Connected in");
    (connect, addr)
}

/// A UDP port that nobody has now.
pub(crate) fn free_udp_port() -> u16 {
    UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}

/// A TCP address at which nobody listens now.
pub(crate) fn free_tcp_addr() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
