//! From a stream to a server and back.

use std::{convert::Infallible, error::Error as StdError, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1 as client,
    header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue, UPGRADE},
    server::conn::http1 as server,
    service::service_fn,
    upgrade::OnUpgrade,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use p2p::{BiStream, PeerId};
use parking_lot::Mutex;
use tokio::{
    io::{copy_bidirectional_with_sizes, duplex, split},
    net::TcpStream,
    time::timeout,
};
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::{HttpRoutes, headers, screen::Screened};
use crate::{
    forward::{COPY_BYTES, Failure, Meter, Plain, copy},
    rule::HostPort,
};

/// Answers the requests on a stream until it ends.
pub(crate) async fn serve(
    routes: &HttpRoutes,
    peer: PeerId,
    stream: BiStream,
    meter: Arc<Meter>,
) -> Result<(), Failure> {
    // Bytes are counted and paced where all bytes are; hyper gets the other end of a pipe.
    let (ours, theirs) = duplex(COPY_BYTES);
    let (read, write) = split(theirs);
    let proxy = Proxy { routes: routes.clone(), peer, idle: Mutex::default(), upgraded: TaskTracker::new() };
    let answered = async {
        answer(ours, &proxy).await;
        proxy.upgraded.close();
        proxy.upgraded.wait().await;
    };
    let (copied, ()) = tokio::join!(copy(Plain(read), Screened::new(write), stream, &meter), answered);
    copied
}

async fn answer(io: tokio::io::DuplexStream, proxy: &Proxy) {
    let service = service_fn(|request| async { Ok::<_, Infallible>(proxy.answer(request).await) });
    let connection = server::Builder::new()
        .timer(TokioTimer::new())
        // From the first byte of a request to the end of its headers, and from one request to the next.
        .header_read_timeout(REQUEST_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .half_close(true)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    if let Err(error) = connection.await {
        debug!(%error, "An HTTP connection broke off.");
    }
}

/// One stream's requests, which come one after the other.
struct Proxy {
    routes: HttpRoutes,
    peer: PeerId,
    /// A connection to a server that can be used again.
    idle: Mutex<Option<(HostPort, client::SendRequest<Incoming>)>>,
    upgraded: TaskTracker,
}

type Body = BoxBody<Bytes, hyper::Error>;
type Problem = Box<dyn StdError + Send + Sync>;

impl Proxy {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let host = match headers::host(&request) {
            Ok(host) => host,
            Err((status, why)) => return refuse(status, why),
        };
        let Some(target) = self.routes.find(&host, request.uri().path()) else {
            return refuse(StatusCode::NOT_FOUND, "nothing is shared under this host and path\n");
        };
        match self.forward(target, request).await {
            Ok(response) => response,
            Err(error) => {
                debug!(%target, %error, "A server did not answer.");
                let timed_out = error.downcast_ref::<tokio::time::error::Elapsed>().is_some();
                match timed_out {
                    true => refuse(StatusCode::GATEWAY_TIMEOUT, "the service did not answer in time\n"),
                    false => refuse(StatusCode::BAD_GATEWAY, "the service does not answer\n"),
                }
            }
        }
    }

    async fn forward(&self, target: &HostPort, mut request: Request<Incoming>) -> Result<Response<Body>, Problem> {
        let wanted = upgrade(request.headers());
        let theirs = wanted.is_some().then(|| hyper::upgrade::on(&mut request));
        let host = request.headers().get(HOST).cloned();
        headers::remove_hop_by_hop(request.headers_mut());
        headers::add_forwarded(request.headers_mut(), self.peer, host.clone());
        if let Some(protocol) = &wanted {
            request.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
            request.headers_mut().insert(UPGRADE, protocol.clone());
        }
        if host.is_none() {
            request.headers_mut().insert(HOST, target.to_string().parse()?);
        }
        // A server is asked for a path, whatever form the request had.
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = path.parse()?;
        *request.version_mut() = hyper::Version::HTTP_11;

        let mut server = self.connection(target).await?;
        let mut response = server.send_request(request).await?;
        let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let answered = upgrade(response.headers());
        let ours = upgraded.then(|| hyper::upgrade::on(&mut response));
        headers::remove_hop_by_hop(response.headers_mut());
        if let (Some(ours), Some(theirs), Some(protocol)) = (ours, theirs, answered) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
            response.headers_mut().insert(UPGRADE, protocol);
            self.upgraded.spawn(tunnel(theirs, ours));
        } else if upgraded {
            return Err("it changed the protocol and was not asked to".into());
        } else {
            *self.idle.lock() = Some((target.clone(), server));
        }
        Ok(response.map(BodyExt::boxed))
    }

    async fn connection(&self, target: &HostPort) -> Result<client::SendRequest<Incoming>, Problem> {
        let idle = self.idle.lock().take().filter(|(of, _)| of == target);
        if let Some((_, mut server)) = idle
            && !server.is_closed()
            && timeout(IDLE_READY, server.ready()).await.is_ok_and(|ready| ready.is_ok())
        {
            return Ok(server);
        }
        let connecting = TcpStream::connect((target.host.as_str(), target.ports.first()));
        let tcp = timeout(CONNECT_TIMEOUT, connecting).await??;
        tcp.set_nodelay(true)?;
        let (server, connection) = client::handshake(TokioIo::new(tcp)).await?;
        self.upgraded.spawn(async move {
            connection.with_upgrades().await.ok();
        });
        Ok(server)
    }
}

/// Carries what the two speak after an upgrade.
async fn tunnel(theirs: OnUpgrade, ours: OnUpgrade) {
    if let Ok((theirs, ours)) = tokio::try_join!(theirs, ours) {
        let (mut theirs, mut ours) = (TokioIo::new(theirs), TokioIo::new(ours));
        copy_bidirectional_with_sizes(&mut theirs, &mut ours, COPY_BYTES, COPY_BYTES).await.ok();
    }
}

/// The protocol that `headers` ask to change to.
fn upgrade(headers: &hyper::HeaderMap) -> Option<HeaderValue> {
    let connection = headers.get(CONNECTION)?.to_str().ok()?;
    let asks = connection.split(',').any(|word| word.trim().eq_ignore_ascii_case("upgrade"));
    headers.get(UPGRADE).filter(|_| asks).cloned()
}

fn refuse(status: StatusCode, why: &'static str) -> Response<Body> {
    let body = Full::from(why).map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// Browsers keep connections open for a minute or two.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);

/// Bytes of the largest request head; one that is larger is answered with 431. As much as other servers take.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Servers are near the daemon, mostly on its own machine; whoever waits longer waits for nothing.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that takes longer to be ready is not worth waiting for.
const IDLE_READY: Duration = Duration::from_millis(100);
