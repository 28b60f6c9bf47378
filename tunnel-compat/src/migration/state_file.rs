//! The policy on disk: one small file, whole or not there.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use p2p::P2PError;

use super::Policy;

/// A file that keeps a [`Policy`]. One router uses it at a time.
#[derive(Debug, Clone)]
pub struct StateFile(PathBuf);

impl StateFile {
    /// That file; its folder must exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What it keeps; nothing if there is no file.
    ///
    /// # Errors
    /// [`P2PError::InvalidInput`] names the file and what is wrong with it. A file that cannot be read is left as it is: to begin
    /// at phase 1 instead would be a decision of somebody's.
    pub fn load(&self) -> Result<Option<Policy>, P2PError> {
        let file = match File::open(&self.0) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.broken(&error.to_string())),
        };
        let mut json = Vec::new();
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut json).map_err(|error| self.broken(&error.to_string()))?;
        if json.len() as u64 > FILE_BYTES_MAX {
            return Err(self.broken("it is too large to be one"));
        }
        let json = std::str::from_utf8(&json).map_err(|_| self.broken("it is no text"))?;
        Policy::from_json(json).map(Some).map_err(|problem| self.broken(&problem))
    }

    /// Keeps a policy. After an error, or a power cut, the file is what it was.
    ///
    /// # Errors
    /// [`P2PError::Network`] holds what the system said.
    pub fn save(&self, policy: &Policy) -> Result<(), P2PError> {
        self.replace(policy.to_json().as_bytes()).map_err(|error| {
            let source = format!("{}: {error}", self.0.display()).into();
            P2PError::Network { during: "keeping the migration's state", source }
        })
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        let draft = self.0.with_extension("draft");
        let mut file = File::create(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&draft, &self.0)?;
        // The name itself has to survive a power cut as well. Not every system opens directories.
        let folder = self.0.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        if let Ok(folder) = File::open(folder) {
            folder.sync_all().ok();
        }
        Ok(())
    }

    fn broken(&self, problem: &str) -> P2PError {
        P2PError::invalid_input(
            format_args!("migration state {} ({problem})", self.0.display()),
            "a file that this program wrote; repair it, or move it away to begin at phase 1",
        )
    }
}

/// Bytes of the largest file that is read: two full lists of clients are 1.4 MB.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::migration::Phase;

    fn folder() -> (tempfile::TempDir, StateFile) {
        let folder = tempfile::tempdir().unwrap();
        let file = StateFile::new(folder.path().join("migration.json"));
        (folder, file)
    }

    #[test]
    fn what_is_saved_is_loaded_and_no_draft_is_left_behind() {
        let (folder, file) = folder();
        assert_eq!(file.load().unwrap(), None);
        let mut policy = Policy::new(UNIX_EPOCH);
        for phase in [Phase::MoveExisting, Phase::P2pOnly, Phase::Tunnel] {
            policy.set_phase(phase, UNIX_EPOCH, Duration::from_secs(9));
            file.save(&policy).unwrap();
            assert_eq!(file.load().unwrap().as_ref(), Some(&policy));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_broken_file_is_named_and_left_as_it_is() {
        let good = Policy::new(UNIX_EPOCH).to_json();
        let cases = [
            (String::new(), "EOF"),
            (good[..good.len() / 2].to_owned(), "migration state"),
            (good.replace("\"phase\": 1", "\"phase\": 5"), "1, 2, 3 or 4"),
            (good.replace("\"percentage\": 100", "\"percentage\": 101"), "0 to 100"),
            (good.replace("\"version\": 1", "\"version\": 2"), "version 2"),
            (good.replace("\"allow\": []", "\"allow\": [\"a b\"]"), "a b"),
            (good.replace("\"allow\"", "\"alow\""), "alow"),
            ("\0".repeat(64), "migration state"),
            ("x".repeat(FILE_BYTES_MAX as usize + 1), "too large"),
        ];
        for (content, expected) in cases {
            let (_folder, file) = folder();
            fs::write(file.path(), &content).unwrap();
            let error = file.load().unwrap_err().to_string();
            assert!(error.contains(file.path().to_str().unwrap()) && error.contains(expected), "{expected}: {error}");
            assert_eq!(fs::read_to_string(file.path()).unwrap(), content);
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let file = StateFile::new("/nowhere/at/all/migration.json");
        let error = file.save(&Policy::new(UNIX_EPOCH)).unwrap_err().chain();
        assert!(error.contains("/nowhere/at/all"), "{error}");
    }
}
