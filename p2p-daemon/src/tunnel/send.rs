//! `p2pd tunnel send`.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    sync::Arc,
    time::Duration,
};

use p2p::{ConnectionConfig, ListenConfig, P2PListener, P2PProvider, RuntimeExt, Ticket, Watch};
use tunnel_compat::{
    connector::Connector,
    http::{Forward, HttpRoute, HttpRouteConfig, ServeConfig, serve},
    peer::{Allowed, PeerAcceptor, bridge_protocol},
    route::{ClientId, Route},
    sender::{AuthError, Sender, SenderConfig, SenderStatus, register},
    tcp::TcpConnector,
};

use super::{args::SendArgs, place::Place, run::Part};
use crate::{
    Console, Error,
    config::{self, ADMIN_PORT_TUNNEL_SEND},
};

pub(crate) async fn send(args: SendArgs, console: Console) -> Result<(), Error> {
    if args.tunnel.is_none() && args.allow.is_empty() {
        let problem = "nobody could reach the home's server: expected --tunnel, --allow, or both".to_owned();
        return Err(Error::Tunnel { problem });
    }
    let part = Part::start("tunnel send", &args.peer, &args.run, console).await?;
    let work = async {
        let connector = TcpConnector::new(args.to.as_str());
        let route = HttpRoute::new(HttpRouteConfig::to_server(args.to.clone()), connector, part.runtime());
        let route: Arc<dyn Route> = Arc::new(route);
        console.line(format_args!("Beside the server at http://{}.", args.to));
        part.say_peer();
        let _admin = part.admin(&args.run, ADMIN_PORT_TUNNEL_SEND, None).await?;
        let (peers, tunnel) = (answer_peers(&part, &args, route.clone()), answer_tunnel(&part, &args, route));
        tokio::try_join!(peers, tunnel).map(|_| ())
    };
    part.until_the_end(work).await
}

/// Answers peers that are allowed, until the end is asked for and what is open has had its time.
async fn answer_peers(part: &Part, args: &SendArgs, route: Arc<dyn Route>) -> Result<(), Error> {
    if args.allow.is_empty() {
        return Ok(());
    }
    let runtime = part.runtime();
    let connections = ConnectionConfig::new(bridge_protocol())
        .with_streams_max(crate::forward::STREAMS_MAX)
        .with_liveness(KEEPALIVE, IDLE);
    let listen = ListenConfig { ready_timeout: READY_TIMEOUT, ..ListenConfig::from(connections) };
    let listener = part.provider().listen_with(listen).await?;
    part.console.line("\nThe ticket for the tunnel server and for gateways that are allowed:\n");
    part.console.line(format_args!("  {}\n", part.console.bold(Ticket::new(listener.local_addr()))));
    let allowed = Allowed::Only(args.allow.iter().copied().collect());
    let streams = PeerAcceptor::new(&runtime, listener, allowed);
    let client = args.client.clone().unwrap_or_else(|| "home".parse().expect("a valid name"));
    let forward = Arc::new(Forward::new(client, route, runtime.clone()));
    let shutdown = part.running.daemon.shutdown();
    let config = ServeConfig { drain_timeout: shutdown.drain(), ..ServeConfig::default() };
    let served = serve(streams, forward, config, runtime, shutdown.watch()).await;
    served.map_err(|source| Error::System { what: "to accept peers", source })
}

