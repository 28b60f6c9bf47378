//! A secret key kept in a file: 64 hex digits and a newline, for its owner's eyes only. For providers whose identities are
//! keys, so that each finds the same one in it.
#![allow(
    clippy::disallowed_methods,
    reason = "keys and the names of drafts are random on every machine, in no simulation"
)]

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use crate::{P2PError, Result};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

/// A secret key: the seed of an ed25519 key.
pub type SecretKey = [u8; 32];

/// Reads the key.
///
/// # Errors
/// [`InvalidInput`](P2PError::InvalidInput) names the file, what is wrong with it and what was expected: it is missing, readable by
/// others, truncated, or no key.
pub fn load(path: &Path) -> Result<SecretKey> {
    read(path).map_err(|problem| problem.at(path))
}

/// Takes the key file for a provider that must not be there twice, until the returned file is dropped or the process ends, however it ends.
///
/// # Errors
/// [`P2PError::InvalidInput`] if another endpoint has it. A file system that knows no locks is no error.
pub fn lock(path: &Path) -> Result<Option<File>> {
    let file = File::open(path).map_err(|error| Problem::Io(error).at(path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(Problem::InUse.at(path)),
        Err(TryLockError::Error(error)) => {
            tracing::debug!(path = %path.display(), %error, "The key file cannot be locked.");
            Ok(None)
        }
    }
}

/// Reads the key, or makes one up and writes it there, with mode 0600, if there is no file.
///
/// The file appears whole or not at all, and what is there is never overwritten. Of two programs that create it at the same time
/// both get the same key. Directories that are missing are made, with mode 0700.
///
/// # Errors
/// As [`load`], and if the file cannot be written.
pub fn load_or_create(path: &Path) -> Result<SecretKey> {
    match read(path) {
        Err(Problem::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
        read => return read.map_err(|problem| problem.at(path)),
    }
    match create(path, &random()) {
        // Somebody else was faster; theirs is the key.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        created => created.map_err(|error| Problem::Io(error).at(path))?,
    }
    load(path)
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("every supported system has a source of randomness");
    bytes
}

/// Why a file gives no key.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it is not a regular file")]
    NotAFile,
    #[error(
        "another endpoint, here or in another process, is using it, and would take this one's relayed traffic away"
    )]
    InUse,
    #[error("others may read it: its mode is {mode:04o}")]
    Exposed { mode: u32 },
    #[error("it has {digits} characters: it was truncated or is no key")]
    Length { digits: usize },
    #[error("it holds something else than hex digits")]
    NotHex,
}

impl Problem {
    fn at(self, path: &Path) -> P2PError {
        let expected = match self {
            Self::Exposed { .. } => {
                format!("mode 0600, as after `chmod 600 {}`", path.display())
            }
            Self::Io(_) => "a file that this program may read, or create if there is none".into(),
            Self::InUse => "a key file of its own for each: end the other, or give this one another file".into(),
            Self::NotAFile | Self::Length { .. } | Self::NotHex => {
                "a secret key of 64 hex digits; move the file away to have a new one made".into()
            }
        };
        P2PError::invalid_input(format_args!("key file {} ({self})", path.display()), expected)
    }
}

fn read(path: &Path) -> Result<SecretKey, Problem> {
    let file = File::open(path)?;
    // Of the open file, so that nobody swaps it between the look and the read.
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(Problem::NotAFile);
    }
    check_mode(&metadata)?;
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut text)?;
    parse(text.trim_ascii())
}

fn parse(digits: &[u8]) -> Result<SecretKey, Problem> {
    if digits.len() != DIGITS {
        return Err(Problem::Length { digits: digits.len() });
    }
    let secret = HEXLOWER_PERMISSIVE.decode(digits).map_err(|_| Problem::NotHex)?;
    Ok(secret.try_into().expect("64 hex digits are 32 bytes"))
}

#[cfg(unix)]
fn check_mode(metadata: &fs::Metadata) -> Result<(), Problem> {
    use std::os::unix::fs::PermissionsExt;
    match metadata.permissions().mode() & 0o7777 {
        mode if mode & 0o077 != 0 => Err(Problem::Exposed { mode }),
        _ => Ok(()),
    }
}

#[cfg(not(unix))]
fn check_mode(_: &fs::Metadata) -> Result<(), Problem> {
    Ok(())
}

