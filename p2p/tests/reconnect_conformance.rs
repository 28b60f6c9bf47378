//! The contract, through `Reconnect` over the in-memory provider: both sides with the layer, one side without, and
//! without datagrams.

use std::{sync::Arc, time::Duration};

use p2p::{
    P2PProvider,
    conformance::{Capabilities, Harness, PROPERTIES, Silence},
    conformance_tests,
    layer::{LayerExt, Reconnect, ReconnectConfig},
    memory::MemoryNetwork,
    mock::Overlay,
};

fn with_reconnect<P: P2PProvider>(provider: P) -> Reconnect<P> {
    provider.with_reconnect(ReconnectConfig::default()).unwrap()
}

/// Two peers whose transports are in-memory connections, and a third that is silent.
struct OverMemory {
    settle_ms: u64,
}

#[async_trait::async_trait]
impl Harness for OverMemory {
    async fn providers(&self) -> (Arc<dyn P2PProvider>, Arc<dyn P2PProvider>) {
        let silence = self.silence().await.expect("this harness has a silent peer");
        (silence.ours, silence.theirs)
    }

    async fn silence(&self) -> Option<Silence> {
        let network = MemoryNetwork::new();
        let overlay = async |name| Overlay::new(network.provider(name)).await.expect("nobody listens yet");
        Some(Silence {
            ours: Arc::new(with_reconnect(overlay("alice").await)),
            theirs: Arc::new(with_reconnect(overlay("bob").await)),
            silent: Overlay::silent(network.provider("carol")).await.expect("nobody listens yet"),
        })
    }

    fn settle(&self) -> Duration {
        Duration::from_millis(self.settle_ms)
    }
}

/// Two in-memory peers, with the layer where it is said.
struct Memory {
    ours: bool,
    theirs: bool,
}

#[async_trait::async_trait]
impl Harness for Memory {
    async fn providers(&self) -> (Arc<dyn P2PProvider>, Arc<dyn P2PProvider>) {
        let network = MemoryNetwork::new();
        let peer = |name, layered| -> Arc<dyn P2PProvider> {
            let plain = network.provider(name);
            if layered { Arc::new(with_reconnect(plain)) } else { Arc::new(plain) }
        };
        (peer("alice", self.ours), peer("bob", self.theirs))
    }
}

/// Two in-memory peers whose connections carry no datagrams.
struct WithoutDatagrams;

#[async_trait::async_trait]
impl Harness for WithoutDatagrams {
    async fn providers(&self) -> (Arc<dyn P2PProvider>, Arc<dyn P2PProvider>) {
        let network = MemoryNetwork::new().without_datagrams();
        (Arc::new(with_reconnect(network.provider("alice"))), Arc::new(with_reconnect(network.provider("bob"))))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default().without_datagrams()
    }
}

mod on_both_sides {
    use super::*;
    conformance_tests!(
        #[tokio::test(start_paused = true)]
        Memory { ours: true, theirs: true }
    );
}

mod on_the_dialling_side {
    use super::*;
    conformance_tests!(
        #[tokio::test(start_paused = true)]
        Memory { ours: true, theirs: false }
    );
}

// A dialler without the layer may open one stream more than the listener allows: the one that carries the layer's own
// frames, which is granted before it is known who dials. Three properties count streams to the last one.
#[tokio::test(start_paused = true)]
async fn on_the_listening_side() {
    const COUNT_STREAMS: [&str; 3] = [
        "open_stream_waits_at_the_peers_bound_and_goes_on",
        "close_resolves_every_pending_call",
        "a_close_by_the_peer_resolves_every_pending_call",
    ];
    for property in PROPERTIES.iter().filter(|property| !COUNT_STREAMS.contains(&property.name)) {
        property.test(&Memory { ours: false, theirs: true }).await;
    }
}

mod over_memory {
    use super::*;
    conformance_tests!(
        #[tokio::test(start_paused = true)]
        OverMemory { settle_ms: 500 }
    );
}

mod without_datagrams {
    use super::*;
    conformance_tests!(
        #[tokio::test(start_paused = true)]
        WithoutDatagrams
    );
}

mod in_real_time {
    use super::*;
    conformance_tests!(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        OverMemory { settle_ms: 100 }
    );
}
