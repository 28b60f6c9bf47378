//! HTTP: requests by host and path, and what is refused.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode, body::Incoming, header::HeaderValue, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use p2p::{P2PProvider, memory::MemoryNetwork};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{Peer, within};
use crate::{
    http::{HttpRoute, HttpRoutes},
    rule::{HostPort, ShareRule, Target},
};

/// A server that answers with its name, and what it was asked: line, headers, body. `/upgrade` becomes an echo.
async fn server(name: &'static str) -> HostPort {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let service = service_fn(move |request| async move { Ok::<_, Infallible>(answer(name, request).await) });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(tcp), service).with_upgrades());
        }
    });
    HostPort::parse(&addr.to_string()).unwrap()
}

async fn answer(name: &str, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    if request.uri().path() == "/upgrade" {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut io = TokioIo::new(upgrade.await.unwrap());
            let mut buffer = [0; 100];
            while let Ok(len @ 1..) = io.read(&mut buffer).await {
                io.write_all(&buffer[..len]).await.unwrap();
            }
        });
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert("connection", HeaderValue::from_static("upgrade"));
        response.headers_mut().insert("upgrade", HeaderValue::from_static("echo"));
        return response;
    }
    let mut text = format!("{name}\n{} {}\n", request.method(), request.uri());
    for (header, value) in request.headers() {
        text += &format!("{header}: {}\n", value.to_str().unwrap());
    }
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    text += &format!("\nbody of {} bytes, {}", body.len(), blake3::hash(&body).to_hex());
    let mut response = Response::new(Full::from(text));
    response.headers_mut().insert("keep-alive", HeaderValue::from_static("timeout=5"));
    response
}

struct Site {
    addr: SocketAddr,
    bob: String,
    _peers: [Peer; 2],
}

async fn site() -> Site {
    let network = MemoryNetwork::new();
    let (alice, bob) = (Peer::new(&network, "alice"), Peer::new(&network, "bob"));
    let route = |host: Option<&str>, path: &str, target| HttpRoute {
        host: host.map(str::to_owned),
        path: path.to_owned(),
        target,
    };
    let routes = vec![
        route(Some("blog.example"), "/", server("blog").await),
        route(Some("blog.example"), "/api", server("api").await),
        route(Some("down.example"), "/", HostPort::parse("127.0.0.1:1").unwrap()),
    ];
    alice.share([ShareRule::new("web".parse().unwrap(), Target::Http(HttpRoutes::new(routes)))]).await;
    let addr = bob.connect(alice.remote(), "web").await;
    let id = bob.stack.provider.local_peer_id().to_string();
    Site { addr, bob: id, _peers: [alice, bob] }
}

