//! The relay refuses strangers, and a connection outlives what happens to it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::{
    certificate::Authority,
    expectation::NatKind::{Moderate, None, Strict},
    faults,
    figures::Figures,
    pair::{ONLINE_MAX, Pair},
    peer::Peer,
    runner::Scenario,
    topology::Topology,
};

/// How long the relay is away: several times what an echo through it takes.
const AWAY: Duration = Duration::from_secs(2);
/// How long a relayed connection may take to work again. Clients dial with a growing pause in between, and TCP's
/// retransmissions are as patient.
const RESUME_MAX: Duration = Duration::from_secs(20);
/// How long a stranger may try. Whoever is admitted is so within a fraction of it.
const REFUSED_FOR: Duration = Duration::from_secs(3);

pub(super) fn all() -> Vec<Scenario> {
    vec![
        Scenario::new("relay::refuses_a_wrong_token_and_a_foreign_authority", refuses),
        Scenario::new("relay::killed_and_restarted_relayed_connection_resumes", killed),
        Scenario::new("relay::silenced_relayed_connection_resumes", silenced),
        Scenario::new("relay::killed_direct_connection_does_not_notice", unnoticed),
    ]
}

/// Shows that tokens and certificates are looked at at all, in this scenario and thereby in all others.
async fn refuses() -> Result<Figures> {
    let topology = Topology::new(None, None).await?;
    let mut wrong_token = topology.relay.access().clone();
    wrong_token.token.push('!');
    let mut foreign_authority = topology.relay.access().clone();
    foreign_authority.root = Authority::new()?.root();
    let (wrong_token, foreign_authority) = ([wrong_token], [foreign_authority]);
    let (token, authority) = tokio::join!(
        Peer::online(&topology.dialler.device, &wrong_token, REFUSED_FOR),
        Peer::online(&topology.acceptor.device, &foreign_authority, REFUSED_FOR),
    );
    let token = token.err().context("the relay admitted a wrong token")?;
    ensure!(format!("{token:#}").contains("refused the token"), "{token:#}");
    ensure!(authority.is_err(), "a peer trusted a foreign authority");
    let start = Instant::now();
    Peer::online(&topology.dialler.device, &topology.access(), ONLINE_MAX).await?;
    Ok(Figures::default().with("the right one admitted after", start.elapsed()))
}

async fn killed() -> Result<Figures> {
    let (mut pair, mut figures) = Pair::relayed(Strict, Strict).await?;
    pair.topology.relay.kill();
    pair.connection.stalls(AWAY).await?;
    pair.topology.relay.restart().await?;
    let restarted = Instant::now();
    pair.connection.echo(RESUME_MAX).await?;
    figures.add("resumed", restarted.elapsed());
    Ok(figures)
}

async fn silenced() -> Result<Figures> {
    let (pair, mut figures) = Pair::relayed(Strict, Strict).await?;
    let silence = faults::silence_relay(&pair.topology.relay)?;
    pair.connection.stalls(AWAY).await?;
    ensure!(silence.lift()? > 0, "the silence dropped nothing");
    let lifted = Instant::now();
    pair.connection.echo(RESUME_MAX).await?;
    figures.add("resumed", lifted.elapsed());
    Ok(figures)
}

async fn unnoticed() -> Result<Figures> {
    let (mut pair, mut figures) = Pair::direct(Moderate, Moderate).await?;
    pair.topology.relay.kill();
    let killed = Instant::now();
    pair.connection.echo(AWAY).await?;
    figures.add("echo without relay", killed.elapsed());
    Ok(figures)
}
