//! Sends a file to whoever has the ticket, over any provider.
//!
//! ```sh
//! cargo run --release -p examples --bin send_file send PATH
//! cargo run --release -p examples --bin send_file recv TICKET FOLDER
//! ```
//!
//! The first prints a ticket and ends once one receiver has the whole file; the second runs elsewhere. What arrives is
//! checked against the sender's BLAKE3 checksum, cannot leave FOLDER, and replaces nothing that is there.
//! Both ends in one process, which is what the simulator can do:
//!
//! ```sh
//! P2P_IMPLEMENTATION=simulator cargo run --release -p examples --bin send_file copy PATH FOLDER
//! ```
//!
//! # How they talk
//! The sender sends an [`Offer`] as a message and the file on a stream, then its checksum as another message. The
//! receiver answers with its own checksum once the file is in place, so the sender knows as well.

#![expect(clippy::print_stdout, reason = "programs speak to people")]

use std::{
    env, fmt,
    io::ErrorKind,
    path::{Component, Path},
    process::ExitCode,
    time::Duration,
};

use bytes::BytesMut;
use examples::Result;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use p2p::{P2PConnection, P2PConnectionExt, P2PListener, P2PProviderExt, ProtocolId, Ticket};
use p2p_providers::{Network, ProviderConfig, Role, provider};
use serde::{Deserialize, Serialize};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncWriteExt},
};

/// What the receiver is about to get.
#[derive(Serialize, Deserialize)]
struct Offer {
    name: String,
    bytes: u64,
}

type Checksum = [u8; blake3::OUT_LEN];

/// Bytes read at once: enough to make calls cheap, little enough to keep the bar moving.
const CHUNK_BYTES: usize = 256 * 1024;

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    examples::run(async {
        match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["send", path] => send(path.as_ref()).await,
            ["recv", ticket, folder] => recv(ticket, folder.as_ref()).await,
            ["copy", path, folder] => copy(path.as_ref(), folder.as_ref()).await,
            _ => Err("usage: send_file send PATH | send_file recv TICKET FOLDER | send_file copy PATH FOLDER".into()),
        }
    })
    .await
}

fn protocol() -> ProtocolId {
    "send-file/1".parse().expect("a valid name")
}

async fn send(path: &Path) -> Result {
    // What cannot be sent is better known before anybody is invited.
    open(path).await?;
    let config = ProviderConfig::from_env(Role::Listener)?;
    config.implementation.require_other_processes()?;
    let provider = provider(config).await?;
    let listener = provider.listen(&protocol()).await?;
    println!("Elsewhere, run:\n\n  send_file recv {} FOLDER\n", Ticket::new(listener.local_addr()));
    let sent = serve(&*listener, path).await;
    provider.shutdown(Duration::from_secs(1)).await;
    sent
}

async fn recv(ticket: &str, folder: &Path) -> Result {
    let ticket: Ticket = ticket.parse()?;
    let config = ProviderConfig::from_env(Role::Dialler)?;
    config.implementation.require_other_processes()?;
    let provider = provider(config).await?;
    let connection = provider.connect(ticket.addr, &protocol()).await?;
    let fetched = fetch(&*connection, folder).await;
    provider.shutdown(Duration::from_secs(1)).await;
    fetched
}

async fn copy(path: &Path, folder: &Path) -> Result {
    let network = Network::new(&ProviderConfig::from_env(Role::Listener)?)?;
    let (alice, bob) = (network.provider("alice").await?, network.provider("bob").await?);
    let listener = alice.listen(&protocol()).await?;
    let connection = bob.connect(listener.local_addr(), &protocol()).await?;
    let accepted = listener.accept().await?;
    println!("From one peer to another over {}.", network.implementation());
    tokio::try_join!(give(&*accepted, open(path).await?, ProgressBar::hidden()), fetch(&*connection, folder))?;
    Ok(())
}

