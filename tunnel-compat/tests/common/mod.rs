//! What the tests of both ways share: a home's server that does what it is told, and an app.

#![allow(dead_code, unreachable_pub, reason = "each test uses its part of it")]

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use p2p::{Runtime, RuntimeExt, Watch};
use tunnel_compat::{
    connector::{Acceptor, Connector, PipeConnector, pipe},
    http::{Forward, Handler, HttpRoute, HttpRouteConfig, ServeConfig, serve},
    route::{Body, ClientId, Route, RouteError, empty, full},
    socket::{BoxSocket, Message},
};

/// A home's server. What it does is in the path; what happened to it can be read here.
#[derive(Debug)]
pub struct Server {
    runtime: Arc<dyn Runtime>,
    /// Requests that came.
    pub requests: AtomicUsize,
    /// Requests whose answer nobody waited for, or read to its end.
    pub aborted: Arc<AtomicUsize>,
    /// Bytes of bodies that were asked for.
    pub bytes_sent: Arc<AtomicUsize>,
}

impl Server {
    pub fn new(runtime: &Arc<dyn Runtime>) -> Arc<Self> {
        Arc::new(Self {
            runtime: runtime.clone(),
            requests: AtomicUsize::new(0),
            aborted: Arc::default(),
            bytes_sent: Arc::default(),
        })
    }

    pub fn requests(&self) -> usize {
        self.requests.load(SeqCst)
    }

    pub fn aborted(&self) -> usize {
        self.aborted.load(SeqCst)
    }

    pub fn bytes_sent(&self) -> usize {
        self.bytes_sent.load(SeqCst)
    }

    /// `count` chunks, one every `every`. One that is not read to its end counts as aborted.
    fn chunks(&self, count: usize, bytes: usize, every: Duration) -> Body {
        let (runtime, sent) = (self.runtime.clone(), self.bytes_sent.clone());
        let guard = Guard::new(&self.aborted);
        let chunk = Bytes::from(vec![b'x'; bytes]);
        let frames = stream::unfold((0, guard), move |(at, mut guard)| {
            let (runtime, sent, chunk) = (runtime.clone(), sent.clone(), chunk.clone());
            async move {
                if at == count {
                    guard.done();
                    return None;
                }
                if at > 0 && !every.is_zero() {
                    runtime.sleep(every).await;
                }
                sent.fetch_add(bytes, SeqCst);
                Some((Ok(Frame::data(chunk)), (at + 1, guard)))
            }
        });
        StreamBody::new(frames).boxed_unsync()
    }
}

#[async_trait]
impl Handler for Server {
    async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        self.requests.fetch_add(1, SeqCst);
        let path = request.uri().path().to_owned();
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let number = |at: usize| parts.get(at).and_then(|part| part.parse().ok()).unwrap_or(0);
        match parts[0] {
            "hello" => Response::new(full("hello")),
            "status" => {
                let mut response = Response::new(empty());
                *response.status_mut() = StatusCode::from_u16(number(1) as u16).unwrap();
                response
            }
            "seen" => Response::new(full(seen(&request))),
            "echo" => Response::new(request.into_body().map_err(Into::into).boxed_unsync()),
            "length" => {
                let bytes = request.into_body().collect().await.map_or(0, |body| body.to_bytes().len());
                Response::new(full(bytes.to_string()))
            }
            // /chunks/{count}/{bytes of each}/{ms between}
            "chunks" => Response::new(self.chunks(number(1), number(2), Duration::from_millis(number(3) as u64))),
            // /fixed/{bytes}: with a content-length.
            "fixed" => Response::new(full(vec![b'x'; number(1)])),
            "cut" => {
                let runtime = self.runtime.clone();
                let frames = stream::unfold(0, move |at| {
                    let runtime = runtime.clone();
                    async move {
                        match at {
                            0 => return Some((Ok(Frame::data(Bytes::from_static(b"half"))), 1)),
                            1 => runtime.sleep(Duration::from_millis(10)).await,
                            _ => return None,
                        }
                        Some((Err("torn".into()), 2))
                    }
                });
                Response::new(StreamBody::new(frames).boxed_unsync())
            }
            "range" => {
                let mut response = Response::new(full("23"));
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                response.headers_mut().insert(header::CONTENT_RANGE, "bytes 2-3/10".parse().unwrap());
                response
            }
            "away" => {
                let mut response = Response::new(empty());
                *response.status_mut() = StatusCode::FOUND;
                response.headers_mut().insert(header::LOCATION, "/hello".parse().unwrap());
                response
            }
            "never" => {
                let _guard = Guard::new(&self.aborted);
                std::future::pending().await
            }
            "ws" => self.echo_socket(request),
            _ => {
                let mut response = Response::new(full("no such thing"));
                *response.status_mut() = StatusCode::NOT_FOUND;
                response
            }
        }
    }
}

