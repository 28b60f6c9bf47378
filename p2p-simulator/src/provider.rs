//! The provider: an endpoint of the simulated network under the engine that every provider shares.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use p2p::{
    ConnectionConfig, ListenConfig, P2PConnection, P2PListener, P2PProvider, PeerAddr, PeerId, PeerInfo,
    ProviderStatus, Result, Runtime, TaskHandle, Watch, WatchSender, engine::Hub,
};

use crate::SimulatorEndpoint;

/// One peer of a simulated [`Network`](crate::Network). Clones are the same peer.
///
/// It leaves the network when the last clone is dropped; connections it made live on.
#[derive(Clone)]
pub struct SimulatorP2P(Arc<Inner>);

struct Inner {
    endpoint: Arc<SimulatorEndpoint>,
    runtime: Arc<dyn Runtime>,
    hub: Arc<Hub>,
    status: WatchSender<ProviderStatus>,
    /// Hands incoming connections to the hub. Ends with this.
    _accepting: TaskHandle,
}

impl SimulatorP2P {
    pub(crate) fn new(endpoint: SimulatorEndpoint) -> Self {
        let endpoint = Arc::new(endpoint);
        let (peer, runtime) = (endpoint.peer_id(), endpoint.runtime());
        let hub = Hub::new(peer, runtime.clone());
        let status = ProviderStatus { addr: peer.into(), checks: Vec::new(), shut_down: false };
        let accepting = {
            let (endpoint, hub) = (endpoint.clone(), hub.clone());
            async move {
                while let Some(connection) = endpoint.accept().await {
                    hub.incoming(connection);
                }
            }
        };
        let accepting = runtime.spawn("accept", Box::pin(accepting));
        Self(Arc::new(Inner { endpoint, runtime, hub, status: WatchSender::new(status), _accepting: accepting }))
    }

    pub(crate) fn incarnation(&self) -> u32 {
        self.0.endpoint.life().incarnation()
    }
}

#[async_trait]
impl P2PProvider for SimulatorP2P {
    fn local_peer_id(&self) -> PeerId {
        self.0.endpoint.peer_id()
    }

    fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.0.runtime
    }

    fn status(&self) -> Watch<ProviderStatus> {
        self.0.status.subscribe()
    }

    fn peer_info(&self, peer: PeerId) -> Option<PeerInfo> {
        self.0
            .endpoint
            .knows(peer)
            .then(|| PeerInfo { connections: self.0.hub.connections(peer), ..PeerInfo::new(peer.into()) })
    }

    async fn connect_with(&self, peer: PeerAddr, config: ConnectionConfig) -> Result<Arc<dyn P2PConnection>> {
        self.0.hub.connect(peer.peer, config, self.0.endpoint.dial(peer.peer)).await
    }

    async fn listen_with(&self, config: ListenConfig) -> Result<Box<dyn P2PListener>> {
        let addr = PeerAddr::new(self.local_peer_id());
        self.0.hub.listen(config, move || addr.clone())
    }

    async fn shutdown(&self, deadline: Duration) {
        self.0.status.modify(|status| !std::mem::replace(&mut status.shut_down, true));
        self.0.endpoint.close();
        self.0.hub.shutdown(deadline).await;
    }
}

impl fmt::Display for SimulatorP2P {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulator")
    }
}

impl fmt::Debug for SimulatorP2P {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatorP2P").field("peer", &self.local_peer_id()).field("hub", &self.0.hub).finish()
    }
}
