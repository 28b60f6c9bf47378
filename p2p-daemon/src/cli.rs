//! The command line. The doc comments here are what `--help` prints.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use p2p::PeerId;

use crate::{
    admin::AdminAddr,
    forward::ServiceName,
    logging::LogFormat,
    rule::Bandwidth,
    tunnel::args::{GatewayArgs, MigrateArgs, TunnelCommand},
};

/// Shares a local service with a peer, and reaches a peer's service, through NATs and without a server in between.
///
/// One side runs `p2pd share tcp://127.0.0.1:8080` and gets a ticket; the other runs
/// `p2pd connect TICKET --listen 127.0.0.1:9000` and finds the service there. `p2pd demo` shows both on one machine.
#[derive(Debug, Parser)]
#[command(name = "p2pd", version, after_long_help = ENVIRONMENT)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How to write logs on stderr; with `json`, `p2pd up` prints nothing on stdout
    #[arg(long, global = true, value_name = "FORMAT", env = "P2PD_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shares services with whoever has the ticket, until Ctrl-C
    Share(ShareArgs),
    /// Makes a shared service available at a local address, until Ctrl-C
    Connect(ConnectArgs),
    /// Runs everything that a configuration file says, and takes its changes, until Ctrl-C
    Up(UpArgs),
    /// Checks the configuration, or shows each value and where it came from
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Writes a configuration file that explains itself
    Init(InitArgs),
    /// Shows how a running daemon is: rules, peers, paths, traffic, what is wrong
    Status(StatusArgs),
    /// Says how far a peer is: round trips, path, loss
    Ping(PingArgs),
    /// Says how fast a peer is: throughput in both directions, latency
    Bench(BenchArgs),
    /// Examines this machine's network: NAT, relays, addresses, limits; says what to do
    #[cfg(feature = "p2p-iroh")]
    Doctor(DoctorArgs),
    /// Connects standard input and output with a shared service, as `ssh -o ProxyCommand` wants it
    Pipe(PipeArgs),
    /// Offers files and folders to whoever has the ticket, until Ctrl-C
    Send(SendArgs),
    /// Receives what `p2pd send` offers, and goes on where it was interrupted
    Recv(RecvArgs),
    /// Prints the identity that `p2pd share` has
    Id(IdArgs),
    /// Shows the key file and whose it is, or makes it
    #[cfg(feature = "p2p-iroh")]
    Key(IdArgs),
    /// Makes a ticket, with an end or for one peer if wanted, for a daemon that has this machine's key; or revokes one
    #[cfg(feature = "p2p-iroh")]
    Ticket(TicketArgs),
    /// Runs a relay of your own, for peers that cannot reach each other directly
    #[cfg(feature = "p2p-iroh")]
    Relay(RelayArgs),
    /// Runs a tunnel server, or a home's side of one: where the legacy tunnel was
    #[command(subcommand)]
    Tunnel(TunnelCommand),
    /// Runs beside an app: the home's API on loopback, by a tunnel server and over P2P
    Gateway(Box<GatewayArgs>),
    /// Takes a tunnel server or a gateway off the tunnel, phase by phase, and back
    Migrate(MigrateArgs),
    /// Shows everything on this machine alone: peers, a forward, a relay that is killed in the middle of a download, the
    /// page, the metrics
    Demo(DemoArgs),
    /// Prints completions for a shell
    Completions(CompletionsArgs),
    /// Prints the manual page
    Man(ManArgs),
}

impl Command {
    /// Whether it prints all that it has to say, so that logs are for what goes wrong.
    pub const fn prints_all(&self) -> bool {
        #[cfg(feature = "p2p-iroh")]
        if matches!(self, Self::Doctor(_)) {
            return true;
        }
        matches!(self, Self::Demo(_) | Self::Status(_) | Self::Ping(_) | Self::Bench(_) | Self::Migrate(_))
    }
}

