//! The contract, over the loopback interface and through a relay.

mod common;

use std::{any::Any, sync::Arc};

use async_trait::async_trait;
use common::{TestRelay, bind, loopback, raw::RawPeer};
use p2p::{
    P2PProvider, PeerAddr,
    conformance::{Harness, Silence, SilentPeer},
};
use p2p_iroh::{Identity, IrohConfig};
use tokio::sync::OnceCell;

/// From machine to machine, on many threads.
mod direct {
    p2p::conformance_tests!(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        super::Direct
    );
}

/// With no path but a relay's, on one thread.
mod relayed {
    p2p::conformance_tests!(
        #[tokio::test]
        super::Relayed::default()
    );
}

struct Direct;

#[async_trait]
impl Harness for Direct {
    async fn providers(&self) -> (Arc<dyn P2PProvider>, Arc<dyn P2PProvider>) {
        (bind(loopback()).await, bind(loopback()).await)
    }

    fn nobody(&self) -> PeerAddr {
        nobody()
    }

    async fn silence(&self) -> Option<Silence> {
        let (ours, theirs) = self.providers().await;
        let silent = Box::new(Silent(RawPeer::bind().await));
        Some(Silence { ours, theirs, silent })
    }
}

/// The relay is started with the first providers and lives as long as the harness.
#[derive(Default)]
struct Relayed(OnceCell<TestRelay>);

impl Relayed {
    async fn relay(&self) -> &TestRelay {
        self.0.get_or_init(TestRelay::start).await
    }

    async fn config(&self) -> IrohConfig {
        self.relay().await.config().with_relay_only(true)
    }
}

#[async_trait]
impl Harness for Relayed {
    async fn providers(&self) -> (Arc<dyn P2PProvider>, Arc<dyn P2PProvider>) {
        (bind(self.config().await).await, bind(self.config().await).await)
    }

    fn nobody(&self) -> PeerAddr {
        nobody()
    }

    async fn silence(&self) -> Option<Silence> {
        let (ours, theirs) = self.providers().await;
        let silent = Box::new(Silent(RawPeer::bind_through(self.relay().await).await));
        Some(Silence { ours, theirs, silent })
    }
}

fn nobody() -> PeerAddr {
    Identity::generate().peer_id().into()
}

/// Keeps every connection and says nothing on any.
struct Silent(RawPeer);

#[async_trait]
impl SilentPeer for Silent {
    fn addr(&self) -> PeerAddr {
        self.0.hold_all();
        self.0.addr()
    }

    async fn dial(&self, peer: PeerAddr) -> Box<dyn Any + Send> {
        Box::new(self.0.dial(&peer).await)
    }
}
