//! `p2pd doctor`.

use std::{sync::Arc, time::Duration};

use p2p_iroh::{IrohP2P, doctor::examine};
use p2p_providers::{Implementation, Role, process_vars};

use super::on_signals;
use crate::{
    Console, Error,
    cli::DoctorArgs,
    config::{Config, Flags, default_config_file},
    stack,
};

/// Looks at the network as `p2pd up` would take part in it, but with a key and a port of its own, so that a daemon that runs
/// is not disturbed: a relay serves the newest of two with one key.
pub(super) async fn doctor(args: DoctorArgs, console: Console) -> Result<(), Error> {
    let file = match &args.config {
        Some(path) => Some(path.clone()),
        None => default_config_file().ok().filter(|path| path.exists()),
    };
    let mut config = Config::load(file.as_deref(), process_vars(), &Flags::default())?.provider(Role::Dialler)?;
    if config.implementation != Implementation::Iroh {
        let problem = format!("examines iroh's network, and the {} has none", config.implementation);
        return Err(Error::Unsupported { command: "doctor", problem });
    }
    config.key_file = args.key_file;
    config.listen_port = args.port.unwrap_or(0);
    config.validate()?;

    let shutdown = on_signals(Duration::ZERO, Console::silent())?;
    let provider = Arc::new(IrohP2P::bind(config.to_iroh()?).await?);
    let report = p2p::select! {
        report = examine(&provider, args.within) => report,
        () = shutdown.requested() => return Ok(()),
    };
    stack::end(&*provider).await;
    let report = report?;
    match args.json {
        true => console.line(report.to_json()),
        false => console.line(report.to_string().trim_end()),
    }
    Ok(())
}
