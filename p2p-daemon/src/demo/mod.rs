//! `p2pd demo`: everything on one machine, with no network and no configuration.
//!
//! Alice has a service and shares it; Bob reaches it at an address of his own. Both are whole peers with their own
//! provider, metrics and health checks, and speak with each other as two machines would: over iroh by way of an embedded
//! relay first and directly as soon as that works, or over the simulator's network.
//!
//! # Map
//! - `scene`: all that runs. `report`: how it is told. What is tried and told: `tour`; a failure in the middle of a
//!   download, `recovery`; what an operator sees of it, `seen`.
//! - `ground`: what lies between Alice and Bob. `relay`: the embedded relay, where iroh is built in.
//! - `service`: what Alice shares. `fetch`: what Bob downloads.

mod fetch;
mod ground;
mod recovery;
#[cfg(feature = "p2p-iroh")]
mod relay;
mod report;
mod scene;
mod seen;
mod service;
mod tour;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use p2p_providers::{ProviderConfig, Role};

use self::{ground::Ground, recovery::recover, report::Report, scene::Scene, seen::look, tour::tour};
use crate::{Console, Error, Shutdown, cli::DemoArgs, command::on_signals};

/// Runs the demonstration, and with `--stay` goes on until Ctrl-C.
///
/// # Errors
/// [`Error::Demo`] names the step that did not work.
pub async fn demo(args: DemoArgs, console: Console) -> Result<(), Error> {
    let config = ProviderConfig::from_env(Role::Dialler)?;
    let shutdown = on_signals(DRAIN, console)?;
    let report = Report::begin(console);
    let mut ground = Ground::prepare(config).await?;
    let result = p2p::select! {
        result = play(&args, &mut ground, &shutdown, report) => result,
        () = shutdown.requested() => Ok(()),
    };
    ground.end().await;
    result
}

async fn play(args: &DemoArgs, ground: &mut Ground, shutdown: &Shutdown, report: Report) -> Result<(), Error> {
    let mut scene = Scene::set(args.file_mib, ground, shutdown, report).await?;
    tour(&scene, report).await?;
    recover(&mut scene, ground, report).await?;
    look(&scene, report).await?;
    if args.stay {
        scene.say_urls(report);
        std::future::pending().await
    } else {
        say_next(report);
        Ok(())
    }
}

fn say_next(report: Report) {
    report.line("\n  The same between two machines:");
    report.command("p2pd share tcp://127.0.0.1:8080", "where the service is; prints a ticket");
    report.command("p2pd connect TICKET --listen 127.0.0.1:9000", "where it is wanted");
}

/// Any free port that nobody outside this machine reaches.
const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// For what is open at Ctrl-C: nobody depends on it.
const DRAIN: Duration = Duration::ZERO;
