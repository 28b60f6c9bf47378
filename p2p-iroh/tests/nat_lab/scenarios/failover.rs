//! Two relays: the home relay fails, and the other takes its place.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::{
    expectation::{NatKind::Strict, PathKind},
    faults,
    figures::Figures,
    pair::{ONLINE_MAX, Pair, is_relayed},
    peer::Peer,
    runner::Scenario,
    steady::Steady,
    topology::{Plan, Topology},
};

/// How long a peer may be out of reach when its home relay is killed, and when only its silence tells.
const KILLED_MAX: Duration = Duration::from_secs(10);
const SILENT_MAX: Duration = Duration::from_secs(25);
/// How long messages may take to flow at first, and everything to arrive in the end.
const FLOWS_MAX: Duration = Duration::from_secs(40);
const ARRIVED_MAX: Duration = Duration::from_secs(60);

/// From a peer to a far relay: a round trip of 100 ms between peers.
const FAR_ONE_WAY: Duration = Duration::from_millis(25);
const FAR_BYTES: usize = 8 * 1024 * 1024;
/// Several round trips, in which nothing is under way.
const FAR_PAUSE: Duration = Duration::from_secs(1);
/// On a machine that others use the same transfer takes once or twice as long.
const FAR_SLOWER_MAX: u32 = 3;

pub(super) fn all() -> Vec<Scenario> {
    vec![
        Scenario::new("failover::home_relay_killed_peer_is_reachable_within_10_s", || reachable(Fault::Killed)),
        Scenario::new("failover::home_relay_silent_peer_is_reachable_within_25_s", || reachable(Fault::Silent)),
        Scenario::new("failover::home_relay_admits_nobody_peer_is_reachable_within_25_s", || reachable(Fault::Wedged)),
        Scenario::new("failover::home_relay_killed_nothing_lost_and_flows_within_10_s", || flows(Fault::Killed)),
        Scenario::new("failover::home_relay_silent_nothing_lost_and_flows_within_25_s", || flows(Fault::Silent)),
        Scenario::new("failover::a_second_relay_leaves_throughput_over_a_far_one_as_it_is", far),
    ]
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    Killed,
    Silent,
    /// It lost its clients, answers whoever asks whether it lives, and admits nobody again.
    Wedged,
}

impl Fault {
    fn max(self) -> Duration {
        match self {
            Self::Killed => KILLED_MAX,
            Self::Silent | Self::Wedged => SILENT_MAX,
        }
    }

    /// Strikes the relay at which the peer is reached. What it returns lasts as long as the fault has to.
    async fn strike(self, topology: &mut Topology, url: &str) -> Result<Option<faults::Filter>> {
        let relay = topology.relay_at(url).expect("the peer is at a relay of the lab");
        match self {
            Self::Killed => {
                relay.kill();
                Ok(None)
            }
            Self::Silent => faults::silence_relay(relay).map(Some),
            Self::Wedged => {
                relay.kill();
                relay.restart_wedged().await?;
                Ok(None)
            }
        }
    }
}

/// Messages and a long stream under `Reconnect` go on over the other relay, whole.
async fn flows(fault: Fault) -> Result<Figures> {
    let topology = Topology::build(Plan::new(Strict, Strict).with_standby()).await?;
    let mut pair = Pair::resuming_in(topology).await?;
    pair.connection.wait_for_path(is_relayed, ONLINE_MAX).await?;
    let old = pair.acceptor.home_relay()?;
    let mut traffic = Steady::start(&pair)?;
    traffic.flows(FLOWS_MAX).await?;
    let struck = Instant::now();
    let fault_lasts = fault.strike(&mut pair.topology, &old).await?;
    traffic.flows(fault.max()).await?;
    let flowing = struck.elapsed();
    let received = traffic.finish(ARRIVED_MAX).await?;
    drop(fault_lasts);
    Ok(Figures::default().with("flowing", flowing).with("gap", received.gap))
}

/// The gate, which is there where a second relay is, holds back what nobody has acknowledged yet. At first, after a pause,
/// that is much; so both are looked at.
async fn far() -> Result<Figures> {
    let plan = Plan::new(Strict, Strict).with_far_relays(FAR_ONE_WAY);
    let mut figures = Figures::over(PathKind::Relayed);
    let mut took = Vec::new();
    for (plan, at_once, after_pause) in [
        (plan, "8 MiB with one relay", "after a pause"),
        (plan.with_standby(), "8 MiB with two", "after a pause with two"),
    ] {
        let pair = Pair::connect_in(Topology::build(plan).await?).await?;
        pair.connection.echo(FLOWS_MAX).await?;
        pair.connection.wait_for_path(is_relayed, ONLINE_MAX).await?;
        let first = pair.connection.transfer(FAR_BYTES, FLOWS_MAX).await?;
        tokio::time::sleep(FAR_PAUSE).await;
        let second = pair.connection.transfer(FAR_BYTES, FLOWS_MAX).await?;
        took.push(first + second);
        figures.add(at_once, first);
        figures.add(after_pause, second);
    }
    ensure!(took[1] < took[0] * FAR_SLOWER_MAX, "with one relay {:?}, with two {:?}", took[0], took[1]);
    Ok(figures)
}

/// Somebody who knows only the old relay reaches the peer by the new one.
async fn reachable(fault: Fault) -> Result<Figures> {
    let mut topology = Topology::build(Plan::new(Strict, Strict).with_standby()).await?;
    let access = topology.access();
    let acceptor = Peer::online(&topology.acceptor.device, &access, ONLINE_MAX).await?;
    let dialler = Peer::online(&topology.dialler.device, &access, ONLINE_MAX).await?;
    let addr = acceptor.relayed_addr();
    let old = acceptor.home_relay()?;
    let struck = Instant::now();
    let fault_lasts = fault.strike(&mut topology, &old).await?;
    let moved = acceptor.moves_from(&old, fault.max()).await?;
    let (connection, _accepted) = dialler.dial_at(&acceptor, addr).await?;
    connection.echo(fault.max()).await?;
    let reached = struck.elapsed();
    ensure!(reached <= fault.max(), "the peer was reached after {reached:?}");
    drop(fault_lasts);
    Ok(Figures::default().with("moved", moved).with("reached", reached))
}
