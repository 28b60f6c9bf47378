//! Where a tunnel server is.

use std::{fmt, fs, path::Path, str::FromStr, sync::Arc};

use http::{Uri, uri::Authority};
use tunnel_compat::{
    connector::Connector,
    tcp::TcpConnector,
    tls::{Authorities, TlsConnector},
};

use crate::Error;

/// A tunnel server's URL: `wss://HOST[:PORT][/ws]`, as the legacy home has it in `WS_HOST`, or the same with `https`, `ws`, `http`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Host and port as they were given, for `host`.
    pub(super) authority: Authority,
    secure: bool,
}

impl Place {
    /// What opens connections to it. `ca` is a PEM file with the authorities to trust instead of the system's.
    pub(super) fn connector(&self, ca: Option<&Path>) -> Result<Arc<dyn Connector>, Error> {
        let port = self.authority.port_u16().unwrap_or(if self.secure { 443 } else { 80 });
        let host = self.authority.host();
        let tcp = TcpConnector::new(format!("{host}:{port}"));
        if !self.secure {
            if ca.is_some() {
                let problem = format!("{self} speaks no TLS, so --tunnel-ca is for nothing: expected wss://");
                return Err(Error::Tunnel { problem });
            }
            if !is_loopback(host) {
                tracing::warn!(tunnel = %self, "Tokens go over the network in the clear: wss:// keeps them secret.");
            }
            return Ok(Arc::new(tcp));
        }
        let authorities = match ca {
            None => Authorities::of_system()?,
            Some(path) => {
                let reading = |source| Error::File { path: path.to_owned(), doing: "reading", source };
                Authorities::from_pem(&fs::read(path).map_err(reading)?)?
            }
        };
        Ok(Arc::new(TlsConnector::new(tcp, host, authorities)?))
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|addr| addr.is_loopback())
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{why}: expected wss://HOST[:PORT], or ws:// for a server without TLS");
        let uri: Uri = text.parse().map_err(|_| wrong("it is no URL"))?;
        let secure = match uri.scheme_str() {
            Some("wss" | "https") => true,
            Some("ws" | "http") => false,
            _ => return Err(wrong("it has another scheme")),
        };
        if !["", "/", "/ws"].contains(&uri.path()) || uri.query().is_some() {
            return Err(wrong("a tunnel server has no path of its own"));
        }
        let authority = uri.authority().cloned().ok_or_else(|| wrong("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("it has a user's name in it"));
        }
        Ok(Self { authority, secure })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.secure { "wss" } else { "ws" }, self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_legacy_home_has_in_its_settings_is_a_place() {
        for (text, shown) in [
            ("wss://tunnel.example/ws", "wss://tunnel.example"),
            ("https://tunnel.example:8443", "wss://tunnel.example:8443"),
            ("ws://127.0.0.1:8000/ws", "ws://127.0.0.1:8000"),
            ("http://[::1]:8000/", "ws://[::1]:8000"),
        ] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_place_says_what_is_wrong() {
        for (text, why) in [
            ("tunnel.example", "scheme"),
            ("ftp://tunnel.example", "scheme"),
            ("wss://tunnel.example/other", "path"),
            ("wss://tunnel.example?clientId=a", "path"),
            ("wss://me@tunnel.example", "user"),
            ("not a url", "no URL"),
        ] {
            let error = text.parse::<Place>().unwrap_err();
            assert!(error.contains(why) && error.contains("wss://HOST"), "{text}: {error}");
        }
    }

    #[test]
    fn an_authority_for_a_server_without_tls_is_a_mistake() {
        let place: Place = "ws://127.0.0.1:8000".parse().unwrap();
        let error = place.connector(Some(Path::new("/nowhere"))).unwrap_err().to_string();
        assert!(error.contains("--tunnel-ca"), "{error}");
    }
}
