//! A replicated counter: each peer adds to its own part, keeps it on disk, and pushes it to all others.
//!
//! An add is acknowledged once it is durable. A client repeats an add that was not acknowledged, so each carries the number
//! of its request. Peers push what is durable, from the beginning in each of their lives; receivers know what they have, and
//! acknowledge what is durable with them. In the end everybody counts the same: what was acknowledged, each once.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use p2p::{
    BoxFuture, P2PConnection, P2PConnectionExt, P2PProvider, P2PProviderExt, PeerId, ProtocolId, Rng, RuntimeExt,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{
    Network, Node,
    case::Case,
    disk::{Disk, Disks},
    sometimes,
    workload::{Knob, Mutant, Setup, Step, Violation, Workload},
};

/// The workload `counter`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counter;

impl Workload for Counter {
    fn name(&self) -> &'static str {
        "counter"
    }

    fn about(&self) -> &'static str {
        "a replicated counter whose peers crash, come back from disk, and push to each other"
    }

    fn knobs(&self) -> &'static [Knob] {
        &[
            Knob { name: "adds", default: 12, max: 10_000, about: "adds of each peer" },
            Knob { name: "flush-ms", default: 500, max: 60_000, about: "how long a disk takes to flush" },
            Knob { name: "push-ms", default: 200, max: 60_000, about: "how often a peer looks for what to push" },
        ]
    }

    fn mutants(&self) -> &'static [Mutant] {
        &[
            Mutant { name: EARLY_ACK, about: "acknowledges an add before it is durable; a crash loses it" },
            Mutant { name: RETRY_TWICE, about: "does not know a repeated request; an add counts twice after a crash" },
            Mutant {
                name: ASSUME_SENT,
                about: "assumes after a crash that all was pushed; a healed partition stays behind",
            },
            Mutant { name: TIMEOUT_IS_ACK, about: "takes no answer to a push for a good one; a partition loses it" },
            Mutant {
                name: REPLICA_EARLY_ACK,
                about: "acknowledges a push before it is durable; a crash loses it there",
            },
            Mutant { name: COUNT_TWICE, about: "counts what it has already; a push that is repeated counts twice" },
            Mutant {
                name: SEND_IS_DELIVERED,
                about: "takes a push for delivered once sent; a lost connection loses it",
            },
            Mutant { name: GIVE_UP, about: "stops pushing to a peer it did not reach three times" },
        ]
    }

    fn sometimes(&self) -> &'static [&'static str] {
        &["a request is repeated", "a push is repeated", "a push is not answered in time"]
    }

    fn steps(&self, setup: &Setup<'_>, rng: &mut Rng) -> Vec<Step> {
        let chaos_ms = setup.chaos.as_millis() as u64;
        let mut steps = Vec::new();
        for peer in setup.peers {
            for _ in 0..setup.knobs["adds"] {
                let at = Duration::from_millis(rng.below(chaos_ms));
                steps.push(Step { at, peer: peer.clone(), what: format!("add {}", 1 + rng.below(9)) });
            }
        }
        steps.sort_by_key(|step| step.at);
        steps
    }

    fn run(&self, network: Network, case: Arc<Case>) -> BoxFuture<'static, Result<(), Violation>> {
        Box::pin(async move {
            let run = Arc::new(Run::new(case)?);
            for peer in &run.case.peers {
                let run = run.clone();
                network.node(peer, move |node| peer_program(node, run.clone()));
            }
            run.judge(&network).await
        })
    }
}

const EARLY_ACK: &str = "early-ack";
const RETRY_TWICE: &str = "retry-twice";
const ASSUME_SENT: &str = "assume-sent";
const TIMEOUT_IS_ACK: &str = "timeout-is-ack";
const REPLICA_EARLY_ACK: &str = "replica-early-ack";
const COUNT_TWICE: &str = "count-twice";
const SEND_IS_DELIVERED: &str = "send-is-delivered";
const GIVE_UP: &str = "give-up";

/// How long the bug of [`GIVE_UP`] tries.
const TRIES_MAX: u32 = 3;
/// Between two tries to reach a peer.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// For an acknowledgement of a push.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two looks of the judge.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A client's wish: add so much, then.
#[derive(Debug, Clone, Copy)]
struct Request {
    at: Duration,
    amount: u64,
}

/// What exists once in a run, beside the peers: the clients, the disks, and the judge.
struct Run {
    case: Arc<Case>,
    disks: Disks<Kept>,
    /// Each peer's client, which knows what was acknowledged.
    clients: Mutex<BTreeMap<String, Client>>,
}

