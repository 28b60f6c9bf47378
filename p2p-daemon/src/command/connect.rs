//! `p2pd connect`.

use std::convert::Infallible;

use p2p::{Path, PeerAddr, Ticket, Watch};
use p2p_providers::Role;

use super::{on_signals, say_admin};
use crate::{
    Console, Error, Shutdown,
    admin::{AdminServer, Health},
    cli::ConnectArgs,
    config::{self, ADMIN_PORT_CONNECT},
    console::{duration, short},
    forward::{Connect, LinkState, ServiceName},
    stack::Stack,
};

pub(super) async fn connect(args: ConnectArgs, console: Console) -> Result<(), Error> {
    let ticket: Ticket = args.ticket.parse()?;
    let service = choose(&ticket, args.service.clone())?;
    let config = config::provider("connect", Role::Dialler, &args.peer)?;
    let shutdown = on_signals(args.run.drain, console)?;
    let stack = Stack::start(config).await?;
    let result = forward(&stack, ticket.addr, service, args, shutdown, console).await;
    stack.end().await;
    result
}

async fn forward(
    Stack { provider, export }: &Stack,
    peer: PeerAddr,
    service: ServiceName,
    args: ConnectArgs,
    shutdown: Shutdown,
    console: Console,
) -> Result<(), Error> {
    let heading = format!("for the service {:?} of peer {}", service.as_str(), short(peer.peer));
    let connect = Connect::bind(provider.clone(), peer, service, args.listen, export.recorder()).await?;

    let health = Health::default().with_shutdown(shutdown.clone()).with_provider(provider).with_link(connect.link());
    let admin = AdminServer::start_at(config::admin(args.run.admin, ADMIN_PORT_CONNECT), export, health).await?;

    console.line(format_args!("Listening on {} {heading}.", console.bold(connect.local_addr())));
    say_admin(admin.as_ref(), console);
    console.line("Ctrl-C ends it.");

    let link = connect.link();
    p2p::select! {
        result = connect.run(shutdown) => result,
        never = narrate(link, console) => match never {},
    }
}

/// The service that was asked for, or the only one in the ticket.
fn choose(ticket: &Ticket, asked: Option<ServiceName>) -> Result<ServiceName, Error> {
    let mut offered = ServiceName::from_ticket(ticket)?;
    match asked {
        Some(name) if offered.is_empty() || offered.contains(&name) => Ok(name),
        None if offered.len() < 2 => Ok(offered.pop().unwrap_or_default()),
        _ => {
            let names: Vec<_> = offered.iter().map(ServiceName::as_str).collect();
            Err(Error::ServiceChoice { offered: names.join(", ") })
        }
    }
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

/// Says when the path changes, until the link does.
async fn follow(
    mut connection: Watch<p2p::ConnectionState>,
    path: &mut Option<Path>,
    link: &mut Watch<LinkState>,
    console: Console,
) -> LinkState {
    loop {
        p2p::select! {
            next = next(link) => return next,
            Ok(state) = connection.changed() => {
                if let Some(now) = state.path()
                    && path.as_ref() != Some(now)
                {
                    console.line(format_args!("The path is now {now}."));
                    *path = Some(now.clone());
                }
            }
        }
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

#[cfg(test)]
mod tests {
    use p2p::{PeerAddr, PeerId};

    use super::*;

    #[test]
    fn a_ticket_with_several_services_needs_a_choice() {
        let name = |name: &str| name.parse::<ServiceName>().unwrap();
        let (web, ssh) = (name("web"), name("ssh"));
        let none = Ticket::new(PeerAddr::new(PeerId::from_name("alice")));
        let one = ServiceName::into_ticket(none.clone(), [&web]);
        let two = ServiceName::into_ticket(none.clone(), [&web, &ssh]);

        assert_eq!(choose(&none, None).unwrap(), ServiceName::default());
        assert_eq!(choose(&one, None).unwrap(), web);
        assert_eq!(choose(&two, Some(ssh.clone())).unwrap(), ssh);
        let error = choose(&two, None).unwrap_err().to_string();
        assert!(error.contains("web, ssh") && error.contains("--service"), "{error}");
        choose(&one, Some(ssh)).unwrap_err();
    }
}
