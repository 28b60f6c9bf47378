//! A response's status and headers.

use std::collections::BTreeMap;

use super::Defect;

/// Status and headers, as the first packet of a response carries them: one value a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseHead {
    /// The status, 100 to 999.
    pub status: u16,
    /// The headers. What was read may have names and values that HTTP does not allow.
    pub headers: BTreeMap<String, String>,
}

/// A header that the tunnel cannot carry, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The header's name.
    pub name: String,
    /// Why it cannot be carried.
    pub why: &'static str,
}

impl ResponseHead {
    /// What the tunnel can carry of a response's head, and what it cannot.
    ///
    /// - Several values of one name become one list, as HTTP allows; but for `set-cookie`, of which the last one stays.
    /// - Values that are not visible ASCII, and names that are none, are dropped: the legacy server fails on them.
    /// - Headers about one connection are dropped, as any proxy does; and `content-length` where there is no body (1xx, 204 and
    ///   304), because the legacy server would write one behind it.
    ///
    /// # Errors
    /// [`Defect::Status`] if the status is not from 100 to 999.
    pub fn for_tunnel<'a>(
        status: u16,
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<(Self, Vec<Dropped>), Defect> {
        if !STATUSES.contains(&status) {
            return Err(Defect::Status(status));
        }
        let mut head = Self { status, headers: BTreeMap::new() };
        let mut dropped = Vec::new();
        for (name, value) in headers {
            let name = name.to_ascii_lowercase();
            match head.check(&name, value) {
                Ok(value) => {
                    if let Some(why) = head.put(&name, value) {
                        dropped.push(Dropped { name, why });
                    }
                }
                Err(why) => dropped.push(Dropped { name, why }),
            }
        }
        Ok((head, dropped))
    }

    /// Whether a response with this status has no body, whatever its headers say (RFC 9110 §6.4.1).
    pub const fn has_no_body(&self) -> bool {
        matches!(self.status, 100..=199 | 204 | 304)
    }

    fn check<'a>(&self, name: &str, value: &'a [u8]) -> Result<&'a str, &'static str> {
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err("its name is none of HTTP's");
        }
        if CONNECTION_HEADERS.contains(&name) {
            return Err("it is about one connection");
        }
        if name == "content-length" && self.has_no_body() {
            return Err("a response with this status has no body");
        }
        let visible = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t');
        match std::str::from_utf8(value) {
            Ok(text) if value.iter().all(visible) => Ok(text),
            _ => Err("its value is not visible ASCII"),
        }
    }

    /// Adds a value; says why another one had to go.
    fn put(&mut self, name: &str, value: &str) -> Option<&'static str> {
        match self.headers.get_mut(name) {
            None => {
                self.headers.insert(name.to_owned(), value.to_owned());
                None
            }
            Some(last) if name == "set-cookie" => {
                value.clone_into(last);
                Some("another cookie came after it, and the tunnel carries one")
            }
            Some(list) => {
                list.push_str(", ");
                list.push_str(value);
                None
            }
        }
    }
}

/// The characters of a header's name (RFC 9110 §5.6.2).
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

/// What HTTP can say with three digits.
pub(super) const STATUSES: std::ops::RangeInclusive<u16> = 100..=999;

/// What a proxy never passes on (RFC 9110 §7.6.1).
const CONNECTION_HEADERS: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_tunnel_cannot_carry_is_named_with_its_reason() {
        let headers: [(&str, &[u8]); 9] = [
            ("Content-Type", b"text/plain"),
            ("vary", b"accept"),
            ("Vary", b"origin"),
            ("set-cookie", b"a=1"),
            ("set-cookie", b"b=2"),
            ("connection", b"close"),
            ("x-umlaut", "ü".as_bytes()),
            ("x y", b"1"),
            ("x-split", b"a\r\nb: c"),
        ];
        let (head, dropped) = ResponseHead::for_tunnel(200, headers).unwrap();
        let kept: Vec<_> = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(kept, [("content-type", "text/plain"), ("set-cookie", "b=2"), ("vary", "accept, origin")]);
        let names: Vec<_> = dropped.iter().map(|header| header.name.as_str()).collect();
        assert_eq!(names, ["set-cookie", "connection", "x-umlaut", "x y", "x-split"]);
    }

    #[test]
    fn a_response_without_a_body_announces_none() {
        for status in [101, 204, 304] {
            let (head, dropped) = ResponseHead::for_tunnel(status, [("content-length", &b"3"[..])]).unwrap();
            assert!(head.headers.is_empty(), "{status}");
            assert_eq!(dropped.len(), 1);
        }
        let (head, _) = ResponseHead::for_tunnel(200, [("content-length", &b"3"[..])]).unwrap();
        assert_eq!(head.headers["content-length"], "3");
    }

    #[test]
    fn a_status_beyond_three_digits_is_none() {
        for status in [0, 99, 1000, u16::MAX] {
            assert!(matches!(ResponseHead::for_tunnel(status, []), Err(Defect::Status(found)) if found == status));
        }
    }
}
