//! What the tunnel asks, in HTTP's words.

use http::{HeaderName, HeaderValue, Method, Request, Uri, header};

use crate::{
    query,
    route::{Body, empty, full},
    wire::HttpRequest,
};

/// The request for the home's server. Says what of it makes no HTTP.
///
/// Values are encoded anew, so that none can become a second parameter. What is the tunnel's own stays out.
pub(super) fn to_http(wanted: HttpRequest) -> Result<Request<Body>, String> {
    let uri = uri(&wanted)?;
    let mut request = Request::new(match &wanted.payload {
        None => empty(),
        Some(json) => full(json.to_string()),
    });
    *request.method_mut() =
        Method::from_bytes(wanted.method.as_str().as_bytes()).expect("the tunnel's methods are HTTP's");
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    for (name, value) in wanted.headers.unwrap_or_default() {
        match (HeaderName::try_from(&name), HeaderValue::try_from(&value)) {
            (Ok(name), Ok(value)) => headers.append(name, value),
            _ => return Err(format!("its header {name:?} is none of HTTP's")),
        };
    }
    if wanted.payload.is_some() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if let Some(profile) = wanted.profile {
        let value = HeaderValue::try_from(profile).map_err(|_| "its profile cannot be a header's value".to_owned())?;
        headers.insert("moosicbox-profile", value);
    }
    Ok(request)
}

fn uri(wanted: &HttpRequest) -> Result<Uri, String> {
    let is_ours = |name: &str| ["clientId", "signature"].iter().any(|ours| ours.eq_ignore_ascii_case(name));
    let pairs = wanted.query.iter().filter(|(name, _)| !is_ours(name));
    let query = query::encode(pairs.map(|(name, value)| (name.as_str(), value.as_str())));
    let path = wanted.path.trim_start_matches('/');
    // A mark would begin the query or a fragment within the path.
    let text = if query.is_empty() { format!("/{path}") } else { format!("/{path}?{query}") };
    if path.contains(['?', '#']) {
        return Err("its path has a query of its own".into());
    }
    text.parse().map_err(|error| format!("its path makes no URI: {error}"))
}

#[cfg(test)]
mod tests {
    use crate::wire::Request as Wire;

    use super::*;

    fn request(json: &str) -> Result<Request<Body>, String> {
        let Wire::Http(request) = Wire::from_json(json).unwrap() else { panic!("no HTTP") };
        to_http(request)
    }

    fn with(path: &str, query: &str) -> Result<Request<Body>, String> {
        request(&format!(
            r#"{{"type":"HTTP","request_id":1,"method":"GET","path":"{path}","query":{query},"encoding":"BINARY"}}"#
        ))
    }

    #[test]
    fn values_are_encoded_and_the_tunnels_secrets_left_out() {
        let seen = with("a%2Fb", r#"{"b":"1&2=3#x","clientId":"c","Signature":"s","é":"ü"}"#).unwrap();
        assert_eq!(seen.uri(), "/a%2Fb?b=1%262%3D3%23x&%C3%A9=%C3%BC");
    }

    #[test]
    fn a_path_stays_a_path() {
        assert_eq!(with("//x", "{}").unwrap().uri(), "/x");
        for path in ["x?y=1", "x#y", "x y", "\\u0000"] {
            assert!(with(path, "{}").is_err(), "{path}");
        }
    }

    #[test]
    fn json_is_sent_as_json_and_a_header_that_is_none_is_an_error() {
        let json = r#"{"type":"HTTP","request_id":1,"method":"POST","path":"x","query":{},"payload":{"a":1},
            "headers":{"range":"bytes=0-1"},"encoding":"BINARY","profile":"p"}"#;
        let seen = request(json).unwrap();
        assert_eq!(seen.headers()["content-type"], "application/json");
        assert_eq!(seen.headers()["moosicbox-profile"], "p");
        assert_eq!(seen.headers()["range"], "bytes=0-1");
        assert!(request(&json.replace("bytes=0-1", r"a\nb")).is_err());
    }
}
