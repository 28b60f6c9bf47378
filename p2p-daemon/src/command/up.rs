//! `p2pd up`.

use std::path::PathBuf;

use p2p::{P2PProvider, chain};
use p2p_providers::{Role, process_vars};
use tracing::{info, warn};

use super::{Running, say_admin};
use crate::{
    Console, Daemon, Error,
    admin::Controls,
    cli::UpArgs,
    config::{ADMIN_PORT_SHARE, Config, Flags, Watcher, admin, default_config_file},
    console::short,
    notify::Manager,
    reload::{Reloaded, Reloader},
};

pub(super) async fn up(args: UpArgs, console: Console) -> Result<(), Error> {
    let file = file(args.config.clone())?;
    let flags = flags(&args);
    let config = Config::load(Some(&file), process_vars(), &flags)?;
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let rules = config.rules()?;
    let provider = config.provider(Role::Listener)?;
    provider.implementation.require_other_processes().map_err(|_| Error::Unsupported {
        command: "up",
        problem: "needs a network between processes: set network.implementation to iroh".to_owned(),
    })?;
    let settings = config.settings.daemon.clone();
    let admin_addr = config.admin()?;

    let running = Running::start(provider, settings.drain, settings.grace, console).await?;
    running
        .until_the_end(async {
            running.apply(rules).await?;
            let reloader = Reloader::new(running.daemon.clone(), file.clone(), flags, &config);
            let manager = Manager::of_process();
            let admin = running.admin(admin(admin_addr, ADMIN_PORT_SHARE), controls(&reloader, &manager)).await?;
            say(&running.daemon, &file, console);
            say_admin(admin.as_ref(), console);
            console.line("Ctrl-C ends it.");
            let status = running.daemon.status();
            info!(peer = %status.peer, file = %file.display(), rules = status.rules.len(), "Running.");
            // From here on a SIGHUP reloads; before READY=1, so that one sent right after it does not end the process.
            let hangup = Hangup::new()?;
            let watcher = settings.watch.then(|| Watcher::new(&file));
            let told = manager.follow(&running.daemon);
            p2p::select! {
                _ = running.daemon.run() => {
                    // That it is ending may be said no sooner than it has ended, but is said.
                    if let Some(told) = told {
                        told.await.ok();
                    }
                    Ok(())
                }
                never = reload_when_told(reloader, watcher, hangup, manager, console) => never,
            }
        })
        .await
}

/// The file that was named, or the one at its usual place.
pub(super) fn file(given: Option<PathBuf>) -> Result<PathBuf, Error> {
    given.map_or_else(default_config_file, Ok)
}

fn flags(args: &UpArgs) -> Flags {
    Flags::default()
        .with("network.listen_port", "--port", args.port)
        .with("network.key_file", "--key-file", args.key_file.as_ref().map(|path| path.display()))
        .with("daemon.admin", "--admin", args.admin.as_ref())
        .with("daemon.drain", "--drain", args.drain.map(|drain| drain.as_secs_f64()))
        .with("daemon.grace", "--grace", args.grace.map(|grace| grace.as_secs_f64()))
}

fn say(daemon: &Daemon, file: &std::path::Path, console: Console) {
    let peer = short(daemon.provider().local_peer_id());
    console.line(format_args!("Running {}; this is peer {peer}.", file.display()));
    let status = daemon.status();
    for rule in &status.rules {
        let arrow = if rule.kind == "share" { "←" } else { "→" };
        console.line(format_args!("  {:<8}{} {arrow} {}", console.bold(rule.kind), rule.from, rule.to));
    }
    if status.rules.is_empty() {
        console.line("  There are no rules yet: add [[share]] or [[connect]] to the file.");
    }
    if status.rules.iter().any(|rule| rule.kind == "share") {
        console.line(format_args!("\nThe ticket for peers:\n\n  {}\n", console.bold(daemon.ticket())));
    }
}

/// `POST /reload` does what a SIGHUP does.
fn controls(reloader: &Reloader, manager: &Manager) -> Controls {
    let (reloader, manager) = (reloader.clone(), manager.clone());
    Controls::default().with_reload(move || {
        let (reloader, manager) = (reloader.clone(), manager.clone());
        async move {
            reload(&reloader, &manager)
                .await
                .map(|reloaded| reloaded.to_string())
                .map_err(|error| chain(&error).to_string())
        }
    })
}

async fn reload(reloader: &Reloader, manager: &Manager) -> Result<Reloaded, Error> {
    manager.reloading();
    let result = reloader.reload().await;
    manager.ready();
    result
}

/// Takes the file again at each SIGHUP and whenever it has changed. Never ends.
async fn reload_when_told(
    reloader: Reloader,
    mut watcher: Option<Watcher>,
    mut hangup: Hangup,
    manager: Manager,
    console: Console,
) -> Result<(), Error> {
    loop {
        p2p::select! {
            () = hangup.recv() => {}
            () = changed(&mut watcher) => {}
        }
        match reload(&reloader, &manager).await {
            Ok(reloaded) => {
                console.line(format_args!("{} {reloaded}.", console.green("Reloaded:")));
                info!(applied = %reloaded.applied, "The configuration was read again.");
            }
            Err(error) => {
                let kept = console.yellow("Not reloaded, everything stays as it was:");
                console.line(format_args!("{kept} {}", chain(&error)));
            }
        }
    }
}

async fn changed(watcher: &mut Option<Watcher>) {
    match watcher {
        Some(watcher) => watcher.changed().await,
        None => std::future::pending().await,
    }
}

#[cfg(unix)]
struct Hangup(tokio::signal::unix::Signal);

#[cfg(unix)]
impl Hangup {
    fn new() -> Result<Self, Error> {
        use tokio::signal::unix::{SignalKind, signal};
        let signal = signal(SignalKind::hangup());
        signal.map(Self).map_err(|source| Error::System { what: "to handle signals", source })
    }

    async fn recv(&mut self) {
        self.0.recv().await;
    }
}

#[cfg(not(unix))]
struct Hangup;

#[cfg(not(unix))]
impl Hangup {
    fn new() -> Result<Self, Error> {
        Ok(Self)
    }

    async fn recv(&mut self) {
        std::future::pending().await
    }
}