impl Site {
    /// What comes back for these bytes, until the connection ends.
    async fn ask(&self, bytes: &[u8]) -> String {
        let mut tcp = TcpStream::connect(self.addr).await.unwrap();
        tcp.write_all(bytes).await.ok();
        tcp.shutdown().await.ok();
        let mut answer = Vec::new();
        within(tcp.read_to_end(&mut answer)).await.ok();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

#[tokio::test]
async fn a_request_goes_where_its_host_and_path_say_and_the_server_learns_who_asks() {
    let site = site().await;
    let answer = site
        .ask(b"GET /api/x?y=1 HTTP/1.1\r\nHost: BLOG.example:80\r\nX-Forwarded-For: 1.2.3.4\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nTE: trailers\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let head = answer.split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
    assert!(!head.contains("keep-alive: timeout"), "said between neighbours: {head}");
    assert!(answer.contains("api\nGET /api/x?y=1\n"), "{answer}");
    let forwarded = format!("forwarded: for=\"_{}\";host=\"BLOG.example:80\";proto=http", site.bob);
    assert!(answer.contains(&forwarded), "{answer}");
    for hidden in ["x-forwarded-for", "x-mine", "te: trailers"] {
        assert!(!answer.contains(hidden), "{hidden} in {answer}");
    }
    let answer = site.ask(b"GET /apis HTTP/1.1\r\nHost: blog.example\r\n\r\n").await;
    assert!(answer.contains("blog\nGET /apis\n"), "{answer}");
}

#[tokio::test]
async fn bodies_stream_both_ways_and_a_connection_is_used_again() {
    let site = site().await;
    let body = vec![7; 3_000_000];
    let mut request = b"POST /1 HTTP/1.1\r\nHost: blog.example\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.chunks(100_000) {
        request.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        request.extend_from_slice(chunk);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\nGET /2 HTTP/1.1\r\nHost: blog.example\r\nConnection: close\r\n\r\n");
    let answer = site.ask(&request).await;
    let expected = format!("body of {} bytes, {}", body.len(), blake3::hash(&body).to_hex());
    assert!(answer.contains(&expected) && answer.contains("GET /2"), "{answer}");
}

#[tokio::test]
async fn an_upgrade_becomes_a_way_for_bytes() {
    let site = site().await;
    let mut tcp = TcpStream::connect(site.addr).await.unwrap();
    tcp.write_all(
        b"GET /upgrade HTTP/1.1\r\nHost: blog.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: echo\r\n\r\nfirst",
    )
    .await
    .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within(tcp.read_u8()).await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101") && head.contains("upgrade: echo"), "{head}");
    for text in ["first", "later"] {
        if text == "later" {
            tcp.write_all(text.as_bytes()).await.unwrap();
        }
        let mut echoed = [0; 5];
        within(tcp.read_exact(&mut echoed)).await.unwrap();
        assert_eq!(&echoed, text.as_bytes());
    }
}

#[tokio::test]
async fn what_is_ambiguous_or_broken_is_refused_and_reaches_no_server() {
    let site = site().await;
    let huge = format!("GET / HTTP/1.1\r\nHost: blog.example\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    for (what, request, status) in [
        ("no host", "GET / HTTP/1.1\r\n\r\n", "400"),
        ("two hosts", "GET / HTTP/1.1\r\nHost: blog.example\r\nHost: b\r\n\r\n", "400"),
        ("a host that is none", "GET / HTTP/1.1\r\nHost: blog.example/x\r\n\r\n", "400"),
        ("two hosts in one request", "GET http://blog.example/ HTTP/1.1\r\nHost: b\r\n\r\n", "400"),
        ("another's host", "GET / HTTP/1.1\r\nHost: other.example\r\n\r\n", "404"),
        (
            "both lengths",
            "POST / HTTP/1.1\r\nHost: blog.example\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "400",
        ),
        (
            "both lengths, the other way round",
            "POST / HTTP/1.1\r\nHost: blog.example\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            "400",
        ),
        (
            "two lengths",
            "POST / HTTP/1.1\r\nHost: blog.example\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n12345",
            "400",
        ),
        ("a length that is none", "POST / HTTP/1.1\r\nHost: blog.example\r\nContent-Length: +5\r\n\r\n12345", "400"),
        (
            "an encoding that is not chunked",
            "POST / HTTP/1.1\r\nHost: blog.example\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
            "400",
        ),
        ("a space before the colon", "GET / HTTP/1.1\r\nHost : blog.example\r\n\r\n", "400"),
        ("no HTTP", "\x16\x03\x01\x02\x00\x01\r\n\r\n", "400"),
        ("headers that are too large", huge.as_str(), "431"),
        ("a server that is down", "GET / HTTP/1.1\r\nHost: down.example\r\n\r\n", "502"),
    ] {
        let answer = site.ask(request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {answer}");
        assert!(!answer.contains("body of"), "{what} reached a server: {answer}");
    }
}

// The first request is answered, or not; what hides behind it is never taken for a second.
#[tokio::test]
async fn what_hides_in_a_broken_body_is_no_request() {
    let site = site().await;
    for (what, request) in [
        (
            "a chunk that lies",
            "POST /a HTTP/1.1\r\nHost: blog.example\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nGET /hidden HTTP/1.1\r\nHost: blog.example\r\n\r\n",
        ),
        (
            "a chunk of a size that does not fit",
            "POST /a HTTP/1.1\r\nHost: blog.example\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nGET /hidden HTTP/1.1\r\nHost: blog.example\r\n\r\n",
        ),
        (
            "a chunk without its end",
            "POST /a HTTP/1.1\r\nHost: blog.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcdGET /hidden HTTP/1.1\r\nHost: blog.example\r\n\r\n",
        ),
        (
            "both lengths",
            "POST /a HTTP/1.1\r\nHost: blog.example\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: blog.example\r\n\r\n",
        ),
    ] {
        let answer = site.ask(request.as_bytes()).await;
        assert!(!answer.contains("/hidden"), "{what}: {answer}");
    }
}

#[tokio::test]
async fn a_client_that_says_nothing_holds_up_nobody() {
    let site = site().await;
    let _silent = TcpStream::connect(site.addr).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let answer = site.ask(b"GET / HTTP/1.1\r\nHost: blog.example\r\n\r\n").await;
    assert!(answer.contains("blog\nGET /\n"), "{answer}");
}
