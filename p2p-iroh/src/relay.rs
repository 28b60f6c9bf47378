//! A relay server, as it is configured.

use std::{fmt, str::FromStr};

use iroh::{RelayConfig, RelayUrl, RelayUrlParseError};
use p2p::{P2PError, Result};
use serde::Deserialize;

use crate::addr;

/// A relay to be reachable through, and to learn one's public address from.
///
/// Read from text it is a URL, or a host name, which then means `https://`. In a configuration file it is a table with
/// `url`, `token` and `quic_port`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Fields")]
pub struct RelayServer {
    url: RelayUrl,
    token: Option<String>,
    quic_port: Option<u16>,
}

impl RelayServer {
    /// The UDP port at which relays tell peers their public address unless set up otherwise: 7842, iroh-relay's
    /// `DEFAULT_RELAY_QUIC_PORT`.
    pub const QUIC_PORT: u16 = 7842;

    /// The relay at that URL or host name.
    ///
    /// # Errors
    /// [`P2PError::InvalidInput`] names the text and what was expected.
    pub fn new(url: &str) -> Result<Self> {
        let url = parse(url).map_err(|why| {
            P2PError::invalid_input(
                format_args!("relay {url:?} ({why})"),
                "a host name or a URL, like relay.example or https://relay.example:8443",
            )
        })?;
        Ok(Self { url, token: None, quic_port: Some(Self::QUIC_PORT) })
    }

    /// The relays in a comma-separated list. White space and empty entries do not count.
    ///
    /// # Errors
    /// [`P2PError::InvalidInput`] names the entry that is no relay, or stands twice.
    pub fn parse_list(list: &str) -> Result<Vec<Self>> {
        let mut relays: Vec<Self> = Vec::new();
        for entry in list.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let relay = Self::new(entry)?;
            if relays.iter().any(|other| other.url == relay.url) {
                return Err(P2PError::invalid_input(
                    format_args!("relay {entry:?} (it stands in the list twice)"),
                    "each relay once",
                ));
            }
            relays.push(relay);
        }
        Ok(relays)
    }

    /// Sets the token that the relay asks for, sent as `Authorization: Bearer`.
    #[must_use]
    pub fn with_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Sets the UDP port at which the relay tells peers their public address; `None` if it does not.
    ///
    /// Defaults to [`QUIC_PORT`](Self::QUIC_PORT). Without it, hole punching works only where the address is known
    /// otherwise: port mapping, a configured external address, IPv6.
    #[must_use]
    pub const fn with_quic_port(mut self, port: Option<u16>) -> Self {
        self.quic_port = port;
        self
    }

    /// The URL, without a slash at its end.
    pub fn url(&self) -> String {
        addr::relay_text(&self.url)
    }

    /// Whether a token was set.
    pub const fn has_token(&self) -> bool {
        self.token.is_some()
    }

    pub(crate) fn iroh_url(&self) -> &RelayUrl {
        &self.url
    }

    pub(crate) fn to_iroh(&self) -> RelayConfig {
        let mut config = RelayConfig::from(self.url.clone());
        match (self.quic_port, &mut config.quic) {
            (Some(port), Some(quic)) => quic.port = port,
            _ => config.quic = None,
        }
        config.auth_token = self.token.clone();
        config
    }
}

fn parse(text: &str) -> Result<RelayUrl, String> {
    let text = text.trim();
    let with_scheme = match text.contains("://") {
        true => text.to_owned(),
        false => format!("https://{text}"),
    };
    let url: RelayUrl = with_scheme.parse().map_err(|error: RelayUrlParseError| format!("{error:#}"))?;
    // As of 1.4.1 iroh hands the name to TLS with its brackets, so every attempt to connect would fail.
    let is_ipv6 = url.host_str().is_some_and(|host| host.starts_with('['));
    let unwanted = [
        (is_ipv6 && url.scheme() == "https", "no certificate can be verified for an IPv6 address, a name is needed"),
        (!matches!(url.scheme(), "https" | "http"), "neither https nor http"),
        (url.host_str().is_none(), "no host"),
        (!url.username().is_empty() || url.password().is_some(), "no user belongs in it"),
        (!matches!(url.path(), "" | "/"), "no path belongs in it"),
        (url.query().is_some() || url.fragment().is_some(), "nothing belongs behind the host and port"),
    ];
    match unwanted.into_iter().find(|(is_so, _)| *is_so) {
        Some((_, why)) => Err(why.into()),
        None => Ok(url),
    }
}

