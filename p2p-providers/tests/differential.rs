//! One plan, on the simulator and on iroh over loopback: the same promises hold, and the same is delivered.
//!
//! The simulator suffers it twice: as its own faults, and by [`Faulty`], which is what iroh has.
#![cfg(all(feature = "p2p-iroh", feature = "p2p-simulator"))]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use p2p::{
    ConnectionConfig, P2PConnection, P2PConnectionExt, P2PListener, P2PProvider, P2PProviderExt, PeerAddr, ProtocolId,
    RuntimeExt,
    conformance::{Harness, Kind, PROPERTIES, Property},
};
use p2p_iroh::{IrohConfig, IrohP2P};
use p2p_simulator::{Faulty, LinkConfig, Network, Plan, Simulation, SimulatorP2P, Weather};
use tokio::task::JoinSet;

/// The kill comes late, so that a slow machine has a connection by then.
const PLAN: &str = "
    [[fault]]
    id = 'rough'
    at = '0s'
    until = '300ms'
    what = { link = { latency = '5ms', jitter = '10ms', loss = 0.2 } }
    where = '*'

    [[fault]]
    id = 'cut'
    at = '300ms'
    until = '900ms'
    what = 'partition'
    where = 'client <-> server'

    [[fault]]
    id = 'late'
    at = '1s'
    until = '1500ms'
    what = { link = { latency = '80ms' } }
    where = 'server -> client'

    [[fault]]
    id = 'stalled'
    at = '2s'
    until = '2300ms'
    what = 'clog'
    where = 'client -> server'

    [[fault]]
    id = 'killed'
    at = '3s'
    until = '3100ms'
    what = 'connection-kill'
    where = 'client <-> server'

    [[fault]]
    id = 'refused'
    at = '3s'
    until = '3300ms'
    what = { dial-failure = 1 }
    where = 'client -> server'
";
const MESSAGES: u32 = 80;
/// Between two messages, so that they are spread over the plan.
const PAUSE: Duration = Duration::from_millis(50);
/// Long enough for a slow machine. What hangs fails here.
const DEADLINE: Duration = Duration::from_secs(240);

/// What came of a run.
#[derive(Debug, PartialEq, Eq)]
struct Report {
    /// Each message once, in the order in which it was first delivered.
    delivered: Vec<u32>,
    /// What must never happen, and did.
    broken: Vec<String>,
    /// Whether a connection was lost on the way, so that the plan was felt.
    lost_a_connection: bool,
}

fn protocol() -> ProtocolId {
    "differential/1".parse().unwrap()
}

/// Sends numbers, each until it was acknowledged, over as many connections as that takes.
async fn client(provider: &dyn P2PProvider, server: PeerAddr) {
    let runtime = provider.runtime();
    let mut connection: Option<Arc<dyn P2PConnection>> = None;
    for number in 0..MESSAGES {
        loop {
            let link = match &connection {
                Some(link) => link.clone(),
                None => match provider.connect_with(server.clone(), ConnectionConfig::new(protocol())).await {
                    Ok(link) => connection.insert(link).clone(),
                    Err(_) => {
                        runtime.sleep(PAUSE).await;
                        continue;
                    }
                },
            };
            let answer = async {
                link.send_value(&number).await?;
                link.recv_value::<u32>().await
            };
            match answer.await {
                Ok(acknowledged) if acknowledged == number => break,
                Ok(_) => {}
                Err(_) => connection = None,
            }
        }
        runtime.sleep(PAUSE).await;
    }
    if let Some(connection) = connection {
        let _ = connection.finish().await;
    }
}

/// Takes numbers until it has them all.
async fn server(listener: Box<dyn P2PListener>) -> Report {
    let mut report = Report { delivered: Vec::new(), broken: Vec::new(), lost_a_connection: false };
    while report.delivered.len() < MESSAGES as usize {
        let connection = listener.accept().await.expect("the listener lives");
        let mut last = None;
        while let Ok(number) = connection.recv_value::<u32>().await {
            // On one connection nothing comes twice or out of order; over several a number may be sent again.
            if last.is_some_and(|last| number <= last) {
                report.broken.push(format!("{number} after {last:?}"));
            }
            last = Some(number);
            match report.delivered.last() {
                Some(&before) if number == before => {}
                _ => report.delivered.push(number),
            }
            if connection.send_value(&number).await.is_err() {
                break;
            }
        }
        report.lost_a_connection |= report.delivered.len() < MESSAGES as usize;
    }
    report
}

async fn exchange((ours, theirs): (Arc<dyn P2PProvider>, Arc<dyn P2PProvider>)) -> Report {
    let listener = theirs.listen(&protocol()).await.unwrap();
    let addr = listener.local_addr();
    tokio::join!(client(&*ours, addr), server(listener)).1
}

fn plan() -> Plan {
    PLAN.parse().unwrap()
}

