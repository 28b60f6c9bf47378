//! What is tried first, and told: a forward, and what goes through it.

use std::time::{Duration, Instant};

use p2p::{ConnectionState, Path, Watch};
use tokio::time::timeout;

use super::{
    fetch::{Fetched, fetch},
    report::Report,
    scene::Scene,
    service::Service,
};
use crate::{Error, console::duration, forward::LinkState};

/// Waits for Bob to reach Alice, and downloads what she shares.
pub(super) async fn tour(scene: &Scene, report: Report) -> Result<(), Error> {
    report.heading("Forward: Bob uses Alice's service at an address of his own");
    let First { connection, path, took } = connected(scene.link.clone()).await?;
    // Beside the page, so that the time is that of the change and not of a look afterwards.
    let upgrade = tokio::spawn(upgraded(connection, Instant::now()));
    let at_once = path.as_ref().is_some_and(Path::is_direct);
    let by = match path {
        Some(_) if at_once && scene.begins_relayed => ", through the relay".to_owned(),
        path => path.map(|path| format!(", {path}")).unwrap_or_default(),
    };
    report.done("connect", format_args!("in {}{by}", duration(took)));

    let page = fetch(scene.local_addr, "/", |_| {}).await.map_err(|error| Error::demo("fetching the page", error))?;
    report.done("page", format_args!("{:?} in {}", page.title(), duration(page.took)));

    if scene.begins_relayed {
        match upgrade.await.ok().flatten() {
            Some((path, _)) if at_once => report.done("path", format_args!("{path}, found during the handshake")),
            Some((path, after)) => report.done("path", format_args!("{path}, found {} later", duration(after))),
            None => report.skipped("path", "no direct one was found; the relay goes on carrying it all"),
        }
    }
    download(scene, report).await
}

async fn download(scene: &Scene, report: Report) -> Result<(), Error> {
    let service = &scene.service;
    let progress = report.progress(service.file_bytes());
    let file = fetch(scene.local_addr, "/file", |bytes| progress.advance(bytes)).await;
    progress.end();
    let file = file.map_err(|error| Error::demo("downloading the file", error))?;
    let mib = service.file_bytes() / (1024 * 1024);
    report.done("file", format_args!("{mib} MiB in {}, {}", duration(file.took), file.throughput()));

    compare("Bob", &file, service, report)
}

/// Compares what was downloaded with what Alice has.
pub(super) fn compare(who: &str, file: &Fetched, service: &Service, report: Report) -> Result<(), Error> {
    let hash = file.hash.to_hex();
    if (file.bytes, file.hash) != (service.file_bytes(), service.file_hash()) {
        let what = format!("{who}'s has {} bytes and the checksum {hash}", file.bytes);
        return Err(Error::demo("comparing the file with Alice's", what));
    }
    report.done("checksum", format_args!("blake3 {}…, the same on both sides", &hash[..16]));
    Ok(())
}

/// How somebody reached Alice.
pub(super) struct First {
    connection: Watch<ConnectionState>,
    pub(super) path: Option<Path>,
    pub(super) took: Duration,
}

pub(super) async fn connected(mut link: Watch<LinkState>) -> Result<First, Error> {
    let up = link.wait_for(|state| matches!(state, LinkState::Up { .. }));
    match timeout(CONNECT, up).await {
        Ok(Ok(LinkState::Up { connection, path, took })) => Ok(First { connection, path, took }),
        _ => {
            let problem = link.read(LinkState::problem).unwrap_or_else(|| "the connection ended at once".to_owned());
            Err(Error::demo(format!("connecting did not succeed within {} s", CONNECT.as_secs()), problem))
        }
    }
}

/// Waits for a direct path, and says when it came.
async fn upgraded(mut connection: Watch<ConnectionState>, since: Instant) -> Option<(Path, Duration)> {
    let direct = connection.wait_for(|state| state.path().is_some_and(Path::is_direct));
    let state = timeout(UPGRADE, direct).await.ok()?.ok()?;
    state.path().map(|path| (path.clone(), since.elapsed()))
}

/// How long somebody may take to reach Alice.
const CONNECT: Duration = Duration::from_secs(20);

/// How long a direct path may take. On loopback it takes a fraction of a second.
const UPGRADE: Duration = Duration::from_secs(10);
