//! How peers that are known by identity alone are found, and what is told about this one: pkarr and DNS.

use std::{fmt, str::FromStr};

use iroh::{
    RelayUrl,
    address_lookup::{AddrFilter, DnsAddressLookup, PkarrPublisher, PkarrResolver},
    dns::{DnsResolver, NameserverConfig},
    endpoint::Builder,
};
use p2p::{P2PError, Result};

use crate::IrohConfig;

/// A pkarr server, as `iroh-dns-server` is one: it keeps what peers say about themselves, signed by their keys, and hands it
/// out to whoever asks for a key.
///
/// It cannot lie about a peer, since what it hands out is signed; it can withhold, or hand out something old. It learns
/// which addresses ask for which peers.
#[derive(Clone, PartialEq, Eq)]
pub struct PkarrServer {
    url: RelayUrl,
    publish: Publish,
    resolve: bool,
}

/// What an endpoint tells a [`PkarrServer`] about itself, for everybody to read who knows its identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Publish {
    /// Nothing: others are looked up, and this endpoint is not found.
    Nothing,
    /// The home relay's URL. The default.
    #[default]
    Relay,
    /// The home relay's URL and all addresses of this machine, those on its local networks included.
    RelayAndAddresses,
}

impl PkarrServer {
    /// The server at that URL, as in `https://dns.example/pkarr`: to publish the home relay, and to look peers up.
    ///
    /// # Errors
    /// [`P2PError::InvalidInput`] names the text and what was expected.
    pub fn new(url: &str) -> Result<Self> {
        let invalid = |why: &str| {
            P2PError::invalid_input(
                format_args!("pkarr server {url:?} ({why})"),
                "a URL, like https://dns.example/pkarr",
            )
        };
        let parsed: RelayUrl = url.trim().parse().map_err(|error| invalid(&format!("{error:#}")))?;
        match parsed.scheme() {
            "https" | "http" if parsed.host_str().is_some() => {}
            _ => return Err(invalid("neither https nor http")),
        }
        if parsed.query().is_some() || parsed.fragment().is_some() || !parsed.username().is_empty() {
            return Err(invalid("nothing belongs in it but scheme, host, port and path"));
        }
        Ok(Self { url: parsed, publish: Publish::default(), resolve: true })
    }

    /// Sets what this endpoint tells about itself.
    #[must_use]
    pub const fn with_publish(mut self, publish: Publish) -> Self {
        self.publish = publish;
        self
    }

    /// Sets whether peers are looked up there. Defaults to yes.
    #[must_use]
    pub const fn with_resolve(mut self, resolve: bool) -> Self {
        self.resolve = resolve;
        self
    }

    /// The URL.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// What this endpoint tells about itself.
    pub const fn publish(&self) -> Publish {
        self.publish
    }

    pub(crate) fn apply(&self, mut builder: Builder) -> Builder {
        let filter = match self.publish {
            Publish::Nothing => None,
            Publish::Relay => Some(AddrFilter::relay_only()),
            Publish::RelayAndAddresses => Some(AddrFilter::unfiltered()),
        };
        if let Some(filter) = filter {
            builder = builder.address_lookup(PkarrPublisher::builder((*self.url).clone()).addr_filter(filter));
        }
        if self.resolve {
            builder = builder.address_lookup(PkarrResolver::builder((*self.url).clone()));
        }
        builder
    }
}

impl FromStr for PkarrServer {
    type Err = P2PError;

    fn from_str(url: &str) -> Result<Self> {
        Self::new(url)
    }
}

impl FromStr for Publish {
    type Err = P2PError;

    fn from_str(word: &str) -> Result<Self> {
        match word {
            "nothing" => Ok(Self::Nothing),
            "relay" => Ok(Self::Relay),
            "addresses" => Ok(Self::RelayAndAddresses),
            _ => Err(P2PError::invalid_input(format_args!("publish {word:?}"), "nothing, relay or addresses")),
        }
    }
}

impl fmt::Debug for PkarrServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PkarrServer")
            .field("url", &self.url())
            .field("publish", &self.publish)
            .field("resolve", &self.resolve)
            .finish()
    }
}

/// Looks peers up by DNS, under `_iroh.<identity>.<origin>`, as `iroh-dns-server` answers.
///
/// A name server on the way learns which peers are asked for, and so do those it asks. What DNS says of a peer is not
/// signed: whoever forges it can lead a dial to the wrong place, where it fails, since the peer's key is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsOrigin {
    origin: String,
}

impl DnsOrigin {
    /// Peers under that domain, as in `peers.example`.
    ///
    /// # Errors
    /// [`P2PError::InvalidInput`] names the text and what was expected.
    pub fn new(origin: &str) -> Result<Self> {
        let origin = origin.trim().trim_end_matches('.');
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        if origin.len() > ORIGIN_BYTES_MAX || !origin.split('.').all(is_label) {
            return Err(P2PError::invalid_input(
                format_args!("DNS origin {origin:?}"),
                "a domain's name, like peers.example",
            ));
        }
        Ok(Self { origin: origin.to_owned() })
    }

    /// The domain.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub(crate) fn apply(&self, builder: Builder) -> Builder {
        builder.address_lookup(DnsAddressLookup::builder(self.origin.clone()))
    }
}

/// What leaves room, in the 253 bytes of a name (RFC 1035 §2.3.4), for `_iroh`, an identity's 52 characters, and their dots.
const ORIGIN_BYTES_MAX: usize = 253 - 6 - 53;

impl FromStr for DnsOrigin {
    type Err = P2PError;

    fn from_str(origin: &str) -> Result<Self> {
        Self::new(origin)
    }
}

/// The name servers that were configured, or else the system's, and no others: iroh's own default falls back to public ones
/// on the internet.
pub(crate) fn resolver(config: &IrohConfig) -> DnsResolver {
    let builder = DnsResolver::builder().disable_fallback();
    if config.name_servers.is_empty() {
        return builder.with_system_defaults().build();
    }
    let servers = config.name_servers.iter().map(|addr| NameserverConfig::udp(addr.ip()).with_port(addr.port()));
    builder.add_nameserver_configs(servers).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_server_is_named_with_what_was_expected() {
        assert_eq!(PkarrServer::new(" https://dns.example/pkarr ").unwrap().url(), "https://dns.example/pkarr");
        for bad in ["", "dns.example", "ftp://dns.example", "https://me@dns.example/pkarr", "https://dns.example/?a=b"]
        {
            let error = PkarrServer::new(bad).unwrap_err().to_string();
            assert!(error.contains(&format!("{bad:?}")) && error.contains("https://dns.example/pkarr"), "{error}");
        }
    }

    #[test]
    fn what_is_no_domain_is_named_with_what_was_expected() {
        assert_eq!(DnsOrigin::new("peers.example.").unwrap().origin(), "peers.example");
        for bad in ["", "two words", "a..b", "https://dns.example", &"a.".repeat(120), &"a".repeat(64)] {
            let error = DnsOrigin::new(bad).unwrap_err().to_string();
            assert!(error.contains("peers.example"), "{error}");
        }
    }
}
