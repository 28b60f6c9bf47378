//! Who uses the service, and with a watch.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use benches::summary::quantile;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::Barrier,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    Result,
    service::{ANSWER, ENDLESS, SMALL},
};

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) seconds: f64,
    pub(crate) streams: usize,
}

/// What a request takes, in microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latency {
    /// On a connection that is open, and half of the requests take less.
    kept: f64,
    /// As many, on a connection of its own each.
    own: f64,
}

/// One of each measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// MiB/s of one connection.
    pub(crate) one: f64,
    /// MiB/s of many together.
    pub(crate) many: f64,
    /// Microseconds that a request takes more than directly, on a connection that is open.
    pub(crate) kept: f64,
    /// The same on a connection of its own.
    pub(crate) own: f64,
}

/// Takes one sample of everything.
pub(crate) async fn sample(addr: SocketAddr, direct: Latency, effort: Effort) -> Result<Sample> {
    let through = latency(addr).await?;
    Ok(Sample {
        one: throughput(addr, 1, effort.seconds).await?,
        many: throughput(addr, effort.streams, effort.seconds).await?,
        kept: through.kept - direct.kept,
        own: through.own - direct.own,
    })
}

/// MiB/s that so many connections get together once all of them flow.
async fn throughput(addr: SocketAddr, connections: usize, seconds: f64) -> Result<f64> {
    let (bytes, flowing) = (Arc::new(AtomicU64::new(0)), Arc::new(Barrier::new(connections + 1)));
    let mut readers = JoinSet::new();
    for _ in 0..connections {
        let (bytes, flowing) = (bytes.clone(), flowing.clone());
        readers.spawn(async move {
            let mut tcp = TcpStream::connect(addr).await?;
            tcp.write_all(ENDLESS).await?;
            let mut buffer = vec![0; 64 * 1024];
            let mut waiting = Some(flowing);
            loop {
                match tcp.read(&mut buffer).await? {
                    0 => return Err::<(), std::io::Error>(std::io::ErrorKind::UnexpectedEof.into()),
                    read => bytes.fetch_add(read as u64, Relaxed),
                };
                if let Some(flowing) = waiting.take() {
                    // Nobody waits for the others: that would be a pause of its own.
                    tokio::spawn(async move { flowing.wait().await });
                }
            }
        });
    }
    let measured = async {
        flowing.wait().await;
        sleep(WARM_UP).await;
        let (start, before) = (Instant::now(), bytes.load(Relaxed));
        sleep(Duration::from_secs_f64(seconds)).await;
        (bytes.load(Relaxed) - before) as f64 / start.elapsed().as_secs_f64() / f64::from(1 << 20)
    };
    tokio::select! {
        measured = timeout(PATIENCE, measured) => Ok(measured.map_err(|_| "not all connections began to flow")?),
        Some(broke) = readers.join_next() => Err(format!("a connection broke: {:?}", broke?).into()),
    }
}

/// What requests take there, one after the other.
pub(crate) async fn latency(addr: SocketAddr) -> Result<Latency> {
    let mut tcp = BufReader::new(open(addr).await?);
    let mut kept = Vec::new();
    for _ in 0..REQUESTS {
        let start = Instant::now();
        ask(&mut tcp).await?;
        kept.push(micros(start));
    }
    let mut own = Vec::new();
    for _ in 0..REQUESTS_OWN {
        let start = Instant::now();
        ask(&mut BufReader::new(open(addr).await?)).await?;
        own.push(micros(start));
    }
    let median = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        quantile(&times, 0.5)
    };
    Ok(Latency { kept: median(kept), own: median(own) })
}

async fn open(addr: SocketAddr) -> Result<TcpStream> {
    let tcp = TcpStream::connect(addr).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

/// One small request, and its answer.
pub(crate) async fn ask(tcp: &mut BufReader<TcpStream>) -> Result<()> {
    tcp.write_all(SMALL).await?;
    let mut answer = vec![0; ANSWER.len()];
    timeout(PATIENCE, tcp.read_exact(&mut answer)).await??;
    if answer == ANSWER { Ok(()) } else { Err("what came back is not the service's answer".into()) }
}

fn micros(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e6
}

/// Between the last connection's first bytes and the measurement.
const WARM_UP: Duration = Duration::from_millis(500);
const REQUESTS: usize = 500;
const REQUESTS_OWN: usize = 100;
/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
