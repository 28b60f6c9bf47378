//! `p2pd send` and `p2pd recv`.

use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use p2p::Ticket;
use p2p_providers::Role;

use super::{Running, remote};
use crate::{
    Console, Error,
    cli::{RecvArgs, SendArgs},
    config,
    forward::Offer,
    rule::{Rules, ShareRule, Target},
    stack::GRACE,
    transfer::{Manifest, Progress, receive},
};

pub(super) async fn send(args: SendArgs, console: Console) -> Result<(), Error> {
    let paths = args.paths.clone();
    let manifest = tokio::task::spawn_blocking(move || Manifest::read(&paths)).await;
    let manifest = manifest.map_err(|error| Error::Transfer { problem: error.to_string() })??;
    for path in &manifest.skipped {
        console.line(format_args!("{} {} is no ordinary file.", console.yellow("Left out:"), path.display()));
    }
    let (count, bytes) = (manifest.count(), HumanBytes(manifest.bytes()));
    let mut rule = ShareRule::new(FILES.parse()?, Target::Files(manifest.into()));
    rule.bandwidth = args.bandwidth;
    let config = config::provider("send", Role::Listener, &args.peer)?;
    let running = Running::start(config, Duration::from_secs(10), GRACE, console).await?;
    running
        .until_the_end(async {
            running.apply(Rules { shares: vec![rule], ..Rules::default() }).await?;
            let plural = if count == 1 { "" } else { "s" };
            console.line(format_args!("Offering {count} file{plural}, {bytes}. On the other side, run:\n"));
            console.line(format_args!("  p2pd recv {}\n", console.bold(running.daemon.ticket())));
            console.line("Ctrl-C ends it.");
            running.daemon.run().await;
            Ok(())
        })
        .await
}

pub(super) async fn recv(args: RecvArgs, console: Console) -> Result<(), Error> {
    let offers = Offer::from_ticket(&args.ticket.parse::<Ticket>()?)?;
    if !offers.iter().any(|offer| offer.name.as_str() == FILES) {
        return Err(Error::Transfer { problem: "this ticket is not one of `p2pd send`".to_owned() });
    }
    let remote = remote(&args.ticket)?;
    let config = config::provider("recv", Role::Dialler, &args.peer)?;
    let running = Running::start(config, Duration::ZERO, GRACE, console).await?;
    running
        .until_the_end(async {
            let mut told = Told { console, bar: None };
            let receiving = async {
                let opened = running.daemon.open(remote, FILES.parse()?).await?;
                receive(opened.stream, &args.to, &mut told).await
            };
            let received = p2p::select! {
                received = receiving => received,
                () = running.daemon.shutdown().requested() => return Ok(()),
            };
            told.end();
            let received = received?;
            let before = match received.resumed_bytes {
                0 => String::new(),
                bytes => format!(", {} of them from before", HumanBytes(bytes)),
            };
            let done = console.green("Received");
            console.line(format_args!(
                "{done} {}, {}{before}; each has its BLAKE3.",
                count(received.files),
                HumanBytes(received.bytes)
            ));
            Ok(())
        })
        .await
}

fn count(files: usize) -> String {
    if files == 1 { "1 file".to_owned() } else { format!("{files} files") }
}

/// A bar where somebody watches, and a line for each file.
struct Told {
    console: Console,
    bar: Option<ProgressBar>,
}

impl Told {
    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Told {
    fn begin(&mut self, files: usize, bytes: u64) {
        self.console.line(format_args!("Receiving {}, {}.", count(files), HumanBytes(bytes)));
        if self.console.is_watched() {
            let style = ProgressStyle::with_template(TEMPLATE).expect("the template is well formed");
            self.bar = Some(ProgressBar::new(bytes).with_style(style.progress_chars("━╸ ")));
        }
    }

    fn advance(&mut self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
        }
    }

    fn complete(&mut self, name: &str, bytes: u64) {
        let line = format!("  {} {name}  {}", self.console.green("✔"), HumanBytes(bytes));
        match &self.bar {
            Some(bar) => bar.suspend(|| self.console.line(&line)),
            None => self.console.line(&line),
        }
    }
}

const TEMPLATE: &str = "  {bar:30} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";

/// What the service is called.
const FILES: &str = "files";
