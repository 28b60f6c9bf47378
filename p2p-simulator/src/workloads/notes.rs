//! Notes that may be written at any peer: each write is numbered, kept, acknowledged, and handed to all others.
//!
//! A peer that cannot reach another keeps a *hint* for it: this note is still to be handed over. Hints are on disk, so that a
//! peer which crashes before a partition heals still knows what it owes. A note's version is one more than the newest its
//! peer has seen, with the peer's name to tell equal ones apart; the higher wins everywhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use p2p::{
    BoxFuture, P2PConnection, P2PConnectionExt, P2PProvider, P2PProviderExt, PeerId, ProtocolId, Rng, RuntimeExt,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{
    Network, Node, always,
    case::Case,
    disk::{Disk, Disks},
    sometimes,
    workload::{Knob, Mutant, Setup, Step, Violation, Workload},
};

/// The workload `notes`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Notes;

const HINTS_IN_MEMORY: &str = "hints-in-memory";
const ACK_BEFORE_WRITE: &str = "ack-before-write";
const REPLICA_ACK_BEFORE_WRITE: &str = "replica-ack-before-write";
const CLOCK_ORDER: &str = "clock-order";

impl Workload for Notes {
    fn name(&self) -> &'static str {
        "notes"
    }

    fn about(&self) -> &'static str {
        "notes that may be written at any peer, which owes each write to all others until they have it"
    }

    fn knobs(&self) -> &'static [Knob] {
        &[
            Knob { name: "writes", default: 12, max: 10_000, about: "writes at each peer" },
            Knob { name: "notes", default: 24, max: 1_000, about: "different notes" },
            Knob { name: "flush-ms", default: 500, max: 60_000, about: "how long a disk takes to flush" },
            Knob { name: "retry-ms", default: 500, max: 60_000, about: "until a peer is tried again" },
        ]
    }

    fn mutants(&self) -> &'static [Mutant] {
        &[
            Mutant {
                name: HINTS_IN_MEMORY,
                about: "keeps what it owes others in memory; an update is lost when a partition heals during a crash",
            },
            Mutant { name: ACK_BEFORE_WRITE, about: "acknowledges a write before it is on disk; a crash loses it" },
            Mutant {
                name: REPLICA_ACK_BEFORE_WRITE,
                about: "acknowledges what it was handed before it is on disk; a crash loses it there",
            },
            Mutant {
                name: CLOCK_ORDER,
                about: "takes the time of day for a version; a peer whose clock is behind writes for nothing",
            },
        ]
    }

    fn sometimes(&self) -> &'static [&'static str] {
        &["a peer comes back and still owes", "a note is handed over twice", "an older note arrives after a newer"]
    }

    fn steps(&self, setup: &Setup<'_>, rng: &mut Rng) -> Vec<Step> {
        let chaos_ms = setup.chaos.as_millis() as u64;
        let mut steps = Vec::new();
        for peer in setup.peers {
            for _ in 0..setup.knobs["writes"] {
                let at = Duration::from_millis(rng.below(chaos_ms));
                steps.push(Step { at, peer: peer.clone(), what: format!("write {}", rng.below(setup.knobs["notes"])) });
            }
        }
        steps.sort_by_key(|step| step.at);
        steps
    }

    fn run(&self, network: Network, case: Arc<Case>) -> BoxFuture<'static, Result<(), Violation>> {
        Box::pin(async move {
            let run = Arc::new(Run { case, disks: Disks::new(), acknowledged: Mutex::default() });
            for peer in &run.case.peers {
                let run = run.clone();
                network.node(peer, move |node| peer_program(node, run.clone()));
            }
            run.judge(&network).await
        })
    }
}

/// The higher wins.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Version {
    number: u64,
    peer: String,
}

/// What is handed over, and answered with `true`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Note {
    id: u64,
    version: Version,
}

/// What a peer keeps on disk.
#[derive(Debug, Clone, Default)]
struct Kept {
    notes: BTreeMap<u64, Version>,
    /// What is still to be handed over, by whom it is for.
    hints: BTreeMap<String, BTreeSet<Note>>,
}

impl Kept {
    /// Takes a note, if it is newer than what is here; says what was here otherwise.
    fn take(&mut self, note: &Note) -> Option<Version> {
        match self.notes.get(&note.id) {
            Some(known) if *known >= note.version => Some(known.clone()),
            _ => {
                self.notes.insert(note.id, note.version.clone());
                None
            }
        }
    }
}

