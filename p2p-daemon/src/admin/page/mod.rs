//! The page at `/`: three files in the program, no build step, nothing from elsewhere.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode, header::CONTENT_SECURITY_POLICY};

use super::routes::respond;

/// A file of the page, if `path` is one.
pub(super) fn file(path: &str) -> Option<Response<Full<Bytes>>> {
    let (content_type, text) = match path {
        "/" => ("text/html; charset=utf-8", include_str!("page.html")),
        "/page.css" => ("text/css; charset=utf-8", include_str!("page.css")),
        "/page.js" => ("text/javascript; charset=utf-8", include_str!("page.js")),
        _ => return None,
    };
    let mut response = respond(StatusCode::OK, content_type, text);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, POLICY.parse().expect("plain ASCII"));
    Some(response)
}

/// The page runs and loads what comes from here and nothing else, and stands in nobody's frame. The icon is an empty one.
const POLICY: &str = "default-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
