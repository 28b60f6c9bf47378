//! What Alice shares: a page, and a file that is made up as it is sent, as fast as it goes or in some seconds.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use blake3::{Hash, Hasher, OutputReader};
use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Frame, Incoming, SizeHint},
    header::CONTENT_TYPE,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{JoinSet, spawn_blocking},
    time::{Instant, Sleep, sleep_until},
};

use super::LOOPBACK;
use crate::{Error, accept::Acceptor};

/// A small HTTP server, which ends when it is dropped.
#[derive(Debug)]
pub(super) struct Service {
    addr: SocketAddr,
    file_bytes: u64,
    file_hash: Hash,
    /// Whether more than half of the slow file is sent.
    second_half: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

impl Service {
    /// Listens at any free port of loopback. The file's checksum is taken here, before anything is sent.
    pub(super) async fn start(file_mib: u64) -> Result<Self, Error> {
        let acceptor = Acceptor::bind(LOOPBACK, "").await.map_err(|error| Error::demo("starting a service", error))?;
        let file_bytes = file_mib * 1024 * 1024;
        let file_hash = spawn_blocking(move || FileBody::new(file_bytes).hash())
            .await
            .map_err(|error| Error::demo("making up a file", error))?;
        let addr = acceptor.local_addr();
        let mut tasks = JoinSet::new();
        let (second_half, allowed) = watch::channel(false);
        tasks.spawn(serve(acceptor, file_bytes, allowed));
        Ok(Self { addr, file_bytes, file_hash, second_half, _tasks: tasks })
    }

    /// Lets the slow file's second half go. On a machine so busy that the line lags behind the pace, this is what keeps the
    /// whole file from being under way before anything has failed.
    pub(super) fn send_second_half(&self) {
        self.second_half.send_replace(true);
    }

    pub(super) const fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    pub(super) const fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    pub(super) const fn file_hash(&self) -> Hash {
        self.file_hash
    }
}

async fn serve(mut acceptor: Acceptor, file_bytes: u64, second_half: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let permit = room.clone().acquire_owned().await.expect("the semaphore is never closed");
        let (tcp, _) = acceptor.accept().await;
        while connections.try_join_next().is_some() {}
        connections.spawn(answer(tcp, file_bytes, second_half.clone(), permit));
    }
}

async fn answer(tcp: TcpStream, file_bytes: u64, second_half: watch::Receiver<bool>, _permit: OwnedSemaphorePermit) {
    let service = service_fn(move |request| {
        let response = respond(&request, file_bytes, &second_half);
        async move { Ok::<_, Infallible>(response) }
    });
    // A client that errs harms only itself.
    http1::Builder::new().serve_connection(TokioIo::new(tcp), service).await.ok();
}

fn respond(
    request: &Request<Incoming>,
    file_bytes: u64,
    second_half: &watch::Receiver<bool>,
) -> Response<Either<Full<Bytes>, FileBody>> {
    let (status, kind, body) = match request.uri().path() {
        "/" => (StatusCode::OK, "text/html; charset=utf-8", Either::Left(PAGE.into())),
        "/file" => (StatusCode::OK, BYTES, Either::Right(FileBody::new(file_bytes))),
        SLOW_FILE => (StatusCode::OK, BYTES, Either::Right(FileBody::new(file_bytes).slow(second_half.clone()))),
        _ => (StatusCode::NOT_FOUND, "text/plain", Either::Left("there are / and /file\n".into())),
    };
    Response::builder().status(status).header(CONTENT_TYPE, kind).body(body).expect("constant headers are valid")
}

/// A file of blake3's output for a constant input: the same each time, and no two parts of it are alike, so one that is
/// lost, doubled or out of place changes the checksum.
struct FileBody {
    rest: u64,
    output: OutputReader,
    pace: Option<Pace>,
}

/// What makes a file slow.
struct Pace {
    file_bytes: u64,
    start: Instant,
    /// Runs out when the next part is due.
    due: Pin<Box<Sleep>>,
    second_half: Pin<Box<dyn Future<Output = ()> + Send>>,
    waited: bool,
}