#[derive(Default)]
struct Client {
    requests: Vec<Request>,
    acknowledged: usize,
}

/// What a peer keeps on disk.
#[derive(Debug, Clone, Default)]
struct Kept {
    parts: BTreeMap<String, Part>,
}

/// What was added at one peer.
#[derive(Debug, Clone, Default)]
struct Part {
    /// By their place in the peer's order.
    adds: BTreeMap<u64, Add>,
    total: u64,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Add {
    request: u64,
    amount: u64,
}

/// Adds of one peer from a place in its order on. It is answered with the place after the last.
#[derive(Debug, Serialize, Deserialize)]
struct Push {
    origin: String,
    from: u64,
    adds: Vec<Add>,
}

impl Run {
    fn new(case: Arc<Case>) -> Result<Self, Violation> {
        let mut clients = BTreeMap::<String, Client>::new();
        for Step { at, peer, what } in &case.steps {
            let amount = what.strip_prefix("add ").and_then(|amount| amount.parse().ok());
            let amount = amount.ok_or_else(|| Violation::new("bad-step", format_args!("{what:?} is not \"add N\"")))?;
            clients.entry(peer.clone()).or_default().requests.push(Request { at: *at, amount });
        }
        Ok(Self { case, disks: Disks::new(), clients: Mutex::new(clients) })
    }

    fn next_request(&self, peer: &str) -> Option<(usize, Request)> {
        let clients = self.clients.lock();
        let client = clients.get(peer)?;
        Some((client.acknowledged, *client.requests.get(client.acknowledged)?))
    }

    fn acknowledge(&self, node: &Node, add: Add) {
        node.note(format_args!("acknowledges request {}, an add of {}", add.request, add.amount));
        self.clients.lock().get_mut(node.name()).expect("who asked").acknowledged += 1;
    }

    fn knob_ms(&self, name: &str) -> Duration {
        Duration::from_millis(self.case.knob(name))
    }

    /// Waits until everybody counts the same, then looks whether it is right.
    async fn judge(&self, network: &Network) -> Result<(), Violation> {
        let judge = network.provider("judge");
        judge.runtime().sleep(self.case.chaos).await;
        while let Err(late) = self.agree() {
            if u128::from(network.now().as_nanos()) >= self.case.deadline().as_nanos() {
                return Err(late);
            }
            judge.runtime().sleep(LOOK_EVERY).await;
        }
        for (peer, client) in &*self.clients.lock() {
            let wished: u64 = client.requests.iter().map(|request| request.amount).sum();
            let counted = self.total(peer, peer);
            if counted != wished {
                let kind = if counted < wished { "lost-add" } else { "counted-twice" };
                return Err(Violation::new(kind, format_args!("{peer} acknowledged {wished} and has {counted}")));
            }
        }
        Ok(())
    }

    /// Whether all requests are done and all peers have the same; if not, who is behind.
    fn agree(&self) -> Result<(), Violation> {
        for (peer, client) in &*self.clients.lock() {
            if client.acknowledged < client.requests.len() {
                let (done, all) = (client.acknowledged, client.requests.len());
                return Err(Violation::new("unfinished", format_args!("{peer} did {done} of {all} requests")));
            }
        }
        for origin in &self.case.peers {
            let own = self.total(origin, origin);
            for peer in &self.case.peers {
                let copy = self.total(peer, origin);
                if copy != own {
                    let kind = if copy > own { "counted-twice" } else { "diverged" };
                    return Err(Violation::new(kind, format_args!("{peer} counts {copy} of {origin}'s {own}")));
                }
            }
        }
        Ok(())
    }