/// Writes the file under another name first and then links it, which fails where a rename would overwrite.
fn create(path: &Path, key: &SecretKey) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    create_directory(directory)?;
    let draft = Draft::new(directory, key)?;
    fs::hard_link(&draft.0, path)?;
    drop(draft);
    // The name itself has to survive a power cut as well. Not every system opens directories.
    if let Ok(directory) = File::open(directory) {
        directory.sync_all().ok();
    }
    Ok(())
}

/// A file that is removed again.
struct Draft(PathBuf);

impl Draft {
    fn new(directory: &Path, key: &SecretKey) -> io::Result<Self> {
        let random = HEXLOWER.encode(&random::<8>());
        let path = directory.join(format!(".key-{random}"));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&path)?;
        let draft = Self(path);
        writeln!(file, "{}", HEXLOWER.encode(key))?;
        file.sync_all()?;
        Ok(draft)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}

fn create_directory(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

const DIGITS: usize = 64;

/// Bytes that are looked at: enough to tell a key with white space around it from anything longer.
const FILE_BYTES_MAX: u64 = 128;

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    struct Home(tempfile::TempDir);

    impl Home {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn key(&self) -> PathBuf {
            self.0.path().join("config/key")
        }

        fn with(content: impl AsRef<[u8]>, mode: u32) -> Self {
            let home = Self::new();
            create_directory(home.key().parent().unwrap()).unwrap();
            fs::write(home.key(), content).unwrap();
            fs::set_permissions(home.key(), PermissionsExt::from_mode(mode)).unwrap();
            home
        }
    }

    #[test]
    fn a_created_key_is_loaded_again_and_only_its_owner_may_read_it() {
        let home = Home::new();
        let created = load_or_create(&home.key()).unwrap();
        let loaded = load_or_create(&home.key()).unwrap();
        assert_eq!(created, loaded);
        assert_eq!(load(&home.key()).unwrap(), created);

        let directory = home.key().parent().unwrap().to_owned();
        assert_eq!(fs::metadata(home.key()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(directory).unwrap().count(), 1, "no draft is left behind");
    }

    #[test]
    fn a_bad_key_file_is_named_and_never_overwritten() {
        let whole = "ab".repeat(32);
        let cases = [
            ("exposed to the group", whole.clone(), 0o640, "mode 0600"),
            ("exposed to all", whole.clone(), 0o604, "chmod 600"),
            ("empty", String::new(), 0o600, "it has 0 characters"),
            ("truncated", whole[..63].to_owned(), 0o600, "it has 63 characters"),
            ("too long", whole.repeat(9), 0o600, "64 hex digits"),
            ("no hex", whole.replace('a', "x"), 0o600, "something else than hex"),
            ("binary", "\0".repeat(64), 0o600, "something else than hex"),
        ];
        for (name, content, mode, expected) in cases {
            let home = Home::with(&content, mode);
            let error = load_or_create(&home.key()).unwrap_err().to_string();
            assert!(error.contains(home.key().to_str().unwrap()), "{name}: {error}");
            assert!(error.contains(expected), "{name}: {error}");
            assert_eq!(fs::read_to_string(home.key()).unwrap(), content, "{name}");
        }
    }

    #[test]
    fn white_space_upper_case_and_a_stricter_mode_are_no_fault() {
        let home = Home::with(format!("\n {} \r\n", "AB".repeat(32)), 0o400);
        assert_eq!(load(&home.key()).unwrap(), [0xab; 32]);
    }

    #[test]
    fn what_is_no_file_is_no_key() {
        let home = Home::new();
        let missing = load(&home.key()).unwrap_err().to_string();
        assert!(missing.contains("No such file"), "{missing}");

        fs::create_dir_all(home.key()).unwrap();
        let directory = load_or_create(&home.key()).unwrap_err().to_string();
        assert!(directory.contains("not a regular file"), "{directory}");
    }

    #[test]
    fn a_link_to_nowhere_is_not_replaced() {
        let home = Home::new();
        create_directory(home.key().parent().unwrap()).unwrap();
        symlink("/nowhere/at/all", home.key()).unwrap();
        load_or_create(&home.key()).unwrap_err();
        assert!(fs::symlink_metadata(home.key()).unwrap().is_symlink());
    }

    #[test]
    fn all_who_create_it_at_once_get_the_same_key() {
        let home = Home::new();
        let path = home.key();
        let keys: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| load_or_create(&path).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    }
}
