//! The receiver's side of a stream.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use blake3::{Hash, Hasher};
use p2p::BiStream;
use tokio::io::AsyncWriteExt;

use super::{
    FILES_MAX, name,
    wire::{self, Reply, Request},
};
use crate::{Error, forward::COPY_BYTES};

/// What is told while files arrive.
pub trait Progress: Send {
    /// So many files of so many bytes will come.
    fn begin(&mut self, files: usize, bytes: u64);
    /// So many more bytes are there, received or from before.
    fn advance(&mut self, bytes: u64);
    /// A file is complete and verified.
    fn complete(&mut self, name: &str, bytes: u64);
}

/// What was received.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// Files that are there now.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Of these, bytes that were there from before.
    pub resumed_bytes: u64,
}

struct Entry {
    name: String,
    place: PathBuf,
    bytes: u64,
    hash: Hash,
}

/// Receives everything into `folder`. What is incomplete at an error stays there under a name of its own, and the next call
/// goes on with it.
pub(crate) async fn receive(
    mut stream: BiStream,
    folder: &Path,
    progress: &mut dyn Progress,
) -> Result<Received, Error> {
    let entries = list(&mut stream).await?;
    progress.begin(entries.len(), entries.iter().map(|entry| entry.bytes).sum());
    fs::create_dir_all(folder).map_err(|source| failed(folder, "making", source))?;
    let folder = folder.canonicalize().map_err(|source| failed(folder, "making", source))?;
    let mut received = Received::default();
    for (number, entry) in (0..).zip(&entries) {
        received.resumed_bytes += one(&mut stream, number, entry, &folder, progress).await?;
        received.files += 1;
        received.bytes += entry.bytes;
        progress.complete(&entry.name, entry.bytes);
    }
    wire::write(&mut stream.send, &Request::Done).await.map_err(broke)?;
    stream.send.finish().ok();
    stream.send.delivered().await.ok();
    Ok(received)
}

async fn list(stream: &mut BiStream) -> Result<Vec<Entry>, Error> {
    wire::write(&mut stream.send, &Request::List).await.map_err(broke)?;
    let mut entries = Vec::new();
    loop {
        match reply(stream).await? {
            Reply::End => return Ok(entries),
            Reply::Entry { name, bytes, hash } => {
                let place = name::place(&name).ok_or_else(|| {
                    transfer(format!(
                        "the peer sends a file called {name:?}, which would not stay in the folder; nothing was written"
                    ))
                })?;
                if entries.len() == FILES_MAX {
                    return Err(transfer(format!("the peer sends more than {FILES_MAX} files")));
                }
                entries.push(Entry { name, place, bytes, hash: Hash::from_bytes(hash) });
            }
            _ => return Err(transfer("the peer answers something else than was asked")),
        }
    }
}

/// Receives one file, and says how many bytes of it were there from before.
async fn one(
    stream: &mut BiStream,
    number: u32,
    entry: &Entry,
    folder: &Path,
    progress: &mut dyn Progress,
) -> Result<u64, Error> {
    let target = folder.join(&entry.place);
    let parent = target.parent().unwrap_or(folder).to_owned();
    fs::create_dir_all(&parent).map_err(|source| failed(&parent, "making", source))?;
    // A link that was there before could lead elsewhere.
    let inside = parent.canonicalize().is_ok_and(|parent| parent.starts_with(folder));
    if !inside {
        return Err(transfer(format!("{} is a link out of the folder", parent.display())));
    }
    if target.symlink_metadata().is_ok() {
        return match hash(&target) {
            Ok((bytes, hash)) if (bytes, hash.finalize()) == (entry.bytes, entry.hash) => {
                progress.advance(entry.bytes);
                Ok(entry.bytes)
            }
            _ => Err(transfer(format!("{} is there already and is another: move it away", target.display()))),
        };
    }
    let file_name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let part = parent.join(format!(".{file_name}.{}.part", &entry.hash.to_hex()[..8]));
    let (mut have, mut hasher) = match hash(&part) {
        Ok((bytes, hasher)) if bytes <= entry.bytes => (bytes, hasher),
        _ => (0, Hasher::new()),
    };
    let resumed = have;
    progress.advance(have);
    let options = tokio::fs::OpenOptions::new().create(true).append(true).truncate(false).to_owned();
    if have == 0 {
        fs::File::create(&part).map_err(|source| failed(&part, "writing", source))?;
    }
    let mut file = options.open(&part).await.map_err(|source| failed(&part, "writing", source))?;
    wire::write(&mut stream.send, &Request::Get { file: number, offset: have }).await.map_err(broke)?;
    match reply(stream).await? {
        Reply::Content { bytes } if bytes == entry.bytes - have => {}
        Reply::Failed { why } => return Err(transfer(why)),
        _ => return Err(transfer("the peer answers something else than was asked")),
    }
    while have < entry.bytes {
        let most = usize::try_from(entry.bytes - have).unwrap_or(COPY_BYTES).min(COPY_BYTES);
        let chunk = stream.recv.read_chunk(most).await.map_err(broke)?;
        let chunk =
            chunk.ok_or_else(|| transfer("the peer ended in the middle of a file; the same command goes on there"))?;
        let written = async {
            file.write_all(&chunk).await?;
            file.flush().await
        };
        written.await.map_err(|source| match source.kind() {
            io::ErrorKind::StorageFull => transfer(format!(
                "the disk is full: {have} of {} bytes of {} are kept; make room, and the same command goes on there",
                entry.bytes, entry.name
            )),
            _ => failed(&part, "writing", source),
        })?;
        hasher.update(&chunk);
        have += chunk.len() as u64;
        progress.advance(chunk.len() as u64);
    }
    file.sync_all().await.map_err(|source| failed(&part, "writing", source))?;
    if hasher.finalize() != entry.hash {
        fs::remove_file(&part).ok();
        return Err(transfer(format!(
            "{} arrived with another hash than was announced: it was changed meanwhile",
            entry.name
        )));
    }
    fs::rename(&part, &target).map_err(|source| failed(&target, "writing", source))?;
    Ok(resumed)
}

/// Bytes of a file, and a hasher that has seen them.
fn hash(path: &Path) -> io::Result<(u64, Hasher)> {
    let mut hasher = Hasher::new();
    let bytes = io::copy(&mut fs::File::open(path)?, &mut hasher)?;
    Ok((bytes, hasher))
}

async fn reply(stream: &mut BiStream) -> Result<Reply, Error> {
    let reply = wire::read(&mut stream.recv).await.map_err(|error| transfer(error.to_string()))?;
    reply.ok_or_else(|| transfer("the peer ended too early; the same command goes on there"))
}

fn failed(path: &Path, doing: &'static str, source: io::Error) -> Error {
    Error::File { path: path.to_owned(), doing, source }
}

fn broke(error: p2p::StreamError) -> Error {
    transfer(format!("{}; the same command goes on there", p2p::chain(&error)))
}

fn transfer(problem: impl Into<String>) -> Error {
    Error::Transfer { problem: problem.into() }
}