/// Arguments of `p2pd share`.
#[derive(Debug, Args)]
pub struct ShareArgs {
    /// The services to share: tcp://HOST:PORT, udp://…, tcp+udp://…, http://…, each with one port or a range like
    /// 8000-8010, or unix:/PATH; several if each is to be had by the one ticket. NAME=TARGET gives it a name
    #[arg(value_name = "[NAME=]TARGET", required = true)]
    pub targets: Vec<String>,
    /// What to call the service, if it is one; stands in the ticket
    #[arg(long, value_name = "NAME")]
    pub name: Option<ServiceName>,
    /// Who may use it beside those with the ticket: a peer's id, as `p2pd id` prints it there. May be given several times
    #[arg(long, value_name = "PEER", value_parser = peer)]
    pub allow: Vec<PeerId>,
    /// Only peers that are named by --allow; the ticket alone is not enough
    #[arg(long, requires = "allow")]
    pub only_allowed: bool,
    /// Also dials the peer that made this ticket, so that it can use the service although it cannot dial here
    #[arg(long, value_name = "TICKET")]
    pub reverse_to: Option<String>,
    /// The most that all streams of a service carry together in each direction, like `10 MB/s`
    #[arg(long, value_name = "RATE")]
    pub bandwidth: Option<Bandwidth>,
    /// Prints the ticket as a QR code, too
    #[arg(long)]
    pub qr: bool,
    /// How to take part in the network.
    #[command(flatten)]
    pub peer: PeerArgs,
    /// How to run.
    #[command(flatten)]
    pub run: RunArgs,
}

/// Arguments of `p2pd connect`.
#[derive(Debug, Args)]
pub struct ConnectArgs {
    /// The ticket that `p2pd share` printed; with --reverse, the id of the peer that dials here
    #[arg(value_name = "TICKET")]
    pub ticket: String,
    /// Where to make the service available: an address like 127.0.0.1:9000, where port 0 is any free one; the same after
    /// udp://, tcp+udp://, socks5:// or http-proxy://; or unix:/PATH. SERVICE=ADDR for one of several, as often as needed
    #[arg(long, value_name = "[SERVICE=]ADDR", required = true)]
    pub listen: Vec<String>,
    /// Which service, if the ticket names several
    #[arg(long, value_name = "NAME")]
    pub service: Option<ServiceName>,
    /// Waits for the peer to dial here instead: it runs `p2pd share … --reverse-to TICKET` with the ticket printed here
    #[arg(long)]
    pub reverse: bool,
    /// The most that all streams of a service carry together in each direction, like `10 MB/s`
    #[arg(long, value_name = "RATE")]
    pub bandwidth: Option<Bandwidth>,
    /// How to take part in the network.
    #[command(flatten)]
    pub peer: PeerArgs,
    /// How to run.
    #[command(flatten)]
    pub run: RunArgs,
}

/// Arguments of `p2pd up`. Those that the file has, too, come before it.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// The file. By default $P2PD_CONFIG, or p2pd.toml here, or p2pd/p2pd.toml in the folder for a user's configuration
    #[arg(long, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// The file with the secret key, made if there is none
    #[arg(long, value_name = "PATH")]
    pub key_file: Option<PathBuf>,
    /// The UDP port; 0 is any free one
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Where to answer /metrics, /livez and /readyz: a loopback address, or `off`
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<AdminAddr>,
    /// Seconds that open connections get to end by themselves after Ctrl-C
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub drain: Option<Duration>,
    /// Seconds that connections wait for a lost transport before they break off
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub grace: Option<Duration>,
}

/// What `p2pd config` does.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Says whether the file is all right, and if not where and why not
    Check {
        /// The file; by default the one that `p2pd up` takes
        #[arg(value_name = "PATH")]
        config: Option<PathBuf>,
    },
    /// Shows each value and where it came from: file and line, variable, or default
    Show {
        /// The file; by default the one that `p2pd up` takes
        #[arg(value_name = "PATH")]
        config: Option<PathBuf>,
    },
}

/// Arguments of `p2pd init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The file to write; one that is there is never overwritten. By default the one that `p2pd up` takes
    #[arg(value_name = "PATH")]
    pub config: Option<PathBuf>,
}

/// Arguments of `p2pd status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Where the daemon answers: an address, or unix:PATH. By default $P2PD_ADMIN, or what the configuration file says, or
    /// 127.0.0.1:8801 and then :8802. The token, if it asks for one, is $P2PD_ADMIN_TOKEN
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<AdminAddr>,
    /// Prints all there is to know as JSON
    #[arg(long, conflicts_with = "watch")]
    pub json: bool,
    /// Stays, and shows what changes, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
    /// Seconds between two looks of --watch
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub period: Duration,
    /// The configuration file; by default the one that `p2pd up` takes, if there is one
    #[arg(long, value_name = "PATH")]
    pub config: Option<PathBuf>,
}

