//! A rendezvous within one process.

use std::{any::Any, collections::BTreeMap, io, sync::Arc};

use crate::operator::Operator;
use p2p::{
    P2PError, P2PProvider, PeerAddr, PeerId, Runtime, SharedError, TokioRuntime, Watch,
    conformance::{Capabilities, Harness, Silence, SilentPeer},
};
use parking_lot::Mutex;
use tunnel_compat::{
    connector::{Acceptor, BoxIo, Connector, PipeAcceptor, PipeConnector, pipe},
    tunnel_p2p::{Identity, Rendezvous, TunnelP2P},
};

/// Peers that can reach each other, with nothing between them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meadow {
    peers: Arc<Mutex<BTreeMap<PeerId, PipeConnector>>>,
    /// What all bytes pass.
    operator: Option<Operator>,
}

impl Meadow {
    pub(crate) fn with_operator(operator: Operator) -> Self {
        Self { operator: Some(operator), ..Self::default() }
    }

    pub(crate) fn provider(&self, name: &str) -> TunnelP2P {
        let identity = identity(name);
        TunnelP2P::new(&identity, Arc::new(self.place(identity.peer_id())), Arc::new(TokioRuntime))
    }

    /// A peer of that name who stands where `peer` is looked for.
    pub(crate) fn impostor(&self, name: &str, peer: PeerId) -> TunnelP2P {
        TunnelP2P::new(&identity(name), Arc::new(self.place(peer)), Arc::new(TokioRuntime))
    }

    pub(crate) fn place(&self, peer: PeerId) -> Place {
        let (connector, acceptor) = pipe();
        self.peers.lock().insert(peer, connector);
        Place { meadow: self.clone(), peer, acceptor: Arc::new(acceptor) }
    }
}

/// The identity whose key is made of that name.
pub(crate) fn identity(name: &str) -> Identity {
    Identity::from_bytes(*PeerId::from_name(name).as_bytes())
}

/// One peer's.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    meadow: Meadow,
    peer: PeerId,
    acceptor: Arc<PipeAcceptor>,
}

#[async_trait::async_trait]
impl Rendezvous for Place {
    fn name(&self) -> Arc<str> {
        "meadow".into()
    }

    async fn dial(&self, peer: &PeerAddr) -> p2p::Result<BoxIo> {
        let connector = self.meadow.peers.lock().get(&peer.peer).cloned();
        let not_found = |source| P2PError::PeerNotFound { peer: peer.peer, source };
        let connector = connector.ok_or_else(|| not_found("nobody of that name is on the meadow".into()))?;
        let theirs = connector.connect().await.map_err(|error| not_found(SharedError::new(error)))?;
        Ok(match &self.meadow.operator {
            None => theirs,
            Some(operator) => operator.between(theirs),
        })
    }

    async fn accept(&self) -> io::Result<BoxIo> {
        self.acceptor.accept().await
    }

    fn shutdown(&self) {
        // The streams of a peer that was shut down are taken by nobody; so it is found no more.
        self.meadow.peers.lock().remove(&self.peer);
    }

    fn problem(&self) -> Watch<Option<String>> {
        Watch::constant(None)
    }
}

/// Takes and opens byte streams, and is silent on them.
pub(crate) struct Silent {
    place: Place,
    peer: PeerId,
}

#[async_trait::async_trait]
impl SilentPeer for Silent {
    fn addr(&self) -> PeerAddr {
        self.peer.into()
    }

    async fn dial(&self, peer: PeerAddr) -> Box<dyn Any + Send> {
        Box::new(self.place.dial(&peer).await.expect("the peer is on the meadow"))
    }
}

/// What the contract is tried on.
pub(crate) struct OnTheMeadow;

#[async_trait::async_trait]
impl Harness for OnTheMeadow {
    async fn providers(&self) -> (Arc<dyn P2PProvider>, Arc<dyn P2PProvider>) {
        let meadow = Meadow::default();
        (Arc::new(meadow.provider("alice")), Arc::new(meadow.provider("bob")))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default().without_datagrams()
    }

    async fn silence(&self) -> Option<Silence> {
        let meadow = Meadow::default();
        let peer = identity("carol").peer_id();
        let place = meadow.place(peer);
        let held = place.clone();
        // Keeps the streams that peers open to it.
        let holding = async move {
            let mut streams = Vec::new();
            while let Ok(stream) = held.accept().await {
                streams.push(stream);
            }
        };
        TokioRuntime.spawn("silent peer", Box::pin(holding)).detach();
        Some(Silence {
            ours: Arc::new(meadow.provider("alice")),
            theirs: Arc::new(meadow.provider("bob")),
            silent: Box::new(Silent { place, peer }),
        })
    }
}
