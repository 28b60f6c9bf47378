//! Memory over time and per connection, from outside: what the kernel says of a process.
//!
//! - `soak`: many peers connect, transfer and close, over and over; prints the slope of the process's memory.
//! - `idle`: what an idle connection takes, here and in raw iroh, in processes of their own that take turns.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::{
    net::Ipv4Addr,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand};
use iroh::{
    Endpoint,
    endpoint::{PortmapperConfig, presets},
};
use p2p::{ConnectionConfig, P2PConnection, P2PProvider, P2PProviderExt, PeerAddr, ProtocolId};
use p2p_iroh::{IrohConfig, IrohLimits, IrohP2P};

/// Measures memory: how it grows over time, and what an idle connection takes.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Peers connect, transfer and close, over and over. Prints the slope of memory after the first fifth.
    Soak {
        /// How long, in seconds.
        #[arg(long, default_value_t = 1800)]
        seconds: u64,
        /// How many, each an endpoint of its own.
        #[arg(long, default_value_t = 100)]
        peers: usize,
        /// Bytes there and back on each connection.
        #[arg(long, default_value_t = 256 * 1024)]
        bytes: usize,
    },
    /// Compares idle connections with raw iroh's, in processes that take turns.
    Idle {
        /// Connections of each process.
        #[arg(long, default_value_t = 400)]
        connections: usize,
        /// Processes of each kind.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// One process of `idle`: prints the bytes that a connection takes, both of its ends together.
    #[command(hide = true)]
    IdleChild {
        /// `iroh` or `p2p`.
        kind: String,
        /// Connections.
        connections: usize,
    },
}

type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Error>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    match Args::parse().what {
        What::Soak { seconds, peers, bytes } => soak(Duration::from_secs(seconds), peers, bytes).await,
        What::Idle { connections, rounds } => idle(connections, rounds),
        What::IdleChild { kind, connections } => {
            let bytes = match kind.as_str() {
                "iroh" => idle_iroh(connections).await?,
                _ => idle_p2p(connections).await?,
            };
            println!("{bytes}");
            Ok(())
        }
    }
}

fn protocol() -> ProtocolId {
    "memory/1".parse().expect("it is visible ASCII")
}

async fn bind(limits: IrohLimits) -> Result<IrohP2P> {
    let loopback = (Ipv4Addr::LOCALHOST, 0).into();
    Ok(IrohP2P::bind(IrohConfig::default().with_bind([loopback]).with_limits(limits)).await?)
}

/// A service that sends everything back, and peers that come and go.
async fn soak(length: Duration, peers: usize, bytes: usize) -> Result<()> {
    // All peers dial from one address, which more than 32 at once may not by default.
    let limits = IrohLimits::default().with_handshakes_max(4 * peers.max(256), 2 * peers.max(256));
    let service = bind(limits).await?;
    let listener = service.listen(&protocol()).await?;
    let addr = listener.local_addr();
    tokio::spawn(async move {
        while let Ok(connection) = listener.accept().await {
            tokio::spawn(async move {
                while let Ok(mut stream) = connection.accept_stream().await {
                    while let Ok(Some(mut chunk)) = stream.recv.read_chunk(64 * 1024).await {
                        while !chunk.is_empty() && stream.send.write_chunk(&mut chunk).await.is_ok() {}
                    }
                    stream.send.finish().ok();
                }
            });
        }
    });
    let start = Instant::now();
    let mut visitors = tokio::task::JoinSet::new();
    for _ in 0..peers {
        let (peer, addr) = (bind(IrohLimits::default()).await?, addr.clone());
        visitors.spawn(async move {
            let mut visits = 0_u64;
            while start.elapsed() < length {
                visit(&peer, addr.clone(), bytes).await?;
                visits += 1;
            }
            Ok::<_, Error>(visits)
        });
    }
    let mut samples = Vec::new();
    while start.elapsed() < length {
        tokio::time::sleep(Duration::from_secs(1)).await;
        samples.push((start.elapsed().as_secs_f64() / 60.0, resident_bytes()? as f64));
    }
    let mut visits = 0;
    while let Some(visitor) = visitors.join_next().await {
        visits += visitor??;
    }
    let settled = &samples[samples.len() / 5..];
    let (first, last) = (settled[0].1, settled[settled.len() - 1].1);
    println!(
        "peers: {peers}, connections: {visits}, bytes each: {bytes} there and back, {:.0} s",
        length.as_secs_f64()
    );
    println!("memory after the first fifth: {:.1} MiB, at the end: {:.1} MiB", first / MIB, last / MIB);
    println!("slope: {:+.3} MiB per minute", slope(settled) / MIB);
    Ok(())
}

async fn visit(peer: &IrohP2P, addr: PeerAddr, bytes: usize) -> Result<()> {
    let connection = peer.connect_with(addr, ConnectionConfig::new(protocol())).await?;
    let p2p::BiStream { mut send, mut recv } = connection.open_stream().await?;
    let write = async {
        send.write_all(&vec![7; bytes]).await?;
        send.finish()
    };
    let (written, back) = tokio::join!(write, recv.read_to_end(bytes));
    written?;
    assert_eq!(back?.len(), bytes, "everything comes back");
    connection.close(0.into(), "");
    connection.closed().await;
    Ok(())
}

