//! The side that wants a service: TCP connections become streams to the peer.

use std::{net::SocketAddr, pin::pin, sync::Arc};

use metrics::Recorder;
use p2p::{ConnectionConfig, P2PProvider, PeerAddr, Watch, chain};
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tracing::{debug, warn};

use super::{
    LinkState, STREAMS_MAX, ServiceName, connection_config,
    copy::copy,
    failure::{Failure, Reason},
    link::Link,
    metrics::ForwardMetrics,
    stream_header::StreamHeader,
    tcp::ResetOnDrop,
};
use crate::{Error, Shutdown, accept::Acceptor, shutdown::drain};

/// Listens on TCP and forwards each connection to a service of a peer.
#[derive(Debug)]
pub struct Connect {
    acceptor: Acceptor,
    forward: Arc<Forward>,
}

/// What all forwarded connections share.
#[derive(Debug)]
struct Forward {
    link: Link,
    header: StreamHeader,
    metrics: ForwardMetrics,
}

impl Connect {
    /// Listens on `listen`. Nothing is dialled or accepted before [`run`](Self::run).
    ///
    /// # Errors
    /// [`Error::Listen`].
    pub async fn bind(
        provider: Arc<dyn P2PProvider>,
        peer: PeerAddr,
        service: ServiceName,
        listen: SocketAddr,
        recorder: &dyn Recorder,
    ) -> Result<Self, Error> {
        let metrics = ForwardMetrics::new(recorder, service.as_str());
        let failures = metrics.errors(Reason::Accept).clone();
        let acceptor = Acceptor::bind(listen, "--listen").await?.with_failures(failures);
        // This side opens all streams, so the peer is allowed none.
        let config = ConnectionConfig { streams_max: 0, ..connection_config() };
        let forward = Forward { link: Link::new(provider, peer, config), header: StreamHeader { service }, metrics };
        Ok(Self { acceptor, forward: Arc::new(forward) })
    }

    /// The address to reach the service at.
    pub const fn local_addr(&self) -> SocketAddr {
        self.acceptor.local_addr()
    }

    /// Whether the peer is connected, and when that changes.
    pub fn link(&self) -> Watch<LinkState> {
        self.forward.link.state()
    }

    /// Forwards until the shutdown, then lets what is open end within its drain.
    ///
    /// # Errors
    /// If the first dial fails with something that no other dial will change.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), Error> {
        let Self { mut acceptor, forward } = self;
        let room = Arc::new(Semaphore::new(STREAMS_MAX));
        let mut streams = JoinSet::new();
        let mut keep = pin!(forward.link.keep());
        loop {
            p2p::select! {
                () = shutdown.requested() => break,
                error = &mut keep => return Err(error.into()),
                Some(_) = streams.join_next() => {}
                (tcp, permit) = next(&mut acceptor, &room) => {
                    streams.spawn(forward.clone().carry(tcp, permit));
                }
            }
        }
        drop(acceptor);
        let left = drain(&mut streams, shutdown.drain()).await;
        if left > 0 {
            warn!(streams = left, "Ended TCP connections that were still open.");
        }
        Ok(())
    }
}

/// The next TCP connection, once there is room for it. Until then it waits in the kernel's backlog.
async fn next(acceptor: &mut Acceptor, room: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    let permit = room.clone().acquire_owned().await.expect("the semaphore is never closed");
    let (tcp, _) = acceptor.accept().await;
    (tcp, permit)
}

impl Forward {
    async fn carry(self: Arc<Self>, tcp: TcpStream, _permit: OwnedSemaphorePermit) {
        let _open = self.metrics.open();
        let mut tcp = ResetOnDrop::new(tcp);
        match self.try_carry(tcp.get_mut()).await {
            Ok(()) => tcp.close(),
            Err(failure) => {
                self.metrics.failed(&failure);
                debug!(service = %self.header.service, error = chain(&failure), "A TCP connection broke off.");
            }
        }
    }

    async fn try_carry(&self, tcp: &mut TcpStream) -> Result<(), Failure> {
        tcp.set_nodelay(true).map_err(Failure::Tcp)?;
        let connection = self.link.connection().await?;
        let mut stream = connection.open_stream().await?;
        self.header.write(&mut stream.send).await?;
        // The link holds the connection for as long as it lives; a stream needs no hold of its own.
        drop(connection);
        copy(tcp, stream, &self.metrics).await
    }
}
