//! Who this endpoint is.

use std::{
    fmt,
    fs::File,
    path::{Path, PathBuf},
};

use iroh::SecretKey;
use p2p::{PeerId, Result, key_file};

/// A secret ed25519 key, and with it the [`PeerId`] that peers see.
///
/// Two endpoints with one identity at the same time take each other's relayed traffic away: give each its own. An identity
/// from a key file is therefore one endpoint's at a time: [`IrohP2P::bind`](crate::IrohP2P::bind) locks the file until the
/// endpoint is shut down.
#[derive(Clone)]
pub struct Identity {
    key: SecretKey,
    file: Option<PathBuf>,
}

impl Identity {
    /// A new identity, from the system's randomness.
    pub fn generate() -> Self {
        Self { key: SecretKey::generate(), file: None }
    }

    /// The identity of that secret key. Any 32 bytes are one.
    pub fn from_bytes(secret: [u8; 32]) -> Self {
        Self { key: SecretKey::from_bytes(&secret), file: None }
    }

    /// The secret key's bytes.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// Reads the identity from a key file: 64 hex digits that only their owner may read.
    ///
    /// # Errors
    /// [`InvalidInput`](p2p::P2PError::InvalidInput) names the file, what is wrong with it and what was expected: it is
    /// missing, readable by others, truncated, or no key.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Ok(Self::from_bytes(key_file::load(path)?).kept_in(path))
    }

    /// Reads the identity from a key file, or makes one up and writes it there, with mode 0600, if there is no file.
    ///
    /// The file appears whole or not at all, and what is there is never overwritten. Of two programs that create it at
    /// the same time both get the same identity. Directories that are missing are made, with mode 0700.
    ///
    /// # Errors
    /// As [`load`](Self::load), and if the file cannot be written.
    pub fn load_or_create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Ok(Self::from_bytes(key_file::load_or_create(path)?).kept_in(path))
    }

    /// The public half, which peers see.
    pub fn peer_id(&self) -> PeerId {
        PeerId::from_bytes(*self.key.public().as_bytes())
    }

    fn kept_in(self, path: &Path) -> Self {
        Self { file: Some(path.to_owned()), ..self }
    }

    /// Takes the key file for an endpoint, if there is one.
    pub(crate) fn lock(&self) -> Result<Option<File>> {
        self.file.as_deref().map_or(Ok(None), key_file::lock)
    }

    pub(crate) fn secret_key(&self) -> &SecretKey {
        &self.key
    }
}

/// Shows the public half alone.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.peer_id()).finish()
    }
}
