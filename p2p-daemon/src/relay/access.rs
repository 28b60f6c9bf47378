//! Who may use a relay.

use std::collections::BTreeSet;

use blake3::Hash;
use iroh_relay::server::{Access, AccessControl, ClientRequest};
use p2p::PeerId;

/// Who may use a relay: anybody, or those with a token or a known identity. By default nobody.
#[derive(Debug, Clone, Default)]
pub struct RelayAccess {
    anybody: bool,
    /// Hashes, so that the time that a look takes says nothing of a token.
    tokens: BTreeSet<[u8; 32]>,
    peers: BTreeSet<PeerId>,
}

impl RelayAccess {
    /// Whoever comes. Whoever finds the relay then sends through it at its owner's expense.
    pub fn anybody() -> Self {
        Self { anybody: true, ..Self::default() }
    }

    /// Also whoever has one of the tokens in that text: one a line, blank lines and those that begin with `#` apart.
    #[must_use]
    pub fn with_tokens(mut self, text: &str) -> Self {
        let tokens = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        self.tokens.extend(tokens.map(|token| *hash(token).as_bytes()));
        self
    }

    /// Also those peers, who have proved to be who they are when they are asked for.
    #[must_use]
    pub fn with_peers(mut self, peers: impl IntoIterator<Item = PeerId>) -> Self {
        self.peers.extend(peers);
        self
    }

    /// Whether nobody can use it.
    pub fn is_empty(&self) -> bool {
        !self.anybody && self.tokens.is_empty() && self.peers.is_empty()
    }

    fn admits(&self, peer: PeerId, token: Option<&str>) -> Result<(), &'static str> {
        if self.anybody || self.peers.contains(&peer) {
            return Ok(());
        }
        match token {
            Some(token) if self.tokens.contains(hash(token).as_bytes()) => Ok(()),
            Some(_) => Err("wrong token"),
            None if self.tokens.is_empty() => Err("this peer is not on the relay's list"),
            None => Err("the relay asks for a token"),
        }
    }
}

fn hash(token: &str) -> Hash {
    blake3::hash(token.as_bytes())
}

impl AccessControl for RelayAccess {
    async fn on_connect(&self, request: &ClientRequest) -> Access {
        let peer = PeerId::from_bytes(*request.endpoint_id().as_bytes());
        match self.admits(peer, request.auth_token().as_deref()) {
            Ok(()) => Access::Allow,
            Err(reason) => {
                tracing::info!(%peer, reason, "A peer may not use the relay.");
                Access::Deny { reason: Some(reason.to_owned()) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_or_an_identity_lets_in() {
        let (known, stranger) = (PeerId::from_bytes([1; 32]), PeerId::from_bytes([2; 32]));
        let access = RelayAccess::default().with_tokens("# of the office\n\n  hush \n").with_peers([known]);
        assert_eq!(access.admits(known, None), Ok(()));
        assert_eq!(access.admits(stranger, Some("hush")), Ok(()));
        assert_eq!(access.admits(stranger, Some("# of the office")), Err("wrong token"));
        assert_eq!(access.admits(stranger, Some("")), Err("wrong token"));
        assert_eq!(access.admits(stranger, None), Err("the relay asks for a token"));
        assert_eq!(RelayAccess::anybody().admits(stranger, None), Ok(()));
        assert!(RelayAccess::default().with_tokens("# none\n").is_empty());
    }
}
