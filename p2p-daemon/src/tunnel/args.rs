//! The command lines of the tunnel. The doc comments here are what `--help` prints.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use p2p::{PeerAddr, PeerId};
use tunnel_compat::{
    migration::{Percentage, Phase},
    route::ClientId,
    server::TokenKind,
};

use super::place::Place;
use crate::{
    admin::AdminAddr,
    cli::{PeerArgs, duration, peer, seconds, socket_addr},
};

/// What `p2pd tunnel` does.
#[derive(Debug, Subcommand)]
pub enum TunnelCommand {
    /// Runs a tunnel server, for the homes and apps that had the legacy one
    Serve(Box<ServeArgs>),
    /// Runs beside a home's server: answers what comes over a tunnel server, and what comes from peers
    Send(Box<SendArgs>),
    /// Takes the tokens of the legacy server's tables, while the server does not run
    Import(ImportArgs),
    /// Ends all tokens of a home and its apps, while the server does not run
    Revoke(RevokeArgs),
}

/// Arguments of `p2pd tunnel serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Where homes and apps connect, over HTTP. What is in front of it speaks TLS
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8000", value_parser = socket_addr)]
    pub listen: SocketAddr,
    /// The file with the tokens, made if there is none
    #[arg(long, value_name = "PATH")]
    pub tokens: PathBuf,
    /// A file with the secret that lets homes register; without it, $TUNNEL_ACCESS_TOKEN is that secret
    #[arg(long, value_name = "PATH")]
    pub secret_file: Option<PathBuf>,
    /// A web page's origin, like `https://app.example`, that may call with its browser's credentials. May be given several times
    #[arg(long, value_name = "ORIGIN")]
    pub origin: Vec<String>,
    /// A home that can be reached over P2P: its clientId, and the ticket that `p2pd tunnel send` printed there. May be given
    /// several times
    #[arg(long, value_name = "CLIENT=TICKET", value_parser = home)]
    pub home: Vec<(ClientId, PeerAddr)>,
    /// How the migration goes.
    #[command(flatten)]
    pub migration: MigrationArgs,
    /// How to take part in the network.
    #[command(flatten)]
    pub peer: PeerArgs,
    /// How to run.
    #[command(flatten)]
    pub run: TunnelRunArgs,
}

/// Arguments of `p2pd tunnel send`.
#[derive(Debug, Args)]
pub struct SendArgs {
    /// The home's server: `http://HOST:PORT`
    #[arg(value_name = "SERVER", value_parser = target)]
    pub to: http::uri::Authority,
    /// The tunnel server, legacy or ours: `wss://HOST[:PORT]`, or `ws://` where nobody listens in
    #[arg(long, value_name = "URL", requires = "client", requires = "token_file")]
    pub tunnel: Option<Place>,
    /// A PEM file with the authorities that may vouch for the tunnel server, instead of the system's
    #[arg(long, value_name = "PATH", requires = "tunnel")]
    pub tunnel_ca: Option<PathBuf>,
    /// The home's name at the tunnel server
    #[arg(long, value_name = "CLIENT", value_parser = client)]
    pub client: Option<ClientId>,
    /// The file with the home's access token. If there is none, the home is registered by the secret in $TUNNEL_ACCESS_TOKEN, and
    /// the token is written there
    #[arg(long, value_name = "PATH")]
    pub token_file: Option<PathBuf>,
    /// A peer that may reach the home's server: the id that `p2pd id` prints there. May be given several times
    #[arg(long, value_name = "PEER", value_parser = peer)]
    pub allow: Vec<PeerId>,
    /// How to take part in the network.
    #[command(flatten)]
    pub peer: PeerArgs,
    /// How to run.
    #[command(flatten)]
    pub run: TunnelRunArgs,
}