/// Arguments of `p2pd ping`.
#[derive(Debug, Args)]
pub struct PingArgs {
    /// Whom.
    #[command(flatten)]
    pub measured: MeasuredArgs,
    /// How many round trips
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub count: u32,
    /// Seconds between them
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub interval: Duration,
    /// Prints the result as JSON, and nothing else
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `p2pd bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Whom.
    #[command(flatten)]
    pub measured: MeasuredArgs,
    /// Seconds for each direction, up to 30
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = bench_seconds)]
    pub seconds: Duration,
    /// Prints the result as JSON, and nothing else
    #[arg(long)]
    pub json: bool,
}

/// A peer that is measured.
#[derive(Debug, Args)]
pub struct MeasuredArgs {
    /// The peer: a ticket, or the name or the id of one in the configuration file
    #[arg(value_name = "PEER")]
    pub peer: String,
    /// The service by whose right, and within whose bandwidth, it is measured, if the ticket names several
    #[arg(long, value_name = "NAME")]
    pub service: Option<ServiceName>,
    /// The configuration file; by default the one that `p2pd up` takes, if there is one
    #[arg(long, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// How to take part in the network.
    #[command(flatten)]
    pub peer_args: PeerArgs,
}

/// Arguments of `p2pd doctor`.
#[cfg(feature = "p2p-iroh")]
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Prints the report as JSON
    #[arg(long)]
    pub json: bool,
    /// Seconds to wait for relays
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub within: Duration,
    /// The configuration file; by default the one that `p2pd up` takes, if there is one
    #[arg(long, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// The UDP port to examine; by default any free one
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// The key file to be examined with, for relays that let in by identity; only while no daemon uses it
    #[arg(long, value_name = "PATH")]
    pub key_file: Option<PathBuf>,
}

/// Arguments of `p2pd pipe`.
#[derive(Debug, Args)]
pub struct PipeArgs {
    /// The ticket that `p2pd share` printed
    #[arg(value_name = "TICKET")]
    pub ticket: String,
    /// Which service, if the ticket names several
    #[arg(long, value_name = "NAME")]
    pub service: Option<ServiceName>,
    /// How to take part in the network.
    #[command(flatten)]
    pub peer: PeerArgs,
}

/// Arguments of `p2pd send`.
#[derive(Debug, Args)]
pub struct SendArgs {
    /// The files and folders
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// The most that is sent to all receivers together, like `10 MB/s`
    #[arg(long, value_name = "RATE")]
    pub bandwidth: Option<Bandwidth>,
    /// How to take part in the network.
    #[command(flatten)]
    pub peer: PeerArgs,
}

/// Arguments of `p2pd recv`.
#[derive(Debug, Args)]
pub struct RecvArgs {
    /// The ticket that `p2pd send` printed
    #[arg(value_name = "TICKET")]
    pub ticket: String,
    /// The folder to put things into; made if there is none
    #[arg(long, value_name = "PATH", default_value = ".")]
    pub to: PathBuf,
    /// How to take part in the network.
    #[command(flatten)]
    pub peer: PeerArgs,
}

/// Arguments of `p2pd ticket`.
#[cfg(feature = "p2p-iroh")]
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct TicketArgs {
    /// What to do instead of making one.
    #[command(subcommand)]
    pub command: Option<TicketCommand>,
    /// A service that it is for, of those in the file; all of them if none is named. May be given several times
    #[arg(long, value_name = "NAME")]
    pub service: Vec<ServiceName>,
    /// When it ends, from now: `30min`, `12h`, `7d`
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub expires: Option<Duration>,
    /// Whether the first peer that uses it is the only one that can
    #[arg(long)]
    pub once: bool,
    /// Prints it as a QR code, too
    #[arg(long)]
    pub qr: bool,
    /// The configuration file; by default the one that `p2pd up` takes, if there is one
    #[arg(long, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// The file with the secret key of the daemon that it is for
    #[arg(long, value_name = "PATH")]
    pub key_file: Option<PathBuf>,
}

/// What `p2pd ticket` does besides making one.
#[cfg(feature = "p2p-iroh")]
#[derive(Debug, Subcommand)]
pub enum TicketCommand {
    /// Takes tickets back: they let nobody in any more, and what is open by them ends within two seconds
    Revoke(RevokeArgs),
}

/// Arguments of `p2pd ticket revoke`.
#[cfg(feature = "p2p-iroh")]
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// The tickets, or the ids that the daemon's log calls them by, which have 16 hex digits
    #[arg(value_name = "TICKET", required = true)]
    pub tickets: Vec<String>,
    /// The configuration file; by default the one that `p2pd up` takes, if there is one
    #[arg(long, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// The file with the secret key of the daemon that they are for
    #[arg(long, value_name = "PATH")]
    pub key_file: Option<PathBuf>,
}

/// Arguments of `p2pd id`.
#[derive(Debug, Args)]
pub struct IdArgs {
    /// The file with the secret key; made, for its owner's eyes only, if there is none
    #[arg(long, value_name = "PATH")]
    pub key_file: Option<PathBuf>,
}

/// Arguments of `p2pd relay`.
#[cfg(feature = "p2p-iroh")]
#[derive(Debug, Args)]
#[command(after_help = "\
With a certificate from an authority that everybody trusts, for relay.example:
  p2pd relay --certificate fullchain.pem --key privkey.pem --token-file tokens
and on the peers:
  P2P_RELAY_SERVERS=relay.example P2P_RELAY_TOKEN=... p2pd share ...

Without one, by an authority made here, whose certificate the peers need in a file:
  p2pd relay --self-signed 192.0.2.7 --ca-out relay-ca.pem --token-file tokens
  P2P_RELAY_SERVERS=192.0.2.7 P2P_RELAY_CA_FILE=relay-ca.pem P2P_RELAY_TOKEN=... p2pd share ...")]
pub struct RelayArgs {
    /// The PEM file with the certificate, and with those that lead to an authority
    #[arg(long, value_name = "PATH", requires = "key", required_unless_present = "self_signed")]
    pub certificate: Option<PathBuf>,
    /// The PEM file with the certificate's key. Both are read again when they were renewed
    #[arg(long, value_name = "PATH", requires = "certificate")]
    pub key: Option<PathBuf>,
    /// Make a certificate for this host name or IP address, and an authority for it, instead
    #[arg(long, value_name = "NAME", conflicts_with = "certificate", requires = "ca_out")]
    pub self_signed: Option<String>,
    /// Where to write that authority's certificate, which peers need as P2P_RELAY_CA_FILE
    #[arg(long, value_name = "PATH", requires = "self_signed")]
    pub ca_out: Option<PathBuf>,
    /// The file with the tokens that let a peer in, one a line
    #[arg(long, value_name = "PATH")]
    pub token_file: Option<PathBuf>,
    /// A peer that may use the relay without a token, by its id; can be given more than once
    #[arg(long, value_name = "PEER")]
    pub allow: Vec<p2p::PeerId>,
    /// Let anybody use the relay
    #[arg(long, conflicts_with_all = ["token_file", "allow"])]
    pub open: bool,
    /// The most that each peer may send, in KiB per second
    #[arg(long, value_name = "KIB", value_parser = clap::value_parser!(u32).range(1..=4 * 1024 * 1024 - 1))]
    pub kib_per_second: Option<u32>,
    /// Where peers connect, over HTTPS
    #[arg(long, value_name = "ADDR", default_value = "[::]:443", value_parser = socket_addr)]
    pub listen: SocketAddr,
    /// Where peers see that no captive portal is in their way, over HTTP
    #[arg(long, value_name = "ADDR", default_value = "[::]:80", value_parser = socket_addr)]
    pub http: SocketAddr,
    /// Where peers learn the address that others see of them, over UDP; without it there are few direct paths
    #[arg(long, value_name = "ADDR", default_value = "[::]:7842", value_parser = socket_addr)]
    pub quic: SocketAddr,
}

/// Arguments of `p2pd demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Keep running afterwards, and print the URLs of the page, the metrics and the health checks
    #[arg(long)]
    pub stay: bool,
    /// Size of the file that is downloaded twice, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=65536))]
    pub file_mib: u64,
}

