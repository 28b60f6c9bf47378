//! The commands but `demo`, which has a [module of its own](crate::demo): each reads its arguments, puts the parts
//! together, and says what happens.

mod config;
mod connect;
#[cfg(feature = "p2p-iroh")]
mod doctor;
mod id;
mod manual;
mod measure;
mod pipe;
#[cfg(feature = "p2p-iroh")]
mod relay;
mod send;
mod share;
mod status;
mod ticket;
mod up;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use p2p::Ticket;
use p2p_providers::ProviderConfig;

use crate::{
    Console, Daemon, Error, Shutdown,
    access::{Access, Token},
    admin::{AdminAddr, AdminOptions, AdminServer, Controls},
    cli::{Cli, Command},
    config::admin_token,
    demo,
    logging::LogFormat,
    rule::{Remote, Rules},
    stack::Stack,
    tunnel::{self, args::TunnelCommand},
};

/// Runs a command to its end.
///
/// # Errors
/// Whatever keeps it from doing what it was asked.
pub async fn run(cli: Cli) -> Result<(), Error> {
    let console = Console::stdout();
    match cli.command {
        Command::Share(args) => share::share(args, console).await,
        Command::Connect(args) => connect::connect(args, console).await,
        // A line for people among objects is one that no program can read.
        Command::Up(args) if cli.log_format == LogFormat::Json => up::up(args, Console::silent()).await,
        Command::Up(args) => up::up(args, console).await,
        Command::Config(command) => config::config(command, console),
        Command::Init(args) => config::init(args, console),
        Command::Status(args) => status::status(args, console).await,
        Command::Ping(args) => measure::ping(args, console).await,
        Command::Bench(args) => measure::bench(args, console).await,
        #[cfg(feature = "p2p-iroh")]
        Command::Doctor(args) => doctor::doctor(args, console).await,
        Command::Pipe(args) => pipe::pipe(args).await,
        Command::Send(args) => send::send(args, console).await,
        Command::Recv(args) => send::recv(args, console).await,
        Command::Id(args) => id::id(args, console),
        #[cfg(feature = "p2p-iroh")]
        Command::Key(args) => id::key(args, console),
        #[cfg(feature = "p2p-iroh")]
        Command::Ticket(args) => ticket::ticket(args, console),
        #[cfg(feature = "p2p-iroh")]
        Command::Relay(args) => relay::relay(args, console).await,
        Command::Tunnel(TunnelCommand::Serve(args)) => tunnel::serve(*args, console).await,
        Command::Tunnel(TunnelCommand::Send(args)) => tunnel::send(*args, console).await,
        Command::Tunnel(TunnelCommand::Import(args)) => tunnel::import(&args, console),
        Command::Tunnel(TunnelCommand::Revoke(args)) => tunnel::revoke(&args, console),
        Command::Gateway(args) => tunnel::gateway(*args, console).await,
        Command::Migrate(args) => tunnel::migrate(args, console).await,
        Command::Demo(args) => demo::demo(args, console).await,
        Command::Completions(args) => manual::completions(args),
        Command::Man(args) => manual::man(args),
    }
}

/// A shutdown at Ctrl-C, which says what happens then.
pub(crate) fn on_signals(drain: Duration, console: Console) -> Result<Shutdown, Error> {
    let shutdown = Shutdown::on_signals(drain).map_err(|source| Error::System { what: "to handle signals", source })?;
    let requested = shutdown.clone();
    tokio::spawn(async move {
        requested.requested().await;
        match drain.is_zero() {
            true => console.line("Ending."),
            false => console.line(format_args!(
                "Ending. What is open has up to {} s to finish; Ctrl-C again ends it now.",
                drain.as_secs_f64()
            )),
        }
    });
    Ok(shutdown)
}

/// A daemon and what it stands on, as one command runs it.
pub(crate) struct Running {
    stack: Stack,
    pub(crate) daemon: Daemon,
    key_file: Option<PathBuf>,
}

impl Running {
    /// Starts it with `drain` for what is open at the end, and `grace` for lost transports.
    pub(crate) async fn start(
        config: ProviderConfig,
        drain: Duration,
        grace: Duration,
        console: Console,
    ) -> Result<Self, Error> {
        let (access, key_file) = (access(&config)?, config.key_file.clone());
        let shutdown = on_signals(drain, console)?;
        let stack = Stack::start(config, grace).await?;
        let daemon = Daemon::start(&stack, access, shutdown);
        Ok(Self { stack, daemon, key_file })
    }

    /// Applies rules, and leaves word for `p2pd ticket` where this peer can be dialled.
    async fn apply(&self, rules: Rules) -> Result<(), Error> {
        self.daemon.apply(rules).await?;
        if let Some(path) = &self.key_file {
            // Without it, tickets have what is configured.
            std::fs::write(beside(path, ADDR), Ticket::new(self.daemon.addr()).to_string()).ok();
        }
        Ok(())
    }

    /// The admin interface, by which the daemon can be drained, and done to what `controls` let.
    pub(crate) async fn admin(&self, addr: AdminAddr, controls: Controls) -> Result<Option<AdminServer>, Error> {
        let shutdown = self.daemon.shutdown().clone();
        let controls = controls.with_drain(move || shutdown.request());
        AdminServer::start(addr, &self.daemon, AdminOptions { token: admin_token(), controls }).await
    }

    /// Does what the command does, then ends in good order, whatever came of it.
    pub(crate) async fn until_the_end(&self, work: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
        let result = work.await;
        self.daemon.end().await;
        self.stack.end().await;
        result
    }
}

/// Who decides: a mint whose secret is the identity's, so that tickets are good after a restart, and a file beside the key.
fn access(config: &ProviderConfig) -> Result<Access, Error> {
    #[cfg(feature = "p2p-iroh")]
    if let (p2p_providers::Implementation::Iroh, Some(path)) = (config.implementation, &config.key_file) {
        let identity = p2p_iroh::Identity::load_or_create(path)?;
        let mint = crate::access::Mint::from_secret(&identity.to_bytes());
        return Access::new(mint, Some(beside(path, "claims")))?.with_revoked(beside(path, REVOKED));
    }
    let _ = config;
    Ok(Access::ephemeral())
}

/// Where a peer with that key file was to be dialled when it last ran.
#[cfg(feature = "p2p-iroh")]
fn read_addr(key_file: &Path) -> Option<p2p::PeerAddr> {
    let text = std::fs::read_to_string(beside(key_file, ADDR)).ok()?;
    Some(text.parse::<Ticket>().ok()?.addr)
}

/// A file of that kind beside the key.
fn beside(key_file: &Path, kind: &str) -> PathBuf {
    let mut path = key_file.to_owned().into_os_string();
    path.push(".");
    path.push(kind);
    path.into()
}

/// The tickets that were taken back.
#[cfg(feature = "p2p-iroh")]
const REVOKED: &str = "revoked";

/// Where this peer can be dialled, as a ticket that gives no right to anything.
const ADDR: &str = "addr";

/// The peer that made a ticket, and what it gives the right to.
fn remote(ticket: &str) -> Result<Remote, Error> {
    let ticket: Ticket = ticket.parse()?;
    Ok(Remote { token: Token::from_ticket(&ticket), addr: ticket.addr })
}

pub(crate) fn say_admin(admin: Option<&AdminServer>, console: Console) {
    if let Some(admin) = admin {
        console.line(format_args!("Watch it at {}; Prometheus finds /metrics there.", admin.url()));
    }
}
