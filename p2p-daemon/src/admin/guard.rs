//! Who may ask what.
//!
//! On loopback and on a Unix domain socket it is the machine's own users who ask, and a web page that one of them looks at
//! must not ask in their name: so a name that resolves to loopback is not taken for it, and nothing is changed for a page
//! of another origin. Elsewhere a token is asked for; but for `/livez` and `/readyz`, which then say yes or no and nothing
//! else.

use std::net::IpAddr;

use hyper::{
    HeaderMap, Method, Request, StatusCode,
    header::{AUTHORIZATION, HOST, HeaderName, ORIGIN},
};

/// What the admin interface asks for before it answers.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    /// A hash, so that the time that a look takes says nothing of the token.
    token: Option<blake3::Hash>,
    reach: Reach,
}

/// From where the interface can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// By a Unix domain socket, which no web page can open.
    Socket,
    /// By this machine's users.
    Loopback,
    /// From elsewhere.
    Network,
}

/// How much a request may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Everything.
    All,
    /// Whether the daemon lives and is ready, without reasons.
    YesOrNo,
}

impl Guard {
    /// With a token, who asks has to have it.
    pub(super) fn new(reach: Reach, token: Option<&str>) -> Self {
        Self { token: token.map(|token| blake3::hash(token.as_bytes())), reach }
    }

    /// # Errors
    /// The status to answer with, and why.
    pub(super) fn check<B>(&self, request: &Request<B>) -> Result<Verdict, (StatusCode, &'static str)> {
        let headers = request.headers();
        if self.has_token(headers) {
            return Ok(Verdict::All);
        }
        if self.token.is_some() || self.reach == Reach::Network {
            return match request.uri().path() {
                "/livez" | "/readyz" if request.method() != Method::POST => Ok(Verdict::YesOrNo),
                _ => Err((StatusCode::UNAUTHORIZED, "expected the header `Authorization: Bearer TOKEN`\n")),
            };
        }
        if self.reach == Reach::Socket {
            return Ok(Verdict::All);
        }
        if text(headers, HOST).is_some_and(|host| !is_loopback(host)) {
            return Err((StatusCode::MISDIRECTED_REQUEST, "expected a loopback address, or localhost, as the host\n"));
        }
        let same = |origin: &str| origin.split_once("://").map(|(_, host)| host) == text(headers, HOST);
        if request.method() == Method::POST && text(headers, ORIGIN).is_some_and(|origin| !same(origin)) {
            return Err((StatusCode::FORBIDDEN, "a page of another origin changes nothing here\n"));
        }
        Ok(Verdict::All)
    }

    fn has_token(&self, headers: &HeaderMap) -> bool {
        let given = text(headers, AUTHORIZATION).and_then(|value| value.split_once(' '));
        let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        match (&self.token, given) {
            // Hashes are compared in constant time.
            (Some(token), Some((_, given))) => *token == blake3::hash(given.trim().as_bytes()),
            _ => false,
        }
    }
}

/// A header as text. One that is none is as good as a wrong one.
fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).map(|value| value.to_str().unwrap_or_default())
}

/// Whether a `Host` names this machine and can name no other.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|addr| addr.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(guard: &Guard, method: Method, path: &str, headers: &[(&str, &str)]) -> Result<Verdict, u16> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        guard.check(&request.body(()).unwrap()).map_err(|(status, _)| status.as_u16())
    }

    #[test]
    fn elsewhere_than_here_it_takes_the_token() {
        for guard in [Reach::Network, Reach::Loopback, Reach::Socket].map(|reach| Guard::new(reach, Some("hush"))) {
            let get = |path, headers: &[_]| ask(&guard, Method::GET, path, headers);
            assert_eq!(get("/status.json", &[]), Err(401));
            assert_eq!(get("/status.json", &[("authorization", "Bearer loud")]), Err(401));
            assert_eq!(get("/status.json", &[("authorization", "hush")]), Err(401));
            assert_eq!(get("/status.json", &[("authorization", "bearer hush")]), Ok(Verdict::All));
            assert_eq!(get("/readyz", &[]), Ok(Verdict::YesOrNo));
            assert_eq!(ask(&guard, Method::POST, "/reload", &[]), Err(401));
        }
    }

    // A name that a page's owner lets resolve to 127.0.0.1 makes the page of the same origin; it would read everything.
    #[test]
    fn a_web_page_gets_nothing_in_its_readers_name() {
        let guard = Guard::new(Reach::Loopback, None);
        for (host, verdict) in [
            ("127.0.0.1:8801", Ok(Verdict::All)),
            ("[::1]:8801", Ok(Verdict::All)),
            ("localhost:8801", Ok(Verdict::All)),
            ("evil.example:8801", Err(421)),
            ("127.0.0.1.evil.example", Err(421)),
            ("192.0.2.1:8801", Err(421)),
        ] {
            assert_eq!(ask(&guard, Method::GET, "/status.json", &[("host", host)]), verdict, "{host}");
        }
        let post = |origin| ask(&guard, Method::POST, "/reload", &[("host", "127.0.0.1:8801"), ("origin", origin)]);
        assert_eq!(post("http://127.0.0.1:8801"), Ok(Verdict::All));
        assert_eq!(post("https://evil.example"), Err(403));
        assert_eq!(post("null"), Err(403));
    }
}
