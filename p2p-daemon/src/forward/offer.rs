//! What a ticket says of a service.

use std::fmt;

use p2p::{P2PError, Ticket};

use super::ServiceName;
use crate::{
    Error,
    rule::{Ports, Protocols, ShareRule, Target},
};

/// A service as its ticket names it: `web`, `dns:tcp+udp`, `games:udp*10`, `lan:proxy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// What to ask for.
    pub name: ServiceName,
    /// What it speaks. TCP goes without saying.
    pub protocols: Protocols,
    /// How many ports it has. One goes without saying.
    pub ports: u16,
    /// Whether it is to be used as a proxy.
    pub proxy: bool,
}

impl Offer {
    /// What a rule offers.
    pub fn of(rule: &ShareRule) -> Self {
        Self {
            name: rule.name.clone(),
            protocols: rule.target.protocols(),
            ports: rule.target.ports(),
            proxy: matches!(rule.target, Target::Proxy(_)),
        }
    }

    /// A TCP service with one port.
    pub const fn tcp(name: ServiceName) -> Self {
        Self { name, protocols: Protocols::Tcp, ports: 1, proxy: false }
    }

    /// Puts offers into a ticket, separated by commas.
    #[must_use]
    pub fn into_ticket(ticket: Ticket, offers: &[Self]) -> Ticket {
        let texts: Vec<_> = offers.iter().map(Self::to_string).collect();
        ticket.with_extension(EXTENSION, texts.join(","))
    }

    /// The services that a ticket names; none if it names none.
    ///
    /// # Errors
    /// [`P2PError::InvalidInput`] if what stands in the ticket is no list of services.
    pub fn from_ticket(ticket: &Ticket) -> Result<Vec<Self>, P2PError> {
        let Some(list) = ticket.extensions.get(EXTENSION) else {
            return Ok(Vec::new());
        };
        let list = String::from_utf8_lossy(list);
        list.split(',')
            .filter(|text| !text.is_empty() || list.contains(','))
            .map(Self::parse)
            .collect::<Option<_>>()
            .ok_or_else(|| {
                P2PError::invalid_input(format_args!("ticket with services {list:?}"), "services separated by commas")
            })
    }

    /// The one of `offers` that was asked for, or the only one.
    ///
    /// # Errors
    /// [`Error::ServiceChoice`] if there is none of that name, or there are several and none was asked for.
    pub fn choose(offers: &[Self], asked: Option<&ServiceName>) -> Result<Self, Error> {
        match (asked, offers) {
            (None, []) => Ok(Self::tcp(ServiceName::default())),
            (None, [one]) => Ok(one.clone()),
            (Some(name), []) => Ok(Self::tcp(name.clone())),
            (Some(name), _) if offers.iter().any(|offer| offer.name == *name) => {
                Ok(offers.iter().find(|offer| offer.name == *name).cloned().expect("it was just found"))
            }
            _ => {
                let names: Vec<_> = offers.iter().map(|offer| offer.name.as_str()).collect();
                Err(Error::ServiceChoice { offered: names.join(", ") })
            }
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (rest, ports) = match text.split_once('*') {
            Some((rest, ports)) => (rest, ports.parse().ok().filter(|ports| (1..=Ports::COUNT_MAX).contains(ports))?),
            None => (text, 1),
        };
        let (name, kind) = rest.split_once(':').map_or((rest, None), |(name, kind)| (name, Some(kind)));
        let proxy = kind == Some("proxy");
        let protocols = match kind {
            None | Some("proxy") => Protocols::Tcp,
            Some(kind) => Protocols::from_name(kind)?,
        };
        Some(Self { name: name.parse().ok()?, protocols, ports, proxy })
    }
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)?;
        match (self.proxy, self.protocols) {
            (true, _) => f.write_str(":proxy")?,
            (false, Protocols::Tcp) => {}
            (false, protocols) => write!(f, ":{protocols}")?,
        }
        if self.ports > 1 {
            write!(f, "*{}", self.ports)?;
        }
        Ok(())
    }
}

/// The ticket's extension that lists what is shared.
const EXTENSION: &str = "services";

#[cfg(test)]
mod tests {
    use p2p::{PeerAddr, PeerId};

    use super::*;

    #[test]
    fn offers_travel_in_a_ticket() {
        let ticket = Ticket::new(PeerAddr::new(PeerId::from_name("alice")));
        assert_eq!(Offer::from_ticket(&ticket).unwrap(), []);
        let texts = ["web", "dns:tcp+udp", "games:udp*10", "lan:proxy"];
        let offers = texts.map(|text| Offer::parse(text).unwrap());
        assert_eq!(offers.each_ref().map(Offer::to_string), texts);
        let full = Offer::into_ticket(ticket.clone(), &offers);
        assert_eq!(Offer::from_ticket(&full).unwrap(), offers);
        for bad in ["web,,", "web:x", "web*0", "web*9999", "WEB"] {
            Offer::from_ticket(&ticket.clone().with_extension(EXTENSION, bad)).unwrap_err();
        }
    }

    #[test]
    fn a_ticket_with_several_services_needs_a_choice() {
        let offer = |name: &str| Offer::tcp(name.parse().unwrap());
        let (web, ssh) = (offer("web"), offer("ssh"));
        let two = [web.clone(), ssh.clone()];
        assert_eq!(Offer::choose(&[], None).unwrap(), offer("default"));
        assert_eq!(Offer::choose(std::slice::from_ref(&web), None).unwrap(), web);
        assert_eq!(Offer::choose(&two, Some(&ssh.name)).unwrap(), ssh);
        let error = Offer::choose(&two, None).unwrap_err().to_string();
        assert!(error.contains("web, ssh") && error.contains("--service"), "{error}");
        Offer::choose(&[web], Some(&ssh.name)).unwrap_err();
    }
}
