//! Connections under `Reconnect` on networks that lose packets, partition, kill transports and let peers crash: whatever is
//! accepted is delivered exactly once, in order, on every seed; and each way to get the layer wrong is found by some.
//!
//! Each peer has two routes, the simulated network, and memory as a tunnel that works unless it is killed. What crashes is
//! the peer on the network, with its provider, connections and timers; the process above it lives, and comes back on the
//! tunnel or, in a new life, on the network. On every other seed there is no tunnel, so that a cut has to be waited out.
//!
//! `RECONNECT_SEEDS=10000 cargo test --release -p p2p-simulator --test reconnect sweep` for more seeds.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use p2p::{
    ConnectionConfig, ListenConfig, P2PConnection, P2PProvider, ProtocolId, Rng, RuntimeExt,
    layer::{
        LayerExt, Reconnect, ReconnectConfig, ReconnectTotals, Route, Routes, RoutesHandle,
        reconnect::{Backoff, Mutant},
    },
    memory::{MemoryNetwork, MemoryP2P},
};
use p2p_simulator::{Failure, LinkConfig, Network, Probability, Simulation, SimulatorConfig, SimulatorP2P};

use crate::{
    killable::Killable,
    traffic::{self, Amount},
};

/// Seeds of the sweep, unless `RECONNECT_SEEDS` says otherwise.
const SEEDS: u64 = 40;

/// Virtual time within which everything has to be delivered: several times what a run takes.
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// Runs in real time.
const REAL_RUNS: u64 = 6;

/// Hunts for each mutant, each over seeds of its own, so that the median says something.
const HUNTS: u64 = 5;

/// Seeds within which each hunt has to find its mutant.
const MUTANT_SEEDS: u64 = 20;

/// Bytes that a connection keeps for a replay, but for one message and the least that each stream may have.
const REPLAY_BYTES: usize = 256 * 1024;

/// Entries of one part of a progress, by seed: what there is has room in a handshake, or goes on in parts behind it.
const PART_ENTRIES: [Option<usize>; 4] = [None, Some(3), Some(3), Some(4)];

/// By how much everything is faster than in the sweep.
#[derive(Debug, Clone, Copy)]
struct Pace(u32);

impl Pace {
    fn millis(self, millis: u64) -> Duration {
        Duration::from_millis(millis) / self.0
    }

    /// Two to eight peers in virtual time; as many as two threads keep up with in real time.
    const fn diallers_max(self) -> u64 {
        if self.0 == 1 { 7 } else { 3 }
    }

    fn amount(self) -> Amount {
        Amount { messages: 150, streams: 8, stream_bytes: 20_000, pause: self.millis(200) }
    }

    fn link(self) -> LinkConfig {
        LinkConfig::default()
            .with_latency(self.millis(30))
            .with_jitter(self.millis(10))
            .with_loss(Probability::percent(5))
            .with_dial_failure(Probability::percent(10))
    }

    fn terms(self) -> ConnectionConfig {
        ConnectionConfig::new(protocol())
            .with_liveness(self.millis(500), self.millis(3000))
            .with_handshake_timeout(self.millis(3000))
            .with_buffer_bytes(32 * 1024)
    }

    fn config(self, seed: u64, mutant: Option<Mutant>) -> ReconnectConfig {
        let backoff = Backoff { initial_delay: self.millis(100), max_delay: self.millis(1000), ..Backoff::default() };
        let config = ReconnectConfig::default().with_backoff(backoff).with_replay_bytes_max(REPLAY_BYTES);
        let config = match PART_ENTRIES[(seed / 2 % 4) as usize] {
            Some(entries) => config.with_part_entries_max(entries),
            None => config,
        };
        match mutant {
            Some(mutant) => config.with_mutant(mutant),
            None => config,
        }
    }
}

/// A peer: its stack, and what it takes to break and to steer it.
struct Peer {
    name: String,
    stack: Reconnect<Routes>,
    routes: RoutesHandle,
    direct: Killable<SimulatorP2P>,
    tunnel: Killable<MemoryP2P>,
}

impl Peer {
    fn new(network: &Network, tunnel: &MemoryNetwork, config: ReconnectConfig, name: &str) -> Self {
        let direct = Killable::new(network.provider(name));
        let tunnel = Killable::new(tunnel.provider(name));
        // The first route lends its runtime to the layers, which live on when the peer crashes on the network.
        let routes = Routes::new([Route::new("tunnel", tunnel.clone()), Route::new("direct", direct.clone())]).unwrap();
        let handle = routes.handle();
        handle.set_preference("tunnel", 10).unwrap();
        let stack = routes.with_reconnect(config).unwrap();
        Self { name: name.to_owned(), stack, routes: handle, direct, tunnel }
    }
}

