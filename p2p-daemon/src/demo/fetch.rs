//! What is downloaded, by plain HTTP as any client would.

use std::{
    borrow::Cow,
    error::Error as StdError,
    net::SocketAddr,
    time::{Duration, Instant},
};

use blake3::{Hash, Hasher};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};

/// A downloaded document.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) bytes: u64,
    pub(super) hash: Hash,
    /// From the request to the last byte.
    pub(super) took: Duration,
    /// The first bytes.
    head: Vec<u8>,
}

impl Fetched {
    /// The beginning, as text.
    pub(super) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.head)
    }

    /// What stands between `<title>` and `</title>`.
    pub(super) fn title(&self) -> String {
        let text = self.text();
        let title = text.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
        title.map(|(title, _)| title.to_owned()).unwrap_or_default()
    }

    /// Bytes per second, for people.
    pub(super) fn throughput(&self) -> String {
        format!("{:.1} MiB/s", self.bytes as f64 / (1024.0 * 1024.0) / self.took.as_secs_f64())
    }
}

/// Gets a document over a connection of its own. `progress` is told how many bytes each piece has.
pub(super) async fn fetch(
    server: SocketAddr,
    path: &str,
    progress: impl Fn(u64),
) -> Result<Fetched, Box<dyn StdError + Send + Sync>> {
    let start = Instant::now();
    let tcp = TcpStream::connect(server).await?;
    let (mut requests, connection) = http1::handshake(TokioIo::new(tcp)).await?;
    // Ended with this set, when the document is complete.
    let mut tasks = JoinSet::new();
    tasks.spawn(async { connection.await.ok() });

    let request = Request::get(path).header(HOST, server.to_string()).body(Empty::<Bytes>::new())?;
    let response = requests.send_request(request).await?;
    if !response.status().is_success() {
        return Err(format!("the service answered {}", response.status()).into());
    }
    let (mut body, mut hasher, mut bytes, mut head) = (response.into_body(), Hasher::new(), 0, Vec::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        hasher.update(&data);
        bytes += data.len() as u64;
        head.extend_from_slice(&data[..data.len().min(HEAD_BYTES - head.len())]);
        progress(data.len() as u64);
    }
    Ok(Fetched { bytes, hash: hasher.finalize(), took: start.elapsed(), head })
}

/// Bytes of the beginning that are kept: all of a page, or of the metrics.
const HEAD_BYTES: usize = 512 * 1024;