/// Arguments of `p2pd gateway`.
#[derive(Debug, Args)]
pub struct GatewayArgs {
    /// Where the app finds the home's API: a loopback address, because whoever can connect is let in
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9000", value_parser = socket_addr)]
    pub listen: SocketAddr,
    /// The home's clientId
    #[arg(long, value_name = "CLIENT", value_parser = client)]
    pub client: ClientId,
    /// The tunnel server, legacy or ours: `wss://HOST[:PORT]`, or `ws://` where nobody listens in
    #[arg(long, value_name = "URL", requires = "token_file", required_unless_present = "home")]
    pub tunnel: Option<Place>,
    /// A PEM file with the authorities that may vouch for the tunnel server, instead of the system's
    #[arg(long, value_name = "PATH", requires = "tunnel")]
    pub tunnel_ca: Option<PathBuf>,
    /// The file with an access token of that client
    #[arg(long, value_name = "PATH")]
    pub token_file: Option<PathBuf>,
    /// The home over P2P: the ticket that `p2pd tunnel send` printed
    #[arg(long, value_name = "TICKET", value_parser = ticket)]
    pub home: Option<PeerAddr>,
    /// How the migration goes.
    #[command(flatten)]
    pub migration: MigrationArgs,
    /// How to take part in the network.
    #[command(flatten)]
    pub peer: PeerArgs,
    /// How to run.
    #[command(flatten)]
    pub run: TunnelRunArgs,
}

/// How a router between the tunnel and P2P decides.
#[derive(Debug, Clone, Args)]
pub struct MigrationArgs {
    /// The file that keeps the phase and what else was set. By default it is beside the key file
    #[arg(long, value_name = "PATH")]
    pub state: Option<PathBuf>,
    /// How long phase 4 still serves the tunnel
    #[arg(long, value_name = "DURATION", default_value = "10min", value_parser = duration)]
    pub tunnel_drain: Duration,
    /// How long phase 3 takes to move everybody
    #[arg(long, value_name = "DURATION", default_value = "10min", value_parser = duration)]
    pub move_over: Duration,
    /// How long a client has nothing on the tunnel before it counts as a new one
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub idle_after: Duration,
    /// How long P2P has for an answer before the tunnel is asked as well, if that harms nothing
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub fallback_after: Duration,
    /// Goes back to phase 1 when more requests of a hundred fail over P2P
    #[arg(long, value_name = "PERCENT", default_value = "5", value_parser = percentage)]
    pub errors_max: Percentage,
    /// Goes back to phase 1 when more requests of a hundred take longer than --slow-after over P2P
    #[arg(long, value_name = "PERCENT", default_value = "5", value_parser = percentage)]
    pub slow_max: Percentage,
    /// How long a request may take before it counts as slow
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub slow_after: Duration,
}

/// How a part of the tunnel runs.
#[derive(Debug, Args)]
pub struct TunnelRunArgs {
    /// Where to show how things are, to be told by `p2pd migrate`, and to answer Prometheus: a loopback address, unix:PATH, or
    /// `off`. By default 127.0.0.1:8803 for `tunnel serve`, :8804 for `gateway` and :8805 for `tunnel send`, or any free port if
    /// that one is taken
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<AdminAddr>,
    /// Seconds that what is open gets to end by itself after Ctrl-C
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub drain: Duration,
    /// Seconds that connections between peers wait for a lost transport before they break off
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub grace: Duration,
}

/// Arguments of `p2pd tunnel import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The file with the tokens, made if there is none
    #[arg(long, value_name = "PATH")]
    pub tokens: PathBuf,
    /// What the tokens are for: the table that they come from
    #[arg(long, value_name = "KIND", value_enum)]
    pub kind: Kind,
    /// The table as CSV without a head: the token's hash, the clientId, and when it ends, in seconds since 1970, or nothing
    #[arg(value_name = "PATH")]
    pub table: PathBuf,
}

/// A table of the legacy server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// client_access_tokens
    Access,
    /// signature_tokens
    Signature,
    /// magic_tokens
    Magic,
}

impl From<Kind> for TokenKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Access => Self::Access,
            Kind::Signature => Self::Signature,
            Kind::Magic => Self::Magic,
        }
    }
}

/// Arguments of `p2pd tunnel revoke`.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// The file with the tokens
    #[arg(long, value_name = "PATH")]
    pub tokens: PathBuf,
    /// The clientId. It can be registered again then
    #[arg(value_name = "CLIENT", value_parser = client)]
    pub client: ClientId,
}

/// Arguments of `p2pd migrate`.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: MigrateCommand,
    /// Where the router answers: the --admin of `p2pd tunnel serve` or `p2pd gateway`. By default 127.0.0.1:8803 and then :8804.
    /// The token, if it asks for one, is $P2PD_ADMIN_TOKEN
    #[arg(long, global = true, value_name = "ADDR")]
    pub admin: Option<AdminAddr>,
    /// Prints what the router says as JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// What a router is told.
