//! Networks that change under a connection: another uplink, forgotten mappings, a link that goes away for a while.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use p2p::Path;

use crate::{
    expectation::NatKind::{Moderate, Open, Strict},
    faults,
    figures::Figures,
    pair::Pair,
    runner::Scenario,
};

/// How long a connection may take to work again after its network changed.
const RESUME_MAX: Duration = Duration::from_secs(30);
/// How long the link is away, less than the 15 s after which a path is given up.
const LINK_AWAY: Duration = Duration::from_secs(5);

pub(super) fn all() -> Vec<Scenario> {
    vec![
        Scenario::new("mobility::uplink_switched_becomes_direct_again", uplink_switched),
        Scenario::new("mobility::dialler_mappings_flushed_resumes", dialler_flushed),
        Scenario::new("mobility::acceptor_mappings_flushed_resumes", acceptor_flushed),
        Scenario::new("mobility::both_mappings_flushed_resumes", both_flushed),
        Scenario::new("mobility::link_down_for_5_s_becomes_direct_again", link_down),
    ]
}

async fn uplink_switched() -> Result<Figures> {
    let (pair, mut figures) = Pair::direct(Moderate, Moderate).await?;
    let elsewhere = &pair.topology.elsewhere;
    faults::switch_uplink(&pair.topology.dialler, elsewhere).await?;
    let switched = Instant::now();
    pair.connection.echo(RESUME_MAX).await?;
    figures.add("resumed", switched.elapsed());
    // The other end sees the new router's address, so the fault did bite.
    let ip = elsewhere.uplink_ip().context("a router has an address")?;
    let moved = move |path: &Path| matches!(path, Path::Direct { remote } if remote.starts_with(&format!("{ip}:")));
    pair.accepted.wait_for_path(moved, RESUME_MAX).await?;
    pair.connection.wait_for_path(Path::is_direct, RESUME_MAX).await?;
    figures.add("direct again", switched.elapsed());
    Ok(figures)
}

/// A strict NAT draws a new port, from which the accepting end then hears packets of a connection it knows. It
/// answers there, but goes on to name the old port, so its path says nothing here.
async fn dialler_flushed() -> Result<Figures> {
    let (pair, mut figures) = Pair::direct(Strict, Open).await?;
    faults::flush_mappings(&pair.topology.dialler)?;
    resumes(&pair, &mut figures).await?;
    Ok(figures)
}

/// The dialling end ignores packets from a port that it never dialled, and has to find the new one.
async fn acceptor_flushed() -> Result<Figures> {
    let (pair, mut figures) = Pair::direct(Open, Strict).await?;
    let before = pair.connection.path();
    faults::flush_mappings(&pair.topology.acceptor)?;
    resumes(&pair, &mut figures).await?;
    ensure!(pair.connection.path() != before, "{before:?} stayed");
    Ok(figures)
}

async fn both_flushed() -> Result<Figures> {
    let (pair, mut figures) = Pair::direct(Moderate, Moderate).await?;
    faults::flush_mappings(&pair.topology.dialler)?;
    faults::flush_mappings(&pair.topology.acceptor)?;
    resumes(&pair, &mut figures).await?;
    Ok(figures)
}

async fn link_down() -> Result<Figures> {
    let (pair, mut figures) = Pair::direct(Moderate, Moderate).await?;
    faults::link_down(&pair.topology.acceptor).await?;
    pair.connection.stalls(LINK_AWAY).await?;
    faults::link_up(&pair.topology.acceptor).await?;
    resumes(&pair, &mut figures).await?;
    Ok(figures)
}

async fn resumes(pair: &Pair, figures: &mut Figures) -> Result<()> {
    let healed = Instant::now();
    pair.connection.echo(RESUME_MAX).await?;
    figures.add("resumed", healed.elapsed());
    pair.connection.wait_for_path(Path::is_direct, RESUME_MAX).await?;
    figures.add("direct again", healed.elapsed());
    Ok(())
}
