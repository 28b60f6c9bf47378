//! Connections under `Reconnect` on networks that lose packets, partition, and kill transports: whatever is accepted is
//! delivered exactly once, in order, on every seed; and each way to get the layer wrong is found by some.
//!
//! `RECONNECT_SEEDS=10000 cargo test --release -p p2p-simulator --test reconnect sweep` for more seeds.

use std::{sync::Arc, time::Duration};

use p2p::{
    ConnectionConfig, ListenConfig, P2PConnection, P2PProvider, ProtocolId, Rng, RuntimeExt,
    layer::{
        LayerExt, Reconnect, ReconnectConfig, ReconnectTotals,
        reconnect::{Backoff, Mutant},
    },
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

    fn config(self, mutant: Option<Mutant>) -> ReconnectConfig {
        let backoff = Backoff { initial_delay: self.millis(100), max_delay: self.millis(1000), ..Backoff::default() };
        let config = ReconnectConfig::default().with_backoff(backoff).with_replay_bytes_max(256 * 1024);
        match mutant {
            Some(mutant) => config.with_mutant(mutant),
            None => config,
        }
    }
}

type Peer = Reconnect<Killable<SimulatorP2P>>;

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

fn peer(network: &Network, pace: Pace, name: &str, mutant: Option<Mutant>) -> (Killable<SimulatorP2P>, Peer) {
    let killable = Killable::new(network.provider(name));
    let layered = killable.clone().with_reconnect(pace.config(mutant)).unwrap();
    (killable, layered)
}

async fn scenario(network: &Network, pace: Pace, seed: u64, mutant: Option<Mutant>) -> Totals {
    let (server_link, server) = peer(network, pace, "server", mutant);
    let listener = server.listen_with(ListenConfig::from(pace.terms())).await.unwrap();
    let mut peers = vec![server.clone()];
    let mut pairs = Vec::new();
    for number in 0..1 + seed % pace.diallers_max() {
        let (client_link, client) = peer(network, pace, &format!("client-{number}"), mutant);
        let ours = loop {
            match client.connect_with(server.local_peer_id().into(), pace.terms()).await {
                Ok(connection) => break connection,
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
        };
        pairs.push((client_link, ours, listener.accept().await.unwrap()));
        peers.push(client);
    }
    // From here on nobody is in `accept`, and everything breaks.
    let mut exchanges = Vec::new();
    let mut chaos = Vec::new();
    for (number, (client_link, ours, theirs)) in (0..).zip(pairs) {
        client_link.break_dials(rng(seed, 200 + number));
        let links = [client_link, server_link.clone()];
        let breaking = break_links(network.clone(), format!("client-{number}"), links, pace, rng(seed, 100 + number));
        chaos.push(tokio::spawn(breaking));
        let client = peers[number as usize + 1].clone();
        exchanges.push(tokio::spawn(exchange(ours, theirs, client, server.clone(), pace, rng(seed, number))));
    }
    for exchange in exchanges {
        if let Err(failed) = exchange.await {
            std::panic::resume_unwind(failed.into_panic());
        }
    }
    chaos.iter().for_each(|chaos| chaos.abort());
    Totals {
        lost_midway: server.totals().resumed - peers[1..].iter().map(|client| client.totals().resumed).sum::<u64>(),
        all: sum(peers.iter().map(Reconnect::totals)),
    }
}

/// What happened in a run.
#[derive(Debug, Default, Clone, Copy)]
struct Totals {
    all: ReconnectTotals,
    /// Resumes that the server took for done, and whose dialler never learnt of them.
    lost_midway: u64,
}

/// Everything both ways at once, then an orderly end that both sides see.
async fn exchange(
    ours: Arc<dyn P2PConnection>,
    theirs: Arc<dyn P2PConnection>,
    client: Peer,
    server: Peer,
    pace: Pace,
    mut rng: Rng,
) {
    let mut tasks = Vec::new();
    for (connection, provider) in [(&ours, &client), (&theirs, &server)] {
        let runtime = provider.runtime().clone();
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
    theirs.send("the last word".into()).await.unwrap();
    let (finished, last) = tokio::join!(theirs.finish(), ours.recv());
    assert_eq!(last.expect("nothing is lost"), "the last word");
    finished.expect("the peer's provider has everything");
}

/// Kills transports, on one side or both, and cuts the line, both ways or one, for less than the grace.
async fn break_links(network: Network, client: String, links: [Killable<SimulatorP2P>; 2], pace: Pace, mut rng: Rng) {
    let runtime = links[0].runtime().clone();
    loop {
        runtime.sleep(rng.duration_between(pace.millis(100), pace.millis(4000))).await;
        let cut = rng.duration_between(pace.millis(10), pace.millis(6000));
        match rng.below(6) {
            0 | 1 => drop(links[0].kill()),
            2 => drop(links[1].kill()),
            3 => {
                network.partition(&client, "server");
                runtime.sleep(cut).await;
                network.heal(&client, "server");
            }
            4 => {
                // The server does not learn of the end: it is left with a half-open transport.
                network.partition_one_way(&client, "server");
                links[0].kill();
                runtime.sleep(cut / 4).await;
                network.heal_one_way(&client, "server");
            }
            _ => {
                network.partition_one_way("server", &client);
                runtime.sleep(cut / 2).await;
                links[1].kill();
                network.heal_one_way("server", &client);
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
        sum.refused += one.refused;
        sum.given_up += one.given_up;
        sum.messages_replayed += one.messages_replayed;
        sum.bytes_replayed += one.bytes_replayed;
        sum.duplicates_suppressed += one.duplicates_suppressed;
        sum
    })
}

fn seeds() -> u64 {
    std::env::var("RECONNECT_SEEDS").ok().map_or(SEEDS, |seeds| seeds.parse().expect("a number of seeds"))
}

#[test]
#[expect(clippy::print_stdout, reason = "what a sweep met is read where its result is")]
fn everything_accepted_is_delivered_exactly_once_in_order() {
    let next = std::sync::atomic::AtomicU64::new(0);
    let work = || {
        let mut outcomes = Vec::new();
        loop {
            let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
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
    let (all, lost_midway): (Vec<_>, Vec<_>) =
        outcomes.into_iter().flatten().map(|run| (run.all, run.lost_midway)).unzip();
    let (totals, lost_midway) = (sum(all.into_iter()), lost_midway.into_iter().sum::<u64>());
    println!("{totals:#?}, {lost_midway} resumes lost in the middle of their handshake");
    assert!(totals.losses_with_unacknowledged > 0 && totals.resumed > 0, "{totals:?}");
    assert!(totals.bytes_replayed > 0 && totals.messages_replayed > 0, "{totals:?}");
    assert!(totals.duplicates_suppressed > 0, "{totals:?}");
    assert!(lost_midway > 0, "no resume was lost in the middle of its handshake");
    assert_eq!(totals.given_up, 0, "{totals:?}");
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
