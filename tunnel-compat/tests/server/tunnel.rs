//! A tunnel server in virtual time, and homes and apps that say what a test makes them say.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, Request, Response, Uri};
use p2p::{P2PProvider, Runtime, RuntimeExt};
use p2p_simulator::{Simulation, SimulatorP2P};
use tunnel_compat::{
    connector::{Connector, PipeConnector},
    legacy::{LegacyConfig, LegacyRoute},
    route::Body,
    server::{Server, ServerConfig, TokenKind, TokenStore},
    socket::{self, BoxSocket, Message, OpenError},
    wire::{FRAME_BYTES_MAX, HttpRequest, Packet, REQUEST_BYTES_MAX, Request as Wire, ResponseHead},
};

use crate::common::{Answer, App, client_id, start_piped};

pub const ACCESS: &str = "the-servers-access-token";

pub struct Tunnel {
    pub app: App,
    pub tokens: Arc<TokenStore>,
    pub runtime: Arc<dyn Runtime>,
    pub connector: PipeConnector,
    /// A peer lives as long as somebody has its provider.
    _peer: SimulatorP2P,
}

/// Runs a program beside a tunnel server, in virtual time.
pub fn run<F: Future<Output = ()>>(program: impl FnOnce(Arc<Tunnel>) -> F) {
    run_with(ServerConfig::new(ACCESS).unwrap(), program);
}

pub fn run_with<F: Future<Output = ()>>(config: ServerConfig, program: impl FnOnce(Arc<Tunnel>) -> F) {
    let simulation = Simulation::new(0).with_time_limit(Duration::from_secs(30 * 24 * 60 * 60));
    simulation.run(|network| async move {
        let peer = network.provider("server");
        let runtime = peer.runtime().clone();
        let tokens = Arc::new(TokenStore::in_memory(runtime.clone()).unwrap());
        let legacy = LegacyRoute::new(LegacyConfig::default(), runtime.clone());
        let server = Server::new(config, tokens.clone(), legacy.clone(), legacy, runtime.clone());
        let connector = start_piped(server, &runtime);
        let app = App::new(connector.clone(), &runtime);
        program(Arc::new(Tunnel { app, tokens, runtime, connector, _peer: peer })).await;
    });
}

impl Tunnel {
    pub fn token(&self, kind: TokenKind, client: &str) -> String {
        self.tokens.issue(kind, &client_id(client)).unwrap()
    }

    pub async fn socket(&self, query: &str, headers: HeaderMap) -> Result<BoxSocket, OpenError> {
        let uri: Uri = format!("ws://tunnel.example/ws?{query}").parse().unwrap();
        socket::open(self.connector.connect().await.unwrap(), uri, headers, REQUEST_BYTES_MAX).await
    }

    /// The socket of that client's home, in use: a legacy one, or one that keeps to windows.
    pub async fn home_of(&self, client: &str, with_flow: bool) -> Home {
        let signature = self.token(TokenKind::Signature, client);
        let mut headers = HeaderMap::new();
        if with_flow {
            headers.insert("tunnel-flow", "1".parse().unwrap());
        }
        let query = format!("clientId={client}&sender=true&signature={signature}");
        let mut socket = self.socket(&query, headers).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::Ping, "the first ping comes at once");
        Home { socket: socket::watched(socket, socket::Heartbeat::default(), &self.runtime) }
    }

    pub async fn home(&self) -> Home {
        self.home_of("a", false).await
    }

    pub async fn app_socket(&self, client: &str) -> BoxSocket {
        let signature = self.token(TokenKind::Signature, client);
        self.socket(&format!("clientId={client}&signature={signature}&moosicboxProfile=p"), HeaderMap::new())
            .await
            .unwrap()
    }

    /// A request by that client's app, as it may be sent.
    pub fn request(&self, client: &str, method: &str, path: &str) -> http::request::Builder {
        let token = self.token(TokenKind::Access, client);
        let mark = if path.contains('?') { '&' } else { '?' };
        Request::builder()
            .method(method)
            .uri(format!("{path}{mark}clientId={client}"))
            .header("authorization", format!("Bearer {token}"))
    }

    pub fn get(&self, path: &str) -> Request<Body> {
        self.request("a", "GET", path).body(tunnel_compat::route::empty()).unwrap()
    }

    /// Begins to ask; the answer comes by the returned future.
    pub fn ask(&self, request: Request<Body>) -> impl Future<Output = Answer> + use<> {
        let app = self.app.clone();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let asking = async move {
            let _ = sender.send(app.ask(request).await);
        };
        self.runtime.spawn("an app", Box::pin(asking)).detach();
        async move { receiver.await.unwrap() }
    }

    /// Begins to ask, and reads no more than the head.
    pub fn send(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + use<> {
        let app = self.app.clone();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let asking = async move {
            let _ = sender.send(app.send(request).await);
        };
        self.runtime.spawn("an app", Box::pin(asking)).detach();
        async move { receiver.await.unwrap().unwrap_or_else(|error| panic!("{error}")) }
    }

    pub async fn sleep(&self, secs: u64) {
        self.runtime.sleep(Duration::from_secs(secs)).await;
    }

    /// Seconds since the beginning.
    pub fn secs(&self) -> u64 {
        (self.runtime.now() - p2p::Instant::ZERO).as_secs()
    }
}

/// A home that sends what it is told.
pub struct Home {
    socket: BoxSocket,
}

impl Home {
    /// The next frame of the server's; none once the socket has ended.
    pub async fn next(&mut self) -> Option<Wire> {
        loop {
            match self.socket.next().await? {
                Ok(Message::Text(text)) => return Some(Wire::from_json(&text).unwrap()),
                Ok(Message::Ping | Message::Pong) => {}
                Ok(Message::Close(_)) | Err(_) => return None,
                other => panic!("{other:?}"),
            }
        }
    }

    pub async fn http(&mut self) -> HttpRequest {
        loop {
            match self.next().await {
                Some(Wire::Http(request)) => return request,
                Some(Wire::Window { .. }) => {}
                other => panic!("{other:?} is no request"),
            }
        }
    }

    pub async fn close(&mut self) -> socket::Close {
        loop {
            match self.socket.next().await.unwrap().unwrap() {
                Message::Close(close) => return close,
                Message::Ping | Message::Pong => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub async fn put(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    pub async fn bytes(&mut self, frame: impl Into<Bytes>) {
        self.put(Message::Binary(frame.into())).await;
    }

    pub async fn text(&mut self, text: impl Into<String>) {
        self.put(Message::Text(text.into())).await;
    }

    /// A packet; the first one with status 200 and a type.
    pub async fn packet(&mut self, request_id: u64, packet_id: u32, last: bool, body: impl Into<Bytes>) {
        self.bytes(packet(request_id, packet_id, last, body).to_bytes()).await;
    }

    /// A whole answer in one packet.
    pub async fn answer(&mut self, request_id: u64, status: u16, headers: &[(&str, &str)], body: &'static str) {
        let headers: BTreeMap<_, _> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let head = Some(ResponseHead { status, headers });
        let packet = Packet { request_id, packet_id: 1, last: true, head, body: body.into() };
        self.bytes(packet.to_bytes()).await;
    }
}

pub fn packet(request_id: u64, packet_id: u32, last: bool, body: impl Into<Bytes>) -> Packet {
    let headers = [("content-type".to_owned(), "text/plain".to_owned())].into();
    let head = (packet_id == 1).then_some(ResponseHead { status: 200, headers });
    let packet = Packet { request_id, packet_id, last, head, body: body.into() };
    assert!(packet.to_bytes().len() <= FRAME_BYTES_MAX);
    packet
}