    fn total(&self, peer: &str, origin: &str) -> u64 {
        self.disks.durable(peer).parts.get(origin).map_or(0, |part| part.total)
    }
}

fn protocol() -> ProtocolId {
    "counter/1".parse().expect("a name and a version")
}

async fn peer_program(node: Node, run: Arc<Run>) {
    let disk = run.disks.open(&node);
    for other in run.case.peers.iter().filter(|other| *other != node.name()) {
        let pusher = Pusher { node: node.clone(), run: run.clone(), disk: disk.clone(), other: other.clone() };
        node.runtime().spawn("push", Box::pin(pusher.run())).detach();
    }
    node.runtime().spawn("add", Box::pin(add_all(node.clone(), run.clone(), disk.clone()))).detach();
    let listener = node.provider().listen(&protocol()).await.expect("the first listener of this life");
    while let Ok(connection) = listener.accept().await {
        let serve = serve(node.clone(), connection, run.clone(), disk.clone());
        node.runtime().spawn("serve", Box::pin(serve)).detach();
    }
}

/// Does what the peer's client asks for, one request after the other.
async fn add_all(node: Node, run: Arc<Run>, disk: Disk<Kept>) {
    while let Some((number, request)) = run.next_request(node.name()) {
        let now = Duration::from_nanos(node.network().now().as_nanos());
        node.runtime().sleep(request.at.saturating_sub(now)).await;
        let add = Add { request: number as u64, amount: request.amount };
        let repeated = disk.write(|kept| {
            let part = kept.parts.entry(node.name().into()).or_default();
            let known = part.adds.values().any(|known| known.request == add.request);
            if run.case.has_mutant(RETRY_TWICE) || !known {
                part.adds.insert(part.adds.len() as u64, add);
                part.total += add.amount;
            }
            known
        });
        sometimes!(node, repeated, "a request is repeated");
        if run.case.has_mutant(EARLY_ACK) {
            run.acknowledge(&node, add);
            disk.flush(run.knob_ms("flush-ms")).await;
        } else {
            disk.flush(run.knob_ms("flush-ms")).await;
            // The acknowledgement takes its way to the client, and a crash may overtake it.
            node.runtime().sleep(ACK_TRAVELS).await;
            run.acknowledge(&node, add);
        }
    }
}

/// From a peer to its client.
const ACK_TRAVELS: Duration = Duration::from_millis(100);

/// Takes pushes from one peer.
async fn serve(node: Node, connection: Arc<dyn P2PConnection>, run: Arc<Run>, disk: Disk<Kept>) {
    while let Ok(push) = connection.recv_value::<Push>().await {
        let has = disk.write(|kept| {
            let part = kept.parts.entry(push.origin).or_default();
            let mut has = push.from;
            for add in push.adds {
                let known = part.adds.insert(has, add).is_some();
                sometimes!(node, known, "a push is repeated");
                if !known || run.case.has_mutant(COUNT_TWICE) {
                    part.total += add.amount;
                }
                has += 1;
            }
            has
        });
        let early = run.case.has_mutant(REPLICA_EARLY_ACK);
        if early && connection.send_value(&has).await.is_err() {
            return;
        }
        disk.flush(run.knob_ms("flush-ms")).await;
        if !early && connection.send_value(&has).await.is_err() {
            return;
        }
    }
}

/// Pushes a peer's own adds to another.
struct Pusher {
    node: Node,
    run: Arc<Run>,
    disk: Disk<Kept>,
    other: String,
}

impl Pusher {
    async fn run(self) {
        let mut sent = match self.run.case.has_mutant(ASSUME_SENT) {
            true => self.own_adds().len(),
            false => 0,
        };
        let mut tries = 0;
        while !self.run.case.has_mutant(GIVE_UP) || tries < TRIES_MAX {
            match self.node.provider().connect(PeerId::from_name(&self.other), &protocol()).await {
                Ok(connection) => {
                    tries = 0;
                    // Ends when the connection does; the next one goes on.
                    let _ended = self.push_all(&*connection, &mut sent).await;
                }
                Err(_) => tries += 1,
            }
            self.node.runtime().sleep(RETRY_AFTER).await;
        }
    }

    async fn push_all(&self, connection: &dyn P2PConnection, sent: &mut usize) -> p2p::Result<()> {
        let runtime = self.node.runtime();
        loop {
            let adds = self.own_adds().split_off(*sent);
            if adds.is_empty() {
                if runtime.timeout(self.run.knob_ms("push-ms"), connection.closed()).await.is_ok() {
                    return Ok(());
                }
                continue;
            }
            let count = adds.len();
            connection.send_value(&Push { origin: self.node.name().into(), from: *sent as u64, adds }).await?;
            if self.run.case.has_mutant(SEND_IS_DELIVERED) {
                *sent += count;
                while connection.try_recv()?.is_some() {}
                continue;
            }
            let answer = runtime.timeout(ACK_TIMEOUT, connection.recv_value::<u64>()).await;
            sometimes!(self.node, answer.is_err(), "a push is not answered in time");
            match answer {
                Ok(has) => *sent = (has? as usize).min(*sent + count),
                Err(_) => {
                    if self.run.case.has_mutant(TIMEOUT_IS_ACK) {
                        *sent += count;
                    }
                    return Ok(());
                }
            }
        }
    }

    /// The peer's own adds, as far as others may know of them.
    fn own_adds(&self) -> Vec<Add> {
        self.disk.read_durable(|kept| {
            kept.parts.get(self.node.name()).map(|part| part.adds.values().copied().collect()).unwrap_or_default()
        })
    }
}
