//! An answer in HTTP's words.

use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::BodyExt;

use super::body::BodyReader;
use crate::{
    http::strip_connection_headers,
    route::{Body, Failure, empty},
    wire::ResponseHead,
};

/// The response. Headers that HTTP cannot carry are left out, and logged; one that announces a body where there is none, too.
pub(super) fn from_wire(head: ResponseHead, body: BodyReader) -> Result<Response<Body>, Failure> {
    let status = StatusCode::from_u16(head.status).map_err(|_| broken(head.status))?;
    if status.is_informational() {
        return Err(broken(head.status));
    }
    let has_no_body = head.has_no_body();
    let mut response = Response::new(if has_no_body { empty() } else { body.boxed_unsync() });
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in head.headers {
        match (HeaderName::try_from(&name), HeaderValue::try_from(&value)) {
            (Ok(name), Ok(value)) => {
                headers.append(name, value);
            }
            _ => tracing::warn!(%name, "A home sent a header that HTTP cannot carry; it was left out."),
        }
    }
    strip_connection_headers(headers);
    // A length that is none makes a server refuse the whole response.
    let is_length = |value: &HeaderValue| value.to_str().is_ok_and(|text| text.parse::<u64>().is_ok());
    if status == StatusCode::NO_CONTENT || !headers.get(header::CONTENT_LENGTH).is_none_or(is_length) {
        headers.remove(header::CONTENT_LENGTH);
    }
    Ok(response)
}

fn broken(status: u16) -> Failure {
    Failure::Broken(format!("it has the status {status}, which ends no request"))
}