const VIRTUAL: Pace = Pace(1);

fn protocol() -> ProtocolId {
    "sweep/1".parse().unwrap()
}

fn rng(seed: u64, purpose: u64) -> Rng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&purpose.to_le_bytes());
    Rng::from_seed(bytes)
}

/// A run of that seed: one to seven diallers and a server, all exchanging at once while the network is broken.
fn run(seed: u64, mutant: Option<Mutant>) -> Result<Totals, Failure> {
    let run = Simulation::new(seed)
        .with_link(VIRTUAL.link())
        .with_time_limit(TIME_LIMIT)
        .try_run(|network| async move { scenario(&network, VIRTUAL, seed, mutant).await })?;
    Ok(run.output)
}

async fn scenario(network: &Network, pace: Pace, seed: u64, mutant: Option<Mutant>) -> Totals {
    let tunnel = MemoryNetwork::with_runtime(network.provider("tunnel").runtime().clone()).without_datagrams();
    let peer = |name: &str| Arc::new(Peer::new(network, &tunnel, pace.config(seed, mutant), name));
    let server = peer("server");
    let listener = server.stack.listen_with(ListenConfig::from(pace.terms())).await.unwrap();
    let mut clients = Vec::new();
    let mut pairs = Vec::new();
    for number in 0..1 + seed % pace.diallers_max() {
        let client = peer(&format!("client-{number}"));
        if !has_tunnel(seed) {
            client.routes.disable("tunnel").unwrap();
        }
        let ours = loop {
            match client.stack.connect_with(server.stack.local_peer_id().into(), pace.terms()).await {
                Ok(connection) => break connection,
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
        };
        pairs.push((client.clone(), ours, listener.accept().await.unwrap()));
        clients.push(client);
    }
    // From here on nobody is in `accept`, and everything breaks.
    let mut exchanges = Vec::new();
    let mut chaos = Vec::new();
    let broken = Arc::new(Broken::default());
    for (number, (client, ours, theirs)) in (0..).zip(pairs) {
        client.direct.break_dials(rng(seed, 200 + number));
        client.tunnel.break_dials(rng(seed, 300 + number));
        let peers = [client.clone(), server.clone()];
        chaos.push(tokio::spawn(break_links(network.clone(), peers, pace, rng(seed, 100 + number), broken.clone())));
        exchanges.push(tokio::spawn(exchange([ours, theirs], [client, server.clone()], pace, rng(seed, number))));
    }
    for exchange in exchanges {
        if let Err(failed) = exchange.await {
            std::panic::resume_unwind(failed.into_panic());
        }
    }
    chaos.iter().for_each(|chaos| chaos.abort());
    let resumed = clients.iter().map(|client| client.stack.totals().resumed).sum();
    Totals {
        lost_midway: server.stack.totals().resumed.saturating_sub(resumed),
        crashes: broken.crashes.load(Relaxed),
        back_elsewhere: broken.back_elsewhere.load(Relaxed),
        route_changes: broken.route_changes.load(Relaxed),
        all: sum(clients.iter().chain([&server]).map(|peer| peer.stack.totals())),
    }
}

const fn has_tunnel(seed: u64) -> bool {
    seed.is_multiple_of(2)
}

/// What happened in a run.
#[derive(Debug, Default, Clone, Copy)]
struct Totals {
    all: ReconnectTotals,
    /// Resumes that the server took for done, and whose dialler never learnt of them.
    lost_midway: u64,
    crashes: u64,
    /// Peers that were on the tunnel when their crash on the network was over.
    back_elsewhere: u64,
    route_changes: u64,
}

/// What was done to a run, beside that which the layer counts.
#[derive(Debug, Default)]
struct Broken {
    crashes: AtomicU64,
    back_elsewhere: AtomicU64,
    route_changes: AtomicU64,
}

/// Everything both ways at once, then an orderly end that both sides see.
async fn exchange(ends: [Arc<dyn P2PConnection>; 2], peers: [Arc<Peer>; 2], pace: Pace, mut rng: Rng) {
    let mut tasks = Vec::new();
    for (connection, peer) in ends.iter().zip(&peers) {
        let runtime = peer.stack.runtime().clone();
        let mut fork = || {
            Rng::from_seed({
                let mut seed = [0; 32];
                rng.fill_bytes(&mut seed);
                seed
            })
        };
        tasks.push(tokio::spawn(traffic::send_messages(connection.clone(), runtime.clone(), pace.amount(), fork())));
        tasks.push(tokio::spawn(traffic::receive_messages(connection.clone(), runtime.clone(), pace.amount(), fork())));
        tasks.push(tokio::spawn(traffic::open_streams(connection.clone(), runtime.clone(), pace.amount(), fork())));
        tasks.push(tokio::spawn(traffic::accept_streams(connection.clone(), runtime.clone(), pace.amount(), fork())));
    }
    for task in tasks {
        if let Err(failed) = task.await {
            std::panic::resume_unwind(failed.into_panic());
        }
    }
    // `finish` has to come through, too, whatever happens to the transport meanwhile.
    let [ours, theirs] = ends;
    theirs.send("the last word".into()).await.unwrap();
    let (finished, last) = tokio::join!(theirs.finish(), ours.recv());
    assert_eq!(last.expect("nothing is lost"), "the last word");
    finished.expect("the peer's provider has everything");
}

/// Kills transports, on one side or both, cuts the line, both ways or one, and lets the client crash, for less than the
/// grace; and where there is a tunnel, kills that, and changes which route is preferred or allowed.
async fn break_links(network: Network, peers: [Arc<Peer>; 2], pace: Pace, mut rng: Rng, broken: Arc<Broken>) {
    let [client, server] = &peers;
    let name = &client.name;
    let runtime = client.stack.runtime();
    let has_tunnel = client.routes.get("tunnel").unwrap().enabled;
    loop {
        runtime.sleep(rng.duration_between(pace.millis(100), pace.millis(4000))).await;
        let cut = rng.duration_between(pace.millis(10), pace.millis(6000));
        match rng.below(if has_tunnel { 10 } else { 7 }) {
            0 | 1 => drop(client.direct.kill()),
            2 => drop(server.direct.kill()),
            3 => {
                network.partition(name, "server");
                runtime.sleep(cut).await;
                network.heal(name, "server");
            }
            4 => {
                // The server does not learn of the end: it is left with a half-open transport.
                network.partition_one_way(name, "server");
                client.direct.kill();
                runtime.sleep(cut / 4).await;
                network.heal_one_way(name, "server");
            }
            5 => {
                network.partition_one_way("server", name);
                runtime.sleep(cut / 2).await;
                server.direct.kill();
                network.heal_one_way("server", name);
            }
            6 => {
                network.crash(name);
                client.direct.crash();
                broken.crashes.fetch_add(1, Relaxed);
                runtime.sleep(cut).await;
                let elsewhere = client.routes.get("tunnel").unwrap().connections;
                broken.back_elsewhere.fetch_add(elsewhere as u64, Relaxed);
                network.restart(name);
                client.direct.revive(network.provider(name));
            }
            7 => drop(client.tunnel.kill()),
            8 => {
                broken.route_changes.fetch_add(1, Relaxed);
                client.routes.set_preference("direct", 20 * rng.below(2) as u32).unwrap();
            }
            _ => {
                let route = ["direct", "tunnel"][rng.below(2) as usize];
                broken.route_changes.fetch_add(1, Relaxed);
                client.routes.disable(route).unwrap();
                runtime.sleep(cut).await;
                client.routes.enable(route).unwrap();
            }
        }
    }
}

fn sum(totals: impl Iterator<Item = ReconnectTotals>) -> ReconnectTotals {
    totals.fold(ReconnectTotals::default(), |mut sum, one| {
        sum.losses += one.losses;
        sum.losses_with_unacknowledged += one.losses_with_unacknowledged;
        sum.attempts += one.attempts;
        sum.resumed += one.resumed;
        sum.progress_parts += one.progress_parts;
        sum.refused += one.refused;
        sum.given_up += one.given_up;
        sum.messages_replayed += one.messages_replayed;
        sum.bytes_replayed += one.bytes_replayed;
        sum.duplicates_suppressed += one.duplicates_suppressed;
        sum.moved += one.moved;
        sum.replay_bytes_peak = sum.replay_bytes_peak.max(one.replay_bytes_peak);
        sum
    })
}

fn seeds() -> u64 {
    std::env::var("RECONNECT_SEEDS").ok().map_or(SEEDS, |seeds| seeds.parse().expect("a number of seeds"))
}

#[test]
#[expect(clippy::print_stdout, reason = "what a sweep met is read where its result is")]
fn everything_accepted_is_delivered_exactly_once_in_order() {
    let next = AtomicU64::new(0);
    let work = || {
        let mut outcomes = Vec::new();
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= seeds() {
                return outcomes;
            }
            outcomes.push(run(seed, None).map_err(|failure| format!("seed {seed}: {failure}")));
        }
    };
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let workers = [scope.spawn(work), scope.spawn(work)];
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker only collects")).collect()
    });
    let failures: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err().cloned()).collect();
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures[..failures.len().min(5)].join("\n"));
    // A sweep in which nothing happened would prove nothing.
    let met: Vec<_> = outcomes.into_iter().flatten().collect();
    let totals = sum(met.iter().map(|run| run.all));
    let count = |figure: fn(&Totals) -> u64| met.iter().map(figure).sum::<u64>();
    let lost_midway = count(|run| run.lost_midway);
    let (crashes, elsewhere) = (count(|run| run.crashes), count(|run| run.back_elsewhere));
    let changes = count(|run| run.route_changes);
    println!(
        "{} seeds, {lost_midway} resumes lost in the middle of their handshake, {crashes} crashes, after {elsewhere} of \
         which the peer was on the other path, {changes} changes of routes: {totals:#?}",
        met.len()
    );
    assert!(totals.losses_with_unacknowledged > 0 && totals.resumed > 0, "{totals:?}");
    assert!(totals.bytes_replayed > 0 && totals.messages_replayed > 0, "{totals:?}");
    assert!(totals.duplicates_suppressed > 0, "{totals:?}");
    assert!(totals.progress_parts > 0, "{totals:?}");
    assert!(lost_midway > 0, "no resume was lost in the middle of its handshake");
    assert!(crashes > 0 && elsewhere > 0, "{crashes} crashes, {elsewhere} on another path");
    assert!(changes > 0 && totals.moved > 0, "{changes} changes of routes, {} sessions moved", totals.moved);
    assert_eq!(totals.given_up, 0, "{totals:?}");
    // One message, and the least of what each stream may keep, come on top.
    let streams = 2 * VIRTUAL.amount().streams as usize;
    let bound = REPLAY_BYTES + 4 * 1024 + streams * 16 * 1024;
    assert!(totals.replay_bytes_peak <= bound as u64, "{} bytes kept, over {bound}", totals.replay_bytes_peak);
}

