//! What a ticket holds that only its maker can have made.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use data_encoding::HEXLOWER;
use p2p::{Ticket, protocol::codec};
use serde::{Deserialize, Serialize};

use crate::forward::ServiceName;

/// Terms and their seal. Whoever has it may use what it says; nobody else can make or change one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(Vec<u8>);

/// What a token is called in logs, and to revoke it by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TokenId([u8; 8]);

/// What a token is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Its name.
    pub id: TokenId,
    /// When it ends.
    pub expires: Option<SystemTime>,
    /// Whether the first peer that uses it is the only one.
    pub once: bool,
    /// For which services; none is for all.
    pub services: Vec<ServiceName>,
}

/// Makes tokens and knows its own.
#[derive(Clone)]
pub struct Mint {
    key: [u8; 32],
}

/// Why a token is good for nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The bytes are no token, or another mint's.
    #[error("a ticket that was not made here, or was changed")]
    Forged,
    /// Its time is over.
    #[error("a ticket that expired {} ago", humane(*.ago))]
    Expired {
        /// For how long.
        ago: Duration,
    },
}

/// Terms as they travel.
#[derive(Serialize, Deserialize)]
struct Wire {
    id: TokenId,
    /// Seconds since the Unix epoch; 0 is never.
    expires: u64,
    once: bool,
    services: Vec<String>,
}

impl Mint {
    /// A mint whose secret follows from an identity's: whoever has the key file makes tokens that the daemon knows.
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        Self { key: blake3::derive_key("p2pd 2026 ticket tokens", secret) }
    }

    /// A mint like no other.
    pub fn random() -> Self {
        let mut key = [0; 32];
        getrandom(&mut key);
        Self { key }
    }

    /// A token without an end, for as many peers as have it. The same services give the same token each time, so that a
    /// ticket that was handed out is good after a restart; each `generation` gives another, for when one was taken back.
    pub fn standing(&self, services: Vec<ServiceName>, generation: u32) -> Token {
        let names: Vec<_> = services.iter().map(ServiceName::as_str).collect();
        // No name has a '#'.
        let generation = if generation == 0 { String::new() } else { format!("#{generation}") };
        let hash = blake3::keyed_hash(&self.key, (names.join(",") + &generation).as_bytes());
        let id = TokenId(hash.as_bytes()[..8].try_into().expect("a hash has 32 bytes"));
        self.seal(&Terms { id, expires: None, once: false, services })
    }

    /// A token of its own.
    pub fn mint(&self, services: Vec<ServiceName>, expires: Option<SystemTime>, once: bool) -> Token {
        let mut id = [0; 8];
        getrandom(&mut id);
        self.seal(&Terms { id: TokenId(id), expires, once, services })
    }

    /// What a token is good for now.
    ///
    /// # Errors
    /// [`Rejected`] says why it is good for nothing.
    pub fn check(&self, token: &Token, now: SystemTime) -> Result<Terms, Rejected> {
        let (body, seal) = token.split().ok_or(Rejected::Forged)?;
        // Compared in constant time, by blake3.
        if blake3::keyed_hash(&self.key, body) != blake3::Hash::from_bytes(seal) {
            return Err(Rejected::Forged);
        }
        let terms = token.terms().ok_or(Rejected::Forged)?;
        match terms.expires.and_then(|at| now.duration_since(at).ok()) {
            Some(ago) => Err(Rejected::Expired { ago }),
            None => Ok(terms),
        }
    }

    fn seal(&self, terms: &Terms) -> Token {
        let seconds = |at: SystemTime| at.duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs().max(1));
        let wire = Wire {
            id: terms.id,
            expires: terms.expires.map_or(0, seconds),
            once: terms.once,
            services: terms.services.iter().map(|name| name.as_str().to_owned()).collect(),
        };
        let mut bytes = codec::encode(&wire);
        let seal = blake3::keyed_hash(&self.key, &bytes);
        bytes.extend_from_slice(seal.as_bytes());
        Token(bytes)
    }
}

impl Token {
    /// The token in these bytes, as a peer presents it. Whether it is good for anything, [`Mint::check`] says.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        (bytes.len() <= BYTES_MAX).then(|| Self(bytes.to_vec()))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The token in a ticket, if it has one.
    pub fn from_ticket(ticket: &Ticket) -> Option<Self> {
        Self::from_bytes(ticket.extensions.get(EXTENSION)?)
    }

