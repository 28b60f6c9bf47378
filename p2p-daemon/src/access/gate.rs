//! What is asked of each dialler, before there is a connection.

use std::sync::Weak;

use p2p::{Answer, Capability, P2PConnection, PeerId, Refusal, RefusalCode};

use super::{Denied, Token, audit};
use crate::daemon::Inner;

/// The capability that carries a token in the handshake.
pub const CAPABILITY: &str = "p2pd-access";

/// Lets in who may use anything at all.
#[derive(Debug)]
pub(crate) struct Gate(pub(crate) Weak<Inner>);

impl Answer for Gate {
    fn answer(&self, peer: PeerId, offered: &[Capability]) -> Result<Vec<Capability>, Refusal> {
        let refusal =
            || Refusal::new(RefusalCode::Rejected, "this peer is for others, or the ticket is no longer good");
        let Some(daemon) = self.0.upgrade() else { return Err(refusal()) };
        let shown = offered.iter().find(|capability| capability.name == CAPABILITY);
        let token = shown.and_then(|capability| Token::from_bytes(&capability.data));
        match daemon.admits(peer, token.as_ref()) {
            Ok(()) => Ok(shown.cloned().into_iter().collect()),
            Err(reason) => {
                daemon.events.note(crate::daemon::Event::refused(peer, daemon.name_of(peer), &reason));
                audit::refused(peer, daemon.name_of(peer).as_deref(), &reason);
                Err(refusal())
            }
        }
    }
}

/// The token that the dialler of a connection presented.
pub(crate) fn presented(connection: &dyn P2PConnection) -> Option<Token> {
    Token::from_bytes(&connection.negotiated().capability(CAPABILITY)?.data)
}

/// The reason that says most, of several: what a ticket is, before that there is none.
pub(crate) fn weightier(a: Denied, b: Denied) -> Denied {
    let weight = |denied: &Denied| match denied {
        Denied::NoRule => 0,
        Denied::NotListed => 1,
        Denied::NoTicket => 2,
        Denied::OtherService => 3,
        Denied::Ticket(_) | Denied::Revoked | Denied::Used | Denied::NotWrittenDown(_) => 4,
    };
    if weight(&b) > weight(&a) { b } else { a }
}
