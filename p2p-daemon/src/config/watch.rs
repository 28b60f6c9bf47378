//! When to read the file again.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::sleep;

/// Notices that a file has other contents than before.
///
/// It looks at the contents every [`PERIOD`], because that works wherever files come from: an editor that puts a new file in
/// the old one's place, a link that is turned as Kubernetes does it, a folder of another machine. Notifications of the
/// kernel miss each of these.
#[derive(Debug)]
pub(crate) struct Watcher {
    path: PathBuf,
    seen: Option<blake3::Hash>,
}

impl Watcher {
    /// Takes the contents now for known.
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), seen: hash(path) }
    }

    /// Waits until the contents are others, and have stayed so for a moment: a file that is being written is not whole.
    ///
    /// # Cancel safety
    /// Dropping the future misses no change.
    pub(crate) async fn changed(&mut self) {
        let mut before = None;
        loop {
            sleep(PERIOD).await;
            let now = hash(&self.path);
            if now.is_some() && now != self.seen && now == before {
                self.seen = now;
                return;
            }
            before = now;
        }
    }
}

/// Of a file that cannot be read, nothing: it may be on its way.
fn hash(path: &Path) -> Option<blake3::Hash> {
    fs::read(path).ok().map(|bytes| blake3::hash(&bytes))
}

/// Short for whoever has just saved a file, nothing for a processor.
const PERIOD: Duration = Duration::from_millis(500);
