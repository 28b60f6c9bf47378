//! `p2pd pipe`.

use std::time::Duration;

use p2p::{Ticket, chain};
use p2p_providers::Role;
use tokio::io::{stdin, stdout};

use super::{Running, remote};
use crate::{
    Console, Error,
    cli::PipeArgs,
    config,
    forward::{Meter, Offer, Plain, copy},
    stack::GRACE,
};

/// Connects stdin and stdout with a service of a peer. Nothing else is printed on stdout.
pub(super) async fn pipe(args: PipeArgs) -> Result<(), Error> {
    let offers = Offer::from_ticket(&args.ticket.parse::<Ticket>()?)?;
    let offer = Offer::choose(&offers, args.service.as_ref())?;
    let remote = remote(&args.ticket)?;
    let config = config::provider("pipe", Role::Dialler, &args.peer)?;
    let running = Running::start(config, Duration::ZERO, GRACE, Console::silent()).await?;
    running
        .until_the_end(async {
            let daemon = &running.daemon;
            let meter = Meter::new(daemon.export().recorder(), offer.name.as_str(), None);
            let carried = async {
                let opened = daemon.open(remote, offer.name).await?;
                let copied = copy(Plain(stdin()), stdout(), opened.stream, &meter).await;
                copied.map_err(|failure| Error::Pipe { problem: chain(&failure).to_string() })
            };
            p2p::select! {
                carried = carried => carried,
                () = daemon.shutdown().requested() => Ok(()),
            }
        })
        .await
}