/// Arguments of `p2pd completions`.
#[derive(Debug, Args)]
#[command(after_help = "For bash, in the file that it reads at its start: source <(p2pd completions bash)")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// Arguments of `p2pd man`.
#[derive(Debug, Args)]
#[command(after_help = "To read it: p2pd man | man -l -")]
pub struct ManArgs {
    /// Write the pages of all commands into this folder instead, for example /usr/local/share/man/man1
    #[arg(long, value_name = "PATH")]
    pub folder: Option<PathBuf>,
}

/// How a peer takes part in the network.
#[derive(Debug, Args)]
pub struct PeerArgs {
    /// The file with the secret key, made if there is none. `share` keeps one per user by default, `connect` makes a key
    /// up and forgets it
    #[arg(long, value_name = "PATH")]
    pub key_file: Option<PathBuf>,
    /// The UDP port; 0 is any free one. `share` uses 8800 by default, `connect` any
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
}

/// How a service runs.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Where to show how things are, and to answer Prometheus: a loopback address, unix:PATH, or `off`. By default
    /// 127.0.0.1:8801 for `share` and 127.0.0.1:8802 for `connect`, or any free port if that one is taken
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<AdminAddr>,
    /// Seconds that open connections get to end by themselves after Ctrl-C
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub drain: Duration,
    /// Seconds that connections wait for a lost transport before they break off
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub grace: Duration,
}

