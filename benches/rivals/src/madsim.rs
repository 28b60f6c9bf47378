//! madsim: TCP connections, and the datagrams of its `Endpoint`.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use madsim::{
    Config,
    net::{Endpoint, TcpListener, TcpStream},
    runtime::Runtime,
    task::spawn,
    time::sleep,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{Game, clock::cpu_time};

const LATENCY: Duration = Duration::from_millis(50);
const TAG: u64 = 1;

/// Reliable as ours, with the same loss, which costs time and no message.
pub fn by_connections(game: Game) -> f64 {
    let Game { peers, under_way, .. } = game;
    play(game, 0.01, move |number, delivered| async move {
        let listener = TcpListener::bind(address(number)).await.expect("its own address");
        // A dial is refused where nobody has bound yet, and where it is lost.
        let next = loop {
            sleep(Duration::from_millis(1)).await;
            if let Ok(next) = TcpStream::connect(address((number + 1) % peers)).await {
                break next;
            }
        };
        spawn(throw(next, under_way, delivered.clone()));
        let (previous, _) = listener.accept().await.expect("the one before dials");
        throw(previous, 0, delivered).await;
    })
}

/// Without loss: a datagram that is lost would end its game.
pub fn by_datagrams(game: Game) -> f64 {
    let Game { peers, under_way, .. } = game;
    play(game, 0.0, move |number, delivered| async move {
        let endpoint = Endpoint::bind(address(number)).await.expect("its own address");
        sleep(Duration::from_millis(1)).await;
        for _ in 0..under_way {
            endpoint.send_to(address((number + 1) % peers), TAG, &[7; 64]).await.expect("the next is there");
        }
        let mut message = [0; 64];
        loop {
            let (_, from) = endpoint.recv_from(TAG, &mut message).await.expect("its endpoint is open");
            delivered.fetch_add(1, Relaxed);
            endpoint.send_to(from, TAG, &message).await.expect("the other is there");
        }
    })
}

async fn throw(mut stream: TcpStream, first: usize, delivered: Arc<AtomicU64>) {
    let mut message = [7; 64];
    for _ in 0..first {
        stream.write_all(&message).await.expect("the connection lasts");
        stream.flush().await.expect("the connection lasts");
    }
    while stream.read_exact(&mut message).await.is_ok() {
        delivered.fetch_add(1, Relaxed);
        stream.write_all(&message).await.expect("the connection lasts");
        stream.flush().await.expect("the connection lasts");
    }
}

fn play<F: Future<Output = ()> + Send + 'static>(
    game: Game,
    loss: f64,
    peer: impl Fn(usize, Arc<AtomicU64>) -> F,
) -> f64 {
    let mut config = Config::default();
    config.net.packet_loss_rate = loss;
    // It draws from a range, which must not be empty.
    config.net.send_latency = LATENCY..LATENCY + Duration::from_nanos(1);
    let runtime = Runtime::with_seed_and_config(1, config);
    let delivered = Arc::new(AtomicU64::new(0));
    for number in 0..game.peers {
        let node = runtime.create_node().name(format!("peer-{number}")).ip(ip(number)).build();
        node.spawn(peer(number, delivered.clone()));
    }
    runtime.block_on(async move {
        // All are connected and have thrown.
        sleep(20 * LATENCY).await;
        let (start, before) = (cpu_time(), delivered.load(Relaxed));
        while delivered.load(Relaxed) - before < game.deliveries {
            sleep(LATENCY).await;
        }
        (delivered.load(Relaxed) - before) as f64 / (cpu_time() - start).as_secs_f64()
    })
}

fn ip(number: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(u32::from_be_bytes([10, 0, 0, 1]) + number as u32))
}

fn address(number: usize) -> SocketAddr {
    SocketAddr::new(ip(number), 9000)
}
