//! The commands but `demo`, which has a [module of its own](crate::demo): each reads its arguments, puts the parts
//! together, and says what happens.

mod connect;
mod id;
mod manual;
#[cfg(feature = "p2p-iroh")]
mod relay;
mod share;

use std::time::Duration;

use crate::{
    Console, Error, Shutdown,
    admin::AdminServer,
    cli::{Cli, Command},
    demo,
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
        Command::Id(args) => id::id(args, console),
        #[cfg(feature = "p2p-iroh")]
        Command::Relay(args) => relay::relay(args, console).await,
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

fn say_admin(admin: Option<&AdminServer>, console: Console) {
    if let Some(admin) = admin {
        console.line(format_args!("Watch it at http://{}/metrics and /readyz.", admin.local_addr()));
    }
}