/// What exists once in a run, beside the peers: the disks, what was acknowledged, and the judge.
struct Run {
    case: Arc<Case>,
    disks: Disks<Kept>,
    /// By peer, the steps whose writes were acknowledged, with what they wrote.
    acknowledged: Mutex<BTreeMap<String, Vec<Note>>>,
}

impl Run {
    fn ms(&self, knob: &str) -> Duration {
        Duration::from_millis(self.case.knob(knob))
    }

    fn steps_of(&self, peer: &str) -> Vec<Step> {
        self.case.steps.iter().filter(|step| step.peer == peer).cloned().collect()
    }

    /// Waits until all writes are acknowledged and everybody has the same, then looks whether it is the newest.
    async fn judge(&self, network: &Network) -> Result<(), Violation> {
        let judge = network.provider("judge").runtime().clone();
        judge.sleep(self.case.chaos).await;
        while let Err(late) = self.agree() {
            if u128::from(network.now().as_nanos()) >= self.case.deadline().as_nanos() {
                return Err(late);
            }
            judge.sleep(LOOK_EVERY).await;
        }
        let Some(first) = self.case.peers.first() else { return Ok(()) };
        let kept = self.disks.durable(first);
        for (peer, notes) in &*self.acknowledged.lock() {
            for note in notes {
                let newest = kept.notes.get(&note.id).cloned().unwrap_or_default();
                if newest < note.version {
                    let detail = format_args!("{peer} acknowledged {note:?}, and all have {newest:?}");
                    return Err(Violation::new("lost-write", detail));
                }
            }
        }
        Ok(())
    }

    fn agree(&self) -> Result<(), Violation> {
        let acknowledged = self.acknowledged.lock();
        for peer in &self.case.peers {
            let (done, all) = (acknowledged.get(peer).map_or(0, Vec::len), self.steps_of(peer).len());
            if done < all {
                return Err(Violation::new("unfinished", format_args!("{peer} did {done} of {all} writes")));
            }
        }
        let notes = |peer: &String| self.disks.durable(peer).notes;
        for pair in self.case.peers.windows(2) {
            if notes(&pair[0]) != notes(&pair[1]) {
                let detail = format_args!("{} and {} have other notes", pair[0], pair[1]);
                return Err(Violation::new("diverged", detail));
            }
        }
        Ok(())
    }
}

/// Between two looks of the judge.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// For the answer to a note.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

async fn peer_program(node: Node, run: Arc<Run>) {
    let disk = run.disks.open(&node);
    // The mutant's hints; as it should be they are on disk.
    let memory = Arc::new(Mutex::new(BTreeMap::<String, BTreeSet<Note>>::new()));
    let owes = disk.read(|kept| kept.hints.values().any(|notes| !notes.is_empty()));
    sometimes!(node, node.incarnation() > 1 && owes, "a peer comes back and still owes");
    for other in run.case.peers.iter().filter(|other| *other != node.name()) {
        let debtor = Debtor {
            node: node.clone(),
            run: run.clone(),
            disk: disk.clone(),
            memory: memory.clone(),
            other: other.clone(),
        };
        node.runtime().spawn("hand over", Box::pin(debtor.run())).detach();
    }
    let writer = Writer { node: node.clone(), run: run.clone(), disk: disk.clone(), memory };
    node.runtime().spawn("write", Box::pin(writer.run())).detach();
    let listener = node.provider().listen(&protocol()).await.expect("the first listener of this life");
    while let Ok(connection) = listener.accept().await {
        node.runtime().spawn("take", Box::pin(take_all(node.clone(), connection, run.clone(), disk.clone()))).detach();
    }
}

/// A peer's client.
struct Writer {
    node: Node,
    run: Arc<Run>,
    disk: Disk<Kept>,
    memory: Arc<Mutex<BTreeMap<String, BTreeSet<Note>>>>,
}

impl Writer {
    async fn run(self) {
        let steps = self.run.steps_of(self.node.name());
        let acknowledged = || self.run.acknowledged.lock().get(self.node.name()).map_or(0, Vec::len);
        while let Some(step) = steps.get(acknowledged()) {
            let now = Duration::from_nanos(self.node.network().now().as_nanos());
            self.node.runtime().sleep(step.at.saturating_sub(now)).await;
            let Some(id) = step.what.strip_prefix("write ").and_then(|id| id.parse().ok()) else { return };
            self.write(id).await;
        }
    }

