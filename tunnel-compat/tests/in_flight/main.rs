//! 200 requests in flight while the phase goes from 1 to 4 and back, with a rollback in the middle of each step: each is
//! answered, in full and once.
//!
//! In the simulator on many seeds, each with a weather of its own on both ways to the home; apps are at the router on every other
//! seed, and at the tunnel server's edge on the rest. And over iroh on loopback, with HTTP and WebSocket over TCP. 200 seeds by
//! default; `IN_FLIGHT_SEEDS=2000 cargo test --release --test in_flight` tries more.
//!
//! - `scene`: the parts, and the way through the phases. `load`: the apps. `entry`: where they come in. `weather`: what goes wrong.
//! - `saboteur`: what a migration may do wrong; the test must notice each.

#![allow(unreachable_pub, reason = "modules of one program")]

#[path = "../common/mod.rs"]
mod common;
mod entry;
#[path = "../../../p2p-simulator/tests/reconnect/killable.rs"]
mod killable;
mod load;
mod saboteur;
mod scene;
mod weather;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use p2p::{P2PProvider, layer::Reconnect, memory::MemoryNetwork};
use p2p_simulator::{Failure, LinkConfig, Simulation};
use parking_lot::Mutex;

use self::{
    saboteur::Sabotage,
    scene::{Pace, Scene, Sockets},
    weather::{Kind, Met, Peer, Sky, reconnecting},
};

fn seeds() -> u64 {
    match std::env::var("IN_FLIGHT_SEEDS") {
        Ok(text) => text.parse().expect("IN_FLIGHT_SEEDS is a number"),
        Err(_) => 200,
    }
}

/// What a run met besides its requests: what the layer between peers had to do.
#[derive(Debug, Default)]
struct Survived {
    losses: AtomicU64,
    resumed: AtomicU64,
}

#[test]
#[expect(clippy::print_stdout, reason = "what a sweep met is read where its result is")]
fn nothing_in_flight_is_lost_doubled_or_cut_on_any_seed() {
    let (met, survived) = (Arc::new(Met::default()), Arc::new(Survived::default()));
    // Seeds share nothing, so each processor has its own.
    let (next, failed) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= seeds() {
                        return;
                    }
                    if let Err(failure) = one_seed(seed, None, &met, &survived) {
                        failed.lock().push(format!("seed {seed}: {failure}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed[..failed.len().min(5)].join("\n"));
    // A sweep in which nothing happened would prove nothing.
    let met = Kind::ALL.map(|kind| (kind, met.get(kind)));
    println!("{} seeds; what went wrong, and met something: {met:?}; {survived:?}", seeds());
    for (kind, count) in met {
        assert!(count >= seeds().div_ceil(10), "{kind:?} met something {count} times in {} runs", seeds());
    }
    assert!(survived.losses.load(Relaxed) > seeds() && survived.resumed.load(Relaxed) > seeds(), "{survived:?}");
}

fn one_seed(seed: u64, sabotage: Option<Sabotage>, met: &Arc<Met>, survived: &Arc<Survived>) -> Result<(), Failure> {
    let link = LinkConfig::ideal(Duration::from_millis(1 + seed % 40));
    let simulation = Simulation::new(seed).with_link(link).with_time_limit(Duration::from_secs(3600));
    let (met, survived) = (met.clone(), survived.clone());
    let run = simulation.try_run(move |network| async move {
        let runtime = network.provider("clock").runtime().clone();
        let idle = MemoryNetwork::with_runtime(runtime.clone());
        let (server, home) = (Peer::new(&network, &idle, "server"), Peer::new(&network, &idle, "home"));
        let stacks = [server.stack.clone(), home.stack.clone()];
        let tunnel = ["tunnel", "sender"];
        let sockets =
            Sockets::Simulated { network: network.clone(), peers: tunnel, at_the_edge: seed.is_multiple_of(2) };
        let [at_server, at_home] = stacks.clone().map(|stack| Arc::new(stack) as Arc<dyn P2PProvider>);
        let scene = Scene::new(at_server, at_home, sockets, Pace::virtual_time(), sabotage).await;
        let rng = runtime.rng("weather");
        let sky = Sky { network, runtime, server, home, tunnel };
        let report = p2p::select! {
            report = scene.run() => report,
            () = sky.blow(rng, &met) => unreachable!("it goes on for ever"),
        };
        for totals in stacks.iter().map(Reconnect::totals) {
            survived.losses.fetch_add(totals.losses, Relaxed);
            survived.resumed.fetch_add(totals.resumed, Relaxed);
            assert_eq!(totals.given_up, 0, "a session between the peers was given up: {totals:?}");
        }
        report.check(&format!("seed {seed}"));
    });
    run.map(|_| ())
}

#[test]
#[expect(clippy::print_stdout, reason = "what a sweep met is read where its result is")]
fn every_saboteur_is_found() {
    for what in Sabotage::ALL {
        // By what it checks, and not by coming to no end.
        let found = (0..SABOTAGE_SEEDS).find_map(|seed| {
            one_seed(seed, Some(what), &Arc::default(), &Arc::default()).err().map(|failure| (seed, failure))
        });
        let (seed, failure) = found.unwrap_or_else(|| panic!("{what:?} passes {SABOTAGE_SEEDS} seeds"));
        println!("{what:?} is found by seed {seed}: {failure}");
        assert!(matches!(failure, Failure::Panicked { .. }), "{what:?}: {failure}");
    }
}

/// Seeds within which each saboteur has to be found.
const SABOTAGE_SEEDS: u64 = 3;

// The same over real sockets and in real time. No weather: what it would cost is in the simulator's hands.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_flight_is_lost_doubled_or_cut_over_iroh_and_tcp() {
    let bind = || async {
        let config = p2p_iroh::IrohConfig::default().with_bind([(std::net::Ipv4Addr::LOCALHOST, 0).into()]);
        let iroh = p2p_iroh::IrohP2P::bind(config).await.expect("the endpoint is bound");
        Arc::new(Reconnect::new(iroh, reconnecting()).expect("the settings go together")) as Arc<dyn P2PProvider>
    };
    let scene = Scene::new(bind().await, bind().await, Sockets::Loopback, Pace::real_time(), None).await;
    let report = tokio::time::timeout(Duration::from_secs(300), scene.run()).await.expect("it comes to its end");
    report.check("over iroh");
}
