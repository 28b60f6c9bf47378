//! What is measured, and what it should reach.

use std::time::{Duration, Instant};

use benches::summary::quantile;
use bytes::Bytes;
use tokio::try_join;

use crate::{Error, Result, contestant::Contestant};

/// One row group of the table.
#[derive(Debug)]
pub(crate) struct Measure {
    /// As `--only` takes it.
    pub(crate) name: &'static str,
    /// What it counts.
    pub(crate) what: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) workload: Workload,
    /// Of `p2p-iroh`'s ratio to raw iroh's.
    pub(crate) target: Option<Target>,
    /// Of the full stack's ratio to `p2p-iroh`'s.
    pub(crate) stack_target: Option<Target>,
}

/// What a ratio should be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    pub(crate) fn is_met(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(least) => ratio >= least,
            Self::AtMost(most) => ratio <= most,
        }
    }
}

/// All there are, in the table's order.
pub(crate) const ALL: &[Measure] = &[
    Measure {
        name: "bulk",
        what: "bytes on one stream, in 64 KiB chunks",
        unit: "MiB/s",
        workload: Workload::Bulk,
        target: Some(Target::AtLeast(0.90)),
        stack_target: Some(Target::AtLeast(0.95)),
    },
    Measure {
        name: "round-trip-p50",
        what: "64 B there and back, the median",
        unit: "µs",
        workload: Workload::RoundTrips,
        target: Some(Target::AtMost(1.15)),
        stack_target: None,
    },
    Measure {
        name: "round-trip-p99",
        what: "64 B there and back, the slowest of a hundred",
        unit: "µs",
        workload: Workload::RoundTrips,
        target: None,
        stack_target: None,
    },
    Measure {
        name: "messages",
        what: "64 B messages; raw sides write each by itself",
        unit: "k/s",
        workload: Workload::Messages,
        target: Some(Target::AtLeast(1.0)),
        stack_target: None,
    },
    Measure {
        name: "messages-together",
        what: "64 B messages; raw sides write 16 KiB of them at once",
        unit: "k/s",
        workload: Workload::MessagesTogether,
        target: None,
        stack_target: None,
    },
    Measure {
        name: "datagrams",
        what: "64 B datagrams that arrived",
        unit: "k/s",
        workload: Workload::Datagrams,
        target: None,
        stack_target: None,
    },
    Measure {
        name: "connects",
        what: "connections made, one after the other",
        unit: "/s",
        workload: Workload::Connects,
        target: None,
        stack_target: None,
    },
];

/// What is run for one sample of one measure, or of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    Bulk,
    RoundTrips,
    Messages,
    MessagesTogether,
    Datagrams,
    Connects,
}

impl Workload {
    pub(crate) const ALL: [Self; 6] =
        [Self::Bulk, Self::RoundTrips, Self::Messages, Self::MessagesTogether, Self::Datagrams, Self::Connects];

    /// Takes a sample of each of its measures, on a connection of its own.
    pub(crate) async fn run(self, contestant: &dyn Contestant) -> Result<Vec<(&'static str, f64)>> {
        if self == Self::Connects {
            return Ok(vec![("connects", connects(contestant).await?)]);
        }
        let (ours, theirs) = contestant.connect().await?;
        let message = Bytes::from_static(&[7; MESSAGE_BYTES]);
        let samples = match self {
            Self::Bulk => {
                let writer = tokio::spawn(async move { ours.write(vec![7; CHUNK_BYTES].into()).await });
                let took = theirs.read(BULK_BYTES / 8, BULK_BYTES).await?;
                theirs.close();
                // That it could not go on is how it ends.
                writer.await?.ok();
                vec![("bulk", BULK_BYTES as f64 / (1024.0 * 1024.0) / took.as_secs_f64())]
            }
            Self::RoundTrips => {
                let times = ROUND_TRIPS / 8 + ROUND_TRIPS;
                let answerer = tokio::spawn(async move { theirs.answer(MESSAGE_BYTES, times).await.map(|()| theirs) });
                let all = ours.ask(message, times).await?;
                ours.close();
                answerer.await??;
                let mut micros: Vec<f64> = all[times - ROUND_TRIPS..].iter().map(micros).collect();
                micros.sort_by(f64::total_cmp);
                vec![("round-trip-p50", quantile(&micros, 0.5)), ("round-trip-p99", quantile(&micros, 0.99))]
            }
            Self::Messages | Self::MessagesTogether => {
                let sender = tokio::spawn(async move {
                    match self {
                        Self::Messages => ours.send(message, MESSAGES / 8 + MESSAGES).await?,
                        _ => ours.send_together(message, MESSAGES / 8 + MESSAGES).await?,
                    }
                    Ok::<_, Error>(ours)
                });
                let (took, ours) = try_join!(theirs.receive(MESSAGES / 8, MESSAGES), async { sender.await? })?;
                ours.close();
                let name = if self == Self::Messages { "messages" } else { "messages-together" };
                vec![(name, MESSAGES as f64 / 1000.0 / took.as_secs_f64())]
            }
            Self::Datagrams => {
                let sender = tokio::spawn(async move { ours.send_datagrams(message).await });
                let took = theirs.receive_datagrams(DATAGRAMS / 8, DATAGRAMS).await?;
                theirs.close();
                sender.await?.ok();
                vec![("datagrams", DATAGRAMS as f64 / 1000.0 / took.as_secs_f64())]
            }
            Self::Connects => unreachable!("returned above"),
        };
        Ok(samples)
    }
}

async fn connects(contestant: &dyn Contestant) -> Result<f64> {
    let mut spent = Duration::ZERO;
    for _ in 0..CONNECTS {
        let start = Instant::now();
        let (ours, _theirs) = contestant.connect().await?;
        spent += start.elapsed();
        ours.close();
    }
    Ok(f64::from(CONNECTS) / spent.as_secs_f64())
}

fn micros(took: &Duration) -> f64 {
    took.as_secs_f64() * 1e6
}

// About half a second a sample, of which an eighth more goes before it to warm the connection up.
const BULK_BYTES: usize = 192 * 1024 * 1024;
const ROUND_TRIPS: usize = 8_000;
const MESSAGES: usize = 1_000_000;
const DATAGRAMS: usize = 400_000;
const CONNECTS: u32 = 100;

const MESSAGE_BYTES: usize = 64;
const CHUNK_BYTES: usize = 64 * 1024;
