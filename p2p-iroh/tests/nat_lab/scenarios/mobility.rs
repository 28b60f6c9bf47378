//! Networks that change under a connection: another uplink, forgotten mappings, a link that goes away for a while.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use p2p::Path;
use tokio::time::sleep;

use crate::{
    expectation::NatKind::{self, Moderate, Open, Strict},
    faults,
    figures::Figures,
    pair::Pair,
    runner::Scenario,
    topology::{Home, Plan, Topology},
};

/// How long a connection may take to work again after its network changed.
const RESUME_MAX: Duration = Duration::from_secs(30);
/// How long the link is away: less than the 6.5 s after which a path is given up. After longer, iroh comes back to its relay only when
/// its next attempt is due, which may be after the connection's idle timeout; see `docs/IROH.md`.
const LINK_AWAY: Duration = Duration::from_secs(5);
/// How long a NAT here remembers what is not used: less than the 2 s after which something is said on an idle path.
const MAPPING_KEPT: Duration = Duration::from_secs(1);
/// How long nothing is said: several times both.
const IDLE: Duration = Duration::from_secs(6);
/// How often one looks whether a mapping is gone.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

pub(super) fn all() -> Vec<Scenario> {
    vec![
        Scenario::new("mobility::dialler_uplink_switched_becomes_direct_again", || {
            switched(Moderate.into(), Role::Dialler)
        }),
        Scenario::new("mobility::acceptor_uplink_switched_becomes_direct_again", || {
            switched(Moderate.into(), Role::Acceptor)
        }),
        Scenario::new("mobility::dialler_ipv6_uplink_switched_becomes_direct_again", || {
            switched(Home::IPV6, Role::Dialler)
        }),
        Scenario::new("mobility::acceptor_ipv6_uplink_switched_becomes_direct_again", || {
            switched(Home::IPV6, Role::Acceptor)
        }),
        Scenario::new("mobility::dialler_mappings_flushed_resumes", dialler_flushed),
        Scenario::new("mobility::acceptor_mappings_flushed_resumes", acceptor_flushed),
        Scenario::new("mobility::both_mappings_flushed_resumes", both_flushed),
        Scenario::new("mobility::moderate_mappings_expired_on_both_sides_resumes", || expired(Moderate, Moderate)),
        Scenario::new("mobility::strict_mapping_expired_resumes", || expired(Strict, Open)),
        Scenario::new("mobility::link_down_for_5_s_becomes_direct_again", link_down),
        Scenario::new("mobility::a_better_link_of_the_dialler_makes_a_relayed_path_direct", || better(Role::Dialler)),
        Scenario::new("mobility::a_better_link_of_the_acceptor_makes_a_relayed_path_direct", || better(Role::Acceptor)),
    ]
}

#[derive(Debug, Clone, Copy)]
enum Role {
    Dialler,
    Acceptor,
}

/// A strict NAT keeps the path relayed until there is a link without one.
async fn better(role: Role) -> Result<Figures> {
    let topology = Topology::build(Plan::new(Strict, Strict).with_elsewhere(NatKind::None)).await?;
    let pair = Pair::connect_in(topology).await?;
    let mut figures = pair.stays_relayed().await?;
    let site = match role {
        Role::Dialler => &pair.topology.dialler,
        Role::Acceptor => &pair.topology.acceptor,
    };
    faults::add_uplink(site, &pair.topology.elsewhere).await?;
    let appeared = Instant::now();
    pair.connection.wait_for_path(Path::is_direct, RESUME_MAX).await?;
    pair.connection.echo(RESUME_MAX).await?;
    figures.add("direct again", appeared.elapsed());
    Ok(figures)
}

/// A peer moves, and the other end sees where to.
async fn switched(home: Home, moves: Role) -> Result<Figures> {
    let pair = Pair::connect_in(Topology::build(Plan::new(home, home)).await?).await?;
    let mut figures = pair.becomes_direct().await?;
    let (site, sees) = match moves {
        Role::Dialler => (&pair.topology.dialler, &pair.accepted),
        Role::Acceptor => (&pair.topology.acceptor, &pair.connection),
    };
    let elsewhere = &pair.topology.elsewhere;
    faults::switch_uplink(site, elsewhere).await?;
    let switched = Instant::now();
    pair.connection.echo(RESUME_MAX).await?;
    figures.add("resumed", switched.elapsed());
    // The address is one of the new network, so the fault did bite: the new router's, or, untranslated, the new one of the device.
    let moved_to: IpAddr = match home.has_ipv6() {
        true => site.device.ip6().context("the device has an address")?.into(),
        false => elsewhere.uplink_ip().context("a router has an address")?.into(),
    };
    let moved = move |path: &Path| match path {
        Path::Direct { remote } => remote.parse::<SocketAddr>().is_ok_and(|remote| remote.ip() == moved_to),
        _ => false,
    };
    sees.wait_for_path(moved, RESUME_MAX).await?;
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

/// NATs forget between any two packets of an idle connection: a moderate one lets the peer's next packet in no more, a
/// strict one draws a new port.
async fn expired(dialler: NatKind, acceptor: NatKind) -> Result<Figures> {
    let (pair, mut figures) = Pair::direct(dialler, acceptor).await?;
    let (one, other) = (&pair.topology.dialler, &pair.topology.acceptor);
    faults::expire_mappings(one, MAPPING_KEPT)?;
    faults::expire_mappings(other, MAPPING_KEPT)?;
    let (start, mut gone) = (Instant::now(), false);
    while start.elapsed() < IDLE {
        gone |= !faults::has_mapping(one, other)? && !faults::has_mapping(other, one)?;
        sleep(LOOK_INTERVAL).await;
    }
    ensure!(gone, "the mappings did not expire within {IDLE:?}");
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
