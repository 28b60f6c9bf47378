//! Every pair of NATs: dialled through the relay, direct where the table says so, and intact either way.

use std::time::Duration;

use anyhow::Result;

use crate::{
    expectation::{Expectation, PathKind, expectations},
    figures::Figures,
    pair::Pair,
    runner::Scenario,
};

const TRANSFER_BYTES: usize = 10 * 1024 * 1024;
const TRANSFER_MAX: Duration = Duration::from_secs(30);

pub(super) fn all() -> Vec<Scenario> {
    let scenario = |cell: Expectation| {
        let Expectation { dialler, acceptor, path } = cell;
        let verb = match path {
            PathKind::Direct => "becomes",
            PathKind::Relayed => "stays",
        };
        let name = format!("matrix::{dialler}_to_{acceptor}_{verb}_{path}");
        Scenario::new(name, move || meets(cell))
    };
    expectations().into_iter().map(scenario).collect()
}

async fn meets(cell: Expectation) -> Result<Figures> {
    let (pair, mut figures) = match cell.path {
        PathKind::Direct => Pair::direct(cell.dialler, cell.acceptor).await?,
        PathKind::Relayed => Pair::relayed(cell.dialler, cell.acceptor).await?,
    };
    let took = pair.connection.transfer(TRANSFER_BYTES, TRANSFER_MAX);
    figures.add("10 MiB", took.await?);
    Ok(figures)
}