/// Offers the file to one receiver after another until one has it.
async fn serve(listener: &dyn P2PListener, path: &Path) -> Result {
    let mut file = open(path).await?;
    loop {
        let connection = listener.accept().await?;
        println!("Sending to {:?}.", connection.peer_id());
        match give(&*connection, file, progress()).await {
            Ok(()) => return Ok(()),
            Err(error) => println!("That failed: {error}. Waiting for another receiver."),
        }
        file = open(path).await?;
    }
}

/// A file to send, and what to tell the receiver of it.
async fn open(path: &Path) -> Result<(File, Offer)> {
    let problem = |error: std::io::Error| format!("cannot send {}: {error}", path.display());
    let file = File::open(path).await.map_err(problem)?;
    let metadata = file.metadata().await.map_err(problem)?;
    match path.file_name().and_then(|name| name.to_str()) {
        Some(name) if metadata.is_file() => Ok((file, Offer { name: name.into(), bytes: metadata.len() })),
        _ => Err(format!("cannot send {}: it is not a file with a name in UTF-8", path.display()).into()),
    }
}

async fn give(connection: &dyn P2PConnection, (file, offer): (File, Offer), bar: ProgressBar) -> Result {
    connection.send_value(&offer).await?;
    bar.set_length(offer.bytes);

    let mut file = file.take(offer.bytes);
    let mut hasher = blake3::Hasher::new();
    let mut stream = connection.open_stream().await?;
    loop {
        let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
        if file.read_buf(&mut chunk).await? == 0 {
            break;
        }
        hasher.update(&chunk);
        bar.inc(chunk.len() as u64);
        let mut chunk = chunk.freeze();
        while !chunk.is_empty() {
            stream.send.write_chunk(&mut chunk).await?;
        }
    }
    stream.send.finish()?;
    let checksum: Checksum = hasher.finalize().into();
    connection.send_value(&checksum).await?;

    // The receiver closes once it is sure that its answer has arrived.
    let answer: Checksum = connection.recv_value().await?;
    connection.closed().await;
    bar.finish_and_clear();
    match answer == checksum {
        true => println!("{:?} was sent and checked: {}.", offer.name, Speed(&bar)),
        false => return Err("the receiver has something else than what was sent".into()),
    }
    Ok(())
}

async fn fetch(connection: &dyn P2PConnection, folder: &Path) -> Result {
    let received = receive(connection, folder).await;
    match &received {
        Ok(()) => connection.finish().await?,
        Err(error) => connection.close(1.into(), &error.to_string()),
    }
    received
}

async fn receive(connection: &dyn P2PConnection, folder: &Path) -> Result {
    let offer: Offer = connection.recv_value().await?;
    let path = folder.join(safe_name(&offer.name)?);
    let exists = || format!("{} exists already and was left alone", path.display());
    let cannot_create = |error| format!("cannot create {}: {error}", path.display());
    if path.symlink_metadata().is_ok() {
        return Err(exists().into());
    }
    // Under another name until it is whole; gone again if anything fails before.
    let draft = tempfile::Builder::new().prefix(".send_file-").tempfile_in(folder).map_err(cannot_create)?;
    let mut file = File::from_std(draft.as_file().try_clone()?);

    let bar = progress();
    bar.set_length(offer.bytes);
    let mut hasher = blake3::Hasher::new();
    let mut stream = connection.accept_stream().await?;
    while let Some(chunk) = stream.recv.read_chunk(CHUNK_BYTES).await? {
        bar.inc(chunk.len() as u64);
        if bar.position() > offer.bytes {
            return Err("the file is larger than was said".into());
        }
        hasher.update(&chunk);
        file.write_all(&chunk).await?;
    }
    file.sync_all().await?;

    let checksum: Checksum = hasher.finalize().into();
    if connection.recv_value::<Checksum>().await? != checksum || bar.position() != offer.bytes {
        return Err("the file arrived damaged and was thrown away".into());
    }
    // Unlike a rename, this fails if somebody else has taken the name meanwhile.
    draft.persist_noclobber(&path).map_err(|error| match error.error.kind() {
        ErrorKind::AlreadyExists => exists(),
        _ => cannot_create(error.error),
    })?;
    connection.send_value(&checksum).await?;
    bar.finish_and_clear();
    println!("{} is here: {}.\nBLAKE3 {}", path.display(), Speed(&bar), blake3::Hash::from(checksum));
    Ok(())
}