/// Two providers in the weather of the plan.
async fn faulty<P: P2PProvider>(client: P, server: P) -> (Arc<dyn P2PProvider>, Arc<dyn P2PProvider>) {
    let peers = [("client", client.local_peer_id()), ("server", server.local_peer_id())];
    let weather = Weather::new(1, &plan(), peers, client.runtime().clone()).unwrap();
    (Arc::new(Faulty::new(client, &weather).await.unwrap()), Arc::new(Faulty::new(server, &weather).await.unwrap()))
}

/// Whose faults a simulated run has.
#[derive(Debug, Clone, Copy)]
enum Faults {
    OfTheSimulator,
    OfFaulty,
}

/// The simulator, with a network that is as good as loopback.
fn simulation(faults: Faults) -> Simulation {
    let simulation = Simulation::new(1).with_link(LinkConfig::ideal(Duration::from_millis(1)));
    match faults {
        Faults::OfTheSimulator => simulation.with_plan(plan()),
        Faults::OfFaulty => simulation,
    }
}

struct Simulated(Network, Faults);

#[async_trait]
impl Harness for Simulated {
    async fn providers(&self) -> (Arc<dyn P2PProvider>, Arc<dyn P2PProvider>) {
        let [client, server]: [SimulatorP2P; 2] = ["client", "server"].map(|name| self.0.provider(name));
        match self.1 {
            Faults::OfTheSimulator => (Arc::new(client), Arc::new(server)),
            Faults::OfFaulty => faulty(client, server).await,
        }
    }
}

struct OverIroh;

#[async_trait]
impl Harness for OverIroh {
    async fn providers(&self) -> (Arc<dyn P2PProvider>, Arc<dyn P2PProvider>) {
        let bind = || IrohP2P::bind(IrohConfig::default().with_bind([(std::net::Ipv4Addr::LOCALHOST, 0).into()]));
        let (client, server) = tokio::try_join!(bind(), bind()).unwrap();
        faulty(client, server).await
    }

    fn deadline(&self) -> Duration {
        DEADLINE
    }
}

#[tokio::test]
async fn one_plan_delivers_the_same_on_the_simulator_and_over_iroh() {
    let over_iroh = async { exchange(OverIroh.providers().await).await };
    let over_iroh = tokio::time::timeout(DEADLINE, over_iroh).await.expect("the exchange ends");
    // Otherwise the three agree about nothing.
    assert_eq!(over_iroh.delivered, (0..MESSAGES).collect::<Vec<_>>());
    assert!(over_iroh.broken.is_empty() && over_iroh.lost_a_connection, "{over_iroh:?}");
    for faults in [Faults::OfTheSimulator, Faults::OfFaulty] {
        let run = move || {
            let exchange = |network| async move { exchange(Simulated(network, faults).providers().await).await };
            simulation(faults).run(exchange).output
        };
        // A simulation is a runtime of its own, and these do not nest.
        let simulated = tokio::task::spawn_blocking(run).await.unwrap();
        assert_eq!(simulated, over_iroh, "{faults:?}");
    }
}

/// What is promised whatever the network does, each with whether it was kept.
type Verdicts = BTreeMap<&'static str, bool>;

fn safety() -> impl Iterator<Item = &'static Property> {
    PROPERTIES.iter().filter(|property| property.kind == Kind::Safety)
}

/// All at once, as each waits for the same faults.
async fn verdicts_over_iroh() -> Verdicts {
    let mut tries = JoinSet::new();
    let mut names = BTreeMap::new();
    for property in safety() {
        names.insert(tries.spawn(property.run(&OverIroh)).id(), property.name);
    }
    let mut verdicts = Verdicts::new();
    while let Some(tried) = tries.join_next_with_id().await {
        let (id, kept) = tried.map_or_else(|error| (error.id(), false), |(id, _)| (id, true));
        verdicts.insert(names[&id], kept);
    }
    verdicts
}

fn verdicts_in_the_simulator(faults: Faults) -> Verdicts {
    let kept = |property: &'static Property| {
        simulation(faults).try_run(|network| async move { property.run(&Simulated(network, faults)).await }).is_ok()
    };
    safety().map(|property| (property.name, kept(property))).collect()
}

// Whether a property came to its end or lost its connection depends on the machine's speed; whether it was broken must not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_plan_breaks_no_promise_on_the_simulator_or_over_iroh() {
    let over_iroh = verdicts_over_iroh().await;
    assert!(over_iroh.len() > 10 && over_iroh.values().all(|kept| *kept), "{over_iroh:#?}");
    for faults in [Faults::OfTheSimulator, Faults::OfFaulty] {
        let simulated = tokio::task::spawn_blocking(move || verdicts_in_the_simulator(faults)).await.unwrap();
        assert_eq!(simulated, over_iroh, "{faults:?}");
    }
}
