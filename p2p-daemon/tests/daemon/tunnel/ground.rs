//! A home's server, a tunnel server, the home's side of it, and an app that knows none of them by name.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use data_encoding::BASE64;
use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use http_body_util::BodyExt;
use hyper::{Request, body::Incoming};
use p2p::{TokioRuntime, Watch};
use tokio::sync::mpsc;
use tunnel_compat::{
    http::{Handler, HttpRoute, HttpRouteConfig, ServeConfig, serve},
    route::{Body, ClientId, Route, empty, full},
    socket::{self, BoxSocket, Message},
    tcp::{TcpAcceptor, TcpConnector},
};

use crate::process::{P2pd, PATIENCE, addr_in, run};

pub(super) const SECRET: &str = "a-secret-for-registering";

/// Says what it was asked, echoes WebSockets, and counts.
#[derive(Debug, Default)]
pub(super) struct Home(AtomicU64);

impl Home {
    /// One that serves for as long as the test runs.
    pub(super) async fn start() -> (Arc<Self>, SocketAddr) {
        let home = Arc::new(Self::default());
        let acceptor = TcpAcceptor::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let addr = acceptor.local_addr().unwrap();
        let stop = Watch::constant(false);
        tokio::spawn(serve(acceptor, home.clone(), ServeConfig::default(), Arc::new(TokioRuntime), stop));
        (home, addr)
    }

    pub(super) fn requests(&self) -> u64 {
        self.0.load(SeqCst)
    }
}

#[async_trait::async_trait]
impl Handler for Home {
    async fn handle(&self, mut request: Request<Incoming>) -> hyper::Response<Body> {
        self.0.fetch_add(1, SeqCst);
        if let Some(key) = request.headers().get("sec-websocket-key").cloned() {
            let upgraded = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut socket = socket::server(hyper_util::rt::TokioIo::new(upgraded.await.unwrap()), 1 << 20);
                while let Some(Ok(message)) = socket.next().await {
                    if let Message::Text(_) = message
                        && socket.send(message).await.is_err()
                    {
                        return;
                    }
                }
            });
            let mut digest = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
            digest.update(key.as_bytes());
            digest.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
            return hyper::Response::builder()
                .status(101)
                .header("connection", "upgrade")
                .header("upgrade", "websocket")
                .header("sec-websocket-accept", BASE64.encode(digest.finish().as_ref()))
                .body(empty())
                .unwrap();
        }
        let said = format!("{} {}", request.method(), request.uri());
        hyper::Response::new(full(said))
    }
}

/// An app: what speaks HTTP and WebSocket to one address.
pub(super) struct App {
    http: HttpRoute,
    client: ClientId,
    token: String,
}

impl App {
    pub(super) fn new(at: SocketAddr, token: &str) -> Self {
        let config =
            HttpRouteConfig { user_agent: None, ..HttpRouteConfig::to_server(at.to_string().parse().unwrap()) };
        let http = HttpRoute::new(config, TcpConnector::new(at.to_string()), Arc::new(TokioRuntime));
        Self { http, client: "home".parse().unwrap(), token: token.trim().to_owned() }
    }

    /// Status and body.
    pub(super) async fn ask(&self, method: &str, path: &str) -> (u16, String) {
        let request = Request::builder()
            .method(method)
            .uri(format!("{path}{}clientId=home", if path.contains('?') { '&' } else { '?' }))
            .header("authorization", format!("Bearer {}", self.token))
            .body(empty())
            .unwrap();
        match self.http.http(&self.client, request).await {
            Ok(answer) => {
                let (head, body) = answer.into_parts();
                let body = body.collect().await.expect("an answer is whole").to_bytes();
                (head.status.as_u16(), String::from_utf8_lossy(&body).into_owned())
            }
            Err(error) => panic!("{method} {path}: {error}"),
        }
    }

    pub(super) async fn get(&self, path: &str) {
        assert_eq!(self.ask("GET", path).await, (200, format!("GET {path}")));
    }

    pub(super) async fn websocket(&self) -> AppSocket {
        let (status, signature) = self.ask("POST", "/auth/signature-token").await;
        assert_eq!(status, 200, "{signature}");
        let signature: serde_json::Value = serde_json::from_str(&signature).unwrap();
        let signature = signature["token"].as_str().unwrap();
        let uri = format!("/ws?clientId=home&signature={signature}");
        AppSocket::new(self.http.websocket(&self.client, Request::get(uri).body(()).unwrap()).await.unwrap())
    }
}

/// An app's WebSocket, which is read all the time, as a browser reads it: whoever does not answer pings is taken for dead.
pub(super) struct AppSocket {
    sending: SplitSink<BoxSocket, Message>,
    received: mpsc::UnboundedReceiver<Message>,
}

impl AppSocket {
    fn new(socket: BoxSocket) -> Self {
        let (sending, mut receiving) = socket.split();
        let (sender, received) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(message)) = receiving.next().await {
                if !matches!(message, Message::Ping | Message::Pong) {
                    sender.send(message).ok();
                }
            }
        });
        Self { sending, received }
    }

    /// Says something and hears it back.
    pub(super) async fn echoes(&mut self, text: &str) {
        self.sending.send(Message::Text(text.to_owned())).await.unwrap();
        assert_eq!(self.next().await, Some(Message::Text(text.to_owned())));
    }

    /// The next message that is neither ping nor pong.
    pub(super) async fn next(&mut self) -> Option<Message> {
        tokio::time::timeout(PATIENCE, self.received.recv()).await.expect("a message comes, or the end")
    }
}

/// A router, by its admin interface and by `p2pd migrate`.
pub(super) struct Operator(pub(super) SocketAddr);

impl Operator {
    pub(super) fn of(p2pd: &P2pd) -> Self {
        Self(addr_in(&p2pd.says("Watch it at")))
    }

    /// Runs `p2pd migrate`, and returns what it prints.
    #[track_caller]
    pub(super) fn migrate(&self, args: &[&str]) -> String {
        let admin = self.0.to_string();
        let (code, stdout, stderr) = run(&[&["migrate"], args, &["--admin", &admin]].concat(), &[]);
        assert_eq!(code, Some(0), "{args:?}: {stderr}");
        stdout
    }

    pub(super) fn metric(&self, series: &str) -> u64 {
        let (_, body) = crate::service::get(self.0, "/metrics");
        let text = String::from_utf8(body).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().unwrap()
    }

    pub(super) fn routed(&self, route: &str) -> u64 {
        self.metric(&format!("requests_routed_total{{route=\"{route}\"}}"))
    }
}

/// Does something again and again until it shows what was wanted. The pause keeps a busy machine able to get there.
pub(super) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "it never came to pass that {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
