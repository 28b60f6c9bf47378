//! `p2pd ticket`, and tickets on a terminal.

use p2p::Ticket;
use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};

use crate::{Console, Error};

#[cfg(feature = "p2p-iroh")]
pub(super) use self::made::ticket;

/// Prints a ticket as a QR code of half blocks, for a phone's camera.
pub(super) fn say_qr(ticket: &Ticket, console: Console) -> Result<(), Error> {
    let code = QrCode::with_error_correction_level(ticket.to_string(), EcLevel::L)
        .map_err(|_| Error::Unsupported { command: "ticket", problem: "cannot draw a ticket of this length".into() })?;
    // Dark on light even where a terminal is light on dark: not every camera reads the other.
    let drawn = code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
    console.line(drawn);
    Ok(())
}

/// Whoever has the key file makes tickets, while the daemon runs and without asking it.
#[cfg(feature = "p2p-iroh")]
mod made {
    use std::time::SystemTime;

    use p2p::{PeerAddr, Ticket};
    use p2p_providers::{ProviderConfig, Role, process_vars};

    use super::say_qr;
    use crate::{
        Console, Error,
        access::Mint,
        cli::TicketArgs,
        config::{Config, Flags, default_config_file},
        forward::Offer,
        rule::ShareRule,
    };

    pub(in crate::command) fn ticket(args: TicketArgs, console: Console) -> Result<(), Error> {
        let (provider, shares) = settings(&args)?;
        let path = match args.key_file.or(provider.key_file) {
            Some(path) => path,
            None => crate::config::default_key_file()?,
        };
        let identity = p2p_iroh::Identity::load(&path)?;
        if let Some(missing) = args.service.iter().find(|name| !shares.iter().any(|share| share.name == **name))
            && !shares.is_empty()
        {
            let names: Vec<_> = shares.iter().map(|share| share.name.as_str()).collect();
            let problem = format!("cannot make one for {missing}: the services are {}", names.join(", "));
            return Err(Error::Unsupported { command: "ticket", problem });
        }
        let addr = match super::super::read_addr(&path) {
            Some(addr) if addr.peer == identity.peer_id() => addr,
            // Never started: what is configured has to do.
            _ => {
                let addr = PeerAddr::new(identity.peer_id());
                provider.relay_servers.iter().fold(addr, |addr, relay| match relay.contains("://") {
                    true => addr.with_relay(relay),
                    false => addr.with_relay(format!("https://{relay}")),
                })
            }
        };
        let offers: Vec<_> = match (args.service.is_empty(), shares.is_empty()) {
            (true, _) => shares.iter().map(Offer::of).collect(),
            (false, true) => args.service.iter().cloned().map(Offer::tcp).collect(),
            (false, false) => shares.iter().filter(|share| args.service.contains(&share.name)).map(Offer::of).collect(),
        };
        let mint = Mint::from_secret(&identity.to_bytes());
        let expires = args.expires.and_then(|after| SystemTime::now().checked_add(after));
        let ticket = Offer::into_ticket(Ticket::new(addr), &offers);
        let ticket = mint.mint(args.service, expires, args.once).into_ticket(ticket);
        console.line(&ticket);
        if args.qr {
            say_qr(&ticket, console)?;
        }
        Ok(())
    }

    /// What the configuration says, if there is one.
    fn settings(args: &TicketArgs) -> Result<(ProviderConfig, Vec<ShareRule>), Error> {
        let path = match &args.config {
            Some(path) => Some(path.clone()),
            None => default_config_file().ok().filter(|path| path.exists()),
        };
        match path {
            Some(path) => {
                let config = Config::load(Some(&path), process_vars(), &Flags::default())?;
                Ok((config.provider(Role::Listener)?, config.rules()?.shares))
            }
            None => Ok((ProviderConfig::from_env(Role::Listener)?, Vec::new())),
        }
    }
}
