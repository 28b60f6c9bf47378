//! Whether the memory of `p2pd share` and `p2pd connect` stays flat under load while nobody scrapes their metrics.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use benches::{machine::Machine, summary::Line};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    task::JoinSet,
    time::{interval, sleep},
};

use crate::{
    Result,
    contestant::{Contestant, answers, p2pd_connect},
    load::ask,
    service::{self, ENDLESS},
};

/// Loads a pair of processes for `length`, with a rest at the end of each round in which memory is looked at.
pub(crate) async fn soak(p2pd: &Path, length: Duration) -> Result<()> {
    let service = service::start().await?;
    let (pair, ticket) = Contestant::p2pd_watchable(p2pd, service).await?;
    let load_before = Machine::now();
    let (start, requests) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let bytes = Arc::new(AtomicU64::new(0));
    let (mut samples, mut peers) = (Vec::new(), 0);
    println!("minute     share MiB   connect MiB   connections   MiB carried");
    while start.elapsed() < length {
        let mut users = JoinSet::new();
        for _ in 0..USERS {
            users.spawn(come_and_go(pair.addr, requests.clone()));
        }
        users.spawn(download(pair.addr, bytes.clone()));
        let visit = async {
            let (addr, visitor) = p2pd_connect(p2pd, &ticket, "off").await?;
            answers(addr).await?;
            peers += 1;
            drop(visitor);
            Result::Ok(())
        };
        let (visited, ()) = tokio::join!(visit, sleep(LOAD));
        visited?;
        // Whoever broke off has an answer; the others end here.
        while let Some(ended) = users.try_join_next() {
            ended??;
        }
        users.shutdown().await;
        sleep(REST).await;
        let ([share, connect], minute) = (pair.resident_bytes()?, start.elapsed().as_secs_f64() / 60.0);
        samples.push((minute, [share as f64, connect as f64]));
        let (connections, carried) = (requests.load(Relaxed), bytes.load(Relaxed) >> 20);
        let (share, connect) = (share as f64 / MIB, connect as f64 / MIB);
        println!("{minute:>6.2}{share:>14.1}{connect:>14.1}{connections:>14}{carried:>14}");
    }
    let settled = &samples[samples.len() / 5..];
    println!(
        "{load_before} before and {:.1} after; {peers} peers came and went",
        Machine::now().load.unwrap_or(f64::NAN)
    );
    for (at, name) in ["share", "connect"].into_iter().enumerate() {
        let points: Vec<_> = settled.iter().map(|(minute, bytes)| (*minute, bytes[at])).collect();
        let (first, last) = (points[0].1 / MIB, points[points.len() - 1].1 / MIB);
        let [all, later] = [&points[..], &points[points.len() / 2..]]
            .map(|points| Line::through(points).map_or(f64::NAN, |line| line.slope) / MIB);
        println!("{name}: after the first fifth {first:.1} MiB, at the end {last:.1} MiB");
        println!("  slope {all:+.3} MiB per minute, over the later half {later:+.3}");
    }
    Ok(())
}

/// Opens a connection, asks once and closes it, over and over.
async fn come_and_go(addr: SocketAddr, requests: Arc<AtomicU64>) -> Result<()> {
    loop {
        ask(&mut BufReader::new(TcpStream::connect(addr).await?)).await?;
        requests.fetch_add(1, Relaxed);
    }
}

/// Reads what has no end at a pace that leaves room for the others.
async fn download(addr: SocketAddr, bytes: Arc<AtomicU64>) -> Result<()> {
    let mut tcp = TcpStream::connect(addr).await?;
    tcp.write_all(ENDLESS).await?;
    let (mut buffer, mut pace) = (vec![0; 256 * 1024], interval(Duration::from_millis(10)));
    loop {
        pace.tick().await;
        let read = tcp.read(&mut buffer).await?;
        if read == 0 {
            return Err("the download ended".into());
        }
        bytes.fetch_add(read as u64, Relaxed);
    }
}

/// Connections that are open at once, beside the download.
const USERS: usize = 32;

const LOAD: Duration = Duration::from_secs(17);

/// Long enough for what was open to be closed on both sides.
const REST: Duration = Duration::from_secs(3);

const MIB: f64 = 1024.0 * 1024.0;
