//! What a program is told of its tunnel server, from code or from the variables `TUNNEL_P2P_*`.

use std::{fmt, fs, sync::Arc};

use http::{Uri, uri::Authority};
use p2p::{P2PError, PeerId, Result, Runtime};

use super::{Identity, ServerRendezvous, ServerRendezvousConfig, TunnelP2P};
use crate::{
    connector::Connector,
    route::ClientId,
    tcp::TcpConnector,
    tls::{Authorities, TlsConnector},
};

/// Settings of a [`TunnelP2P`] by a tunnel server, over TCP.
///
/// The default has none of them; [`provider`](Self::provider) wants the first three.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TunnelP2PConfig {
    /// The server's URL: `wss://HOST[:PORT]`, or `ws://` for one without TLS, which then sees the token in the clear.
    pub server: Option<String>,
    /// The client whose peers this one belongs to.
    pub client: Option<ClientId>,
    /// An access token of that client.
    pub token: Option<String>,
    /// Authorities, as PEM text, that may vouch for the server, instead of the system's.
    pub ca: Option<String>,
}

impl TunnelP2PConfig {
    /// What `vars` say whose names begin with `TUNNEL_P2P_`.
    ///
    /// | name | |
    /// |---|---|
    /// | `TUNNEL_P2P_SERVER` | the tunnel server's URL: `wss://HOST[:PORT]`, or `ws://` for one without TLS |
    /// | `TUNNEL_P2P_CLIENT_ID` | the client whose peers this one belongs to |
    /// | `TUNNEL_P2P_TOKEN` | an access token of that client |
    /// | `TUNNEL_P2P_TOKEN_FILE` | a file with it, instead |
    /// | `TUNNEL_P2P_CA_FILE` | PEM file of authorities that may vouch for the server, instead of the system's |
    ///
    /// # Errors
    /// [`InvalidInput`](P2PError::InvalidInput) for a name that is not in the table, and for a value that cannot be used; it names the
    /// variable, its value unless that is a secret, and what was expected.
    pub fn from_vars(vars: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let mut config = Self::default();
        for (name, value) in vars {
            let Some(setting) = name.strip_prefix(PREFIX) else { continue };
            let wrong = |shown: &str, expected: &str| P2PError::invalid_input(format!("{name} = {shown:?}"), expected);
            let value = value.trim();
            let read = |path: &str, expected: &str| {
                fs::read_to_string(path)
                    .map_err(|error| P2PError::invalid_input(format!("{name} = {path:?} ({error})"), expected))
            };
            match setting {
                "SERVER" => {
                    config.server = Some(value.to_owned());
                    config.place()?;
                }
                "CLIENT_ID" => {
                    let expected = "1 to 64 characters of visible ASCII";
                    config.client = Some(value.parse().map_err(|_| wrong(value, expected))?);
                }
                "TOKEN" if is_token(value) => config.token = Some(value.to_owned()),
                "TOKEN" => return Err(wrong("…", TOKEN_EXPECTED)),
                "TOKEN_FILE" => {
                    let token = read(value, "a file that this program may read, with the token in it")?;
                    if !is_token(token.trim()) {
                        return Err(wrong(value, &format!("a file with {TOKEN_EXPECTED} in it")));
                    }
                    // The variable itself says more precisely what is meant.
                    config.token.get_or_insert(token.trim().to_owned());
                }
                "CA_FILE" => {
                    let pem = read(value, "a PEM file that this program may read")?;
                    Authorities::from_pem(pem.as_bytes())?;
                    config.ca = Some(pem);
                }
                _ => {
                    let expected = format!("one of {}", SETTINGS.map(|known| format!("{PREFIX}{known}")).join(", "));
                    return Err(P2PError::invalid_input(format!("environment variable {name}"), expected));
                }
            }
        }
        Ok(config)
    }

    /// The peer of that identity, by that server. Opens nothing yet.
    ///
    /// # Errors
    /// [`InvalidInput`](P2PError::InvalidInput): a setting that is missing or cannot be used.
    pub fn provider(&self, identity: &Identity, runtime: Arc<dyn Runtime>) -> Result<TunnelP2P> {
        self.provider_with_admission(identity, runtime, |_| true)
    }

    /// The same, to which those peers alone may connect of which `admits` says so.
    ///
    /// # Errors
    /// As [`provider`](Self::provider).
    pub fn provider_with_admission(
        &self,
        identity: &Identity,
        runtime: Arc<dyn Runtime>,
        admits: impl Fn(PeerId) -> bool + Send + Sync + 'static,
    ) -> Result<TunnelP2P> {
        let missing =
            |name: &str, what: &str| P2PError::invalid_input(format!("a tunnel without {PREFIX}{name}"), what);
        let place = self.place()?;
        let (authority, is_secure) =
            place.ok_or_else(|| missing("SERVER", "the tunnel server's URL, as wss://HOST"))?;
        let client = self.client.clone();
        let client = client.ok_or_else(|| missing("CLIENT_ID", "the client whose peers this one belongs to"))?;
        let token = self.token.clone();
        let token = token.ok_or_else(|| missing("TOKEN", "an access token of that client"))?;
        let port = authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        let tcp = TcpConnector::new(format!("{}:{port}", authority.host()));
        let connector: Arc<dyn Connector> = match (is_secure, &self.ca) {
            (false, None) => Arc::new(tcp),
            (false, Some(_)) => {
                let what = format!("{PREFIX}CA_FILE beside a server without TLS");
                return Err(P2PError::invalid_input(what, "a server's URL that begins with wss://"));
            }
            (true, ca) => {
                let authorities = match ca {
                    Some(pem) => Authorities::from_pem(pem.as_bytes())?,
                    None => Authorities::of_system()?,
                };
                Arc::new(TlsConnector::new(tcp, authority.host(), authorities)?)
            }
        };
        let config = ServerRendezvousConfig::new(client, token, authority);
        let rendezvous = ServerRendezvous::new(config, identity.clone(), connector, runtime.clone())?;
        Ok(TunnelP2P::with_admission(identity, Arc::new(rendezvous), runtime, admits))
    }

