//! What fails in the middle of a download, and what becomes of the download.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use p2p::Path;
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::{
    fetch::fetch,
    ground::Ground,
    report::{Progress, Report},
    scene::Scene,
    service::SLOW_FILE,
    tour::{compare, connected},
};
use crate::{Error, console::duration, forward::LinkState};

/// Downloads the file once more, and meanwhile takes away what carries it, for a while.
pub(super) async fn recover(scene: &mut Scene, ground: &mut Ground, report: Report) -> Result<(), Error> {
    report.heading("Failure and recovery: what carries a download is gone in the middle of it");
    let (addr, link) = scene.cuttable(ground, report).await?;
    let first = connected(link).await?;
    if scene.carol.is_some() {
        let by = first.path.map(|path| format!(", {path}")).unwrap_or_default();
        report.done("connect", format_args!("in {}{by}", duration(first.took)));
    }

    let service = &scene.service;
    let mib = service.file_bytes() / (1024 * 1024);
    let losses_before = scene.sufferer().stack.reconnect.totals().losses;
    let (arrivals, progress) = (Arrivals::new(service.file_bytes() / 4), report.progress(service.file_bytes()));
    let download = async {
        let note = |bytes| {
            progress.advance(bytes);
            arrivals.note(bytes);
        };
        let file = fetch(addr, SLOW_FILE, note).await;
        file.map_err(|error| Error::demo("going on with the download after the failure", error))
    };
    let failure = fail(scene, ground, &arrivals, &progress, report);
    let (file, back) = tokio::try_join!(download, failure)?;
    progress.end();

    let gap = arrivals.gap.get();
    if gap < OUTAGE / 2 {
        let what = format!("no {} went by without bytes", duration(OUTAGE / 2));
        return Err(Error::demo("failing in the middle of a download", what));
    }
    let after = arrivals.back_at.get().map_or(Duration::ZERO, |at| at.saturating_duration_since(back));
    let lost = scene.sufferer().stack.reconnect.totals().losses > losses_before;
    let underneath = if lost { "on a new connection underneath" } else { "on the connection that was there" };
    let what = "the download went on by itself";
    report.done("recovery", format_args!("{what}, {} after that, {underneath}", duration(after)));
    report.done("gap", format_args!("{} without a byte, which is all that a user notices", duration(gap)));
    report.done("file", format_args!("{mib} MiB in {}, of one request that was never broken off", duration(file.took)));
    let who = if scene.carol.is_some() { "Carol" } else { "Bob" };
    compare(who, &file, service, report)
}

/// Once a part of the file has arrived: the failure, and its end. Says when that was.
async fn fail(
    scene: &Scene,
    ground: &mut Ground,
    arrivals: &Arrivals,
    progress: &Progress,
    report: Report,
) -> Result<Instant, Error> {
    arrivals.enough.notified().await;
    let (bytes, of) = (arrivals.bytes.get(), arrivals.bytes_all());
    arrivals.watch_gap();
    let cut = Instant::now();
    let what = ground.cut().await;
    let mib = |bytes: u64| format!("{:.1}", bytes as f64 / (1024.0 * 1024.0));
    let during = format!("{} of {} MiB into the download", mib(bytes), mib(of));
    progress.while_it_goes_on(|| report.done("failure", format_args!("{what}, {during}")));
    scene.service.send_second_half();

    unmoved(scene, progress, report).await?;
    sleep(OUTAGE.saturating_sub(cut.elapsed())).await;
    let what = ground.mend().await?;
    let back = Instant::now();
    let later = duration(back - cut);
    progress.while_it_goes_on(|| report.done("repair", format_args!("{what}, {later} later")));
    Ok(back)
}

/// Whoever has a direct path does not need what is gone.
async fn unmoved(scene: &Scene, progress: &Progress, report: Report) -> Result<(), Error> {
    let direct = scene.link.read(|link| match link {
        LinkState::Up { connection, .. } => connection.read(|state| state.path().is_some_and(Path::is_direct)),
        _ => false,
    });
    if scene.carol.is_none() || !direct {
        return Ok(());
    }
    let page = fetch(scene.local_addr, "/", |_| {});
    let failed = |error| Error::demo("fetching the page without the relay", error);
    let page = timeout(UNMOVED, page).await.map_err(|error| failed(error.into()))?.map_err(failed)?;
    let (title, took) = (page.title(), duration(page.took));
    progress.while_it_goes_on(|| {
        report.done("bob", format_args!("notices nothing on his direct path: {title:?} in {took}"))
    });
    Ok(())
}

/// When bytes arrive.
struct Arrivals {
    bytes: Cell<u64>,
    enough_at: u64,
    /// Told when there are that many.
    enough: Notify,
    last: Cell<Instant>,
    watched: Cell<bool>,
    /// The longest time without any, since it is watched.
    gap: Cell<Duration>,
    /// The end of that.
    back_at: Cell<Option<Instant>>,
}

impl Arrivals {
    fn new(enough_at: u64) -> Self {
        Self {
            bytes: Cell::new(0),
            enough_at,
            enough: Notify::new(),
            last: Cell::new(Instant::now()),
            watched: Cell::new(false),
            gap: Cell::new(Duration::ZERO),
            back_at: Cell::new(None),
        }
    }

    const fn bytes_all(&self) -> u64 {
        self.enough_at * 4
    }

    fn note(&self, bytes: u64) {
        let now = Instant::now();
        let gap = now - self.last.replace(now);
        if self.watched.get() && gap > self.gap.get() {
            self.gap.set(gap);
            self.back_at.set(Some(now));
        }
        let before = self.bytes.replace(self.bytes.get() + bytes);
        if before < self.enough_at && before + bytes >= self.enough_at {
            self.enough.notify_one();
        }
    }

    fn watch_gap(&self) {
        self.watched.set(true);
    }
}

/// How long what carries the download is away. Longer than any hiccup, and no strain on a viewer's patience.
const OUTAGE: Duration = Duration::from_secs(1);

/// How long a page may take that takes milliseconds.
const UNMOVED: Duration = Duration::from_secs(10);
