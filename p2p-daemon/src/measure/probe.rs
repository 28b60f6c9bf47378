//! The asking side's part.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use p2p::{BiStream, ConnectionStats, Path, StreamError};
use serde::Serialize;
use tokio::io::AsyncReadExt;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::Task;
use crate::forward::{COPY_BYTES, Failure, Header, Kind, ServiceName, Session};

/// Measures the way to the peer of one connection, as far as one of its services.
#[derive(Debug, Clone)]
pub(crate) struct Probe {
    session: Arc<Session>,
    service: ServiceName,
}

/// What one direction carried.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Rate {
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    pub(crate) bytes_per_second: f64,
}

impl Rate {
    fn new(bytes: u64, took: Duration) -> Self {
        let seconds = took.as_secs_f64();
        Self { bytes, seconds, bytes_per_second: bytes as f64 / seconds.max(f64::MIN_POSITIVE) }
    }
}

/// A stream on which each question comes back.
#[derive(Debug)]
pub(crate) struct Echo {
    stream: BiStream,
    _token: TaskTrackerToken,
}

impl Probe {
    pub(crate) const fn new(session: Arc<Session>, service: ServiceName) -> Self {
        Self { session, service }
    }

    /// How data travels now.
    pub(crate) fn path(&self) -> Option<Path> {
        self.session.connection.state().read(|state| state.path().cloned())
    }

    pub(crate) fn stats(&self) -> ConnectionStats {
        self.session.connection.stats()
    }

    async fn open(&self, task: Task) -> Result<(BiStream, TaskTrackerToken), Failure> {
        self.session.open(&Header { service: self.service.clone(), kind: Kind::Measure { task } }).await
    }

    pub(crate) async fn echo(&self) -> Result<Echo, Failure> {
        let (stream, token) = self.open(Task::Echo).await?;
        Ok(Echo { stream, _token: token })
    }

    /// Receives for so long.
    pub(crate) async fn download(&self, span: Duration) -> Result<Rate, Failure> {
        let (mut stream, _token) = self.open(Task::Download).await?;
        // The first bytes are a round trip away, which is latency's and not throughput's.
        let mut bytes = next(&mut stream).await?;
        let start = Instant::now();
        let deadline = tokio::time::sleep(span);
        tokio::pin!(deadline);
        bytes = loop {
            p2p::select! {
                () = &mut deadline => break bytes,
                len = next(&mut stream) => bytes += len?,
            }
        };
        let took = start.elapsed();
        stream.recv.stop(0);
        stream.send.finish().ok();
        Ok(Rate::new(bytes, took))
    }

    /// Sends for so long, and waits until the peer has it all.
    pub(crate) async fn upload(&self, span: Duration) -> Result<Rate, Failure> {
        let (mut stream, _token) = self.open(Task::Upload).await?;
        let zeros = Bytes::from_static(&[0; COPY_BYTES]);
        let start = Instant::now();
        while start.elapsed() < span {
            let mut chunk = zeros.clone();
            while !chunk.is_empty() {
                stream.send.write_chunk(&mut chunk).await?;
            }
        }
        stream.send.finish()?;
        let arrived = stream.recv.read_u64().await.map_err(broke)?;
        Ok(Rate::new(arrived, start.elapsed()))
    }
}

async fn next(stream: &mut BiStream) -> Result<u64, Failure> {
    match stream.recv.read_chunk(COPY_BYTES).await? {
        Some(chunk) => Ok(chunk.len() as u64),
        None => Err(Failure::Peer(None)),
    }
}

/// Why a stream, read as a file, was not read to its end.
fn broke(error: io::Error) -> Failure {
    match error.downcast::<StreamError>() {
        Ok(error) => error.into(),
        Err(_) => Failure::Peer(None),
    }
}

impl Echo {
    /// One question and its answer. Not cancel safe: dropped, the stream is no longer in step.
    pub(crate) async fn round_trip(&mut self) -> Result<Duration, Failure> {
        let start = Instant::now();
        self.stream.send.write_all(&QUESTION).await?;
        let mut answer = QUESTION;
        self.stream.recv.read_exact(&mut answer).await.map_err(broke)?;
        Ok(start.elapsed())
    }
}

/// As many bytes as `ping` sends.
const QUESTION: [u8; 56] = [0; 56];
