//! Who asks, and for whom: read once, and only one way.

use http::{HeaderMap, StatusCode, Uri, header};

use crate::{query, route::ClientId};

/// A query, taken apart: what is the tunnel's, and what is the home's.
///
/// The legacy server looks at `clientId` twice, and differently: with two of them, or one in another case, a caller passes the
/// guard as one client and reaches another's home. Here such a query is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) client: Option<ClientId>,
    pub(crate) signature: Option<String>,
    pub(crate) magic_token: Option<String>,
    pub(crate) sender: Option<String>,
    /// The rest, as it was.
    pub(crate) rest: String,
}

/// What is wrong with a query.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueryError {
    #[error("{0} is given twice, or in another case: expected it once, as {0}")]
    Ambiguous(&'static str),
    #[error("{0}")]
    ClientId(#[from] crate::route::InvalidClientId),
}

/// The tunnel's own names, and the path at which alone some of them are.
const OURS: [(&str, Option<&str>); 4] =
    [("clientId", None), ("signature", None), ("magicToken", Some("/auth/magic-token")), ("sender", Some("/ws"))];

impl Query {
    pub(crate) fn of(uri: &Uri) -> Result<Self, QueryError> {
        let mut ours: [Option<String>; 4] = Default::default();
        let mut rest = Vec::new();
        for (pair, name, value) in query::raw_pairs(uri.query().unwrap_or("")) {
            let is_ours = |(known, path): &(&str, Option<&str>)| {
                known.eq_ignore_ascii_case(&name) && path.is_none_or(|path| path == uri.path())
            };
            let Some(at) = OURS.iter().position(is_ours) else {
                rest.push(pair);
                continue;
            };
            // A name that needs decoding is another form of it, too.
            let (ours_is, _) = OURS[at];
            if !pair.starts_with(ours_is) || ours[at].replace(value.into_owned()).is_some() {
                return Err(QueryError::Ambiguous(ours_is));
            }
        }
        let [client, signature, magic_token, sender] = ours;
        let client = client.map(|client| client.parse()).transpose()?;
        Ok(Self { client, signature, magic_token, sender, rest: rest.join("&") })
    }

    /// The path with what is the home's of the query.
    pub(crate) fn uri_for_home(&self, path: &str) -> Option<Uri> {
        let text = if self.rest.is_empty() { path.to_owned() } else { format!("{path}?{}", self.rest) };
        text.parse().ok()
    }
}

/// The token that a caller shows: `Authorization: Bearer <token>`, or the token alone, as the legacy programs send it.
pub(crate) fn token_of(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim();
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token.trim()),
        Some(_) => None,
        None => Some(value).filter(|token| !token.is_empty()),
    }
}

/// Why a caller is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Denied(pub(super) StatusCode, pub(super) &'static str);

/// As the legacy server says it.
pub(super) const UNAUTHORIZED: Denied = Denied(StatusCode::UNAUTHORIZED, "Unauthorized");

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Result<Query, QueryError> {
        Query::of(&format!("/x?{text}").parse().unwrap())
    }

    #[test]
    fn a_client_is_named_once_and_in_one_way() {
        for ambiguous in [
            "clientId=a&clientId=b",
            "clientId=a&clientId=a",
            "clientid=a&clientId=b",
            "CLIENTID=a",
            "client%49d=a",
            "clientId=a&client%49d=b",
        ] {
            assert_eq!(query(ambiguous), Err(QueryError::Ambiguous("clientId")), "{ambiguous}");
        }
        assert_eq!(query("signature=1&Signature=2"), Err(QueryError::Ambiguous("signature")));
        assert!(matches!(query("clientId="), Err(QueryError::ClientId(_))));
        assert!(matches!(query(&format!("clientId={}", "a".repeat(65))), Err(QueryError::ClientId(_))));
    }

    #[test]
    fn the_home_gets_the_rest_as_it_was() {
        let query = query("a=1%202&clientId=c&a=3&signature=s&&flag&b=%26&sender=me").unwrap();
        assert_eq!(query.client.as_ref().unwrap().as_str(), "c");
        assert_eq!(query.uri_for_home("/p%20q").unwrap(), "/p%20q?a=1%202&a=3&flag&b=%26&sender=me");
    }

    #[test]
    fn a_token_is_taken_raw_or_as_bearer() {
        for (value, token) in [
            ("abc", Some("abc")),
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Basic abc", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            assert_eq!(token_of(&headers), token, "{value:?}");
        }
    }
}
