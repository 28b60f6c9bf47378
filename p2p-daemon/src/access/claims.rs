//! Whose a ticket for one peer is.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use p2p::PeerId;
use parking_lot::Mutex;

use super::{Denied, Terms, TokenId};
use crate::Error;

/// Tickets for one peer that were used, and by whom. Kept in a file, so that a restart gives nobody a second chance.
#[derive(Debug, Default)]
pub struct Claims {
    file: Option<PathBuf>,
    by_token: Mutex<BTreeMap<TokenId, PeerId>>,
}

impl Claims {
    /// Those in a file, if there is one.
    ///
    /// # Errors
    /// [`Error::File`] if it is there and cannot be read.
    pub fn open(file: Option<PathBuf>) -> Result<Self, Error> {
        let by_token = match &file {
            Some(path) => read(path)?,
            None => BTreeMap::new(),
        };
        Ok(Self { file, by_token: Mutex::new(by_token) })
    }

    /// Whether the token is this peer's, or nobody's, and then is its own from now on. Written down before it counts.
    pub(super) fn claim(&self, terms: &Terms, peer: PeerId) -> Result<(), Denied> {
        let mut by_token = self.by_token.lock();
        match by_token.get(&terms.id) {
            Some(owner) if *owner == peer => return Ok(()),
            Some(_) => return Err(Denied::Used),
            None => {}
        }
        if by_token.len() >= CLAIMS_MAX {
            return Err(Denied::NotWrittenDown(format!("{CLAIMS_MAX} are, which is the most")));
        }
        if let Some(path) = &self.file {
            append(path, terms.id, peer).map_err(|error| Denied::NotWrittenDown(error.to_string()))?;
        }
        by_token.insert(terms.id, peer);
        Ok(())
    }
}

/// One line for each: the token's name and the peer's.
fn append(path: &Path, token: TokenId, peer: PeerId) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(format!("{token} {peer}\n").as_bytes())?;
    file.sync_data()
}

fn read(path: &Path) -> Result<BTreeMap<TokenId, PeerId>, Error> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(source) => return Err(Error::File { path: path.to_owned(), doing: "reading", source }),
    };
    // A line that a power cut tore off was of a claim that did not count yet.
    let line = |line: &str| {
        let (token, peer) = line.split_once(' ')?;
        Some((token.parse().ok()?, peer.parse().ok()?))
    };
    Ok(text.lines().filter_map(line).take(CLAIMS_MAX).collect())
}

/// The most that are remembered, each a line of 82 bytes.
const CLAIMS_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::{super::Mint, *};

    #[test]
    fn the_first_peer_is_the_only_one_after_a_restart_too() {
        let folder = tempfile::tempdir().unwrap();
        let file = Some(folder.path().join("state/claims"));
        let mint = Mint::random();
        let terms = mint.mint(Vec::new(), None, true).terms().unwrap();
        let (alice, bob) = (PeerId::from_name("alice"), PeerId::from_name("bob"));

        let claims = Claims::open(file.clone()).unwrap();
        claims.claim(&terms, alice).unwrap();
        claims.claim(&terms, alice).unwrap();
        assert_eq!(claims.claim(&terms, bob), Err(Denied::Used));
        let again = Claims::open(file).unwrap();
        assert_eq!(again.claim(&terms, bob), Err(Denied::Used));
        again.claim(&terms, alice).unwrap();
    }

    #[test]
    fn what_cannot_be_written_down_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let blocked = folder.path().join("file");
        fs::write(&blocked, "").unwrap();
        let claims = Claims::open(Some(blocked.join("claims"))).unwrap_or_default();
        let claims = Claims { file: Some(blocked.join("claims")), ..claims };
        let terms = Mint::random().mint(Vec::new(), None, true).terms().unwrap();
        assert!(matches!(claims.claim(&terms, PeerId::from_name("a")), Err(Denied::NotWrittenDown(_))));
    }
}