impl Pace {
    /// Waits until the part that begins `rest` bytes before the end may go.
    fn poll_due(&mut self, rest: u64, cx: &mut Context<'_>) -> Poll<()> {
        let sent = self.file_bytes - rest;
        if !self.waited && sent * 2 >= self.file_bytes {
            ready!(self.second_half.as_mut().poll(cx));
            self.waited = true;
        }
        self.due.as_mut().reset(self.start + SLOW_FILE_TAKES.mul_f64(sent as f64 / self.file_bytes as f64));
        self.due.as_mut().poll(cx)
    }
}

impl FileBody {
    fn new(bytes: u64) -> Self {
        Self { rest: bytes, output: Hasher::new_derive_key("p2pd demo file").finalize_xof(), pace: None }
    }

    /// The same file over [`SLOW_FILE_TAKES`], its second half not before that is allowed.
    fn slow(mut self, mut second_half: watch::Receiver<bool>) -> Self {
        let start = Instant::now();
        let second_half = Box::pin(async move {
            second_half.wait_for(|allowed| *allowed).await.ok();
        });
        let due = Box::pin(sleep_until(start));
        self.pace = Some(Pace { file_bytes: self.rest, start, due, second_half, waited: false });
        self
    }

    fn next_chunk(&mut self) -> Option<Bytes> {
        let len = self.rest.min(CHUNK_BYTES);
        if len == 0 {
            return None;
        }
        self.rest -= len;
        let mut chunk = vec![0; usize::try_from(len).expect("a chunk is small")];
        self.output.fill(&mut chunk);
        Some(chunk.into())
    }

    fn hash(mut self) -> Hash {
        let mut hasher = Hasher::new();
        while let Some(chunk) = self.next_chunk() {
            hasher.update(&chunk);
        }
        hasher.finalize()
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        if let Some(pace) = &mut this.pace {
            ready!(pace.poll_due(this.rest, cx));
        }
        Poll::Ready(self.next_chunk().map(|chunk| Ok(Frame::data(chunk))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest)
    }
}

const PAGE: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<title>Hello from Alice</title>
<h1>Hello from Alice</h1>
<p>This page came through a forward between two peers. So does <a href=\"/file\">this file</a>.
</html>
";

const BYTES: &str = "application/octet-stream";

/// Where the file is sent slowly.
pub(super) const SLOW_FILE: &str = "/slow-file";

/// How long it takes if nothing fails: time enough to fail in the middle of it, however fast the machine is.
const SLOW_FILE_TAKES: Duration = Duration::from_secs(3);

const CHUNK_BYTES: u64 = 64 * 1024;

/// Connections answered at once.
const CONNECTIONS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[test]
    fn a_file_is_the_same_each_time_and_its_parts_differ() {
        let mut body = FileBody::new(3 * CHUNK_BYTES + 5);
        let chunks: Vec<_> = std::iter::from_fn(|| body.next_chunk()).collect();
        assert_eq!(chunks.iter().map(Bytes::len).collect::<Vec<_>>(), [65536, 65536, 65536, 5]);
        assert_ne!(chunks[0], chunks[1]);
        assert_eq!(FileBody::new(100).hash(), FileBody::new(100).hash());
        assert_ne!(FileBody::new(100).hash(), FileBody::new(101).hash());
    }

    // Paused time runs ahead when nothing else is to be done, so only the gate can hold the body here.
    #[tokio::test(start_paused = true)]
    async fn a_slow_file_is_the_same_takes_its_time_and_waits_in_the_middle() {
        let bytes = 8 * CHUNK_BYTES;
        let (allow, allowed) = watch::channel(false);
        let mut body = FileBody::new(bytes).slow(allowed);
        let (mut arrived, start) = (Vec::new(), Instant::now());
        let mut drain = async |arrived: &mut Vec<u8>| {
            while let Ok(Some(frame)) = tokio::time::timeout(SLOW_FILE_TAKES, body.frame()).await {
                arrived.extend_from_slice(&frame.unwrap().into_data().unwrap());
            }
        };
        drain(&mut arrived).await;
        assert_eq!(arrived.len() as u64, bytes / 2);
        allow.send_replace(true);
        drain(&mut arrived).await;
        assert_eq!((arrived.len() as u64, blake3::hash(&arrived)), (bytes, FileBody::new(bytes).hash()));
        assert!(start.elapsed() >= SLOW_FILE_TAKES, "{:?}", start.elapsed());
    }
}