    async fn write(&self, id: u64) {
        let run = &self.run;
        let others: Vec<_> = run.case.peers.iter().filter(|other| *other != self.node.name()).cloned().collect();
        let in_memory = run.case.has_mutant(HINTS_IN_MEMORY);
        let (note, known) = self.disk.write(|kept| {
            let seen = kept.notes.get(&id).map_or(0, |known| known.number);
            let number = if run.case.has_mutant(CLOCK_ORDER) { self.time_of_day() } else { seen + 1 };
            let note = Note { id, version: Version { number, peer: self.node.name().into() } };
            let known = kept.take(&note);
            for other in others.iter().filter(|_| !in_memory) {
                kept.hints.entry(other.clone()).or_default().insert(note.clone());
            }
            (Some(note), known)
        });
        // In a life that is over nothing is written.
        let Some(note) = note else { return };
        always!(self.node, known.is_none(), "a write supersedes what was there", "{note:?} came after {known:?}");
        if in_memory {
            let mut memory = self.memory.lock();
            for other in others {
                memory.entry(other).or_default().insert(note.clone());
            }
        }
        if !run.case.has_mutant(ACK_BEFORE_WRITE) {
            self.disk.flush(run.ms("flush-ms")).await;
        }
        self.node.note(format_args!("acknowledges note {id}, version {}", note.version.number));
        run.acknowledged.lock().entry(self.node.name().into()).or_default().push(note);
        if run.case.has_mutant(ACK_BEFORE_WRITE) {
            self.disk.flush(run.ms("flush-ms")).await;
        }
    }

    fn time_of_day(&self) -> u64 {
        let since = self.node.runtime().wall_time().duration_since(SystemTime::UNIX_EPOCH);
        u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Hands one other peer what is owed to it.
struct Debtor {
    node: Node,
    run: Arc<Run>,
    disk: Disk<Kept>,
    memory: Arc<Mutex<BTreeMap<String, BTreeSet<Note>>>>,
    other: String,
}

impl Debtor {
    async fn run(self) {
        loop {
            if self.next().is_some()
                && let Ok(connection) = self.node.provider().connect(PeerId::from_name(&self.other), &protocol()).await
            {
                // Ends when the connection does; the next one goes on.
                let _ended = self.hand_over(&*connection).await;
            }
            self.node.runtime().sleep(self.run.ms("retry-ms")).await;
        }
    }

    async fn hand_over(&self, connection: &dyn P2PConnection) -> p2p::Result<()> {
        while let Some(note) = self.next() {
            connection.send_value(&note).await?;
            match self.node.runtime().timeout(ANSWER_TIMEOUT, connection.recv_value::<bool>()).await {
                Ok(answer) => drop(answer?),
                Err(_) => return Ok(()),
            }
            self.memory.lock().get_mut(&self.other).map(|notes| notes.remove(&note));
            // Not flushed: a crash brings the hint back, and handing a note over twice does no harm.
            self.disk.write(|kept| kept.hints.get_mut(&self.other).is_some_and(|notes| notes.remove(&note)));
        }
        Ok(())
    }

    /// What is durable here and owed there.
    fn next(&self) -> Option<Note> {
        let hint = self.disk.read(|kept| kept.hints.get(&self.other).and_then(|notes| notes.first().cloned()));
        hint.or_else(|| self.memory.lock().get(&self.other).and_then(|notes| notes.first().cloned()))
    }
}

/// Takes what one peer hands over.
async fn take_all(node: Node, connection: Arc<dyn P2PConnection>, run: Arc<Run>, disk: Disk<Kept>) {
    while let Ok(note) = connection.recv_value::<Note>().await {
        let known = disk.write(|kept| kept.take(&note));
        sometimes!(node, known.as_ref() == Some(&note.version), "a note is handed over twice");
        sometimes!(node, known.is_some_and(|known| known > note.version), "an older note arrives after a newer");
        let early = run.case.has_mutant(REPLICA_ACK_BEFORE_WRITE);
        if early && connection.send_value(&true).await.is_err() {
            return;
        }
        disk.flush(run.ms("flush-ms")).await;
        if !early && connection.send_value(&true).await.is_err() {
            return;
        }
    }
}

fn protocol() -> ProtocolId {
    "notes/1".parse().expect("a name and a version")
}
