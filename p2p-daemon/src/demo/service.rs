//! What Alice shares: a page, and a file that is made up as it is sent.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
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
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinSet, spawn_blocking},
};

use super::LOOPBACK;
use crate::{Error, accept::Acceptor};

/// A small HTTP server, which ends when it is dropped.
#[derive(Debug)]
pub(super) struct Service {
    addr: SocketAddr,
    file_bytes: u64,
    file_hash: Hash,
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
        tasks.spawn(serve(acceptor, file_bytes));
        Ok(Self { addr, file_bytes, file_hash, _tasks: tasks })
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

async fn serve(mut acceptor: Acceptor, file_bytes: u64) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let permit = room.clone().acquire_owned().await.expect("the semaphore is never closed");
        let (tcp, _) = acceptor.accept().await;
        while connections.try_join_next().is_some() {}
        connections.spawn(answer(tcp, file_bytes, permit));
    }
}

async fn answer(tcp: TcpStream, file_bytes: u64, _permit: OwnedSemaphorePermit) {
    let service = service_fn(move |request| async move { Ok::<_, Infallible>(respond(&request, file_bytes)) });
    // A client that errs harms only itself.
    http1::Builder::new().serve_connection(TokioIo::new(tcp), service).await.ok();
}

fn respond(request: &Request<Incoming>, file_bytes: u64) -> Response<Either<Full<Bytes>, FileBody>> {
    let (status, kind, body) = match request.uri().path() {
        "/" => (StatusCode::OK, "text/html; charset=utf-8", Either::Left(PAGE.into())),
        "/file" => (StatusCode::OK, "application/octet-stream", Either::Right(FileBody::new(file_bytes))),
        _ => (StatusCode::NOT_FOUND, "text/plain", Either::Left("there are / and /file\n".into())),
    };
    Response::builder().status(status).header(CONTENT_TYPE, kind).body(body).expect("constant headers are valid")
}

/// A file of blake3's output for a constant input: the same each time, and no two parts of it are alike, so one that is
/// lost, doubled or out of place changes the checksum.
struct FileBody {
    rest: u64,
    output: OutputReader,
}

impl FileBody {
    fn new(bytes: u64) -> Self {
        Self { rest: bytes, output: Hasher::new_derive_key("p2pd demo file").finalize_xof() }
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

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
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

const CHUNK_BYTES: u64 = 64 * 1024;

/// Connections answered at once.
const CONNECTIONS_MAX: usize = 64;

#[cfg(test)]
mod tests {
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
}