/// Keeps the socket to the tunnel server, if there is one, until the end is asked for and what is in flight has had its time.
async fn answer_tunnel(part: &Part, args: &SendArgs, route: Arc<dyn Route>) -> Result<(), Error> {
    let (Some(place), Some(client), Some(token_file)) = (&args.tunnel, &args.client, &args.token_file) else {
        return Ok(());
    };
    let connector = place.connector(args.tunnel_ca.as_deref())?;
    let token = match read_token(token_file)? {
        Some(token) => token,
        None => match registered(part, place, client, token_file, connector.clone()).await? {
            Some(token) => token,
            None => return Ok(()),
        },
    };
    let config = SenderConfig::new(client.clone(), token, place.authority.clone());
    let sender = Sender::new(config, connector, route, part.runtime());
    let said = say_status(sender.status(), place, client, part.console);
    let shutdown = part.running.daemon.shutdown();
    let ending = async {
        shutdown.requested().await;
        // New requests may still come, and be answered: the server learns of the end by the socket's.
        let idle = async { sender.in_flight().wait_for(|count| *count == 0).await.ok() };
        part.runtime().timeout(shutdown.drain(), idle).await.ok();
    };
    p2p::select! {
        () = sender.run() => {}
        () = said => {}
        () = ending => {}
    }
    Ok(())
}

/// Registers the home and keeps its token. A server that cannot be reached is asked again; nothing if the end comes first.
async fn registered(
    part: &Part,
    place: &Place,
    client: &ClientId,
    file: &Path,
    connector: Arc<dyn Connector>,
) -> Result<Option<String>, Error> {
    let secret = config::tunnel_secret().ok_or_else(|| Error::Tunnel {
        problem: format!(
            "{client} is not registered: {} does not exist, and $TUNNEL_ACCESS_TOKEN, with which it would be, is not set",
            file.display()
        ),
    })?;
    // What cannot be kept is not asked for: a server of ours gives it once.
    let keeping = |source| Error::File { path: file.to_owned(), doing: "writing", source };
    let mut kept = create_private(file).map_err(keeping)?;
    let forget = || fs::remove_file(file).ok();
    let mut pause = PAUSE_MIN;
    loop {
        match register(connector.clone(), place.authority.clone(), client, &secret, part.runtime()).await {
            Ok(token) => {
                kept.write_all(token.as_bytes()).and_then(|()| kept.sync_all()).map_err(keeping)?;
                part.console.line(format_args!("Registered {client}; its access token is in {}.", file.display()));
                return Ok(Some(token));
            }
            Err(error @ AuthError::Refused { .. }) => {
                forget();
                return Err(Error::TunnelFailed { problem: format!("{client} was not registered: {error}") });
            }
            Err(error) => {
                tracing::warn!(tunnel = %place, %error, ?pause, "Not registered yet; trying again.");
                let shutdown = part.running.daemon.shutdown();
                let ended = p2p::select! {
                    () = shutdown.requested() => true,
                    () = part.runtime().sleep(pause) => false,
                };
                if ended {
                    forget();
                    return Ok(None);
                }
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// The token in a file; none if there is no file, or one that was made for a token that never came.
pub(super) fn read_token(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(token) => Ok(Some(token.trim().to_owned()).filter(|token| !token.is_empty())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File { path: path.to_owned(), doing: "reading", source }),
    }
}

/// A file that its owner alone may read.
fn create_private(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

async fn say_status(mut status: Watch<SenderStatus>, place: &Place, client: &ClientId, console: Console) {
    let mut was_connected = None;
    loop {
        match status.get() {
            SenderStatus::Connected if was_connected != Some(true) => {
                was_connected = Some(true);
                console.line(format_args!("{} to the tunnel server {place} as {client}.", console.green("Connected")));
            }
            // One outage is one line, however many attempts fail meanwhile.
            SenderStatus::Connecting(Some(why)) if was_connected != Some(false) => {
                was_connected = Some(false);
                let lost = console.yellow("Not connected");
                console.line(format_args!("{lost} to the tunnel server {place}: {why}. Trying again."));
            }
            _ => {}
        }
        if status.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The first pause before a server is asked again.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest one.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How often each side of a connection says that it lives, and how long the other hears nothing before it gives it up.
const KEEPALIVE: Duration = Duration::from_secs(3);
const IDLE: Duration = Duration::from_secs(10);

/// How long to wait for a relay before a ticket is made without it.
const READY_TIMEOUT: Duration = Duration::from_secs(5);