impl Server {
    /// Sends back each message of a WebSocket, and counts one that ends without a close as aborted.
    fn echo_socket(&self, mut request: Request<Incoming>) -> Response<Body> {
        let key = request.headers()["sec-websocket-key"].as_bytes().to_owned();
        let upgraded = hyper::upgrade::on(&mut request);
        let aborted = self.aborted.clone();
        let echoing = async move {
            let mut guard = Guard::new(&aborted);
            let io = hyper_util::rt::TokioIo::new(upgraded.await.unwrap());
            let mut socket = tunnel_compat::socket::server(io, 1 << 20);
            while let Some(Ok(message)) = socket.next().await {
                match message {
                    Message::Close(_) => guard.done(),
                    Message::Ping | Message::Pong => {}
                    message => {
                        if socket.send(message).await.is_err() {
                            return;
                        }
                    }
                }
            }
        };
        self.runtime.spawn("an echo", Box::pin(echoing)).detach();
        let mut digest = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
        digest.update(&key);
        digest.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
        let accept = data_encoding::BASE64.encode(digest.finish().as_ref());
        Response::builder()
            .status(101)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-accept", accept)
            .body(empty())
            .unwrap()
    }
}

/// What the server saw of a request, as JSON.
fn seen(request: &Request<Incoming>) -> String {
    let headers: BTreeMap<_, _> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let (method, uri) = (request.method().as_str(), request.uri().to_string());
    serde_json::json!({ "method": method, "uri": uri, "headers": headers }).to_string()
}

/// Counts what was dropped before it was done.
struct Guard(Option<Arc<AtomicUsize>>);

impl Guard {
    fn new(counter: &Arc<AtomicUsize>) -> Self {
        Self(Some(counter.clone()))
    }

    fn done(&mut self) {
        self.0 = None;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(counter) = &self.0 {
            counter.fetch_add(1, SeqCst);
        }
    }
}

/// Runs an HTTP server for as long as the runtime lives.
pub fn start(acceptor: impl Acceptor, handler: Arc<dyn Handler>, runtime: &Arc<dyn Runtime>) {
    let serving = serve(acceptor, handler, ServeConfig::default(), runtime.clone(), Watch::constant(false));
    let serving = async move {
        let _ = serving.await;
    };
    runtime.spawn("a server", Box::pin(serving)).detach();
}

/// Runs `handler` behind a pipe.
pub fn start_piped(handler: Arc<dyn Handler>, runtime: &Arc<dyn Runtime>) -> PipeConnector {
    let (connector, acceptor) = pipe();
    start(acceptor, handler, runtime);
    connector
}

/// The home's way to its own server.
pub fn to_server(connector: impl Connector, runtime: &Arc<dyn Runtime>) -> Arc<dyn Route> {
    let config = HttpRouteConfig::to_server("localhost:8080".parse().unwrap());
    Arc::new(HttpRoute::new(config, connector, runtime.clone()))
}

pub fn forward(route: Arc<dyn Route>, runtime: &Arc<dyn Runtime>) -> Arc<dyn Handler> {
    Arc::new(Forward::new(client_id("client-a"), route, runtime.clone()))
}

pub fn client_id(name: &str) -> ClientId {
    name.parse().unwrap()
}

/// An app: what speaks HTTP and WebSocket, and knows of nothing else.
#[derive(Debug, Clone)]
pub struct App {
    http: Arc<HttpRoute>,
    client: ClientId,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl App {
    pub fn new(connector: impl Connector, runtime: &Arc<dyn Runtime>) -> Self {
        let config = HttpRouteConfig {
            user_agent: None,
            answer_timeout: Duration::from_secs(600),
            ..HttpRouteConfig::to_server("tunnel.example".parse().unwrap())
        };
        Self { http: Arc::new(HttpRoute::new(config, connector, runtime.clone())), client: client_id("app") }
    }

    /// The answer's head; its body is still on its way.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Body>, RouteError> {
        self.http.http(&self.client, request).await
    }

    pub async fn ask(&self, request: Request<Body>) -> Answer {
        let (head, body) = self.send(request).await.unwrap_or_else(|error| panic!("{error}")).into_parts();
        let body = body.collect().await.unwrap_or_else(|error| panic!("{error}")).to_bytes();
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }

    pub async fn get(&self, uri: &str) -> Answer {
        self.ask(get(uri)).await
    }

    pub async fn websocket(&self, uri: &str) -> Result<BoxSocket, RouteError> {
        self.http.websocket(&self.client, Request::get(uri).body(()).unwrap()).await
    }
}

pub fn get(uri: &str) -> Request<Body> {
    Request::get(uri).body(empty()).unwrap()
}

pub fn post(uri: &str, content_type: &str, body: impl Into<Bytes>) -> Request<Body> {
    Request::post(uri).header(header::CONTENT_TYPE, content_type).body(full(body)).unwrap()
}

/// The next message that is neither ping nor pong.
pub async fn next(socket: &mut BoxSocket) -> Option<Message> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Ping | Message::Pong)) => {}
            Some(Ok(message)) => return Some(message),
            Some(Err(_)) | None => return None,
        }
    }
}

/// Waits, without a clock on the wall, until something holds. A run in which it never does ends by its own deadline.
pub async fn until(runtime: &Arc<dyn Runtime>, what: &str, holds: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if holds() {
            return;
        }
        runtime.sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came to pass that {what}");
}
