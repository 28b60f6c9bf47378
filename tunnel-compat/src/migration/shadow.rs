//! Sends a request over the other route as well, and compares the answers.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, header, response};
use http_body_util::BodyExt;
use p2p::RuntimeExt;
use parking_lot::Mutex;

use super::{Outcome, Side, counters::count, router::Shared};
use crate::route::{Body, ClientId};

/// An answer, as it is compared: status, content type, and the body's hash.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Digest {
    status: StatusCode,
    content_type: Option<Vec<u8>>,
    body: blake3::Hash,
}

/// The answer that the app gets, read by the way.
#[derive(Debug)]
pub(super) struct Primary {
    head: (StatusCode, Option<Vec<u8>>),
    hasher: Box<blake3::Hasher>,
    comparison: Arc<Comparison>,
}

impl Primary {
    pub(super) fn take(&mut self, data: &Bytes) {
        self.hasher.update(data);
    }

    /// The body was read to its end.
    pub(super) fn end(self) {
        let (status, content_type) = self.head;
        let digest = Digest { status, content_type, body: self.hasher.finalize() };
        self.comparison.put(digest);
    }
}

/// A shadow on its way.
pub(super) struct Shadow(Arc<Comparison>);

/// The two answers, as they come.
struct Comparison {
    shared: Arc<Shared>,
    what: String,
    first: Mutex<Option<Digest>>,
    done: std::sync::atomic::AtomicBool,
}

impl Comparison {
    fn put(&self, digest: Digest) {
        let Some(other) = self.first.lock().replace(digest.clone()) else { return };
        self.done.store(true, Relaxed);
        let counters = &self.shared.counters;
        if other == digest {
            return count(&counters.shadow_same);
        }
        count(&counters.shadow_different);
        tracing::warn!(request = %self.what, one = ?other, other = ?digest, "The routes' answers differ.");
    }

    fn fail(&self) {
        self.done.store(true, Relaxed);
        count(&self.shared.counters.shadow_failed);
    }
}

/// Whoever is last counts what came to no comparison.
impl Drop for Comparison {
    fn drop(&mut self) {
        if !*self.done.get_mut() {
            count(&self.shared.counters.shadow_skipped);
        }
    }
}

impl std::fmt::Debug for Comparison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Comparison({})", self.what)
    }
}

/// Shadows at once. A request beyond them is not shadowed.
const SHADOWS_MAX: u64 = 16;

/// How long a shadow's answer may take, body included.
const SHADOW_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes of the largest body that is compared.
const SHADOW_BYTES_MAX: u64 = 16 * 1024 * 1024;

impl Shadow {
    /// Sends `request` over `side`, in a task of its own.
    pub(super) fn begin(shared: &Arc<Shared>, side: Side, client: &ClientId, request: Request<Body>) -> Option<Self> {
        if shared.shadows.fetch_add(1, Relaxed) >= SHADOWS_MAX {
            shared.shadows.fetch_sub(1, Relaxed);
            count(&shared.counters.shadow_skipped);
            return None;
        }
        let what = format!("{} {}", request.method(), request.uri());
        let comparison =
            Arc::new(Comparison { shared: shared.clone(), what, first: Mutex::default(), done: false.into() });
        let place = Place(shared.clone());
        let (client, second) = (client.clone(), comparison.clone());
        let sending = async move {
            let shared = &place.0;
            let answer = shared.runtime.timeout(SHADOW_TIMEOUT, ask(shared, side, &client, request)).await;
            match answer {
                Ok(Some(digest)) => second.put(digest),
                Ok(None) => second.fail(),
                Err(_) => {}
            }
            drop(place);
        };
        shared.runtime.spawn("a shadowed request", Box::pin(sending)).detach();
        Some(Self(comparison))
    }

    /// The answer that the app gets is here.
    pub(super) fn primary(self, head: &response::Parts) -> Primary {
        Primary { head: compared(head), hasher: Box::default(), comparison: self.0 }
    }
}

/// A place among the shadows.
struct Place(Arc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.shadows.fetch_sub(1, Relaxed);
    }
}

fn compared(head: &response::Parts) -> (StatusCode, Option<Vec<u8>>) {
    let content_type = head.headers.get(header::CONTENT_TYPE).map(|value| value.as_bytes().to_vec());
    (head.status, content_type)
}

/// The digest of an answer; none if there is none. One that is too large stays pending, to its deadline.
async fn ask(shared: &Shared, side: Side, client: &ClientId, request: Request<Body>) -> Option<Digest> {
    let begun = shared.runtime.now();
    let answer = shared.route(side).http(client, request).await;
    if side == Side::P2p {
        let outcome = match &answer {
            Ok(_) => Outcome::Answered(shared.runtime.now() - begun),
            Err(_) => Outcome::Failed,
        };
        shared.handle_outcome(outcome);
    }
    let (head, mut body) = answer.ok()?.into_parts();
    let (status, content_type) = compared(&head);
    let (mut hasher, mut bytes) = (blake3::Hasher::new(), 0);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.ok()?.into_data() {
            bytes += data.len() as u64;
            if bytes > SHADOW_BYTES_MAX {
                drop(body);
                return std::future::pending().await;
            }
            hasher.update(&data);
        }
    }
    Some(Digest { status, content_type, body: hasher.finalize() })
}