impl FromStr for RelayServer {
    type Err = P2PError;

    fn from_str(url: &str) -> Result<Self> {
        Self::new(url)
    }
}

impl fmt::Display for RelayServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url())
    }
}

/// Leaves the token out.
impl fmt::Debug for RelayServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayServer")
            .field("url", &self.url())
            .field("has_token", &self.has_token())
            .field("quic_port", &self.quic_port)
            .finish()
    }
}

/// The form in a configuration file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    url: String,
    #[serde(default)]
    token: Option<String>,
    /// 0 stands for none, since TOML has no null.
    #[serde(default = "Fields::quic_port")]
    quic_port: u16,
}

impl Fields {
    const fn quic_port() -> u16 {
        RelayServer::QUIC_PORT
    }
}

impl TryFrom<Fields> for RelayServer {
    type Error = P2PError;

    fn try_from(fields: Fields) -> Result<Self> {
        let relay = Self::new(&fields.url)?;
        Ok(Self { token: fields.token, quic_port: Some(fields.quic_port).filter(|&port| port != 0), ..relay })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_means_https_and_a_url_stays_what_it_is() {
        let check = |text: &str, url: &str| {
            assert_eq!(RelayServer::new(text).unwrap().url(), url, "{text}");
        };
        check("relay.example", "https://relay.example");
        check("relay.example:8443", "https://relay.example:8443");
        check("https://relay.example/", "https://relay.example");
        check("https://relay.example:443", "https://relay.example");
        check("http://127.0.0.1:3340", "http://127.0.0.1:3340");
        check("http://[2001:db8::1]:3340", "http://[2001:db8::1]:3340");
        check("192.0.2.7", "https://192.0.2.7");
    }

    #[test]
    fn what_is_no_relay_is_named_with_what_was_expected() {
        for bad in [
            "",
            "two words",
            "https://",
            "ftp://relay.example",
            "https://me@relay.example",
            "https://relay.example/relay",
            "relay.example?token=1",
            "relay.example:99999",
            "https://[::1",
            "https://[2001:db8::1]",
            "[2001:db8::1]:8443",
        ] {
            let error = RelayServer::new(bad).unwrap_err().to_string();
            assert!(error.contains(&format!("{bad:?}")), "{error}");
            assert!(error.contains("relay.example or https://"), "{error}");
        }
    }

    #[test]
    fn a_list_is_separated_by_commas_and_forgives_gaps() {
        let relays = RelayServer::parse_list(" relay.example, ,https://b.example:8443,").unwrap();
        let urls: Vec<_> = relays.iter().map(RelayServer::url).collect();
        assert_eq!(urls, ["https://relay.example", "https://b.example:8443"]);
        assert_eq!(RelayServer::parse_list("").unwrap(), []);

        let twice = RelayServer::parse_list("relay.example,https://relay.example:443").unwrap_err();
        assert!(twice.to_string().contains("twice"), "{twice}");
        let bad = RelayServer::parse_list("relay.example,two words").unwrap_err();
        assert!(bad.to_string().contains("\"two words\""), "{bad}");
    }

    #[test]
    fn a_token_is_never_printed() {
        let relay = RelayServer::new("relay.example").unwrap().with_token("hush");
        assert!(!format!("{relay:?} {relay}").contains("hush"));
        assert_eq!(relay.to_iroh().auth_token.as_deref(), Some("hush"));
    }

    #[test]
    fn the_port_for_address_discovery_can_be_another_or_none() {
        let port = |relay: RelayServer| relay.to_iroh().quic.map(|quic| quic.port);
        let relay = RelayServer::new("relay.example").unwrap();
        assert_eq!(port(relay.clone()), Some(RelayServer::QUIC_PORT));
        assert_eq!(port(relay.clone().with_quic_port(Some(9))), Some(9));
        assert_eq!(port(relay.with_quic_port(None)), None);
    }
}
