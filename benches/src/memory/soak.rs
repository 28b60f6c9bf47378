//! Many peers connect, transfer and close, over and over: does memory grow?
//!
//! Under load memory goes up and down with what is in flight, by more than a slow leak adds. So the peers rest after
//! each round until their connections are gone, and what is left then is compared.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use benches::summary::Line;
use clap::Args;
use futures_util::future::BoxFuture;
use iroh::Endpoint;
use p2p::{ConnectionConfig, P2PConnection, P2PProvider, P2PProviderExt, PeerAddr};
use p2p_iroh::{IrohLimits, IrohP2P};

use crate::{ALPN, Error, MIB, Result, Which, bind, bind_raw, heap::live_bytes, protocol, resident_bytes};

/// What to soak, and for how long.
#[derive(Debug, Args)]
pub(crate) struct Soak {
    /// How long, in seconds, rests included.
    #[arg(long, default_value_t = 1800)]
    seconds: u64,
    /// How long a round is, in seconds, its rest included.
    #[arg(long, default_value_t = 60)]
    round: u64,
    /// How many, each an endpoint of its own.
    #[arg(long, default_value_t = 100)]
    peers: usize,
    /// Bytes there and back on each connection.
    #[arg(long, default_value_t = 256 * 1024)]
    bytes: usize,
    /// Whose connections: raw iroh's tell what is not ours.
    #[arg(long, default_value = "p2p")]
    which: Which,
}

/// Long enough for closed connections to be drained, which takes three times QUIC's probe timeout.
const REST: Duration = Duration::from_secs(8);

/// A peer that can connect, transfer and close, once.
type Visit = Arc<dyn Fn() -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// What a process holds at rest.
struct Sample {
    minutes: f64,
    live: f64,
    resident: f64,
}

impl Soak {
    /// Soaks, and prints each round and what follows from all.
    pub(crate) async fn run(self) -> Result<()> {
        let visits = match self.which {
            Which::P2p => self.ours().await?,
            Which::Iroh => self.raw().await?,
        };
        let start = Instant::now();
        let round = Duration::from_secs(self.round);
        let rounds = self.seconds / self.round;
        let (mut connections, mut failed) = (0, 0);
        let mut samples = Vec::new();
        for number in 1..=rounds {
            let end = start + round * number as u32;
            let mut visitors = tokio::task::JoinSet::new();
            for visit in visits.iter().cloned() {
                visitors.spawn(async move {
                    let (mut count, mut failures) = (0_u64, Vec::new());
                    while Instant::now() + REST < end {
                        match visit().await {
                            Ok(()) => count += 1,
                            Err(error) => failures.push(error.to_string()),
                        }
                    }
                    (count, failures)
                });
            }
            while let Some(visitor) = visitors.join_next().await {
                let (count, failures) = visitor?;
                connections += count;
                failed += failures.len();
                // A busy machine alone may let a dial take too long.
                failures.iter().for_each(|failure| println!("a visit failed: {failure}"));
            }
            // What is measured is what a rest leaves.
            tokio::time::sleep(REST.max(end.saturating_duration_since(Instant::now()))).await;
            let minutes = start.elapsed().as_secs_f64() / 60.0;
            let sample = Sample { minutes, live: live_bytes() as f64 / MIB, resident: resident_bytes()? as f64 / MIB };
            println!(
                "{minutes:5.1} min: {connections:7} connections, allocated {:.2} MiB, resident {:.1} MiB",
                sample.live, sample.resident
            );
            samples.push(sample);
        }
        println!(
            "{:?}: {} peers, {connections} connections, {failed} more failed, {} bytes each, there and back, {} s",
            self.which, self.peers, self.bytes, self.seconds
        );
        let settled = &samples[samples.len() / 5..];
        for (what, of) in [("allocated", (|sample| sample.live) as fn(&Sample) -> f64), ("resident", |s| s.resident)] {
            let points: Vec<_> = settled.iter().map(|sample| (sample.minutes, of(sample))).collect();
            println!(
                "{what} after the first fifth: {:.2} MiB, at the end: {:.2} MiB",
                points[0].1,
                points[points.len() - 1].1
            );
            for (part, points) in [("all of it", &points[..]), ("its later half", &points[points.len() / 2..])] {
                let Some(Line { slope, error }) = Line::through(points) else {
                    return Err("a slope takes at least eight rounds: give more --seconds".into());
                };
                println!("  slope over {part}: {slope:+.4} MiB a minute, standard error {error:.4}");
            }
        }
        Ok(())
    }

    /// Ours: a service that sends everything back, and its visitors.
    async fn ours(&self) -> Result<Vec<Visit>> {
        // All peers dial from one address, which more than 32 at once may not by default.
        let limits = IrohLimits::default().with_handshakes_max(4 * self.peers.max(256), 2 * self.peers.max(256));
        let service = bind(limits).await?;
        let listener = service.listen(&protocol()).await?;
        let addr = listener.local_addr();
        tokio::spawn(async move {
            let _service = service;
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
        let mut visits = Vec::new();
        for _ in 0..self.peers {
            let (peer, addr, bytes) = (Arc::new(bind(IrohLimits::default()).await?), addr.clone(), self.bytes);
            visits.push(Arc::new(move || -> BoxFuture<'static, _> {
                Box::pin(visit(peer.clone(), addr.clone(), bytes))
            }) as Visit);
        }
        Ok(visits)
    }

    /// The same of raw iroh.
    async fn raw(&self) -> Result<Vec<Visit>> {
        let service = bind_raw().await?;
        let addr = service.addr();
        tokio::spawn(async move {
            while let Some(incoming) = service.accept().await {
                tokio::spawn(async move {
                    let connection = incoming.await?;
                    while let Ok((mut send, mut recv)) = connection.accept_bi().await {
                        while let Some(chunk) = recv.read_chunk(64 * 1024).await? {
                            send.write_chunk(chunk).await?;
                        }
                        send.finish()?;
                    }
                    Ok::<_, Error>(())
                });
            }
        });
        let mut visits = Vec::new();
        for _ in 0..self.peers {
            let (peer, addr, bytes) = (bind_raw().await?, addr.clone(), self.bytes);
            visits.push(Arc::new(move || -> BoxFuture<'static, _> {
                Box::pin(visit_raw(peer.clone(), addr.clone(), bytes))
            }) as Visit);
        }
        Ok(visits)
    }
}

async fn visit(peer: Arc<IrohP2P>, addr: PeerAddr, bytes: usize) -> Result<()> {
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

async fn visit_raw(peer: Endpoint, addr: iroh::EndpointAddr, bytes: usize) -> Result<()> {
    let connection = peer.connect(addr, ALPN).await?;
    let (mut send, mut recv) = connection.open_bi().await?;
    let write = async {
        send.write_all(&vec![7; bytes]).await?;
        Ok::<_, Error>(send.finish()?)
    };
    let (written, back) = tokio::join!(write, recv.read_to_end(bytes));
    written?;
    assert_eq!(back?.len(), bytes, "everything comes back");
    connection.close(0_u32.into(), b"");
    connection.closed().await;
    Ok(())
}
