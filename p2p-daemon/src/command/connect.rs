//! `p2pd connect`.

use std::{convert::Infallible, time::Instant};

use p2p::{ConnectionState, P2PError, Path, PeerId, Ticket, Watch};
use p2p_providers::Role;

use super::{Running, remote, say_admin};
use crate::{
    Console, Error,
    admin::Controls,
    cli::ConnectArgs,
    config::{self, ADMIN_PORT_CONNECT},
    console::{duration, short},
    forward::{LinkState, Offer, ServiceName},
    notify::Manager,
    rule::{ConnectRule, Listen, Remote, Rules},
};

pub(super) async fn connect(args: ConnectArgs, console: Console) -> Result<(), Error> {
    let rules = rules(&args)?;
    // Whoever is dialled has to be found again.
    let role = if args.reverse { Role::Listener } else { Role::Dialler };
    let config = config::provider("connect", role, &args.peer)?;
    let running = Running::start(config, args.run.drain, args.run.grace, console).await?;
    running.until_the_end(forward(&running, rules, args, console)).await
}

async fn forward(running: &Running, rules: Rules, args: ConnectArgs, console: Console) -> Result<(), Error> {
    let daemon = &running.daemon;
    running.apply(rules.clone()).await?;
    let admin = running.admin(config::admin(args.run.admin, ADMIN_PORT_CONNECT), Controls::default()).await?;
    for rule in &rules.connects {
        let at = daemon.listens(&rule.name);
        let at: Vec<_> = at.iter().map(|addr| addr.strip_prefix("tcp://").unwrap_or(addr)).collect();
        let (service, peer) = (rule.service.as_str(), short(rule.remote.addr.peer));
        console.line(format_args!(
            "Listening on {} for the service {service:?} of peer {peer}.",
            console.bold(at.join(" and "))
        ));
    }
    if args.reverse {
        console.line("\nOn the other side, run:\n");
        console.line(format_args!("  p2pd share TARGET --reverse-to {}\n", console.bold(daemon.ticket())));
    }
    say_admin(admin.as_ref(), console);
    console.line("Ctrl-C ends it.");
    let _told = Manager::of_process().follow(daemon);

    // All rules have the one peer.
    let link = rules.connects.first().and_then(|rule| daemon.link(&rule.name));
    let ended = async {
        daemon.run().await;
    };
    p2p::select! {
        () = ended => Ok(()),
        error = follow_link(link, console) => Err(error.into()),
    }
}

async fn follow_link(link: Option<Watch<LinkState>>, console: Console) -> P2PError {
    let Some(link) = link else { return std::future::pending().await };
    p2p::select! {
        error = given_up(link.clone()) => error,
        never = narrate(link, console) => match never {},
    }
}

/// Waits until the first dial has failed with something that no other dial will change.
async fn given_up(mut link: Watch<LinkState>) -> P2PError {
    match link.wait_for(|state| !matches!(state, LinkState::Dialling)).await {
        Ok(LinkState::Failed { error }) => error,
        _ => std::future::pending().await,
    }
}

/// The rules that the arguments ask for.
fn rules(args: &ConnectArgs) -> Result<Rules, Error> {
    let (remote, offers) = whose(args)?;
    let connects = args.listen.iter().map(|text| {
        let (name, addr) = match text.split_once('=') {
            Some((name, addr)) if !name.contains([':', '/']) => (Some(name.parse::<ServiceName>()?), addr),
            _ => (args.service.clone(), text.as_str()),
        };
        let offer = Offer::choose(&offers, name.as_ref())?;
        let mut listen: Listen = addr.parse()?;
        listen.fit(&offer)?;
        let mut rule = ConnectRule::new(remote.clone(), offer.name, listen);
        rule.reverse = args.reverse;
        rule.bandwidth = args.bandwidth;
        Ok(rule)
    });
    let rules = Rules { connects: connects.collect::<Result<_, Error>>()?, ..Rules::default() };
    rules.check()?;
    Ok(rules)
}

/// Whose services, and which there are.
fn whose(args: &ConnectArgs) -> Result<(Remote, Vec<Offer>), Error> {
    if let (true, Ok(peer)) = (args.reverse, args.ticket.parse::<PeerId>()) {
        return Ok((peer.into(), Vec::new()));
    }
    let ticket: Ticket = args.ticket.parse()?;
    Ok((remote(&args.ticket)?, Offer::from_ticket(&ticket)?))
}

/// Says when the peer comes and goes, and how its data travels.
async fn narrate(mut link: Watch<LinkState>, console: Console) -> Infallible {
    let mut state = link.get();
    loop {
        state = match state {
            LinkState::Up { connection, mut path, took } => {
                let by = path.as_ref().map(|path| format!(", {path}")).unwrap_or_default();
                console.line(format_args!("{} in {}{by}.", console.green("Connected"), duration(took)));
                follow(connection, &mut path, &mut link, console).await
            }
            LinkState::Down { problem, was_up: true } => {
                let gone = console.yellow("The peer is gone");
                console.line(format_args!("{gone}: {problem}; waiting to reconnect."));
                until_up(&mut link).await
            }
            LinkState::Failed { error } => {
                let refused = console.yellow("The peer cannot be used now");
                console.line(format_args!("{refused}: {}; asking again now and then.", error.chain()));
                until_up(&mut link).await
            }
            LinkState::Down { problem, was_up: false } => {
                let away = console.yellow("The peer cannot be reached yet");
                console.line(format_args!("{away}: {problem}; trying again."));
                until_up(&mut link).await
            }
            LinkState::Dialling => next(&mut link).await,
        };
    }
}

/// The next state of the link. Waits for ever once there is no link any more.
async fn next(link: &mut Watch<LinkState>) -> LinkState {
    match link.changed().await {
        Ok(state) => state,
        Err(_) => std::future::pending().await,
    }
}

/// Says when the path changes or the transport is lost, until the link changes.
async fn follow(
    mut connection: Watch<ConnectionState>,
    path: &mut Option<Path>,
    link: &mut Watch<LinkState>,
    console: Console,
) -> LinkState {
    let mut interrupted: Option<Instant> = None;
    loop {
        p2p::select! {
            state = next(link) => return state,
            state = next_of(&mut connection) => match state {
                ConnectionState::Connected { path: now } => {
                    if let Some(since) = interrupted.take() {
                        let by = now.as_ref().map(|now| format!(", {now}")).unwrap_or_default();
                        let after = duration(since.elapsed());
                        console.line(format_args!("{} after {after}{by}.", console.green("Connected again")));
                        *path = now;
                    } else if let Some(now) = now && path.as_ref() != Some(&now) {
                        console.line(format_args!("The path is now {now}."));
                        *path = Some(now);
                    }
                }
                ConnectionState::Reconnecting { .. } if interrupted.is_none() => {
                    interrupted = Some(Instant::now());
                    let lost = console.yellow("The connection is interrupted");
                    console.line(format_args!("{lost}; what is open waits while it is taken up again."));
                }
                _ => {}
            }
        }
    }
}

async fn next_of(connection: &mut Watch<ConnectionState>) -> ConnectionState {
    match connection.changed().await {
        Ok(state) => state,
        Err(_) => std::future::pending().await,
    }
}

/// One outage is one line, however many dials fail meanwhile.
async fn until_up(link: &mut Watch<LinkState>) -> LinkState {
    loop {
        let state = next(link).await;
        if matches!(state, LinkState::Up { .. }) {
            return state;
        }
    }
}
