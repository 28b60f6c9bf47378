//! 200 requests in flight while the phase goes from 1 to 4 and back, with a rollback in the middle of each step: each is
//! answered, in full and once.
//!
//! In the simulator on many seeds, with P2P that is cut again and again, and over iroh on loopback. 200 seeds by default;
//! `IN_FLIGHT_SEEDS=2000 cargo test --release --test in_flight` tries more.

#![allow(unreachable_pub, reason = "modules of one program")]

#[path = "../common/mod.rs"]
mod common;
mod load;
mod scene;

use std::{sync::Arc, time::Duration};

use p2p::{
    P2PProvider, Rng, Runtime, RuntimeExt,
    layer::{Reconnect, ReconnectConfig},
};
use p2p_simulator::{LinkConfig, Network, Simulation};

use self::scene::{Pace, Scene};

/// What a session bears without a transport: more than the longest cut.
fn reconnecting(provider: impl P2PProvider) -> Arc<dyn P2PProvider> {
    let config = ReconnectConfig::default().with_grace(Duration::from_secs(30));
    Arc::new(Reconnect::new(provider, config).expect("the settings go together"))
}

/// Cuts the peers off from each other, for up to 1 s at a time, as long as it is polled.
async fn weather(network: &Network, runtime: &Arc<dyn Runtime>, mut rng: Rng) {
    loop {
        runtime.sleep(rng.duration_between(Duration::from_millis(200), Duration::from_secs(2))).await;
        network.partition("server", "home");
        runtime.sleep(rng.duration_between(Duration::from_millis(50), Duration::from_secs(1))).await;
        network.heal("server", "home");
    }
}

fn seeds() -> u64 {
    match std::env::var("IN_FLIGHT_SEEDS") {
        Ok(text) => text.parse().expect("IN_FLIGHT_SEEDS is a number"),
        Err(_) => 200,
    }
}

#[test]
fn nothing_in_flight_is_lost_doubled_or_cut_on_any_seed() {
    // Seeds share nothing, so each processor has its own.
    let next = std::sync::atomic::AtomicU64::new(0);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if seed >= seeds() {
                        return;
                    }
                    one_seed(seed);
                }
            });
        }
    });
}

fn one_seed(seed: u64) {
    let link = LinkConfig::ideal(Duration::from_millis(1 + seed % 40));
    let simulation = Simulation::new(seed).with_link(link).with_time_limit(Duration::from_secs(3600));
    simulation.run(|network| async move {
        let (server, home) = (network.provider("server"), network.provider("home"));
        let runtime = server.runtime().clone();
        let scene = Scene::new(reconnecting(server), reconnecting(home), Pace::virtual_time()).await;
        let rng = runtime.rng("weather");
        let report = p2p::select! {
            report = scene.run() => report,
            () = weather(&network, &runtime, rng) => unreachable!("it goes on for ever"),
        };
        report.check(&format!("seed {seed}"));
    });
}

// The same over real sockets and in real time. No weather: what it would cost is in the simulator's hands.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_flight_is_lost_doubled_or_cut_over_iroh() {
    let bind = || async {
        let config = p2p_iroh::IrohConfig::default().with_bind([(std::net::Ipv4Addr::LOCALHOST, 0).into()]);
        reconnecting(p2p_iroh::IrohP2P::bind(config).await.expect("the endpoint is bound"))
    };
    let scene = Scene::new(bind().await, bind().await, Pace::real_time()).await;
    let report = tokio::time::timeout(Duration::from_secs(300), scene.run()).await.expect("it comes to its end");
    report.check("over iroh");
}
