//! What many hostile peers together can make an endpoint keep. In a process of its own, because it measures the process's
//! memory.
#![allow(clippy::print_stdout, reason = "it says what it measured")]

mod common;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use common::{RawPeer, bind, hostile, in_time, listen, loopback};
use iroh::endpoint::Connection;
use p2p::{P2PConnection, P2PListener, PeerAddr};
use p2p_iroh::IrohLimits;
use tokio::{task::JoinSet, time::timeout};

const MIB: u64 = 1024 * 1024;

/// An eighth of the defaults: a thousand peers and 896 MiB are to each other as these are.
const CONNECTIONS_MAX: usize = 128;
const BUFFER_BYTES_MAX: u64 = 112 * MIB;
const WINDOW_BYTES: u32 = 2 * MIB as u32;

/// Peers whose data nobody ever reads, and peers whose data is read until their windows have grown.
const NEVER_READ: usize = 60;
const READ_AT_FIRST: usize = 60;
/// Enough to have read for a window to grow to the full.
const READ_BYTES: u64 = 3 * MIB;

/// Enough of them to fill a window by the least that a stream can have, 128 KiB.
const STREAMS: usize = 24;

/// Bytes read from a connection, and how many may be: beyond them the application reads nothing.
#[derive(Clone)]
struct Reading {
    read: Arc<AtomicU64>,
    most: Arc<AtomicU64>,
}

/// What is true of an endpoint with 1,024 connections and 896 MiB is so at an eighth of both: each window has its own part
/// for sure, and all else is lent from one sum. The bytes are counted where they are certain, with the peers: what flow
/// control took and nobody has read is in the endpoint's memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_peers_together_keep_within_the_budget() {
    let limits = IrohLimits::default()
        .with_connections_max(CONNECTIONS_MAX)
        .with_buffer_bytes_max(BUFFER_BYTES_MAX)
        .with_standstill_max(Duration::from_millis(300));
    let victim = bind(loopback().with_limits(limits).with_receive_window_bytes(WINDOW_BYTES)).await;
    let listener = listen(&victim).await;
    let addr = listener.local_addr();

    let mut sessions = Vec::new();
    for number in 0..NEVER_READ + READ_AT_FIRST {
        let most = if number < NEVER_READ { 0 } else { READ_BYTES };
        sessions.push(Session::open(&*listener, &addr, most).await);
    }
    // Said and not judged: the peers' own buffers are in this process as well.
    let before = resident_bytes();
    let held: u64 = sessions.iter_mut().map(Session::fill).collect::<JoinSet<u64>>().join_all().await.iter().sum();
    let grown = resident_bytes().saturating_sub(before);
    println!("{} peers hold {} MiB; the process grew by {} MiB", sessions.len(), held / MIB, grown / MIB);
    assert!(held <= BUFFER_BYTES_MAX, "{held} bytes are held");
    assert!(held >= BUFFER_BYTES_MAX / 8, "{held} bytes: they did not try");

    // Beside them, while all they hold is held, one that is read as fast as it sends. Not in the midst of their flood, which
    // on a busy machine fills the socket for half a minute.
    timeout(Duration::from_secs(120), flood_is_over(&sessions)).await.expect("they run out of room");
    let honest = async {
        let mut attempts = Vec::new();
        while attempts.last() < Some(&u64::from(WINDOW_BYTES)) {
            attempts.push(earned_window(&*listener, &addr).await);
            println!("an honest peer's window: {} KiB", attempts[attempts.len() - 1] / 1024);
        }
    };
    // A window grows by how fast it is used, which a machine with other things to do may keep from it: it may come back.
    timeout(Duration::from_secs(120), honest).await.expect("an honest peer earns the whole window");
}

/// Returns when nobody sent data for a second.
async fn flood_is_over(sessions: &[Session]) {
    let sent = || sessions.iter().map(|session| session.raw.stats().frame_tx.stream).sum::<u64>();
    let mut before = None;
    while before.replace(sent()) != Some(sent()) {
        tokio::time::sleep(STALLED).await;
    }
}

/// The bytes that a new peer may have under way once much of its data was read.
async fn earned_window(listener: &dyn P2PListener, addr: &PeerAddr) -> u64 {
    let mut session = Session::open(listener, addr, u64::MAX).await;
    let reading = session.reading.clone();
    let filling = tokio::spawn(session.fill());
    let enough = async {
        while reading.read.load(Relaxed) < 16 * u64::from(WINDOW_BYTES) {
            tokio::task::yield_now().await;
        }
    };
    in_time(enough).await;
    reading.most.store(0, Relaxed);
    in_time(filling).await.expect("the writers end when nothing more is taken")
}

/// Both ends of one connection.
struct Session {
    raw: Connection,
    reading: Reading,
    _peer: RawPeer,
    _reader: JoinSet<()>,
}

impl Session {
    /// A peer of whose data `most` bytes are read.
    async fn open(listener: &dyn P2PListener, addr: &PeerAddr, most: u64) -> Self {
        let peer = RawPeer::bind().await;
        let raw = hostile(&peer, addr).await;
        let accepted = in_time(listener.accept()).await.unwrap();
        let reading = Reading { read: Arc::default(), most: Arc::new(most.into()) };
        let mut reader = JoinSet::new();
        reader.spawn(read_all(accepted, reading.clone()));
        Self { raw, reading, _peer: peer, _reader: reader }
    }

    /// Sends as much as is taken. Says how many bytes of it nobody reads.
    fn fill(&mut self) -> impl Future<Output = u64> + Send + 'static {
        let (raw, reading) = (self.raw.clone(), self.reading.clone());
        async move {
            let mut writers = JoinSet::new();
            for _ in 0..STREAMS {
                let raw = raw.clone();
                writers.spawn(async move {
                    let Ok((mut send, _recv)) = raw.open_bi().await else { return (0, None) };
                    let (chunk, mut written) = (Bytes::from_static(&[7; 16 * 1024]), 0);
                    // Ends when nothing more is taken for so long.
                    while let Ok(Ok(count)) = timeout(STALLED, send.write(&chunk)).await {
                        written += count as u64;
                    }
                    (written, Some((send, _recv)))
                });
            }
            let written = in_time(writers.join_all()).await;
            let filled = written.iter().map(|(written, _)| written).sum::<u64>() - reading.read.load(Relaxed);
            // To drop a stream would take back what was sent on it.
            tokio::spawn(async move {
                raw.closed().await;
                drop(written);
            });
            filled
        }
    }
}

/// How long a writer waits for room before it takes it that there is none.
const STALLED: Duration = Duration::from_secs(1);

/// Reads all streams side by side, as much as is allowed in all. Lets go of everything once the connection has ended: what was
/// lent to it is not lent to others before.
async fn read_all(connection: Arc<dyn P2PConnection>, reading: Reading) {
    let mut streams = JoinSet::new();
    while let Ok(mut stream) = connection.accept_stream().await {
        let reading = reading.clone();
        streams.spawn(async move {
            while reading.read.load(Relaxed) < reading.most.load(Relaxed) {
                match stream.recv.read_chunk(64 * 1024).await {
                    Ok(Some(chunk)) => reading.read.fetch_add(chunk.len() as u64, Relaxed),
                    _ => return,
                };
            }
            // Kept, and never read again.
            std::future::pending::<()>().await;
        });
    }
}

/// The memory of this process; zero where that is not known, so that only the bytes the peers counted are judged.
fn resident_bytes() -> u64 {
    let pages = || std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse::<u64>().ok();
    pages().unwrap_or(0) * 4096
}
