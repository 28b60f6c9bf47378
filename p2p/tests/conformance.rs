//! The contract, on the in-memory provider: plain, behind pointers, through the layers, without datagrams, as the transport
//! of another provider; and that on several threads, in real time.

use std::{sync::Arc, time::Duration};

use p2p::{
    P2PProvider,
    conformance::{Capabilities, Harness, PROPERTIES, Silence, Verdict},
    conformance_tests,
    layer::{Bounds, CompressionConfig, Deadlines, LayerExt, Rate, RateLimits, Rates, StackConfig, Traffic, stack},
    memory::{MemoryNetwork, MemoryP2P},
    mock::Overlay,
};

/// Two in-memory peers, each in what the function wraps it in.
struct Memory(fn(MemoryP2P) -> Arc<dyn P2PProvider>);

#[async_trait::async_trait]
impl Harness for Memory {
    async fn providers(&self) -> (Arc<dyn P2PProvider>, Arc<dyn P2PProvider>) {
        let network = MemoryNetwork::new();
        ((self.0)(network.provider("alice")), (self.0)(network.provider("bob")))
    }
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
            ours: Arc::new(overlay("alice").await),
            theirs: Arc::new(overlay("bob").await),
            silent: Overlay::silent(network.provider("carol")).await.expect("nobody listens yet"),
        })
    }

    fn settle(&self) -> Duration {
        Duration::from_millis(self.settle_ms)
    }
}

/// Two in-memory peers whose connections carry no datagrams.
struct WithoutDatagrams;

#[async_trait::async_trait]
impl Harness for WithoutDatagrams {
    async fn providers(&self) -> (Arc<dyn P2PProvider>, Arc<dyn P2PProvider>) {
        let network = MemoryNetwork::new().without_datagrams();
        (Arc::new(network.provider("alice")), Arc::new(network.provider("bob")))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default().without_datagrams()
    }
}

mod plain {
    use super::*;
    conformance_tests!(
        #[tokio::test(start_paused = true)]
        Memory(|memory| Arc::new(memory))
    );
}

mod behind_pointers {
    use super::*;
    conformance_tests!(
        #[tokio::test(start_paused = true)]
        Memory(|memory| {
            let boxed: Box<dyn P2PProvider> = Box::new(memory);
            let shared: Arc<dyn P2PProvider> = Arc::new(boxed);
            Arc::new(shared)
        })
    );
}

mod through_timeout {
    use super::*;
    conformance_tests!(
        #[tokio::test(start_paused = true)]
        Memory(|memory| { Arc::new(memory.with_timeout(Deadlines::default())) })
    );
}

mod through_metrics {
    use super::*;
    conformance_tests!(
        #[tokio::test(start_paused = true)]
        Memory(|memory| { Arc::new(memory.with_metrics(&metrics::NoopRecorder)) })
    );
}

mod through_both {
    use super::*;
    conformance_tests!(
        #[tokio::test(start_paused = true)]
        Memory(|memory| { Arc::new(memory.with_timeout(Deadlines::default()).with_metrics(&metrics::NoopRecorder)) })
    );
}

mod through_the_whole_stack {
    use super::*;
    conformance_tests!(
        #[tokio::test(start_paused = true)]
        Memory(|memory| {
            let config = StackConfig {
                rate_limits: Some(rarely()),
                compression: Some(CompressionConfig::default().with_threshold_bytes(0)),
                ..StackConfig::default()
            };
            stack(memory, &config, Some(&metrics::NoopRecorder)).unwrap().provider
        })
    );
}

/// Limits on everything, which nothing here comes near.
fn rarely() -> RateLimits {
    let often = Rate::per_second(1_000_000_000);
    let traffic = Traffic::NONE.with_messages(often).with_bytes(often).with_streams(often);
    let rates = Rates::NONE.with_dials(often).with_accepts(often).with_sent(traffic).with_received(traffic);
    RateLimits::NONE.with_per_peer(rates).with_total(rates)
}

mod through_rate_limit {
    use super::*;
    conformance_tests!(
        #[tokio::test(start_paused = true)]
        Memory(|memory| { Arc::new(memory.with_rate_limits(rarely())) })
    );
}

mod through_limits {
    use super::*;
    conformance_tests!(
        #[tokio::test(start_paused = true)]
        Memory(|memory| { Arc::new(memory.with_limits(Bounds::default())) })
    );
}

mod without_datagrams {
    use super::*;
    conformance_tests!(
        #[tokio::test(start_paused = true)]
        WithoutDatagrams
    );
}

mod over_memory {
    use super::*;
    conformance_tests!(
        #[tokio::test(start_paused = true)]
        OverMemory { settle_ms: 500 }
    );
}

mod in_real_time {
    use super::*;
    conformance_tests!(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        OverMemory { settle_ms: 100 }
    );
}

// A property that every harness here skips would be proved by none.
#[tokio::test(start_paused = true)]
async fn every_property_is_tried_somewhere() {
    for property in PROPERTIES {
        let tried = [property.run(&OverMemory { settle_ms: 500 }).await, property.run(&WithoutDatagrams).await];
        assert!(tried.contains(&Verdict::Held), "{property:?}: {tried:?}");
    }
}
