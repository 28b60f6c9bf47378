//! Who a peer is.

use std::{fmt, sync::Arc};

use p2p::{PeerId, Runtime};
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls::sign::CertifiedKey;

use super::tls;

/// A secret ed25519 key, and with it the [`PeerId`] that peers see: the same as any other provider's with that key.
#[derive(Clone)]
pub struct Identity {
    seed: [u8; 32],
    peer: PeerId,
}

impl Identity {
    /// A new identity, from the runtime's randomness, which is the system's outside of simulations.
    pub fn generate(runtime: &dyn Runtime) -> Self {
        let mut seed = [0; 32];
        runtime.rng("tunnel identity").fill_bytes(&mut seed);
        Self::from_bytes(seed)
    }

    /// The identity of that secret key. Any 32 bytes are one.
    pub fn from_bytes(seed: [u8; 32]) -> Self {
        let public = pair(&seed).public_key().as_ref().try_into().expect("ed25519 keys have 32 bytes");
        Self { seed, peer: PeerId::from_bytes(public) }
    }

    /// The secret key's bytes.
    pub const fn to_bytes(&self) -> [u8; 32] {
        self.seed
    }

    /// The public half, which peers see.
    pub const fn peer_id(&self) -> PeerId {
        self.peer
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        pair(&self.seed).sign(message).as_ref().to_vec()
    }

    pub(super) fn certified_key(&self) -> Arc<CertifiedKey> {
        tls::key_of(&self.seed).expect("any 32 bytes are a key").1
    }
}

fn pair(seed: &[u8; 32]) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(seed).expect("any 32 bytes are a key")
}

/// Shows the public half alone.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.peer).finish()
    }
}