    /// Puts it into a ticket.
    #[must_use]
    pub fn into_ticket(self, ticket: Ticket) -> Ticket {
        ticket.with_extension(EXTENSION, self.0)
    }

    /// What it says of itself, which only [`Mint::check`] makes sure of.
    pub fn terms(&self) -> Option<Terms> {
        let wire: Wire = codec::decode(self.split()?.0).ok()?;
        let services: Result<_, _> = wire.services.iter().map(|name| name.parse()).collect();
        let expires = (wire.expires != 0).then(|| UNIX_EPOCH.checked_add(Duration::from_secs(wire.expires)));
        Some(Terms { id: wire.id, expires: expires.flatten(), once: wire.once, services: services.ok()? })
    }

    fn split(&self) -> Option<(&[u8], [u8; SEAL_BYTES])> {
        let (body, seal) = self.0.split_last_chunk::<SEAL_BYTES>()?;
        Some((body, *seal))
    }
}

/// Never the bytes, which are a secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.terms() {
            Some(terms) => f.debug_tuple("Token").field(&terms.id).finish(),
            None => f.write_str("Token(?)"),
        }
    }
}

impl fmt::Debug for Mint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mint(…)")
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TokenId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| format!("ticket id {text:?} is invalid: expected 16 hex digits"))
    }
}

/// A duration in the largest unit that fits.
pub(crate) fn humane(duration: Duration) -> String {
    match duration.as_secs() {
        s if s >= 2 * 86_400 => format!("{} days", s / 86_400),
        s if s >= 2 * 3600 => format!("{} hours", s / 3600),
        s if s >= 120 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

fn getrandom(bytes: &mut [u8]) {
    use p2p::Runtime;
    p2p::TokioRuntime.rng("tokens").fill_bytes(bytes);
}

/// The ticket's extension.
const EXTENSION: &str = "access";

const SEAL_BYTES: usize = 32;

/// Bytes of the largest token that is looked at: ten services with the longest names fit.
const BYTES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn web() -> Vec<ServiceName> {
        vec!["web".parse().unwrap()]
    }

    #[test]
    fn a_token_says_its_terms_and_only_its_mint_believes_it() {
        let mint = Mint::from_secret(&[7; 32]);
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let token = mint.mint(web(), Some(now + Duration::from_secs(60)), true);
        let terms = mint.check(&token, now).unwrap();
        assert_eq!((&terms.services, terms.once), (&web(), true));
        assert_eq!(token.terms(), Some(terms));
        assert_eq!(Mint::from_secret(&[8; 32]).check(&token, now), Err(Rejected::Forged));
        let late = mint.check(&token, now + Duration::from_secs(3660)).unwrap_err();
        assert_eq!(late.to_string(), "a ticket that expired 60 min ago");
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let mint = Mint::from_secret(&[7; 32]);
        let token = mint.mint(web(), None, false);
        for at in 0..token.0.len() * 8 {
            let mut forged = token.clone();
            forged.0[at / 8] ^= 1 << (at % 8);
            assert_eq!(mint.check(&forged, SystemTime::now()), Err(Rejected::Forged));
        }
        for len in 0..token.0.len() {
            mint.check(&Token(token.0[..len].to_vec()), SystemTime::now()).unwrap_err();
        }
    }

    #[test]
    fn a_standing_token_is_the_same_after_a_restart() {
        let mint = || Mint::from_secret(&[7; 32]);
        assert_eq!(mint().standing(web(), 0), mint().standing(web(), 0));
        assert_ne!(mint().standing(web(), 0), mint().standing(web(), 1));
        assert_ne!(mint().mint(web(), None, false), mint().mint(web(), None, false));
    }

    #[test]
    fn a_token_travels_in_a_ticket_and_is_not_printed() {
        let token = Mint::random().standing(web(), 0);
        let ticket = token.clone().into_ticket(p2p::PeerAddr::new(p2p::PeerId::from_name("a")).into());
        let back: Ticket = ticket.to_string().parse().unwrap();
        assert_eq!(Token::from_ticket(&back), Some(token.clone()));
        assert!(format!("{token:?}").len() < 32);
    }
}
