//! The provider.

use std::{fmt, fs::File, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use iroh::{Endpoint, endpoint::ConnectError};
use p2p::{
    ConnectionConfig, ListenConfig, P2PConnection, P2PError, P2PListener, P2PProvider, PeerAddr, PeerId, PeerInfo,
    ProviderStatus, Result, Runtime, RuntimeExt, TaskHandle, TokioRuntime, Watch, WatchSender, engine::Hub,
    protocol::ALPN,
};
use parking_lot::Mutex;
use tracing::info;

use crate::{
    AccessList, Identity, IrohConfig, RelayServer,
    accept::Acceptor,
    addr,
    admission::Admission,
    bootstrap::{self, Keeper},
    early::{self, Answers, EARLY_ALPN, EarlyAnswer, EarlyRequest},
    endpoint::{self, Terms},
    error::Error,
    failover, lan,
    peers::Peers,
    status::Status,
    transport::{IrohConnection, millis},
};

/// Connections over iroh: QUIC from machine to machine where a path can be found, through a relay where not.
///
/// Needs tokio's runtime. End it with [`shutdown`](P2PProvider::shutdown): dropping it closes all of its connections
/// without waiting for anything they still had to deliver. After a shutdown its UDP port is free again once nobody
/// holds one of its connections or streams.
pub struct IrohP2P {
    peer: PeerId,
    runtime: Arc<dyn Runtime>,
    hub: Arc<Hub>,
    peers: Arc<Peers>,
    admission: Arc<Admission>,
    terms: Arc<Terms>,
    /// Who answers early requests. `None` without 0-RTT.
    answers: Option<Answers>,
    status: Status,
    /// Taken at shutdown, because the socket lives as long as anybody holds the endpoint.
    endpoint: Mutex<Option<Endpoint>>,
    closed: WatchSender<bool>,
    relays: Vec<RelayServer>,
    maps_ports: bool,
    /// Locked for this endpoint, until it is shut down.
    key_file: Mutex<Option<File>>,
    /// End with the provider.
    tasks: Mutex<Vec<TaskHandle>>,
}

impl IrohP2P {
    /// Binds an endpoint and starts to take connections, for which listeners can then be registered.
    ///
    /// Returns before any relay is connected; [`status`](P2PProvider::status) tells when one is.
    ///
    /// # Errors
    /// - [`P2PError::InvalidInput`]: a setting that cannot be used; a key file that another endpoint has.
    /// - [`P2PError::Network`]: the sockets cannot be bound; its source says which port is in use and what to do.
    pub async fn bind(config: IrohConfig) -> Result<Self> {
        config.validate()?;
        let identity = config.identity.clone().unwrap_or_else(Identity::generate);
        let key_file = identity.lock()?;
        let endpoint = endpoint::bind(&config, &identity).await?;

        let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime);
        let peer = identity.peer_id();
        let hub = Hub::with_handshakes_max(peer, runtime.clone(), config.limits.handshakes_max);
        let peers = Arc::new(Peers::new(&config.bootstrap));
        let mut tasks = Vec::new();

        let lan = config.lan_discovery.then(|| {
            let (check, task) = lan::start(&endpoint, &peers, &runtime);
            tasks.extend(task);
            check
        });
        let at_first = bootstrap::check_at_first(&config.bootstrap);
        let (status, follow) = Status::new(&endpoint, &config.relays, lan, at_first);
        tasks.push(runtime.spawn("iroh status", Box::pin(follow)));
        let admission = Admission::new(&config);
        tasks.push(runtime.spawn("iroh access", Box::pin(follow_access(admission.clone()))));
        tasks.extend(failover::start(&endpoint, &config, &admission, &runtime));
        let terms = Terms::new(&endpoint, &config);
        let answers = config.zero_rtt.then(Answers::default);
        let acceptor = Acceptor {
            hub: hub.clone(),
            peers: peers.clone(),
            admission: admission.clone(),
            terms: terms.clone(),
            answers: answers.clone(),
            runtime: runtime.clone(),
        };
        tasks.push(runtime.spawn("iroh accept", Box::pin(acceptor.run(endpoint.clone()))));
        if !config.bootstrap.is_empty() {
            let keeper = Keeper {
                endpoint: endpoint.clone(),
                hub: hub.clone(),
                peers: peers.clone(),
                status: status.clone(),
                runtime: runtime.clone(),
            };
            tasks.push(runtime.spawn("iroh bootstrap", Box::pin(keeper.keep(config.bootstrap.clone()))));
        }

        Ok(Self {
            peer,
            runtime,
            hub,
            peers,
            admission,
            terms,
            answers,
            status,
            endpoint: Mutex::new(Some(endpoint)),
            closed: WatchSender::new(false),
            key_file: Mutex::new(key_file),
            #[cfg(feature = "port-mapping")]
            maps_ports: config.port_mapping,
            #[cfg(not(feature = "port-mapping"))]
            maps_ports: false,
            relays: config.relays,
            tasks: Mutex::new(tasks),
        })
    }

    /// Who may connect. Changes to it hold at once.
    pub fn access(&self) -> &AccessList {
        self.admission.access()
    }

    /// Asks a peer in the first packet: 0-RTT. Where nothing is left of an earlier exchange with the peer, or it has forgotten
    /// (it was started anew), the request is sent after the handshake instead.
    ///
    /// # Warning
    /// A request in the first packet can be repeated by whoever records it, so it must be **idempotent**: ask, do not order.
    /// See [`EarlyRequest`]. The answer is the peer's for sure.
    ///
    /// # Errors
    /// - [`P2PError::InvalidInput`]: this side has not opted in, see [`IrohConfig::zero_rtt`].
    /// - [`P2PError::MessageTooLarge`]: over [`EARLY_REQUEST_BYTES_MAX`](crate::EARLY_REQUEST_BYTES_MAX).
    /// - [`P2PError::Protocol`]: the peer has not opted in.
    /// - [`P2PError::Refused`]: nobody answers there, or it does not admit this peer.
    /// - [`P2PError::Timeout`]: no answer within `deadline`; and those of a dial.
    ///
    /// # Cancel safety
    /// Dropping this future may leave the request asked.
    pub async fn request_early(&self, peer: PeerAddr, body: Bytes, deadline: Duration) -> Result<EarlyAnswer> {
        self.require_zero_rtt()?;
        early::check(&body)?;
        let asking = async {
            let endpoint = self.endpoint()?;
            let addr = addr::to_iroh(&self.complete(&peer)).ok_or(Error::NotAKey { peer: peer.peer })?;
            let place = self.admission.dial(peer.peer, self.runtime.now())?;
            let options = self.terms.client(place.level());
            let connecting = endpoint.connect_with_opts(addr, EARLY_ALPN, options).await;
            let connecting = connecting.map_err(|error| Error::Dial { peer: peer.peer, source: error.into() })?;
            early::ask(connecting, peer.peer, body).await
        };
        let late = |_| P2PError::Timeout { during: "an early request", after: deadline };
        self.runtime.timeout(deadline, asking).await.map_err(late)?
    }

    /// Answers peers' early requests from now on with what `handler` returns, cut at
    /// [`EARLY_ANSWER_BYTES_MAX`](crate::EARLY_ANSWER_BYTES_MAX); a later call replaces it. A request has 10 s in all. What
    /// the handler does must be idempotent, and fit for anybody's eyes: see [`EarlyRequest`].
    ///
    /// # Errors
    /// [`P2PError::InvalidInput`]: this side has not opted in, see [`IrohConfig::zero_rtt`].
    pub fn answer_early<F>(&self, handler: impl Fn(EarlyRequest) -> F + Send + Sync + 'static) -> Result<()>
    where
        F: Future<Output = Bytes> + Send + 'static,
    {
        self.require_zero_rtt()?.set(handler);
        Ok(())
    }

    fn require_zero_rtt(&self) -> Result<&Answers> {
        let lacks =
            || P2PError::invalid_input("an early request with zero_rtt = false", "IrohConfig::zero_rtt, at both ends");
        self.answers.as_ref().ok_or_else(lacks)
    }

    /// All that is known of where a peer is.
    fn complete(&self, peer: &PeerAddr) -> PeerAddr {
        let mut addr = self.peers.complete(peer.clone());
        self.admission.relays().complete(&mut addr);
        addr
    }

    /// Counts with this recorder from now on what the [`metrics`](crate::metrics) module lists. Of two calls the first
    /// counts, and after a shutdown none does.
    pub fn export_metrics(&self, recorder: &dyn metrics::Recorder) {
        if let Some(endpoint) = &*self.endpoint.lock()
            && self.admission.telemetry().register(recorder)
        {
            let follow = crate::metrics::follow(endpoint, &self.relays, recorder, self.runtime.clone());
            self.tasks.lock().push(self.runtime.spawn("iroh metrics", Box::pin(follow)));
        }
    }

    pub(crate) fn endpoint(&self) -> Result<Endpoint> {
        self.endpoint.lock().clone().ok_or(P2PError::ShutDown)
    }

    /// Those that were configured.
    pub(crate) fn relays(&self) -> &[RelayServer] {
        &self.relays
    }

    pub(crate) const fn maps_ports(&self) -> bool {
        self.maps_ports
    }

    async fn dial(&self, peer: PeerAddr) -> Result<IrohConnection> {
        let endpoint = self.endpoint()?;
        let addr = addr::to_iroh(&self.complete(&peer)).ok_or(Error::NotAKey { peer: peer.peer })?;
        let start = self.runtime.now();
        let place = self.admission.dial(peer.peer, start)?;
        let options = self.terms.client(place.level());
        let dialling = async { Ok(endpoint.connect_with_opts(addr, ALPN, options).await?.await?) };
        let connection = dialling.await.map_err(|source: ConnectError| Error::Dial { peer: peer.peer, source })?;
        let transport = IrohConnection::new(connection, place, &self.runtime);
        let path = transport.introduce(&self.peers, &*self.runtime);
        info!(peer = %peer.peer, path, latency_ms = millis(self.runtime.now() - start), "Connected.");
        self.peers.learn(peer, self.runtime.now());
        Ok(transport)
    }
}

#[async_trait]
impl P2PProvider for IrohP2P {
    fn local_peer_id(&self) -> PeerId {
        self.peer
    }

    fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.runtime
    }

    fn status(&self) -> Watch<ProviderStatus> {
        self.status.watch()
    }

    fn peer_info(&self, peer: PeerId) -> Option<PeerInfo> {
        self.peers.info(peer, self.hub.connections(peer))
    }

    async fn connect_with(&self, peer: PeerAddr, config: ConnectionConfig) -> Result<Arc<dyn P2PConnection>> {
        self.hub.connect(peer.peer, config, self.dial(peer.clone())).await
    }

    async fn listen_with(&self, config: ListenConfig) -> Result<Box<dyn P2PListener>> {
        let ready_timeout = config.ready_timeout;
        let status = self.status.watch();
        let listener = self.hub.listen(config, move || status.read(|status| status.addr.clone()))?;
        // Dialable in time or not, the listener is there; what lacks is in the status.
        let mut dialable = self.status.dialable();
        let dialable = dialable.wait_for(|dialable| *dialable);
        self.runtime.timeout(ready_timeout, dialable).await.ok();
        Ok(listener)
    }

    async fn shutdown(&self, deadline: Duration) {
        if let Some(endpoint) = self.endpoint.lock().take() {
            let (hub, closed) = (self.hub.clone(), self.closed.clone());
            let key_file = self.key_file.lock().take();
            self.status.set_shut_down();
            let shutdown = async move {
                hub.shutdown(deadline).await;
                endpoint.close().await;
                drop((endpoint, key_file));
                closed.set(true);
            };
            self.runtime.spawn("iroh shutdown", Box::pin(shutdown)).detach();
        }
        let mut closed = self.closed.subscribe();
        let closed = closed.wait_for(|closed| *closed);
        self.runtime.timeout(deadline.saturating_add(CLOSE_TIMEOUT), closed).await.ok();
    }
}

/// Closes the connections of peers that are denied, whenever somebody is.
async fn follow_access(admission: Arc<Admission>) {
    let mut changes = admission.access().changes();
    while changes.changed().await.is_ok() {
        admission.close_the_denied();
    }
}

/// Closes what was not shut down. iroh asks for it, and without it peers would learn of the end by their timeout only.
impl Drop for IrohP2P {
    fn drop(&mut self) {
        let endpoint = self.endpoint.get_mut().take();
        if let (Some(endpoint), Ok(runtime)) = (endpoint, tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move { endpoint.close().await });
        }
    }
}

impl fmt::Display for IrohP2P {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("iroh")
    }
}

impl fmt::Debug for IrohP2P {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IrohP2P").field("peer", &self.peer).field("status", &self.status).finish_non_exhaustive()
    }
}

/// How long a shutdown waits, beyond its deadline, for peers to acknowledge that their connections are closed. iroh's
/// documentation speaks of 3 s in bad conditions; what is not acknowledged by then goes on in the background.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
