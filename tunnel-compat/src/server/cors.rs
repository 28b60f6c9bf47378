//! What pages of other origins may do.
//!
//! The legacy server lets every origin in, with credentials. Here any origin may call with the token it holds, but a browser adds
//! nothing to such a call that its page did not; credentials of the browser's are for origins that are named.

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::route::{Body, empty};

/// The origins that a browser may send its own credentials from.
#[derive(Debug, Clone, Default)]
pub(super) struct Cors(pub(super) Vec<HeaderValue>);

impl Cors {
    /// Says in a response who may read it.
    pub(super) fn mark(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        let Some(origin) = origin else { return };
        headers.remove(header::ACCESS_CONTROL_ALLOW_CREDENTIALS);
        if self.0.contains(origin) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        } else {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        }
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }

    /// The answer to a browser that asks beforehand.
    pub(super) fn preflight(&self, origin: Option<&HeaderValue>, asked: &HeaderMap) -> Response<Body> {
        let mut answer = Response::new(empty());
        *answer.status_mut() = StatusCode::NO_CONTENT;
        let headers = answer.headers_mut();
        let methods = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS");
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        if let Some(wanted) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"));
        self.mark(origin, headers);
        answer
    }
}
