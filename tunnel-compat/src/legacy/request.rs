//! An HTTP request in the tunnel's words, as far as it has any.

use std::{
    collections::BTreeMap,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode, Uri, header};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;

use crate::{
    query,
    route::{Body, BodyError, Failure, RouteError, full},
    wire::{Encoding, HttpRequest, Method, PAYLOAD_BYTES_MAX},
};

/// A request in both forms.
pub(crate) struct Wanted {
    /// With no number yet.
    pub(crate) request: HttpRequest,
    /// As it came.
    pub(crate) original: Request<Body>,
}

/// Says a request in the tunnel's words.
///
/// # Errors
/// 413 for a body of more than 256 KiB and 415 for one that is not JSON, which the legacy home side would lose, and 501 for a
/// method that it does not know; with the request, whole.
pub(crate) async fn for_wire(request: Request<Body>) -> Result<Wanted, RouteError> {
    let Some(method) = method_of(request.method()) else {
        let reason = format!("the legacy tunnel has no method {}", request.method());
        return Err(refuse(StatusCode::NOT_IMPLEMENTED, reason, request));
    };
    let (request, body) = read_body(request).await?;
    let payload = if body.is_empty() {
        None
    } else {
        match serde_json::from_slice(&body) {
            Ok(json) => Some(json),
            Err(error) => {
                let reason = format!("the legacy tunnel carries JSON bodies alone, and this one is none: {error}");
                return Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason, request));
            }
        }
    };
    let uri = request.uri();
    let wire = HttpRequest {
        request_id: 0,
        method,
        path: uri.path().trim_start_matches('/').to_owned(),
        query: query::pairs(uri.query().unwrap_or("")).map(|(name, value)| (name.into(), value.into())).collect(),
        payload,
        headers: carried(request.headers()),
        encoding: Encoding::Binary,
        profile: profile_of(uri, request.headers()),
    };
    Ok(Wanted { request: wire, original: request })
}

/// The profile that a request names: in the query, or in a header.
pub(super) fn profile_of(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let mut pairs = query::pairs(uri.query().unwrap_or(""));
    let named = pairs.find(|(name, _)| name.eq_ignore_ascii_case("moosicboxProfile"));
    let in_header = || headers.get("moosicbox-profile")?.to_str().ok().map(str::to_owned);
    named.map(|(_, value)| value.into_owned()).or_else(in_header)
}

fn carried(headers: &HeaderMap) -> Option<BTreeMap<String, String>> {
    // What is not ASCII the legacy home side cannot read.
    let text =
        |name: &header::HeaderName| Some((name.as_str().to_owned(), headers.get(name)?.to_str().ok()?.to_owned()));
    let carried: BTreeMap<_, _> = [header::ACCEPT, header::RANGE].iter().filter_map(text).collect();
    (!carried.is_empty()).then_some(carried)
}

fn method_of(method: &http::Method) -> Option<Method> {
    serde_json::from_value(method.as_str().into()).ok()
}

fn refuse(status: StatusCode, reason: String, request: Request<Body>) -> RouteError {
    RouteError::unsent(Failure::Refused { status, reason }, request)
}

/// Reads the body, and gives the request back with it.
async fn read_body(request: Request<Body>) -> Result<(Request<Body>, Bytes), RouteError> {
    let too_large = |request| {
        let reason = format!("the legacy tunnel carries bodies of at most {PAYLOAD_BYTES_MAX} bytes");
        Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, reason, request))
    };
    let (head, mut body) = request.into_parts();
    if body.is_end_stream() {
        return Ok((Request::from_parts(head, body), Bytes::new()));
    }
    if body.size_hint().lower() > PAYLOAD_BYTES_MAX as u64 {
        return too_large(Request::from_parts(head, body));
    }
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| RouteError::sent(Failure::Broken(format!("the app's body ended: {error}"))))?;
        if let Ok(data) = frame.into_data() {
            read.extend_from_slice(&data);
        }
        if read.len() > PAYLOAD_BYTES_MAX {
            let body = Prefixed { prefix: Some(read.freeze()), rest: body }.boxed_unsync();
            return too_large(Request::from_parts(head, body));
        }
    }
    let read = read.freeze();
    Ok((Request::from_parts(head, full(read.clone())), read))
}

/// A body of which a part was read.
struct Prefixed {
    prefix: Option<Bytes>,
    rest: Body,
}

impl http_body::Body for Prefixed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.prefix.take() {
            Some(prefix) => Poll::Ready(Some(Ok(Frame::data(prefix)))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let read = self.prefix.as_ref().map_or(0, Bytes::len) as u64;
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(read + rest.lower());
        if let Some(upper) = rest.upper() {
            hint.set_upper(read + upper);
        }
        hint
    }
}
