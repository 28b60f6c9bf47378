//! What is offered, and from where.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use blake3::{Hash, Hasher};

use super::{FILES_MAX, name};
use crate::Error;

/// Files to send, each with its hash.
#[derive(Debug, Default)]
pub struct Manifest {
    pub(super) files: Vec<File>,
    /// What was left out: links, sockets, names that not every system has.
    pub skipped: Vec<PathBuf>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) hash: Hash,
}

/// A manifest that a rule shares. Equal are those that are the same.
#[derive(Debug, Clone)]
pub struct Files(pub(super) Arc<Manifest>);

impl Manifest {
    /// Looks at files and folders, and hashes what is there. Blocks.
    ///
    /// # Errors
    /// [`Error::File`] names what cannot be read; [`Error::Transfer`] if there is nothing, or too much.
    pub fn read(paths: &[PathBuf]) -> Result<Self, Error> {
        let mut manifest = Self::default();
        for path in paths {
            let failed = |source| Error::File { path: path.clone(), doing: "reading", source };
            let full = path.canonicalize().map_err(failed)?;
            let base = full.parent().unwrap_or(&full).to_owned();
            manifest.add(&full, &base)?;
        }
        manifest.files.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(pair) = manifest.files.windows(2).find(|pair| pair[0].name == pair[1].name) {
            let problem = format!("two of the files are called {}: send them one after the other", pair[0].name);
            return Err(Error::Transfer { problem });
        }
        if manifest.files.is_empty() {
            return Err(Error::Transfer { problem: "there is no file to send".to_owned() });
        }
        Ok(manifest)
    }

    fn add(&mut self, path: &Path, base: &Path) -> Result<(), Error> {
        let failed = |source| Error::File { path: path.to_owned(), doing: "reading", source };
        let kind = fs::symlink_metadata(path).map_err(failed)?.file_type();
        if kind.is_dir() {
            let mut entries: Vec<_> =
                fs::read_dir(path).and_then(Iterator::collect::<io::Result<_>>).map_err(failed)?;
            entries.sort_by_key(fs::DirEntry::file_name);
            return entries.iter().try_for_each(|entry| self.add(&entry.path(), base));
        }
        let name = path.strip_prefix(base).ok().and_then(name::name).filter(|_| kind.is_file());
        let Some(name) = name else {
            self.skipped.push(path.to_owned());
            return Ok(());
        };
        if self.files.len() == FILES_MAX {
            return Err(Error::Transfer { problem: format!("more than {FILES_MAX} files: pack them first") });
        }
        let mut hasher = Hasher::new();
        let bytes = fs::File::open(path).and_then(|mut file| io::copy(&mut file, &mut hasher)).map_err(failed)?;
        self.files.push(File { name, path: path.to_owned(), bytes, hash: hasher.finalize() });
        Ok(())
    }

    /// How many files.
    pub const fn count(&self) -> usize {
        self.files.len()
    }

    /// Of how many bytes together.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

impl From<Manifest> for Files {
    fn from(manifest: Manifest) -> Self {
        Self(Arc::new(manifest))
    }
}

impl PartialEq for Files {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Files {}

impl fmt::Display for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files, {} bytes", self.0.count(), self.0.bytes())
    }
}