/// The name, if it is a file's and no way out of the folder.
fn safe_name(name: &str) -> Result<&str> {
    let is_one_name = Path::new(name).components().eq([Component::Normal(name.as_ref())]);
    match is_one_name && !name.contains(|letter: char| letter.is_control() || letter == '\\') {
        true => Ok(name),
        false => Err(format!("the sender calls the file {name:?}, which is not a name that is safe to use").into()),
    }
}

/// A bar where a terminal is there, nothing where not.
fn progress() -> ProgressBar {
    let style = "{wide_bar} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
    ProgressBar::no_length().with_style(ProgressStyle::with_template(style).expect("a valid template"))
}

/// How much went how fast.
struct Speed<'a>(&'a ProgressBar);

impl fmt::Display for Speed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, seconds) = (self.0.position(), self.0.elapsed().as_secs_f64());
        let per_second = HumanBytes((bytes as f64 / seconds) as u64);
        write!(f, "{} in {seconds:.1} s, {per_second}/s", HumanBytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use p2p::memory::MemoryNetwork;

    use super::*;

    #[test]
    fn a_name_that_leaves_the_folder_is_refused() {
        for bad in
            ["", ".", "..", "/", "../a", "a/..", "a/b", "/etc/passwd", "a/", "./a", "a\\b", "..\\a", "a\0", "a\n"]
        {
            assert!(safe_name(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "a b.txt", ".hidden", "..a", "日本.txt"] {
            assert_eq!(safe_name(good).unwrap(), good);
        }
    }
    /// Receives from a sender that says and sends just that. The problem, if any, and how many files there are then.
    async fn receive_from(offer: Offer, bytes: &[u8], checksum: blake3::Hash) -> (Option<String>, usize) {
        let network = MemoryNetwork::new();
        let (alice, bob) = (network.provider("alice"), network.provider("bob"));
        let listener = alice.listen(&protocol()).await.unwrap();
        let connection = bob.connect(listener.local_addr(), &protocol()).await.unwrap();
        let sender = listener.accept().await.unwrap();
        sender.send_value(&offer).await.unwrap();
        sender.send_value(&Checksum::from(checksum)).await.unwrap();
        let mut stream = sender.open_stream().await.unwrap();
        stream.send.write_all(bytes).await.unwrap();
        stream.send.finish().unwrap();

        let folder = tempfile::tempdir().unwrap();
        let problem = receive(&*connection, folder.path()).await.err().map(|error| error.to_string());
        (problem, std::fs::read_dir(folder.path()).unwrap().count())
    }

    #[tokio::test]
    async fn what_is_not_as_it_was_said_leaves_nothing_behind() {
        let check = async |name: &str, size: u64, checksum_of: &[u8], problem: Option<&str>| {
            let offer = Offer { name: name.into(), bytes: size };
            let (found, files) = receive_from(offer, b"content", blake3::hash(checksum_of)).await;
            assert_eq!(found.is_some(), problem.is_some(), "{found:?}");
            assert!(found.unwrap_or_default().contains(problem.unwrap_or_default()));
            assert_eq!(files, usize::from(problem.is_none()));
        };
        check("a.txt", 7, b"content", None).await;
        check("a.txt", 7, b"another", Some("damaged")).await;
        check("a.txt", 8, b"content", Some("damaged")).await;
        check("a.txt", 6, b"content", Some("larger than was said")).await;
        check("../a.txt", 7, b"content", Some("not a name")).await;
    }
}
