//! The provider.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use p2p::{
    Check, ConnectionConfig, ListenConfig, P2PConnection, P2PError, P2PListener, P2PProvider, PeerAddr, PeerId,
    PeerInfo, ProviderStatus, Result, Runtime, RuntimeExt, SharedError, TaskHandle, Transport, Watch, WatchSender,
    engine::Hub, protocol::close,
};
use parking_lot::Mutex;
use rustls::{CertificateError, ServerConfig, pki_types::ServerName, sign::CertifiedKey};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{
    Identity, Rendezvous,
    driver::Driver,
    handshakes::Handshakes,
    tls,
    transport::{Shared, TunnelTransport},
};
use crate::connector::{BoxIo, Io};

/// A provider whose connections are byte streams that a [`Rendezvous`] joins, end to end encrypted. Clones are the same peer.
///
/// It can be dialled from its first listener on, until it is shut down.
#[derive(Clone)]
pub struct TunnelP2P(Arc<Inner>);

/// Says of a peer that proved its key whether it may connect.
type Admission = Arc<dyn Fn(PeerId) -> bool + Send + Sync>;

struct Inner {
    peer: PeerId,
    key: Arc<CertifiedKey>,
    hub: Arc<Hub>,
    rendezvous: Arc<dyn Rendezvous>,
    runtime: Arc<dyn Runtime>,
    status: WatchSender<ProviderStatus>,
    admission: Admission,
    /// What takes streams and follows the rendezvous, once somebody listens.
    tasks: Mutex<Vec<TaskHandle>>,
}

impl TunnelP2P {
    /// The peer of that identity, whose connections `rendezvous` brings about.
    pub fn new(identity: &Identity, rendezvous: Arc<dyn Rendezvous>, runtime: Arc<dyn Runtime>) -> Self {
        Self::with_admission(identity, rendezvous, runtime, |_| true)
    }

    /// The same, to which those peers alone may connect of which `admits` says so, once they have proved who they are. Others are told
    /// that they may not.
    pub fn with_admission(
        identity: &Identity,
        rendezvous: Arc<dyn Rendezvous>,
        runtime: Arc<dyn Runtime>,
        admits: impl Fn(PeerId) -> bool + Send + Sync + 'static,
    ) -> Self {
        let peer = identity.peer_id();
        let status = ProviderStatus { addr: peer.into(), checks: Vec::new(), shut_down: false };
        Self(Arc::new(Inner {
            peer,
            key: identity.certified_key(),
            hub: Hub::new(peer, runtime.clone()),
            rendezvous,
            runtime,
            status: WatchSender::new(status),
            admission: Arc::new(admits),
            tasks: Mutex::default(),
        }))
    }
}

impl Inner {
    async fn dial(&self, addr: &PeerAddr) -> Result<TunnelTransport> {
        let config = tls::client(self.key.clone(), addr.peer).map_err(|error| authentication(addr.peer, error))?;
        let io = self.rendezvous.dial(addr).await?;
        // The name is for the protocol's sake: who the peer is, its key says.
        let name = ServerName::try_from("peer").expect("it is a name");
        let secured = TlsConnector::from(Arc::new(config)).connect(name, io).await;
        let stream = secured.map_err(|error| match error.get_ref().and_then(|error| error.downcast_ref()) {
            Some(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)) => {
                authentication(addr.peer, "another key was shown")
            }
            Some(rustls::Error::InvalidCertificate(_)) => authentication(addr.peer, error),
            _ => P2PError::ConnectionFailed { peer: addr.peer, source: SharedError::new(error) },
        })?;
        let peer = tls::proved(stream.get_ref().1).map_err(|error| authentication(addr.peer, error))?;
        Ok(start(stream, true, peer, self.rendezvous.name(), &self.runtime))
    }

    /// Takes byte streams from now on, if that was not begun before.
    fn accept_streams(&self) -> Result<()> {
        let mut tasks = self.tasks.lock();
        if !tasks.is_empty() || self.hub.is_shut_down() {
            return Ok(());
        }
        let config = tls::server(self.key.clone())
            .map_err(|error| P2PError::Network { during: "setting TLS up", source: SharedError::new(error) })?;
        let (hub, rendezvous) = (self.hub.clone(), self.rendezvous.clone());
        let accepting = accept(Arc::new(config), rendezvous.clone(), hub, self.admission.clone(), self.runtime.clone());
        tasks.push(self.runtime.spawn("tunnel accept", Box::pin(accepting)));
        let following = follow(rendezvous.name(), rendezvous.problem(), self.status.clone());
        tasks.push(self.runtime.spawn("tunnel status", Box::pin(following)));
        Ok(())
    }
}

