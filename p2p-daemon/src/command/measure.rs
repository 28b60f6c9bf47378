//! `p2pd ping` and `p2pd bench`.

use std::{convert::Infallible, time::Duration};

use p2p::chain;
use p2p_providers::{Role, process_vars};
use serde::Serialize;
use tokio::time::{Instant, sleep_until, timeout};

use super::Running;
use crate::{
    Console, Error, Shutdown,
    ask::rate,
    cli::{BenchArgs, MeasuredArgs, PingArgs},
    config::{self, Config, Flags, default_config_file},
    console::{duration, short},
    forward::{Failure, Offer, ServiceName},
    measure::{Probe, Rate},
    rule::Remote,
    stack::GRACE,
};

pub(super) async fn ping(args: PingArgs, console: Console) -> Result<(), Error> {
    with_probe("ping", &args.measured, async |probe, ending| pings(&probe, &args, &ending, console).await).await
}

pub(super) async fn bench(args: BenchArgs, console: Console) -> Result<(), Error> {
    with_probe("bench", &args.measured, async |probe, ending| {
        p2p::select! {
            result = benchmark(&probe, &args, console) => result,
            () = ending.requested() => Ok(()),
        }
    })
    .await
}

/// Connects with the peer, and measures.
async fn with_probe(
    command: &'static str,
    args: &MeasuredArgs,
    measure: impl AsyncFnOnce(Probe, Shutdown) -> Result<(), Error>,
) -> Result<(), Error> {
    let (remote, service) = whom(args)?;
    let peer = remote.addr.peer;
    let config = config::provider(command, Role::Dialler, &args.peer_args)?;
    let running = Running::start(config, Duration::ZERO, GRACE, Console::silent()).await?;
    running
        .until_the_end(async {
            let ending = running.daemon.shutdown().clone();
            let dialled = p2p::select! {
                dialled = timeout(CONNECT, running.daemon.dial(remote)) => match dialled {
                    Ok(dialled) => dialled?,
                    Err(_) => {
                        let problem = format!("peer {} was not reached within {} s", short(peer), CONNECT.as_secs());
                        return Err(Error::Measure { problem });
                    }
                },
                () = ending.requested() => return Ok(()),
            };
            measure(Probe::new(dialled.session.clone(), service), ending).await
        })
        .await
}

/// Who is meant: a ticket says it; a name or an id is looked up as `p2pd up` would.
fn whom(args: &MeasuredArgs) -> Result<(Remote, ServiceName), Error> {
    let file = match &args.config {
        Some(path) => Some(path.clone()),
        None => default_config_file().ok().filter(|path| path.exists()),
    };
    let config = Config::load(file.as_deref(), process_vars(), &Flags::default())?;
    let (remote, offers) = config.peer(&args.peer)?;
    let offer = Offer::choose(&offers, args.service.as_ref())?;
    Ok((remote, offer.name))
}

/// What `p2pd ping --json` prints at its end.
#[derive(Debug, Serialize)]
struct Pinged {
    path: Option<String>,
    answers: u64,
    rtt_seconds: Option<Spread>,
    packets_sent: Option<u64>,
    packets_lost: Option<u64>,
}

async fn pings(probe: &Probe, args: &PingArgs, ending: &Shutdown, console: Console) -> Result<(), Error> {
    let quiet = if args.json { Console::silent() } else { console };
    let (began, mut trips, mut at) = (probe.stats(), Vec::new(), Instant::now());
    let mut echo = probe.echo().await.map_err(broke)?;
    let mut asked_on_stream = Instant::now();
    for number in 1..=args.count {
        // A peer takes part for a minute only.
        if asked_on_stream.elapsed() > crate::measure::LONGEST / 2 {
            (echo, asked_on_stream) = (probe.echo().await.map_err(broke)?, Instant::now());
        }
        let trip = p2p::select! {
            trip = in_time(echo.round_trip()) => trip?,
            () = ending.requested() => break,
        };
        trips.push(trip);
        quiet.line(format_args!("{number:>4}  {}  {}", duration(trip), path(probe)));
        at += args.interval;
        if number < args.count {
            p2p::select! {
                () = sleep_until(at) => {}
                () = ending.requested() => break,
            }
        }
    }
    let now = probe.stats();
    let since = |now: Option<u64>, before: Option<u64>| Some(now?.saturating_sub(before.unwrap_or(0)));
    let pinged = Pinged {
        path: probe.path().map(|path| path.to_string()),
        answers: trips.len() as u64,
        rtt_seconds: Spread::of(trips),
        packets_sent: since(now.packets_sent, began.packets_sent),
        packets_lost: since(now.packets_lost, began.packets_lost),
    };
    if args.json {
        say_json(&pinged, console);
        return Ok(());
    }
    if let Some(spread) = &pinged.rtt_seconds {
        console.line(format_args!("\n{} round trips: {spread}", pinged.answers));
    }
    if let (Some(sent), Some(lost)) = (pinged.packets_sent, pinged.packets_lost) {
        let percent = 100.0 * lost as f64 / sent.max(1) as f64;
        console.line(format_args!("{lost} of {sent} packets sent were lost, {percent:.1} %"));
    }
    Ok(())
}

