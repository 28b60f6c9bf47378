//! turmoil: UDP datagrams between hosts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use turmoil::{Builder, net::UdpSocket};

use crate::{Game, clock::cpu_time};

const PORT: u16 = 9000;
const LATENCY: Duration = Duration::from_millis(50);

pub fn delivered_per_second(game: Game) -> f64 {
    let Game { peers, under_way, deliveries } = game;
    let mut sim = Builder::new()
        .simulation_duration(Duration::from_secs(1_000_000))
        .min_message_latency(LATENCY)
        .max_message_latency(LATENCY)
        .udp_capacity(1_000_000)
        .rng_seed(1)
        .build();
    let delivered = Arc::new(AtomicU64::new(0));
    for number in 0..peers {
        let delivered = delivered.clone();
        sim.host(format!("peer-{number}"), move || play(number, peers, under_way, delivered.clone()));
    }
    // All have bound their sockets and thrown.
    sim.step().expect("hosts run");
    let start = cpu_time();
    // It is slow with many hosts: what it has done after a few seconds says as much as all of it would.
    while delivered.load(Relaxed) < deliveries && (cpu_time() - start < SAMPLE_MAX || delivered.load(Relaxed) == 0) {
        sim.step().expect("hosts run");
    }
    delivered.load(Relaxed) as f64 / (cpu_time() - start).as_secs_f64()
}

/// CPU time of a sample, if it delivers something within it.
const SAMPLE_MAX: Duration = Duration::from_secs(4);

async fn play(number: usize, peers: usize, under_way: usize, delivered: Arc<AtomicU64>) -> turmoil::Result {
    let socket = UdpSocket::bind(("0.0.0.0", PORT)).await?;
    // The first step of all hosts is over then, so everybody has a socket.
    tokio::time::sleep(Duration::from_millis(2)).await;
    let next = turmoil::lookup(format!("peer-{}", (number + 1) % peers));
    for _ in 0..under_way {
        socket.send_to(&[7; 64], (next, PORT)).await?;
    }
    let mut message = [0; 64];
    loop {
        let (_, from) = socket.recv_from(&mut message).await?;
        delivered.fetch_add(1, Relaxed);
        socket.send_to(&message, from).await?;
    }
}
