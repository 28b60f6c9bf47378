//! One request of the tunnel server, and its answer in packets.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use p2p::{TaskHandle, Watch, WatchSender};

use super::{Shared, request, window::Window};
use crate::{
    route::{Body, text},
    wire::{HttpRequest, PacketWriter, ResponseHead, WireError, broken_off},
};

/// Requests in flight. One more is answered with 503.
const EXCHANGES_MAX: usize = 1024;

/// Requests in flight, by their numbers.
#[derive(Debug)]
pub(super) struct Exchanges {
    by_number: BTreeMap<u64, Exchange>,
    count: WatchSender<usize>,
}

#[derive(Debug)]
struct Exchange {
    window: Arc<Window>,
    /// Dropping it ends the request, at the home's server too.
    _task: TaskHandle,
}

impl Default for Exchanges {
    fn default() -> Self {
        Self { by_number: BTreeMap::new(), count: WatchSender::new(0) }
    }
}

impl Exchanges {
    /// How many there are, from now on.
    pub(super) fn count(&self) -> Watch<usize> {
        self.count.subscribe()
    }

    /// Ends all of them. Returns what is to be dropped outside the lock.
    pub(super) fn end_all(&mut self) -> impl Sized + use<> {
        self.count.set(0);
        std::mem::take(&mut self.by_number)
    }

    /// Nobody waits for that answer any longer. Returns what is to be dropped outside the lock.
    pub(super) fn abort(&mut self, request_id: u64) -> Option<impl Sized + use<>> {
        let ended = self.by_number.remove(&request_id);
        self.count.set(self.by_number.len());
        ended
    }

    /// More of that answer may be sent.
    pub(super) fn grant(&self, request_id: u64, bytes: u64) {
        if let Some(exchange) = self.by_number.get(&request_id) {
            exchange.window.grant(bytes);
        }
    }
}

impl Shared {
    /// Answers a request, in a task of its own. `window` is what may be sent of the answer before more is granted; none if the
    /// server knows no windows.
    pub(super) fn begin(
        self: &Arc<Self>,
        request_id: u64,
        wanted: Result<HttpRequest, WireError>,
        window: Option<u64>,
    ) {
        let mut exchanges = self.exchanges.lock();
        if exchanges.by_number.contains_key(&request_id) {
            tracing::warn!(
                request_id,
                "The tunnel server used a request's number twice; the second one was passed over."
            );
            return;
        }
        let is_full = exchanges.by_number.len() >= EXCHANGES_MAX;
        let knows_windows = window.is_some();
        let window = Arc::new(Window::new(window));
        let (shared, limit) = (self.clone(), window.clone());
        let answering = async move {
            let answer = match wanted {
                _ if is_full => refuse_full(),
                Ok(wanted) => shared.ask(wanted).await,
                // Nobody else would answer: the legacy server waits for ever.
                Err(error) => text(StatusCode::BAD_REQUEST, format!("the request cannot be read: {error}")),
            };
            shared.send_answer(request_id, answer, &limit, knows_windows).await;
            // Dropped outside the lock.
            let ended = shared.exchanges.lock().abort(request_id);
            drop(ended);
        };
        let task = self.runtime.spawn("a request of the tunnel's", Box::pin(answering));
        if is_full {
            task.detach();
        } else {
            exchanges.by_number.insert(request_id, Exchange { window, _task: task });
            exchanges.count.set(exchanges.by_number.len());
        }
    }

    async fn ask(&self, wanted: HttpRequest) -> Response<Body> {
        let request = match request::to_http(wanted) {
            Ok(request) => request,
            Err(why) => return text(StatusCode::BAD_REQUEST, format!("the request cannot be carried: {why}")),
        };
        self.route.http(&self.client, request).await.unwrap_or_else(|error| {
            tracing::info!(%error, "A request of the tunnel's got no answer.");
            match error.failure.status() {
                // To an app that would say that the home itself is not there.
                StatusCode::FAILED_DEPENDENCY => text(StatusCode::BAD_GATEWAY, error.to_string()),
                _ => error.into_response(),
            }
        })
    }

    async fn send_answer(&self, request_id: u64, answer: Response<Body>, window: &Window, knows_windows: bool) {
        let (mut writer, mut body) = match head_of(request_id, &answer) {
            Ok(writer) => (writer, answer.into_body()),
            Err(why) => {
                let answer = text(StatusCode::BAD_GATEWAY, why);
                let writer = head_of(request_id, &answer).expect("a short text has a short head");
                (writer, answer.into_body())
            }
        };
        let mut at_once = body.frame().now_or_never();
        if at_once.is_none() {
            // The body lets wait for itself: the head goes alone.
            let Ok(frame) = writer.write(&mut Bytes::new()) else { return };
            self.send(frame).await;
        }
        loop {
            let frame = match at_once.take() {
                Some(frame) => frame,
                None => body.frame().await,
            };
            let mut chunk = match frame {
                None => Bytes::new(),
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                Some(Err(error)) => {
                    tracing::warn!(request_id, %error, "The home's server broke an answer off.");
                    if knows_windows {
                        return self.send(broken_off(request_id)).await;
                    }
                    // The legacy server has no word for it. It waits for ever unless told that this was all; where the length
                    // was announced, the app sees that it was not.
                    Bytes::new()
                }
            };
            let is_last = chunk.is_empty() || body.is_end_stream();
            while !chunk.is_empty() {
                let taken = window.take(chunk.len().min(writer.room())).await;
                let mut part = chunk.split_to(taken);
                let frame =
                    if is_last && chunk.is_empty() { writer.finish(&mut part) } else { writer.write(&mut part) };
                let Ok(frame) = frame else { return };
                self.send(frame).await;
            }
            if is_last && !writer.is_finished() {
                let Ok(frame) = writer.finish(&mut Bytes::new()) else { return };
                self.send(frame).await;
            }
            if writer.is_finished() {
                return;
            }
        }
    }
}

fn head_of(request_id: u64, answer: &Response<Body>) -> Result<PacketWriter, String> {
    let headers = answer.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let (head, dropped) =
        ResponseHead::for_tunnel(answer.status().as_u16(), headers).map_err(|error| error.to_string())?;
    for header in dropped {
        tracing::debug!(name = header.name, why = header.why, "The tunnel cannot carry a header.");
    }
    PacketWriter::new(request_id, &head).map_err(|error| error.to_string())
}

fn refuse_full() -> Response<Body> {
    text(StatusCode::SERVICE_UNAVAILABLE, format!("{EXCHANGES_MAX} requests are in flight already"))
}
