//! Tickets that were taken back.

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use parking_lot::Mutex;
use tracing::warn;

use super::TokenId;
use crate::Error;

/// The tickets that count for nothing any more, in a file beside the key: one id a line. `p2pd ticket revoke` writes it, and
/// a running daemon reads it again when it has changed.
#[derive(Debug, Default)]
pub struct Revoked {
    file: Option<PathBuf>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    stamp: Option<Stamp>,
    ids: BTreeSet<TokenId>,
    /// Whether it was said that the file cannot be read.
    complained: bool,
}

/// What tells one state of the file from the next.
type Stamp = (u64, Option<SystemTime>);

impl Revoked {
    /// Those in a file, if there is one.
    ///
    /// # Errors
    /// [`Error::File`] if it is there and cannot be read.
    pub fn open(file: Option<PathBuf>) -> Result<Self, Error> {
        let known = match &file {
            Some(path) => read(path).map_err(|source| Error::File { path: path.clone(), doing: "reading", source })?,
            None => Known::default(),
        };
        Ok(Self { file, known: Mutex::new(known) })
    }

    /// Whether a ticket was taken back.
    pub fn contains(&self, id: TokenId) -> bool {
        self.refreshed().contains(&id)
    }

    /// Those that are not among `seen`, which they are from now on.
    pub(crate) fn news(&self, seen: &mut BTreeSet<TokenId>) -> BTreeSet<TokenId> {
        let known = self.refreshed();
        let news: BTreeSet<_> = known.difference(seen).copied().collect();
        seen.extend(&news);
        news
    }

    /// Whether others can write into the file that this is read from.
    pub(crate) const fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// How many were.
    pub fn len(&self) -> usize {
        self.refreshed().len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes a ticket back for good. It is on disk when this returns.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written down, and then still counts; [`Error::Unsupported`] if there are too many.
    pub fn revoke(&self, id: TokenId) -> Result<(), Error> {
        if self.contains(id) {
            return Ok(());
        }
        if self.len() >= REVOKED_MAX {
            let problem = format!("{REVOKED_MAX} tickets are revoked, which is the most; a new key ends them all");
            return Err(Error::Unsupported { command: "ticket revoke", problem });
        }
        if let Some(path) = &self.file {
            append(path, id).map_err(|source| Error::File { path: path.clone(), doing: "writing", source })?;
        }
        self.known.lock().ids.insert(id);
        Ok(())
    }

    /// Those that are known, after a look at whether the file is another.
    fn refreshed(&self) -> impl std::ops::Deref<Target = BTreeSet<TokenId>> {
        let mut known = self.known.lock();
        if let Some(path) = &self.file
            && stamp(path).ok() != Some(known.stamp)
        {
            match read(path) {
                Ok(now) => *known = now,
                // Nobody gets in again because a disk fails.
                Err(error) if !known.complained => {
                    known.complained = true;
                    warn!(path = %path.display(), %error, "Which tickets are revoked cannot be read; those known stay so.");
                }
                Err(_) => {}
            }
        }
        parking_lot::MutexGuard::map(known, |known| &mut known.ids)
    }
}

fn append(path: &Path, id: TokenId) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(format!("{id}\n").as_bytes())?;
    file.sync_data()
}

/// Taken before the contents, so that what is written meanwhile is seen at the next look.
fn stamp(path: &Path) -> io::Result<Option<Stamp>> {
    match fs::metadata(path) {
        Ok(file) => Ok(Some((file.len(), file.modified().ok()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read(path: &Path) -> io::Result<Known> {
    let Some(stamp) = stamp(path)? else { return Ok(Known::default()) };
    let text = fs::read_to_string(path)?;
    let ids = text.lines().filter_map(|line| line.trim().parse().ok()).take(REVOKED_MAX).collect();
    Ok(Known { stamp: Some(stamp), ids, complained: false })
}

/// The most that are remembered, each a line of 17 bytes.
const REVOKED_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::{super::Mint, *};

    fn id() -> TokenId {
        Mint::random().mint(Vec::new(), None, false).terms().unwrap().id
    }

    #[test]
    fn what_another_process_revokes_counts_at_the_next_look_and_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let file = Some(folder.path().join("state/key.revoked"));
        let (daemon, command) = (Revoked::open(file.clone()).unwrap(), Revoked::open(file.clone()).unwrap());
        let (one, two, other) = (id(), id(), id());
        assert!(!daemon.contains(one));
        command.revoke(one).unwrap();
        assert!(daemon.contains(one), "it looks at the file again");
        command.revoke(two).unwrap();
        command.revoke(two).unwrap();
        assert!(daemon.contains(one) && daemon.contains(two) && !daemon.contains(other));
        let text = fs::read_to_string(file.as_ref().unwrap()).unwrap();
        assert_eq!(text, format!("{one}\n{two}\n"));
        assert_eq!(Revoked::open(file).unwrap().len(), 2);
    }

    #[test]
    fn what_cannot_be_written_down_is_said_and_a_file_that_fails_lets_nobody_in_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("revoked");
        let revoked = Revoked::open(Some(path.clone())).unwrap();
        let one = id();
        revoked.revoke(one).unwrap();
        assert!(revoked.contains(one));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(revoked.contains(one), "those known stay so");
        assert!(revoked.revoke(id()).unwrap_err().to_string().contains("writing"));
        assert!(Revoked::open(Some(path)).is_err());
    }
}