pub(crate) fn socket_addr(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "expected an address and a port, like 127.0.0.1:9000 or [::1]:9000")
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    crate::config::parse_duration(text)
}

pub(crate) fn peer(text: &str) -> Result<PeerId, String> {
    text.parse().map_err(|error: p2p::P2PError| error.to_string())
}

pub(crate) fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.filter(|duration| *duration <= DRAIN_MAX).ok_or("expected seconds, from 0 to 86400")
}

fn bench_seconds(text: &str) -> Result<Duration, &'static str> {
    let some = seconds(text).ok().filter(|span| !span.is_zero() && *span <= Duration::from_secs(30));
    some.ok_or("expected seconds, more than 0 and up to 30")
}

const DRAIN_MAX: Duration = Duration::from_secs(24 * 60 * 60);

const ENVIRONMENT: &str = "\
Environment:
  P2P_RELAY_SERVERS    relays to be reachable through, separated by commas
  P2P_RELAY_TOKEN      what those relays ask for
  P2P_RELAY_CA_FILE    a PEM file with the authorities of relays of your own
  P2P_LISTEN_PORT      the UDP port, like --port
  P2P_KEY_FILE         the file with the secret key, like --key-file
  P2P_BOOTSTRAP_PEERS  tickets of peers to know from the start
  P2P_PROFILE          development (the default) or production
  P2P_LAN_DISCOVERY    on or off: find peers on the local network, and be found
  P2P_PORT_MAPPING     on or off: ask the router for a port
  P2P_IMPLEMENTATION   iroh; or tunnel, by a tunnel server; or simulator, which only `p2pd demo` can use
  TUNNEL_P2P_SERVER    for tunnel: the server's URL, like wss://tunnel.example
  TUNNEL_P2P_CLIENT_ID TUNNEL_P2P_TOKEN, TUNNEL_P2P_TOKEN_FILE: the client whose peers meet there, and its access token
  TUNNEL_P2P_CA_FILE   a PEM file with the authorities of a server of your own
  P2PD_CONFIG          the configuration file, like --config
  P2PD_ADMIN           like --admin; so P2PD_DRAIN, P2PD_GRACE, and P2PD_WATCH for daemon.watch, of `p2pd up`
  P2PD_LOG_FORMAT      text or json, like --log-format
  P2PD_ADMIN_TOKEN     what who asks the admin interface has to have
  TUNNEL_ACCESS_TOKEN  the secret by which homes register at a tunnel server
  RUST_LOG             what to log on stderr, like debug or p2p_daemon=trace
  NO_COLOR             set to print without colours
Flags come before the environment.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_bad_value_says_what_was_expected() {
        let error = Cli::try_parse_from(["p2pd", "share", "x", "--bandwidth", "9"]).unwrap_err().to_string();
        assert!(error.contains("'9'") && error.contains("like 10 MB/s"), "{error}");
        let error = Cli::try_parse_from(["p2pd", "share", "x", "--admin", "here"]).unwrap_err().to_string();
        assert!(error.contains("'here'") && error.contains("127.0.0.1:8801"), "{error}");
        let error = Cli::try_parse_from(["p2pd", "share", "x", "--drain", "soon"]).unwrap_err().to_string();
        assert!(error.contains("from 0 to 86400"), "{error}");
    }
}