/// The slope of a line through the samples, by least squares.
fn slope(samples: &[(f64, f64)]) -> f64 {
    let count = samples.len() as f64;
    let (x, y) = samples.iter().fold((0.0, 0.0), |(x, y), sample| (x + sample.0 / count, y + sample.1 / count));
    let above: f64 = samples.iter().map(|sample| (sample.0 - x) * (sample.1 - y)).sum();
    above / samples.iter().map(|sample| (sample.0 - x).powi(2)).sum::<f64>()
}

fn idle(connections: usize, rounds: usize) -> Result<()> {
    let program = std::env::current_exe()?;
    let measure = |kind: &str| -> Result<f64> {
        let output = Command::new(&program).args(["idle-child", kind, &connections.to_string()]).output()?;
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout)?.trim().parse()?),
            false => Err(String::from_utf8_lossy(&output.stderr).into()),
        }
    };
    let (mut raw, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        raw.push(measure("iroh")?);
        ours.push(measure("p2p")?);
    }
    let median = |samples: &mut Vec<f64>| {
        samples.sort_by(f64::total_cmp);
        samples[samples.len() / 2]
    };
    let spread = |samples: &[f64]| (samples[0] / 1024.0, samples[samples.len() - 1] / 1024.0);
    // A process has both ends of each connection.
    let (raw_end, ours_end) = (median(&mut raw) / 2.0, median(&mut ours) / 2.0);
    println!("{connections} idle connections in each of {rounds} processes, per end of a connection:");
    println!("raw iroh: {:.1} KiB (both ends {:.1?} KiB)", raw_end / 1024.0, spread(&raw));
    println!("p2p-iroh: {:.1} KiB (both ends {:.1?} KiB)", ours_end / 1024.0, spread(&ours));
    let allowed = raw_end * 1.1 + 4096.0;
    let verdict = if ours_end <= allowed { "within" } else { "over" };
    println!("ratio: {:.2}; {verdict} raw iroh's and 10 % and 4 KiB, {:.1} KiB", ours_end / raw_end, allowed / 1024.0);
    Ok(())
}

/// Long enough for the handshake's last packets, path probes and their buffers to be gone.
const SETTLE: Duration = Duration::from_secs(3);

async fn idle_iroh(connections: usize) -> Result<u64> {
    const ALPN: &[u8] = b"memory";
    let bind = || {
        let builder = Endpoint::builder(presets::Minimal).clear_ip_transports().alpns(vec![ALPN.to_vec()]);
        builder.portmapper_config(PortmapperConfig::Disabled).bind_addr("127.0.0.1:0").map(|builder| builder.bind())
    };
    let (ours, theirs) = (bind()?.await?, bind()?.await?);
    let addr = theirs.addr();
    let accepting = tokio::spawn(async move {
        let mut held = Vec::new();
        while held.len() < connections + WARM_UP {
            let Some(incoming) = theirs.accept().await else { break };
            held.push(incoming.await);
        }
        (held, theirs)
    });
    let mut held = Vec::new();
    let mut before = 0;
    for number in 0..connections + WARM_UP {
        if number == WARM_UP {
            before = resident_bytes()?;
        }
        held.push(ours.connect(addr.clone(), ALPN).await?);
    }
    let _accepted = accepting.await?;
    tokio::time::sleep(SETTLE).await;
    Ok(resident_bytes()?.saturating_sub(before) / connections as u64)
}

async fn idle_p2p(connections: usize) -> Result<u64> {
    let limits = IrohLimits::default().with_connections_per_peer_max(connections + WARM_UP);
    let (ours, theirs) = (bind(limits.clone()).await?, Arc::new(bind(limits).await?));
    let listener = theirs.listen(&protocol()).await?;
    let addr = listener.local_addr();
    let accepting = tokio::spawn(async move {
        let mut held = Vec::new();
        while held.len() < connections + WARM_UP {
            let Ok(connection) = listener.accept().await else { break };
            held.push(connection);
        }
        (held, listener)
    });
    let mut held: Vec<Arc<dyn P2PConnection>> = Vec::new();
    let mut before = 0;
    for number in 0..connections + WARM_UP {
        if number == WARM_UP {
            before = resident_bytes()?;
        }
        held.push(ours.connect_with(addr.clone(), ConnectionConfig::new(protocol())).await?);
    }
    let _accepted = accepting.await?;
    tokio::time::sleep(SETTLE).await;
    Ok(resident_bytes()?.saturating_sub(before) / connections as u64)
}

/// Connections made before it counts, for what a process takes once.
const WARM_UP: usize = 20;

const MIB: f64 = 1024.0 * 1024.0;

/// The memory of this process.
fn resident_bytes() -> Result<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split(' ').nth(1).ok_or("no resident pages in /proc/self/statm")?.parse()?;
    Ok(pages * 4096)
}
