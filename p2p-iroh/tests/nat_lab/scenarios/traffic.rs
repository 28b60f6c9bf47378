//! Networks that drop packets: all of UDP, or a share of everything.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use p2p::Path;

use crate::{
    expectation::NatKind::Moderate,
    faults,
    figures::Figures,
    pair::{Pair, is_relayed},
    runner::Scenario,
    topology::Topology,
};

/// How long a dead direct path may go unnoticed: its idle timeout of 15 s, and the detour over the relay.
const FALL_BACK_MAX: Duration = Duration::from_secs(25);
/// How long a connection may take to find a direct path again. Peers look for their public address every 20 to
/// 26 s, and try again when it changed.
const DIRECT_AGAIN_MAX: Duration = Duration::from_secs(45);

/// Some 40 packets each, so that none is lost at 1 % is a matter of one in 3,000.
const TRANSFERS_MAX: usize = 20;
const TRANSFER_BYTES: usize = 2 * 1024 * 1024;
/// At 15 % loss, on a slow machine.
const TRANSFER_MAX: Duration = Duration::from_secs(80);

pub(super) fn all() -> Vec<Scenario> {
    vec![
        Scenario::new("traffic::udp_blocked_on_one_side_stays_relayed", one_side),
        Scenario::new("traffic::udp_blocked_on_both_sides_stays_relayed", both_sides),
        Scenario::new("traffic::udp_blocked_midway_falls_back_and_returns", midway),
        Scenario::new("traffic::only_tcp_443_on_one_side_stays_relayed", https_alone),
        Scenario::new("traffic::1_percent_loss_leaves_data_intact", || loss(1)),
        Scenario::new("traffic::5_percent_loss_leaves_data_intact", || loss(5)),
        Scenario::new("traffic::15_percent_loss_leaves_data_intact", || loss(15)),
    ]
}

async fn one_side() -> Result<Figures> {
    let topology = Topology::new(Moderate, Moderate).await?;
    let block = faults::block_udp(&topology.dialler)?;
    let pair = Pair::connect_in(topology).await?;
    let mut figures = pair.stays_relayed().await?;
    ensure!(block.lift()? > 0, "the block dropped nothing");
    let lifted = Instant::now();
    pair.connection.wait_for_path(Path::is_direct, DIRECT_AGAIN_MAX).await?;
    figures.add("direct once lifted", lifted.elapsed());
    Ok(figures)
}

async fn both_sides() -> Result<Figures> {
    let topology = Topology::new(Moderate, Moderate).await?;
    let blocks = [faults::block_udp(&topology.dialler)?, faults::block_udp(&topology.acceptor)?];
    let pair = Pair::connect_in(topology).await?;
    let mut figures = pair.stays_relayed().await?;
    for block in blocks {
        ensure!(block.lift()? > 0, "the block dropped nothing");
    }
    let lifted = Instant::now();
    pair.connection.wait_for_path(Path::is_direct, DIRECT_AGAIN_MAX).await?;
    figures.add("direct once lifted", lifted.elapsed());
    Ok(figures)
}

async fn midway() -> Result<Figures> {
    let (pair, mut figures) = Pair::direct(Moderate, Moderate).await?;
    let block = faults::block_udp(&pair.topology.dialler)?;
    let blocked = Instant::now();
    pair.connection.echo(FALL_BACK_MAX).await?;
    figures.add("echo once blocked", blocked.elapsed());
    pair.connection.wait_for_path(is_relayed, FALL_BACK_MAX).await?;
    figures.add("relayed", blocked.elapsed());
    ensure!(block.lift()? > 0, "the block dropped nothing");
    let lifted = Instant::now();
    pair.connection.wait_for_path(Path::is_direct, DIRECT_AGAIN_MAX).await?;
    figures.add("direct once lifted", lifted.elapsed());
    Ok(figures)
}

async fn https_alone() -> Result<Figures> {
    let topology = Topology::new(Moderate, Moderate).await?;
    let firewall = faults::allow_https_alone(&topology.dialler)?;
    let pair = Pair::connect_in(topology).await?;
    let mut figures = pair.stays_relayed().await?;
    let took = pair.connection.transfer(TRANSFER_BYTES, TRANSFER_MAX).await?;
    figures.add("2 MiB", took);
    ensure!(firewall.lift()? > 0, "the firewall dropped nothing");
    Ok(figures)
}

async fn loss(percent: u8) -> Result<Figures> {
    let (pair, mut figures) = Pair::direct(Moderate, Moderate).await?;
    let loss = faults::lose_packets(&pair.topology.acceptor, percent)?;
    // What the kernel handed over at once is one packet here, and lost as one, so a transfer may be spared at 1 %.
    let mut took = Duration::ZERO;
    for _ in 0..TRANSFERS_MAX {
        took = pair.connection.transfer(TRANSFER_BYTES, TRANSFER_MAX).await?;
        if loss.dropped()? > 0 {
            break;
        }
    }
    figures.add("2 MiB", took);
    ensure!(loss.lift()? > 0, "no packet was lost");
    let took = pair.connection.transfer(TRANSFER_BYTES, TRANSFER_MAX).await?;
    figures.add("2 MiB without loss", took);
    Ok(figures)
}