#[test]
#[expect(clippy::print_stdout, reason = "what a sweep met is read where its result is")]
fn every_mutant_is_found() {
    const MUTANTS: [Mutant; 8] = [
        Mutant::NoDuplicateCheck,
        Mutant::EarlyAcknowledgement,
        Mutant::WrongOffset,
        Mutant::LostWindow,
        Mutant::AnswersBeforeDraining,
        Mutant::NoDraining,
        Mutant::ForgetsFinish,
        Mutant::ForgetsReset,
    ];
    for mutant in MUTANTS {
        let hunt = |number: u64| {
            let first = number * MUTANT_SEEDS;
            let found = (first..first + MUTANT_SEEDS).find(|&seed| run(seed, Some(mutant)).is_err());
            let found = found.unwrap_or_else(|| panic!("{mutant:?} passes {MUTANT_SEEDS} seeds from {first} on"));
            found - first + 1
        };
        let mut took: Vec<u64> = (0..HUNTS).map(hunt).collect();
        took.sort_unstable();
        println!(
            "{mutant:?}: median seeds until it was found: {}, at most {}",
            took[took.len() / 2],
            took[took.len() - 1]
        );
    }
}

// The run is a function of the seed: what fails once fails again.
#[test]
fn a_run_is_repeated_to_the_byte() {
    let hash = |seed| {
        let run = Simulation::new(seed)
            .with_link(VIRTUAL.link())
            .with_time_limit(TIME_LIMIT)
            .try_run(|network| async move { scenario(&network, VIRTUAL, seed, None).await });
        run.map(|run| run.trace.hash).map_err(|failure| failure.to_string())
    };
    for seed in [1, 2] {
        assert_eq!(hash(seed), hash(seed));
    }
}

// The simulator runs one task at a time. Here threads meet in the middle of things, in real time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_holds_on_several_threads_in_real_time() {
    const FAST: Pace = Pace(25);
    let runs: Vec<_> = (0..REAL_RUNS)
        .map(|seed| {
            tokio::spawn(async move {
                let network = Network::on_tokio(SimulatorConfig::new(seed).with_link(FAST.link()));
                tokio::time::timeout(Duration::from_secs(60), scenario(&network, FAST, seed, None)).await
            })
        })
        .collect();
    for (seed, run) in runs.into_iter().enumerate() {
        let totals = run.await.expect("nothing is lost").unwrap_or_else(|_| panic!("run {seed} does not end"));
        assert!(totals.all.resumed > 0, "run {seed}: {totals:?}");
    }
}