/// Starts what carries a connection's bytes.
fn start(io: impl Io, dialler: bool, peer: PeerId, relay: Arc<str>, runtime: &Arc<dyn Runtime>) -> TunnelTransport {
    let shared = Shared::new(dialler);
    let driver = Driver::new(io, shared.clone(), runtime.clone());
    runtime.spawn("tunnel connection", Box::pin(driver)).detach();
    TunnelTransport::new(shared, peer, relay)
}

fn authentication(expected: PeerId, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> P2PError {
    P2PError::AuthenticationFailed { expected, source: SharedError::new(source) }
}

/// Secures the byte streams that peers open, side by side.
async fn accept(
    config: Arc<ServerConfig>,
    rendezvous: Arc<dyn Rendezvous>,
    hub: Arc<Hub>,
    admits: Admission,
    runtime: Arc<dyn Runtime>,
) {
    let handshakes = Arc::new(Handshakes::default());
    while let Ok(io) = rendezvous.accept().await {
        let (config, relay, hub, of) = (config.clone(), rendezvous.name(), hub.clone(), runtime.clone());
        let admits = admits.clone();
        let securing = async move {
            match of.timeout(HANDSHAKE_TIMEOUT, secure(config, io)).await {
                Ok(Ok((stream, peer))) => {
                    let transport = start(stream, false, peer, relay, &of);
                    match admits(peer) {
                        true => hub.incoming(transport),
                        false => transport.close(close::REJECTED, ""),
                    }
                }
                Ok(Err(error)) => tracing::debug!(%error, "A peer on the tunnel proved no identity."),
                Err(elapsed) => tracing::debug!(%elapsed, "A peer on the tunnel proved no identity."),
            }
        };
        handshakes.begin(&runtime, securing);
    }
}

async fn secure(config: Arc<ServerConfig>, io: BoxIo) -> std::io::Result<(impl Io, PeerId)> {
    let stream = TlsAcceptor::from(config).accept(io).await?;
    let peer = tls::proved(stream.get_ref().1).map_err(std::io::Error::other)?;
    Ok((stream, peer))
}

/// Shows in the status whether peers can reach this one.
async fn follow(name: Arc<str>, mut problem: Watch<Option<String>>, status: WatchSender<ProviderStatus>) {
    let name = format!("tunnel {name}");
    loop {
        let checks = vec![Check { name: name.clone(), problem: problem.get() }];
        status.modify(|status| {
            let changed = status.checks != checks;
            status.checks = checks;
            changed
        });
        if problem.changed().await.is_err() {
            return;
        }
    }
}

#[async_trait]
impl P2PProvider for TunnelP2P {
    fn local_peer_id(&self) -> PeerId {
        self.0.peer
    }

    fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.0.runtime
    }

    fn status(&self) -> Watch<ProviderStatus> {
        self.0.status.subscribe()
    }

    /// Of peers that are connected now. Nothing is known of others.
    fn peer_info(&self, peer: PeerId) -> Option<PeerInfo> {
        let connections = self.0.hub.connections(peer);
        (connections > 0).then(|| PeerInfo { connections, ..PeerInfo::new(peer.into()) })
    }

    async fn connect_with(&self, peer: PeerAddr, config: ConnectionConfig) -> Result<Arc<dyn P2PConnection>> {
        let dialing = self.0.dial(&peer);
        self.0.hub.connect(peer.peer, config, dialing).await
    }

    async fn listen_with(&self, config: ListenConfig) -> Result<Box<dyn P2PListener>> {
        let (peer, after) = (self.0.peer, config.ready_timeout);
        let listener = self.0.hub.listen(config, move || peer.into())?;
        self.0.accept_streams()?;
        let mut problem = self.0.rendezvous.problem();
        let _ = self.0.runtime.timeout(after, problem.wait_for(Option::is_none)).await;
        Ok(listener)
    }

    async fn shutdown(&self, deadline: Duration) {
        self.0.status.modify(|status| !std::mem::replace(&mut status.shut_down, true));
        self.0.hub.shutdown(deadline).await;
        let tasks = std::mem::take(&mut *self.0.tasks.lock());
        drop(tasks);
        self.0.rendezvous.shutdown();
    }
}

impl fmt::Display for TunnelP2P {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tunnel")
    }
}

impl fmt::Debug for TunnelP2P {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { peer, hub, rendezvous, .. } = &*self.0;
        f.debug_struct("TunnelP2P").field("peer", peer).field("hub", hub).field("rendezvous", rendezvous).finish()
    }
}

/// How long a peer has to prove who it is: what the engine gives it for the rest of the handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
