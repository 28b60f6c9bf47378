//! The side that has services: streams of peers become TCP connections to them.

use std::{collections::BTreeMap, sync::Arc};

use metrics::Recorder;
use p2p::{BiStream, CloseCode, P2PConnection, P2PListener, chain};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tracing::{debug, info, warn};

use super::{
    ServiceName,
    copy::{abandon, copy},
    failure::Failure,
    metrics::ForwardMetrics,
    stream_header::StreamHeader,
    tcp::ResetOnDrop,
};
use crate::{Error, Shutdown, Target, shutdown::drain};

/// Accepts peers, and forwards each of their streams to the service it names.
#[derive(Debug)]
pub struct Share {
    listener: Box<dyn P2PListener>,
    services: Arc<Services>,
}

/// What all connections share.
#[derive(Debug)]
struct Services {
    by_name: BTreeMap<ServiceName, Service>,
    /// For streams that name none of them.
    other: ForwardMetrics,
    room: Arc<Semaphore>,
}

#[derive(Debug)]
struct Service {
    target: Target,
    metrics: ForwardMetrics,
}

impl Share {
    /// Shares `services` with whoever connects to `listener`, which listens for [`PROTOCOL`](super::PROTOCOL).
    pub fn new(
        listener: Box<dyn P2PListener>,
        services: impl IntoIterator<Item = (ServiceName, Target)>,
        recorder: &dyn Recorder,
    ) -> Self {
        let by_name = services.into_iter().map(|(name, target)| {
            let metrics = ForwardMetrics::new(recorder, name.as_str());
            (name, Service { target, metrics })
        });
        let services = Services {
            by_name: by_name.collect(),
            other: ForwardMetrics::new(recorder, "none"),
            room: Arc::new(Semaphore::new(STREAMS_TOTAL_MAX)),
        };
        Self { listener, services: Arc::new(services) }
    }

    /// Serves until the shutdown, then lets what is open end within its drain.
    ///
    /// # Errors
    /// If the provider was shut down by somebody else.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), Error> {
        let mut connections = JoinSet::new();
        loop {
            p2p::select! {
                () = shutdown.requested() => break,
                Some(_) = connections.join_next() => {}
                connection = self.listener.accept() => {
                    let connection = connection?;
                    if connections.len() < CONNECTIONS_MAX {
                        connections.spawn(self.services.clone().serve(connection, shutdown.clone()));
                    } else {
                        warn!(peer = ?connection.peer_id(), "Turned a peer away: {CONNECTIONS_MAX} are connected.");
                        connection.close(CLOSED_FULL, "as many peers are connected as are served at once");
                    }
                }
            }
        }
        drop(self.listener);
        let left = drain(&mut connections, shutdown.drain()).await;
        if left > 0 {
            warn!(peers = left, "Ended connections of peers that still had streams open.");
        }
        Ok(())
    }
}

impl Services {
    /// Serves one peer until it is gone, or until the shutdown and then until its streams have ended.
    async fn serve(self: Arc<Self>, connection: Arc<dyn P2PConnection>, shutdown: Shutdown) {
        let peer = connection.peer_id();
        let path = connection.state().read(|state| state.path().map(ToString::to_string));
        info!(?peer, path, "A peer connected.");
        let mut streams = JoinSet::new();
        loop {
            p2p::select! {
                () = shutdown.requested() => break,
                Some(_) = streams.join_next() => {}
                stream = connection.accept_stream() => match stream {
                    Ok(stream) => self.clone().start(stream, &mut streams),
                    Err(error) => {
                        info!(?peer, reason = error.chain(), "A peer is gone.");
                        break;
                    }
                }
            }
        }
        while streams.join_next().await.is_some() {}
        // Streams that have ended here may still be on their way.
        connection.finish().await.ok();
    }

    fn start(self: Arc<Self>, mut stream: BiStream, streams: &mut JoinSet<()>) {
        match self.room.clone().try_acquire_owned() {
            Ok(permit) => {
                streams.spawn(self.carry(stream, permit));
            }
            Err(_) => {
                self.other.failed(&Failure::Busy);
                abandon(&mut stream, &Failure::Busy);
            }
        }
    }

    async fn carry(self: Arc<Self>, mut stream: BiStream, _permit: OwnedSemaphorePermit) {
        match self.service(&mut stream).await {
            Ok((name, service)) => service.carry(name, stream).await,
            Err(failure) => {
                self.other.failed(&failure);
                debug!(error = chain(&failure), "A stream was refused.");
                abandon(&mut stream, &failure);
            }
        }
    }

    /// The service that the stream is for.
    async fn service(&self, stream: &mut BiStream) -> Result<(&ServiceName, &Service), Failure> {
        let header = StreamHeader::read(&mut stream.recv).await.map_err(Failure::Header)?;
        self.by_name.get_key_value(&header.service).ok_or(Failure::UnknownService(header.service))
    }
}

impl Service {
    async fn carry(&self, name: &ServiceName, mut stream: BiStream) {
        let _open = self.metrics.open();
        let mut tcp = match self.target.connect().await {
            Ok(tcp) => ResetOnDrop::new(tcp),
            Err(error) => {
                warn!(service = %name, target = %self.target, %error, "The service does not take connections.");
                let failure = Failure::TargetUnreachable(error);
                self.metrics.failed(&failure);
                return abandon(&mut stream, &failure);
            }
        };
        match copy(tcp.get_mut(), stream, &self.metrics).await {
            Ok(()) => tcp.close(),
            Err(failure) => {
                self.metrics.failed(&failure);
                debug!(service = %name, error = chain(&failure), "A stream broke off.");
            }
        }
    }
}

/// Peers connected at once. The next is turned away.
const CONNECTIONS_MAX: usize = 256;

/// Streams of all peers at once, each with a TCP connection. The next is reset as busy.
const STREAMS_TOTAL_MAX: usize = 4096;

/// What a peer sees that is turned away.
const CLOSED_FULL: CloseCode = CloseCode(1);
