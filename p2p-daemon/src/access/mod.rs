//! Who may use what.
//!
//! A peer proves who it is by its key, before anything here is asked. A [`ShareRule`](crate::rule::ShareRule) names in its
//! [`Allow`] whom it is for: peers, whoever has a ticket, or anyone. A ticket holds a [`Token`], which [`Mint`] makes and
//! checks with a secret of its own; it may end ([`Terms::expires`]), and it may be for one peer alone ([`Terms::once`]),
//! whom [`Claims`] remembers. One that was taken back is among the [`Revoked`].
//!
//! A dialler that may use nothing is refused in the handshake, in words that are the same whatever it lacks. One that may use
//! something learns no more of the rest than of services that do not exist. [`Audit`] writes a line for each decision.

mod allow;
mod audit;
mod claims;
mod gate;
mod revoked;
mod token;

use std::{path::PathBuf, time::SystemTime};

use p2p::PeerId;

pub(crate) use self::gate::{Gate, presented, weightier};
pub use self::{
    allow::Allow,
    audit::Audit,
    claims::Claims,
    gate::CAPABILITY,
    revoked::Revoked,
    token::{Mint, Rejected, Terms, Token, TokenId},
};

use crate::{Error, forward::ServiceName};

/// What decides.
#[derive(Debug)]
pub struct Access {
    mint: Mint,
    claims: Claims,
    revoked: Revoked,
}

impl Access {
    /// Decides with that mint. `claims` is where it is written down which peer a ticket for one is for; without a file that
    /// is known until the process ends.
    ///
    /// # Errors
    /// If the file is there and cannot be read.
    pub fn new(mint: Mint, claims: Option<PathBuf>) -> Result<Self, Error> {
        Ok(Self { mint, claims: Claims::open(claims)?, revoked: Revoked::default() })
    }

    /// With a secret that nobody knows, and no file.
    pub fn ephemeral() -> Self {
        Self { mint: Mint::random(), claims: Claims::default(), revoked: Revoked::default() }
    }

    /// With the tickets in that file for taken back, those too that are written into it from now on.
    ///
    /// # Errors
    /// If the file is there and cannot be read.
    pub fn with_revoked(mut self, file: PathBuf) -> Result<Self, Error> {
        self.revoked = Revoked::open(Some(file))?;
        Ok(self)
    }

    /// What was taken back.
    pub const fn revoked(&self) -> &Revoked {
        &self.revoked
    }

    /// The token without an end that holds now for these services: another one once it was taken back.
    pub(crate) fn standing(&self, services: &[ServiceName]) -> Token {
        let tokens = (0..).map(|generation| self.mint.standing(services.to_vec(), generation));
        let good = |token: &Token| token.terms().is_some_and(|terms| !self.revoked.contains(terms.id));
        tokens.into_iter().find(good).expect("there are more generations than can be taken back")
    }

    /// What makes tokens.
    pub const fn mint(&self) -> &Mint {
        &self.mint
    }

    /// Whether `peer` may use a service. A token for one peer is that peer's from now on.
    pub(crate) fn decide(
        &self,
        service: &ServiceName,
        allow: &Allow,
        peer: PeerId,
        token: Option<&Token>,
    ) -> Result<By, Denied> {
        if allow.anyone {
            return Ok(By::Anyone);
        }
        if allow.peers.contains(&peer) {
            return Ok(By::Peer);
        }
        if !allow.ticket {
            return Err(Denied::NotListed);
        }
        let token = token.ok_or(Denied::NoTicket)?;
        let terms = self.mint.check(token, SystemTime::now()).map_err(Denied::Ticket)?;
        if self.revoked.contains(terms.id) {
            return Err(Denied::Revoked);
        }
        if !terms.services.is_empty() && !terms.services.contains(service) {
            return Err(Denied::OtherService);
        }
        if terms.once {
            self.claims.claim(&terms, peer)?;
        }
        Ok(By::Ticket(terms.id))
    }
}

/// What a peer was let in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// The rule is for anyone.
    Anyone,
    /// The rule names the peer.
    Peer,
    /// The peer's ticket.
    Ticket(TokenId),
}

impl std::fmt::Display for By {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Anyone => f.write_str("open to anyone"),
            Self::Peer => f.write_str("on the rule's list"),
            Self::Ticket(id) => write!(f, "ticket {id}"),
        }
    }
}

/// Why a peer was not let in. For the audit log; the peer is told none of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error("no rule of that name")]
    NoRule,
    #[error("not on the rule's list, and tickets do not count for it")]
    NotListed,
    #[error("not on the rule's list, and no ticket")]
    NoTicket,
    #[error("a ticket for other services")]
    OtherService,
    #[error("{0}")]
    Ticket(Rejected),
    #[error("a ticket that was revoked")]
    Revoked,
    #[error("a ticket for one peer, which another has used")]
    Used,
    #[error("a ticket for one peer, and it could not be written down whose it is: {0}")]
    NotWrittenDown(String),
}
