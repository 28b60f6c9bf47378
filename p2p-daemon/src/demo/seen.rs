//! What an operator sees of it: the page, `p2pd status`, the metrics.

use super::{
    fetch::{Fetched, fetch},
    report::Report,
    scene::Scene,
};
use crate::{
    Error,
    ask::{State, bytes},
    console::duration,
};

/// Asks the daemon of whoever had the failure, as a browser, `p2pd status` and Prometheus would.
pub(super) async fn look(scene: &Scene, report: Report) -> Result<(), Error> {
    let peer = scene.sufferer();
    let (url, name) = (peer.admin.url(), peer.name);
    report.heading("What an operator sees of it");

    let page = get(&url, "/").await?;
    let shows = "peers and their paths, round trips, throughput, rules, events";
    report.done("page", format_args!("{:?} at {url}/ of {name}: {shows}", page.title()));

    let status = get(&url, "/status.json").await?;
    let state = State::parse(status.text().as_bytes()).map_err(|problem| Error::demo("reading the status", problem))?;
    report.done("status", format_args!("{url}/status.json, or as `p2pd status` shows it:"));
    report.status(&state);

    let metrics = get(&url, "/metrics").await?;
    let text = metrics.text();
    let names = text.lines().filter(|line| line.starts_with("# TYPE")).count();
    let what =
        format_args!("{url}/metrics: {} of {names} names in {}, such as", bytes(metrics.bytes), duration(metrics.took));
    report.done("metrics", what);
    let moved = |line: &&str| SHOWN.iter().any(|shown| line.starts_with(shown)) && !line.ends_with(" 0");
    let mut shown: Vec<_> = text.lines().filter(moved).collect();
    shown.sort_unstable();
    shown.iter().for_each(|line| report.more(line));
    Ok(())
}

async fn get(url: &str, path: &str) -> Result<Fetched, Error> {
    let failed = |error| Error::demo(format!("asking {url}{path}"), error);
    let addr = url.trim_start_matches("http://").parse().expect("the admin interface has an address");
    fetch(addr, path, |_| {}).await.map_err(failed)
}

/// What to look for in the metrics first.
const SHOWN: [&str; 4] =
    ["p2p_forward_bytes_total{", "p2p_forward_streams_opened_total{", "p2p_connections{", "p2p_path_changes_total{"];
