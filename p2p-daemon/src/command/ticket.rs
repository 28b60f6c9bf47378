//! `p2pd ticket`, `p2pd ticket revoke`, and tickets on a terminal.

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
    use std::{
        path::{Path, PathBuf},
        time::SystemTime,
    };

    use p2p::{PeerAddr, Ticket};
    use p2p_providers::{ProviderConfig, Role, process_vars};

    use super::say_qr;
    use crate::{
        Console, Error,
        access::{Mint, Rejected, Revoked, Token, TokenId},
        cli::{RevokeArgs, TicketArgs, TicketCommand},
        config::{Config, Flags, default_config_file},
        forward::Offer,
        rule::ShareRule,
    };

    pub(in crate::command) fn ticket(args: TicketArgs, console: Console) -> Result<(), Error> {
        if let Some(TicketCommand::Revoke(args)) = args.command {
            return revoke(args, console);
        }
        let (provider, shares) = settings(args.config.as_deref())?;
        let path = key_file(args.key_file, provider.key_file)?;
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

    /// Writes beside the key that tickets count for nothing any more; a daemon that has the key looks there.
    fn revoke(args: RevokeArgs, console: Console) -> Result<(), Error> {
        let (provider, _) = settings(args.config.as_deref())?;
        let path = key_file(args.key_file, provider.key_file)?;
        let mint = Mint::from_secret(&p2p_iroh::Identity::load(&path)?.to_bytes());
        // All of them are looked at before any is revoked.
        let ids: Vec<_> = args.tickets.iter().map(|text| id(text, &mint, &path)).collect::<Result<_, _>>()?;
        let revoked = Revoked::open(Some(super::super::beside(&path, super::super::REVOKED)))?;
        for id in ids {
            revoked.revoke(id)?;
            console.line(format_args!("Ticket {id} is revoked."));
        }
        console
            .line("It lets nobody in any more. A daemon that runs with this key ends what is open by it within 2 s.");
        console.line("`p2pd share` and `p2pd up` print a new one at their next start, if it was theirs.");
        Ok(())
    }

    /// What a ticket is called, if it was made with this key.
    fn id(text: &str, mint: &Mint, key_file: &Path) -> Result<TokenId, Error> {
        let refused = |problem: String| Error::Unsupported { command: "ticket revoke", problem };
        if let Ok(id) = text.parse::<TokenId>() {
            return Ok(id);
        }
        let ticket: Ticket = text.parse()?;
        let token = Token::from_ticket(&ticket).ok_or_else(|| {
            refused("was given a ticket that is no right to anything, so nothing ends with it".into())
        })?;
        match (mint.check(&token, SystemTime::now()), token.terms()) {
            (Ok(terms), _) | (Err(Rejected::Expired { .. }), Some(terms)) => Ok(terms.id),
            _ => Err(refused(format!(
                "was given a ticket that was not made with the key in {}: name the right one with --key-file",
                key_file.display()
            ))),
        }
    }

    fn key_file(flag: Option<PathBuf>, configured: Option<PathBuf>) -> Result<PathBuf, Error> {
        flag.or(configured).map_or_else(crate::config::default_key_file, Ok)
    }

    /// What the configuration says, if there is one.
    fn settings(config: Option<&Path>) -> Result<(ProviderConfig, Vec<ShareRule>), Error> {
        let path = match config {
            Some(path) => Some(path.to_owned()),
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
