//! The HTTP server of the admin interface.

use std::{convert::Infallible, fmt, net::SocketAddr, str::FromStr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, VARY},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::timeout,
};

use super::{Health, MetricsExport, openmetrics};
use crate::{Error, accept::Acceptor};

/// Where the admin interface listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminAddr {
    /// Nowhere.
    Off,
    /// There, or at any free port if that one is taken.
    Preferred(SocketAddr),
    /// There and nowhere else.
    Exactly(SocketAddr),
}

/// `off`, or an address.
impl FromStr for AdminAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Off),
            _ => text
                .parse()
                .map(Self::Exactly)
                .map_err(|_| "expected an address like 127.0.0.1:8801, or `off`".to_owned()),
        }
    }
}

impl fmt::Display for AdminAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Preferred(addr) | Self::Exactly(addr) => addr.fmt(f),
        }
    }
}

/// Answers `/metrics`, `/livez` and `/readyz` until it is dropped.
#[derive(Debug)]
pub struct AdminServer {
    addr: SocketAddr,
    /// Ended with it.
    _tasks: JoinSet<()>,
}

impl AdminServer {
    /// Listens on `addr` and serves.
    ///
    /// # Errors
    /// [`Error::AdminNotLoopback`], [`Error::Listen`].
    pub async fn start(addr: SocketAddr, export: &MetricsExport, health: Health) -> Result<Self, Error> {
        if !addr.ip().is_loopback() {
            return Err(Error::AdminNotLoopback { addr });
        }
        let acceptor = Acceptor::bind(addr, "--admin").await?;
        let addr = acceptor.local_addr();
        let mut tasks = JoinSet::new();
        tasks.spawn(export.upkeep());
        tasks.spawn(serve(acceptor, Arc::new(Routes { metrics: export.clone(), health })));
        Ok(Self { addr, _tasks: tasks })
    }

    /// The same, where and if a person wants it.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_at(addr: AdminAddr, export: &MetricsExport, health: Health) -> Result<Option<Self>, Error> {
        match addr {
            AdminAddr::Off => Ok(None),
            AdminAddr::Exactly(addr) => Self::start(addr, export, health).await.map(Some),
            AdminAddr::Preferred(addr) => match Self::start(addr, export, health.clone()).await {
                Err(Error::Listen { .. }) => Self::start(SocketAddr::new(addr.ip(), 0), export, health).await.map(Some),
                started => started.map(Some),
            },
        }
    }

    /// The address in use.
    pub const fn local_addr(&self) -> SocketAddr {
        self.addr
    }
}

async fn serve(mut acceptor: Acceptor, routes: Arc<Routes>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let permit = room.clone().acquire_owned().await.expect("the semaphore is never closed");
        let tcp = loop {
            p2p::select! {
                Some(_) = connections.join_next() => {}
                (tcp, _) = acceptor.accept() => break tcp,
            }
        };
        connections.spawn(answer(tcp, routes.clone(), permit));
    }
}

async fn answer(tcp: TcpStream, routes: Arc<Routes>, _permit: OwnedSemaphorePermit) {
    let service = service_fn(move |request| {
        let response = routes.answer(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Also ends connections that are kept alive and idle, so that they make room for others.
        .header_read_timeout(REQUEST_TIMEOUT)
        .max_buf_size(REQUEST_BYTES_MAX)
        .serve_connection(TokioIo::new(tcp), service);
    // A client that errs harms only itself.
    timeout(CONNECTION_TIMEOUT, connection).await.ok();
}

struct Routes {
    metrics: MetricsExport,
    health: Health,
}

impl Routes {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD are answered\n");
            response.headers_mut().insert(ALLOW, "GET, HEAD".parse().expect("plain ASCII"));
            return response;
        }
        match request.uri().path() {
            "/metrics" => self.metrics(request),
            "/livez" => respond(StatusCode::OK, TEXT, "ok\n"),
            "/readyz" => {
                let report = self.health.report();
                let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                let json = serde_json::to_string_pretty(&report).expect("the report is plain data");
                respond(status, JSON, json + "\n")
            }
            _ => respond(StatusCode::NOT_FOUND, TEXT, "there are /metrics, /livez and /readyz\n"),
        }
    }

    fn metrics(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        self.health.record(self.metrics.recorder());
        let text = self.metrics.render();
        let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        let mut response = if openmetrics::is_preferred(accept) {
            respond(StatusCode::OK, openmetrics::CONTENT_TYPE, openmetrics::from_prometheus(&text))
        } else {
            respond(StatusCode::OK, PROMETHEUS_TEXT, text)
        };
        response.headers_mut().insert(VARY, "Accept".parse().expect("plain ASCII"));
        response
    }
}

fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, content_type)
        .header(CACHE_CONTROL, "no-store")
        .body(Full::new(body.into()))
        .expect("constant headers are valid")
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
/// Prometheus's text format, version 0.0.4.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Connections answered at once. The next waits in the kernel's backlog.
const CONNECTIONS_MAX: usize = 32;

/// From the first byte of a request to the end of its headers, and from one request to the next.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest life of a connection. Prometheus reconnects without a word.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(600);

/// Bytes of the largest request head; hyper's least is 8 KiB.
const REQUEST_BYTES_MAX: usize = 16 * 1024;
