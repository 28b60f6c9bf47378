//! A sender and a receiver on one stream; the sender may be anything.

use std::{fs, path::Path, sync::Arc};

use p2p::{BiStream, P2PProvider, P2PProviderExt, ProtocolId, memory::MemoryNetwork};

use super::{Files, Manifest, Progress, Received, manifest::File, receive, serve};
use crate::{Error, forward::Meter};

struct Silent;

impl Progress for Silent {
    fn begin(&mut self, _: usize, _: u64) {}
    fn advance(&mut self, _: u64) {}
    fn complete(&mut self, _: &str, _: u64) {}
}

async fn transfer(files: Files, folder: &Path) -> Result<Received, Error> {
    let network = MemoryNetwork::new();
    let (alice, bob) = (network.provider("alice"), network.provider("bob"));
    let protocol = ProtocolId::default();
    let listener = alice.listen(&protocol).await.unwrap();
    let (ours, theirs) = tokio::try_join!(bob.connect(alice.local_peer_id(), &protocol), listener.accept()).unwrap();
    let stream: BiStream = ours.open_stream().await.unwrap();
    let meter = Meter::new(&metrics::NoopRecorder, "files", None);
    let serving = async {
        let stream = theirs.accept_stream().await.unwrap();
        serve(&files, theirs.peer_id(), stream, &meter).await.ok();
    };
    let mut silent = Silent;
    let received = receive(stream, folder, &mut silent);
    tokio::join!(serving, received).1
}

fn manifest(files: Vec<File>) -> Files {
    Files(Arc::new(Manifest { files, skipped: Vec::new() }))
}

/// A file that is announced as that name, and with the hash of `announced`.
fn file(folder: &Path, name: &str, content: &[u8], announced: &[u8]) -> File {
    let path = folder.join("source");
    fs::write(&path, content).unwrap();
    File { name: name.to_owned(), path, bytes: content.len() as u64, hash: blake3::hash(announced) }
}

#[tokio::test]
async fn a_name_that_leaves_the_folder_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("in");
    for name in ["../evil", "/tmp/evil", "a/../../evil", "a\\..\\evil"] {
        let files = manifest(vec![file(folder.path(), "good", b"x", b"x"), file(folder.path(), name, b"x", b"x")]);
        let error = transfer(files, &to).await.unwrap_err().to_string();
        assert!(error.contains(&format!("{name:?}")) && error.contains("nothing was written"), "{error}");
        assert!(!to.exists() && !folder.path().join("evil").exists());
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_that_leads_out_of_the_folder_is_not_followed() {
    let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let to = folder.path().join("in");
    fs::create_dir(&to).unwrap();
    std::os::unix::fs::symlink(outside.path(), to.join("sub")).unwrap();
    let files = manifest(vec![file(folder.path(), "sub/evil", b"x", b"x")]);
    let error = transfer(files, &to).await.unwrap_err().to_string();
    assert!(error.contains("a link out of the folder"), "{error}");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn what_has_another_hash_than_was_announced_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("in");
    let files = manifest(vec![file(folder.path(), "a", b"changed", b"announced")]);
    let error = transfer(files, &to).await.unwrap_err().to_string();
    assert!(error.contains("another hash"), "{error}");
    assert_eq!(fs::read_dir(&to).unwrap().count(), 0, "neither the file nor a part of it");
}

#[tokio::test]
async fn a_part_that_is_there_is_gone_on_with_and_a_whole_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("in");
    let content: Vec<u8> = (0..300_000u32).map(|at| (at % 251) as u8).collect();
    let files = || manifest(vec![file(folder.path(), "sub/a", &content, &content)]);
    fs::create_dir_all(to.join("sub")).unwrap();
    let hex = blake3::hash(&content).to_hex();
    fs::write(to.join(format!("sub/.a.{}.part", &hex[..8])), &content[..123_456]).unwrap();
    assert_eq!(transfer(files(), &to).await.unwrap().resumed_bytes, 123_456);
    assert_eq!(fs::read(to.join("sub/a")).unwrap(), content);
    assert_eq!(transfer(files(), &to).await.unwrap().resumed_bytes, 300_000);

    fs::write(to.join("sub/a"), "mine").unwrap();
    let error = transfer(files(), &to).await.unwrap_err().to_string();
    assert!(error.contains("is there already and is another"), "{error}");
    assert_eq!(fs::read(to.join("sub/a")).unwrap(), b"mine");
}
