//! What is changed on the way, and what is refused.

use hyper::{
    HeaderMap, Request, StatusCode, Version,
    header::{CONNECTION, FORWARDED, HOST, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE},
};
use p2p::PeerId;

/// Whose request it is for, or why nobody's.
pub(super) fn host<B>(request: &Request<B>) -> Result<String, (StatusCode, &'static str)> {
    const BAD: StatusCode = StatusCode::BAD_REQUEST;
    let mut hosts = request.headers().get_all(HOST).iter();
    let header = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return Err((BAD, "more than one Host\n")),
        (None, None) if request.version() == Version::HTTP_11 => return Err((BAD, "no Host\n")),
        (header, None) => header,
    };
    let header = match header {
        Some(header) => Some(header.to_str().ok().and_then(name).ok_or((BAD, "Host is no name or address\n"))?),
        None => None,
    };
    // A request that names its host twice names one host (RFC 9112 §3.2.2).
    match (request.uri().authority().map(|authority| name(authority.as_str())), header) {
        (Some(None), _) => Err((BAD, "the host in the request is no name or address\n")),
        (Some(Some(named)), Some(header)) if named != header => Err((BAD, "two hosts in one request\n")),
        (Some(Some(named)), _) => Ok(named),
        (None, header) => Ok(header.unwrap_or_default()),
    }
}

/// A host without its port, in lower case.
fn name(text: &str) -> Option<String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, rest.strip_prefix(':').or(rest.is_empty().then_some("")))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, Some("")),
        },
    };
    let port = port?;
    let is_port = port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = text.starts_with('[')
        || (!host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)));
    (is_port && is_name).then(|| host.to_ascii_lowercase())
}

/// Takes away what is said between neighbours alone (RFC 9110 §7.6.1), and what `Connection` names.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        // Framing is hyper's to say, and Host is not anybody's to take away.
        .filter(|name| *name != HOST)
        .collect();
    let always = [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
    let more = ["keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization"];
    for name in named.into_iter().chain(always).chain(more.map(HeaderName::from_static)) {
        headers.remove(name);
    }
}

/// Says who asks: the peer, by the identity that its key proved.
pub(super) fn add_forwarded(headers: &mut HeaderMap, peer: PeerId, host: Option<HeaderValue>) {
    // What a peer says of itself here would be believed, so it is taken away with what others use for the same.
    for name in ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"] {
        headers.remove(name);
    }
    headers.remove(FORWARDED);
    let host = host.and_then(|host| host.to_str().ok().map(|host| format!(";host=\"{host}\""))).unwrap_or_default();
    // An obfuscated identifier begins with `_` (RFC 7239 §6.3).
    let value = format!("for=\"_{peer}\"{host};proto=http");
    if let Ok(value) = HeaderValue::from_str(&value) {
        headers.insert(FORWARDED, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, uri: &str, hosts: &[&str]) -> Request<()> {
        let mut request = Request::builder().version(version).uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn a_host_is_one_name_or_address() {
        for (uri, hosts, expected) in [
            ("/", &["A.example:8080"][..], Some("a.example")),
            ("/", &["[::1]:80"], Some("::1")),
            ("/", &["127.0.0.1"], Some("127.0.0.1")),
            ("http://a/", &["a"], Some("a")),
            ("http://a/", &["b"], None),
            ("/", &[], None),
            ("/", &["a", "a"], None),
            ("/", &["a b"], None),
            ("/", &["a/b"], None),
            ("/", &["a@b"], None),
            ("/", &["a:b"], None),
            ("/", &[""], None),
            ("/", &["[x]"], None),
        ] {
            let host = host(&request(Version::HTTP_11, uri, hosts));
            assert_eq!(host.as_deref().ok(), expected, "{uri} {hosts:?}");
        }
        assert_eq!(host(&request(Version::HTTP_10, "/", &[])).as_deref(), Ok(""));
    }

    #[test]
    fn what_neighbours_say_to_each_other_stays_between_them() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Secret, host"),
            ("x-secret", "1"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("host", "a"),
            ("accept", "*/*"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        remove_hop_by_hop(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "host"]);
    }

    #[test]
    fn nobody_says_by_itself_who_it_is() {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", "10.0.0.1".parse().unwrap());
        headers.insert(FORWARDED, "for=10.0.0.1".parse().unwrap());
        let peer = PeerId::from_name("alice");
        add_forwarded(&mut headers, peer, Some("a:80".parse().unwrap()));
        assert_eq!(headers.len(), 1);
        assert_eq!(headers[FORWARDED], format!("for=\"_{peer}\";host=\"a:80\";proto=http"));
    }
}
