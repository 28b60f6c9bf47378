//! An HTTP/1.1 server on any byte streams.

use std::{convert::Infallible, fmt::Debug, io, pin::pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use p2p::{Runtime, RuntimeExt, Watch, WatchSender};
use tokio::sync::Semaphore;

use super::timer::RuntimeTimer;
use crate::{
    connector::{Acceptor, BoxIo},
    route::Body,
};

/// Answers requests.
#[async_trait]
pub trait Handler: Debug + Send + Sync + 'static {
    /// The answer to a request. Dropped when the caller leaves before it is there.
    async fn handle(&self, request: Request<Incoming>) -> Response<Body>;
}

/// Settings of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServeConfig {
    /// Connections at once; further ones wait to be accepted. Defaults to 1,024.
    pub connections_max: usize,
    /// How long a connection may take to send a request's head, and how long it may wait between two. Defaults to 60 s.
    pub head_timeout: Duration,
    /// How long requests in flight may go on once the server is told to stop. Defaults to 10 s.
    pub drain_timeout: Duration,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self { connections_max: 1024, head_timeout: Duration::from_secs(60), drain_timeout: Duration::from_secs(10) }
    }
}

/// Serves until `stop` is true; then takes nothing new and lets what is in flight end, within the drain timeout. With
/// [`Watch::constant`] it serves for ever.
///
/// WebSockets that are open by then are not waited for.
///
/// # Errors
/// The acceptor's, if it ends by itself.
///
/// # Cancel safety
/// Dropping the future closes every connection at once.
pub async fn serve(
    acceptor: impl Acceptor,
    handler: Arc<dyn Handler>,
    config: ServeConfig,
    runtime: Arc<dyn Runtime>,
    mut stop: Watch<bool>,
) -> io::Result<()> {
    let room = Arc::new(Semaphore::new(config.connections_max));
    let life = WatchSender::new(Life::Serving);
    let timer = RuntimeTimer::new(runtime.clone());
    let mut stopping = pin!(async {
        if stop.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    });
    loop {
        let accepting = async {
            let place = room.clone().acquire_owned().await.expect("nobody closes it");
            (acceptor.accept().await, place)
        };
        let (io, place) = p2p::select! {
            () = &mut stopping => break,
            accepted = accepting => accepted,
        };
        let connection = drive(io?, handler.clone(), config.head_timeout, timer.clone(), life.subscribe());
        let connection = async move {
            connection.await;
            drop(place);
        };
        runtime.spawn("an HTTP connection", Box::pin(connection)).detach();
    }
    life.set(Life::Draining);
    let connections = u32::try_from(config.connections_max).unwrap_or(u32::MAX);
    let _ = runtime.timeout(config.drain_timeout, room.acquire_many(connections)).await;
    Ok(())
}

/// What a server is doing. When its sender is gone, so are its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Serving,
    Draining,
}

async fn drive(
    io: BoxIo,
    handler: Arc<dyn Handler>,
    head_timeout: Duration,
    timer: RuntimeTimer,
    mut life: Watch<Life>,
) {
    let service = service_fn(move |request| {
        let handler = handler.clone();
        async move { Ok::<_, Infallible>(handler.handle(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(timer)
        .header_read_timeout(head_timeout)
        .max_buf_size(BUFFER_BYTES_MAX)
        // The home's server has its own, and it would be the only thing here that looks at a clock on the wall.
        .auto_date_header(false)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut server = life.clone();
    let mut server_gone = pin!(server.wait_for(|_| false));
    let mut draining = false;
    loop {
        p2p::select! {
            outcome = connection.as_mut() => {
                if let Err(error) = outcome {
                    tracing::debug!(%error, "A connection ended.");
                }
                return;
            }
            _ = &mut server_gone => return,
            _ = life.wait_for(|life| *life == Life::Draining), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// The most that is read ahead or gathered to be written on a connection, in bytes.
const BUFFER_BYTES_MAX: usize = 128 * 1024;