    /// Host and port of the server, and whether it speaks TLS.
    fn place(&self) -> Result<Option<(Authority, bool)>> {
        let Some(text) = &self.server else { return Ok(None) };
        let wrong = |why: &str| {
            let what = format!("{PREFIX}SERVER = {text:?} ({why})");
            P2PError::invalid_input(what, "wss://HOST[:PORT], or ws:// for a server without TLS")
        };
        let uri: Uri = text.parse().map_err(|_| wrong("it is no URL"))?;
        let is_secure = match uri.scheme_str() {
            Some("wss" | "https") => true,
            Some("ws" | "http") => false,
            _ => return Err(wrong("it has another scheme")),
        };
        if !["", "/", "/ws"].contains(&uri.path()) || uri.query().is_some() {
            return Err(wrong("a tunnel server has no path of its own"));
        }
        match uri.authority() {
            Some(authority) if !authority.as_str().contains('@') => Ok(Some((authority.clone(), is_secure))),
            _ => Err(wrong("it has no host, or a user's name in it")),
        }
    }
}

impl fmt::Debug for TunnelP2PConfig {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, client, token, ca } = self;
        f.debug_struct("TunnelP2PConfig")
            .field("server", server)
            .field("client", client)
            .field("token", &token.as_ref().map(|_| "…"))
            .field("ca", &ca.is_some())
            .finish()
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

const TOKEN_EXPECTED: &str = "a token of visible ASCII";

const PREFIX: &str = "TUNNEL_P2P_";

const SETTINGS: [&str; 5] = ["SERVER", "CLIENT_ID", "TOKEN", "TOKEN_FILE", "CA_FILE"];

#[cfg(test)]
mod tests {
    use p2p::TokioRuntime;

    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<TunnelP2PConfig> {
        TunnelP2PConfig::from_vars(vars.iter().map(|(name, value)| (name.to_string(), value.to_string())))
    }

    #[test]
    fn every_setting_is_read_and_the_token_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let (token, ca) = (folder.path().join("token"), folder.path().join("ca.pem"));
        std::fs::write(&token, "hush\n").unwrap();
        let authority = rcgen::generate_simple_self_signed(vec!["tunnel.example".to_owned()]).unwrap().cert.pem();
        std::fs::write(&ca, &authority).unwrap();
        let config = read(&[
            ("TUNNEL_P2P_SERVER", "wss://tunnel.example/ws"),
            ("TUNNEL_P2P_CLIENT_ID", "home"),
            ("TUNNEL_P2P_TOKEN_FILE", token.to_str().unwrap()),
            ("TUNNEL_P2P_CA_FILE", ca.to_str().unwrap()),
            ("P2P_PROFILE", "x"),
        ])
        .unwrap();
        assert_eq!(config.server.as_deref(), Some("wss://tunnel.example/ws"));
        assert_eq!(config.token.as_deref(), Some("hush"));
        assert_eq!(config.ca.as_deref(), Some(&*authority));
        assert!(!format!("{config:?}").contains("hush"));
        config.provider(&Identity::from_bytes([1; 32]), Arc::new(TokioRuntime)).unwrap();
        assert_eq!(read(&[("TUNNEL_P2P_TOKEN", " loud ")]).unwrap().token.as_deref(), Some("loud"));
    }

    #[track_caller]
    fn check(name: &str, value: &str, expected: &[&str]) {
        let error = read(&[(name, value)]).unwrap_err().to_string();
        for part in expected.iter().chain([&name]) {
            assert!(error.contains(part), "{error} lacks {part}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named_with_what_was_expected() {
        check("TUNNEL_P2P_SEVER", "x", &["TUNNEL_P2P_SERVER", "TUNNEL_P2P_CA_FILE"]);
        check("TUNNEL_P2P_SERVER", "tunnel.example", &["another scheme", "wss://HOST"]);
        check("TUNNEL_P2P_SERVER", "wss://tunnel.example/x", &["no path"]);
        check("TUNNEL_P2P_SERVER", "wss://me@tunnel.example", &["user's name"]);
        check("TUNNEL_P2P_SERVER", "", &["expected wss://HOST"]);
        check("TUNNEL_P2P_CLIENT_ID", "", &["1 to 64 characters"]);
        check("TUNNEL_P2P_TOKEN_FILE", "/nowhere", &["/nowhere", "No such file"]);
        check("TUNNEL_P2P_CA_FILE", "/nowhere", &["PEM"]);
        let error = read(&[("TUNNEL_P2P_TOKEN", "two words")]).unwrap_err().to_string();
        assert!(error.contains("TUNNEL_P2P_TOKEN") && !error.contains("words"), "{error}");
    }

    #[test]
    fn what_is_missing_is_named() {
        let all = [("TUNNEL_P2P_SERVER", "ws://h"), ("TUNNEL_P2P_CLIENT_ID", "c"), ("TUNNEL_P2P_TOKEN", "t")];
        for (name, _) in all {
            let others: Vec<_> = all.into_iter().filter(|(other, _)| *other != name).collect();
            let provider = read(&others).unwrap().provider(&Identity::from_bytes([1; 32]), Arc::new(TokioRuntime));
            let error = provider.unwrap_err().to_string();
            assert!(error.contains(name), "{error} lacks {name}");
        }
    }
}
