//! `p2pd share`.

use std::time::Duration;

use p2p::{ListenConfig, P2PProvider, Ticket};
use p2p_providers::Role;

use super::{on_signals, say_admin};
use crate::{
    Console, Error, Shutdown, Target,
    admin::{AdminServer, Health},
    cli::ShareArgs,
    config::{self, ADMIN_PORT_SHARE},
    console::short,
    forward::{ServiceName, Share, connection_config},
    stack::Stack,
};

pub(super) async fn share(args: ShareArgs, console: Console) -> Result<(), Error> {
    let target: Target = args.target.parse()?;
    let config = config::provider("share", Role::Listener, &args.peer)?;
    let shutdown = on_signals(args.run.drain, console)?;
    let stack = Stack::start(config).await?;
    let result = serve(&stack, target, args, shutdown, console).await;
    stack.end().await;
    result
}

async fn serve(
    Stack { provider, export }: &Stack,
    target: Target,
    args: ShareArgs,
    shutdown: Shutdown,
    console: Console,
) -> Result<(), Error> {
    let listen = ListenConfig { ready_timeout: READY_TIMEOUT, ..ListenConfig::from(connection_config()) };
    let listener = provider.listen_with(listen).await?;
    let ticket = ServiceName::into_ticket(Ticket::new(listener.local_addr()), [&args.name]);
    let share = Share::new(listener, [(args.name.clone(), target.clone())], export.recorder());

    let health = Health::default().with_shutdown(shutdown.clone()).with_provider(provider);
    let admin = AdminServer::start_at(config::admin(args.run.admin, ADMIN_PORT_SHARE), export, health).await?;

    let peer = short(provider.local_peer_id());
    console.line(format_args!("Sharing {target} as {:?}; this is peer {peer}.", args.name.as_str()));
    say_problems(provider, console);
    console.line("\nOn the other side, run:\n");
    console.line(format_args!("  p2pd connect {} --listen {EXAMPLE_ADDR}\n", console.bold(&ticket)));
    say_admin(admin.as_ref(), console);
    console.line("Ctrl-C ends it.");

    share.run(shutdown).await
}

/// What keeps peers away, so that nobody sends a ticket that does not work yet without knowing.
fn say_problems(provider: &dyn P2PProvider, console: Console) {
    for check in provider.status().get().checks {
        if let Some(problem) = check.problem {
            console.line(format_args!("{} {}: {problem}", console.yellow("Not ready:"), check.name));
        }
    }
}

/// Any would do. Not the service's own port, because the first try is often on one machine.
const EXAMPLE_ADDR: &str = "127.0.0.1:9000";

/// How long to wait for a relay before the ticket is printed without it.
const READY_TIMEOUT: Duration = Duration::from_secs(5);