#[derive(Debug, Clone, Subcommand)]
pub enum MigrateCommand {
    /// Shows the phase, what is set, and what took which route
    Status,
    /// Goes to a phase: 1 tunnel, 2 new connections over P2P, 3 existing ones move, 4 P2P alone
    Phase {
        /// 1, 2, 3 or 4
        #[arg(value_name = "PHASE", value_parser = phase)]
        phase: Phase,
    },
    /// Lets that share of the clients take part in phases 2 and 3; which ones is always the same
    Percent {
        /// From 0 to 100
        #[arg(value_name = "PERCENT", value_parser = percentage)]
        percent: Percentage,
    },
    /// Sends requests that are safe to repeat over both routes, and compares the answers
    Shadow {
        /// `on`, `off`, or how many of a hundred
        #[arg(value_name = "SHARE", value_parser = share)]
        share: Percentage,
    },
    /// Goes back to phase 1 at once, even if that cannot be written down
    Rollback,
    /// Lets a client take part whatever the percentage
    Allow {
        /// The clientId
        #[arg(value_name = "CLIENT", value_parser = client)]
        client: ClientId,
    },
    /// Keeps a client on the tunnel for as long as that is there
    Deny {
        /// The clientId
        #[arg(value_name = "CLIENT", value_parser = client)]
        client: ClientId,
    },
    /// Takes a client off both lists
    Forget {
        /// The clientId
        #[arg(value_name = "CLIENT", value_parser = client)]
        client: ClientId,
    },
}

fn client(text: &str) -> Result<ClientId, String> {
    text.parse().map_err(|error: tunnel_compat::route::InvalidClientId| error.to_string())
}

fn ticket(text: &str) -> Result<PeerAddr, String> {
    text.parse::<p2p::Ticket>().map(|ticket| ticket.addr).map_err(|error| error.to_string())
}

fn home(text: &str) -> Result<(ClientId, PeerAddr), String> {
    let expected = "expected CLIENT=TICKET, with the ticket that `p2pd tunnel send` prints";
    let (name, address) = text.split_once('=').ok_or(expected)?;
    Ok((client(name)?, ticket(address)?))
}

fn phase(text: &str) -> Result<Phase, String> {
    text.parse().map_err(|error: p2p::P2PError| error.to_string())
}

fn percentage(text: &str) -> Result<Percentage, String> {
    text.parse().map_err(|error: p2p::P2PError| error.to_string())
}

fn share(text: &str) -> Result<Percentage, String> {
    match text {
        "on" => Ok(Percentage::ALL),
        "off" => Ok(Percentage::NONE),
        text => percentage(text).map_err(|_| "expected on, off, or a whole number from 0 to 100".to_owned()),
    }
}

fn target(text: &str) -> Result<http::uri::Authority, String> {
    let expected = || "expected http://HOST:PORT, like http://127.0.0.1:8080".to_owned();
    let authority = text.strip_prefix("http://").ok_or_else(expected)?.trim_end_matches('/');
    let authority: http::uri::Authority = authority.parse().map_err(|_| expected())?;
    if authority.port_u16().is_none() || authority.as_str().contains('@') {
        return Err(expected());
    }
    Ok(authority)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::Cli;

    const RUNBOOK: &str = include_str!("../../../docs/MIGRATION.md");

    // A command that was renamed would leave an operator alone in the middle of a migration.
    #[test]
    fn the_runbooks_commands_are_commands() {
        let peer = p2p::PeerId::from_bytes([7; 32]);
        let ticket = p2p::Ticket::new(p2p::PeerAddr::new(peer)).to_string();
        let text = RUNBOOK.replace("\\\n", " ").replace("TICKET", &ticket);
        let mut count = 0;
        for line in text.lines().filter(|line| line.starts_with("p2pd ")) {
            let line = line.split('#').next().unwrap_or_default().replace("PEER", &peer.to_string());
            if let Err(error) = Cli::try_parse_from(line.split_whitespace()) {
                panic!("{line}: {error}");
            }
            count += 1;
        }
        assert!(count >= 15, "{count}");
    }
}
