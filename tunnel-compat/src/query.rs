//! Queries, as the tunnel's programs read them: `+` is no space.

use std::borrow::Cow;

/// The pairs of a query, decoded. What is no UTF-8 once decoded is read with replacement characters.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    raw_pairs(query).map(|(_, name, value)| (name, value))
}

/// The same, each with its text as it stands in the query.
pub(crate) fn raw_pairs(query: &str) -> impl Iterator<Item = (&str, Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (pair, decode(name), decode(value))
    })
}

/// A query of these pairs, encoded so that any value stays one.
pub(crate) fn encode<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let encode = |text| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC);
    let pairs: Vec<_> = pairs.into_iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}

fn decode(text: &str) -> Cow<'_, str> {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_being_encoded_whatever_they_hold() {
        let pairs_in = [("a b", "1&2=3#x"), ("ü", "+ %"), ("", "")];
        let query = encode(pairs_in);
        let out: Vec<_> = pairs(&query).map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        assert_eq!(out, pairs_in.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_plus_is_a_plus() {
        assert_eq!(
            pairs("q=a+b%20c&&flag").collect::<Vec<_>>(),
            [("q".into(), "a+b c".into()), ("flag".into(), "".into())]
        );
    }
}
