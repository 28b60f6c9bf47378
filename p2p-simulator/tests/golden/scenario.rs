//! A server and two clients that use all a connection has, and dial again whenever one is lost.

use std::{sync::Arc, time::Duration};

use p2p::{
    BiStream, ConnectionConfig, P2PConnection, P2PProvider, P2PProviderExt, PeerId, ProtocolId, Result, RuntimeExt,
};
use p2p_simulator::{LinkConfig, Network, Node, Plan, Simulation, Swarm, Topology, Trace};
use tokio::sync::mpsc;

const CLIENTS: usize = 2;
const ROUNDS: u64 = 40;
const STREAM_BYTES: usize = 5_000;
/// An answer that takes longer is given up, with its connection.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    simulation: Simulation,
    swarm: bool,
}

impl Scenario {
    pub(crate) fn new(name: &'static str, seed: u64, link: LinkConfig) -> Self {
        Self { name, simulation: Simulation::new(seed).with_link(link), swarm: false }
    }

    pub(crate) fn with_plan(mut self, plan: Plan) -> Self {
        self.simulation = self.simulation.with_plan(plan);
        self
    }

    pub(crate) fn with_topology(mut self, topology: Topology) -> Self {
        self.simulation = self.simulation.with_topology(topology);
        self
    }

    /// Faults as the seed draws them.
    pub(crate) fn with_swarm(mut self) -> Self {
        self.swarm = true;
        self
    }

    pub(crate) fn run(&self) -> Trace {
        let mut simulation = self.simulation.clone();
        if self.swarm {
            let peers = ["server", "client-0", "client-1"];
            simulation = simulation.with_swarm(&Swarm::new(peers).with_crashes(["server"]));
        }
        simulation.run(talk).trace
    }
}

async fn talk(network: Network) {
    let (done, mut all_done) = mpsc::channel(CLIENTS);
    network.node("server", serve);
    for number in 0..CLIENTS {
        let done = done.clone();
        network.node(&format!("client-{number}"), move |node| client(node, done.clone()));
    }
    for _ in 0..CLIENTS {
        all_done.recv().await.expect("clients live until the end");
    }
}

async fn client(node: Node, done: mpsc::Sender<()>) {
    let mut connection = None;
    let mut rng = node.runtime().rng("rounds");
    for round in 0..ROUNDS {
        while let Err(_lost) = exchange(&node, &mut connection, round).await {
            connection = None;
            node.runtime().sleep(Duration::from_millis(300)).await;
        }
        node.runtime().sleep(rng.duration_between(Duration::from_millis(1), Duration::from_secs(2))).await;
    }
    done.send(()).await.expect("the run waits");
    std::future::pending().await
}

async fn exchange(node: &Node, connection: &mut Option<Arc<dyn P2PConnection>>, round: u64) -> Result<()> {
    let link = match connection {
        Some(link) => link,
        None => {
            let server = PeerId::from_name("server").into();
            connection.insert(node.provider().connect_with(server, ConnectionConfig::new(protocol())).await?)
        }
    };
    let answered = node.runtime().timeout(PATIENCE, async {
        link.send(format!("round {round}").into()).await?;
        link.recv().await?;
        link.send_datagram(vec![round as u8; 300].into())?;
        if round.is_multiple_of(4) {
            let BiStream { mut send, mut recv } = link.open_stream().await?;
            // A stream that fails does so because the connection is lost, which the next call says.
            let _ = send.write_all(&[round as u8; STREAM_BYTES]).await;
            let _ = send.finish();
            let _ = recv.read_to_end(STREAM_BYTES).await;
        }
        Ok(())
    });
    answered.await.unwrap_or_else(|_| Err(p2p::P2PError::Closed { reason: p2p::CloseReason::TimedOut }))
}

async fn serve(node: Node) {
    let listener = node.provider().listen(&protocol()).await.expect("nobody else listens");
    while let Ok(connection) = listener.accept().await {
        let runtime = node.runtime().clone();
        let messages = connection.clone();
        let echo = async move {
            while let Ok(message) = messages.recv().await {
                let _ = messages.send(message).await;
            }
        };
        let streams = async move {
            while let Ok(BiStream { mut send, mut recv }) = connection.accept_stream().await {
                if let Ok(bytes) = recv.read_to_end(STREAM_BYTES).await {
                    let _ = send.write_all(&bytes).await;
                    let _ = send.finish();
                }
            }
        };
        runtime.spawn("messages", Box::pin(echo)).detach();
        runtime.spawn("streams", Box::pin(streams)).detach();
    }
}

fn protocol() -> ProtocolId {
    "golden/1".parse().expect("a constant")
}