/// What `p2pd bench --json` prints.
#[derive(Debug, Serialize)]
struct Benchmarked {
    path: Option<String>,
    rtt_seconds: Option<Spread>,
    up: Rate,
    down: Rate,
    rtt_loaded_seconds: Option<Spread>,
    packets_sent: Option<u64>,
    packets_lost: Option<u64>,
}

async fn benchmark(probe: &Probe, args: &BenchArgs, console: Console) -> Result<(), Error> {
    let quiet = if args.json { Console::silent() } else { console };
    let idle = round_trips(probe, TRIPS).await?;
    if let Some(idle) = &idle {
        quiet.line(format_args!("latency    {idle}"));
    }
    let up = probe.upload(args.seconds).await.map_err(broke)?;
    quiet.line(format_args!("up         {}", rate(up.bytes_per_second)));
    let mut trips = Vec::new();
    let down = p2p::select! {
        down = probe.download(args.seconds) => down.map_err(broke)?,
        never = keep_asking(probe, &mut trips) => match never {},
    };
    let loaded = Spread::of(trips);
    quiet.line(format_args!("down       {}", rate(down.bytes_per_second)));
    if let Some(loaded) = &loaded {
        quiet.line(format_args!("meanwhile  {loaded}"));
    }
    let stats = probe.stats();
    let result = Benchmarked {
        path: probe.path().map(|path| path.to_string()),
        rtt_seconds: idle,
        up,
        down,
        rtt_loaded_seconds: loaded,
        packets_sent: stats.packets_sent,
        packets_lost: stats.packets_lost,
    };
    match args.json {
        true => say_json(&result, console),
        false => {
            let loss = stats.loss_ratio().map(|ratio| format!(", {:.2} % of packets lost", 100.0 * ratio));
            console.line(format_args!("path       {}{}", path(probe), loss.unwrap_or_default()));
        }
    }
    Ok(())
}

async fn round_trips(probe: &Probe, count: usize) -> Result<Option<Spread>, Error> {
    let mut echo = probe.echo().await.map_err(broke)?;
    let mut trips = Vec::with_capacity(count);
    for _ in 0..count {
        trips.push(in_time(echo.round_trip()).await?);
    }
    Ok(Spread::of(trips))
}

/// A round trip, for which a peer has [`PATIENCE`].
async fn in_time(trip: impl Future<Output = Result<Duration, Failure>>) -> Result<Duration, Error> {
    let late = |_| Error::Measure { problem: format!("the peer did not answer within {} s", PATIENCE.as_secs()) };
    timeout(PATIENCE, trip).await.map_err(late)?.map_err(broke)
}

/// Collects round trips, one after another, until it is dropped.
async fn keep_asking(probe: &Probe, trips: &mut Vec<Duration>) -> Infallible {
    if let Ok(mut echo) = probe.echo().await {
        while let Ok(trip) = echo.round_trip().await {
            if trips.len() < TRIPS_MAX {
                trips.push(trip);
            }
        }
    }
    std::future::pending().await
}

/// Round trips, in seconds.
#[derive(Debug, Clone, Copy, Serialize)]
struct Spread {
    min: f64,
    median: f64,
    p95: f64,
    max: f64,
}

impl Spread {
    fn of(mut trips: Vec<Duration>) -> Option<Self> {
        trips.sort_unstable();
        let at = |percent: usize| trips.get(trips.len().saturating_sub(1) * percent / 100).map(Duration::as_secs_f64);
        Some(Self { min: at(0)?, median: at(50)?, p95: at(95)?, max: at(100)? })
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |seconds| duration(Duration::from_secs_f64(seconds));
        let (min, median, p95, max) = (text(self.min), text(self.median), text(self.p95), text(self.max));
        write!(f, "min {min}, median {median}, 95 % {p95}, max {max}")
    }
}

fn path(probe: &Probe) -> String {
    probe.path().map(|path| path.to_string()).unwrap_or_else(|| "no path for now".to_owned())
}

fn say_json(value: &impl Serialize, console: Console) {
    console.line(serde_json::to_string_pretty(value).expect("it is plain data"));
}

fn broke(failure: Failure) -> Error {
    let problem = match failure {
        Failure::Peer(Some(code)) => format!("the peer measures nothing: {code}"),
        failure => format!("the measurement broke off: {}", chain(&failure)),
    };
    Error::Measure { problem }
}

/// How long a peer may take to be reached.
const CONNECT: Duration = Duration::from_secs(30);

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Round trips that say what a path's latency is.
const TRIPS: usize = 50;

/// Round trips under load that are kept.
const TRIPS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_says_the_middle_and_the_ends() {
        let spread = Spread::of((1..=100).rev().map(Duration::from_millis).collect()).unwrap();
        assert_eq!(spread.to_string(), "min 1.0 ms, median 50.0 ms, 95 % 95.0 ms, max 100 ms");
        assert!(Spread::of(Vec::new()).is_none());
    }
}
