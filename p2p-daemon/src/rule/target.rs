//! What a service name stands for on the sharing side.

use std::{fmt, path::PathBuf, str::FromStr};

use super::{Ports, Protocols};
use crate::{Error, http::HttpRoutes, proxy::Destinations, transfer::Files};

/// What is shared: `tcp://HOST:PORT`, `udp://…`, `tcp+udp://…`, each with a port or a range `8000-8010`;
/// `http://HOST:PORT`; `unix:/PATH`.
///
/// A host name is looked up for each connection, so a service may move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Sockets of the network.
    Net(Protocols, HostPort),
    /// A Unix domain socket.
    Unix(PathBuf),
    /// Requests, each sent where its host and path say.
    Http(HttpRoutes),
    /// Whatever of these the peer names, as from a proxy.
    Proxy(Destinations),
    /// Files to receive.
    Files(Files),
}

impl Target {
    /// What peers may speak with it.
    pub const fn protocols(&self) -> Protocols {
        match self {
            Self::Net(protocols, _) => *protocols,
            Self::Unix(_) | Self::Http(_) | Self::Proxy(_) | Self::Files(_) => Protocols::Tcp,
        }
    }

    /// A name for one of several that were given none: its kind and its port.
    pub(crate) fn short_name(&self) -> String {
        match self {
            Self::Net(protocols, host_port) => {
                format!("{}-{}", protocols.name().replace('+', "-"), host_port.ports.first())
            }
            Self::Unix(path) => {
                let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
                format!("unix-{}", stem.replace(|c: char| !c.is_ascii_alphanumeric(), "-"))
            }
            Self::Http(_) => "http".to_owned(),
            Self::Proxy(_) => "proxy".to_owned(),
            Self::Files(_) => "files".to_owned(),
        }
    }

    /// How many ports it has.
    pub const fn ports(&self) -> u16 {
        match self {
            Self::Net(_, host_port) => host_port.ports.count(),
            Self::Unix(_) | Self::Http(_) | Self::Proxy(_) | Self::Files(_) => 1,
        }
    }
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |problem| Error::Target { given: text.to_owned(), problem };
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.starts_with('/') {
                true => Ok(Self::Unix(path.into())),
                false => Err(invalid("its path is not absolute")),
            };
        }
        let (scheme, authority) = text.split_once("://").ok_or_else(|| invalid("it has no scheme"))?;
        if scheme == "http" {
            let host_port = HostPort::parse_single(authority.trim_end_matches('/')).map_err(invalid)?;
            return Ok(Self::Http(HttpRoutes::all_to(host_port)));
        }
        let protocols = Protocols::from_name(scheme)
            .ok_or_else(|| invalid("its scheme is none of tcp, udp, tcp+udp, http, unix"))?;
        Ok(Self::Net(protocols, HostPort::parse(authority).map_err(invalid)?))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net(protocols, host_port) => write!(f, "{protocols}://{host_port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Http(routes) => routes.fmt(f),
            Self::Proxy(destinations) => write!(f, "proxy to {destinations}"),
            Self::Files(files) => files.fmt(f),
        }
    }
}

/// A host by name or address, and its ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// A name, or an address without brackets.
    pub host: String,
    /// One, or several.
    pub ports: Ports,
}

impl HostPort {
    /// Reads `HOST:PORT` or `HOST:FIRST-LAST`.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let (host, ports) = text.rsplit_once(':').ok_or("it has no port")?;
        let ports = Ports::parse(ports)?;
        if ports.first() == 0 {
            return Err("its port is not 1 to 65535");
        }
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = bracketed.unwrap_or(host);
        match host {
            "" => Err("it has no host"),
            _ if bracketed.is_some() && host.parse::<std::net::Ipv6Addr>().is_err() => {
                Err("what stands in brackets is no IPv6 address")
            }
            _ if bracketed.is_none() && host.contains(|c: char| !c.is_ascii_alphanumeric() && !"-._".contains(c)) => {
                Err("its host is neither a name nor an address; an IPv6 address stands in brackets")
            }
            _ => Ok(Self { host: host.to_owned(), ports }),
        }
    }

    /// Reads `HOST:PORT` alone.
    pub(crate) fn parse_single(text: &str) -> Result<Self, &'static str> {
        let host_port = Self::parse(text)?;
        if host_port.ports.count() == 1 { Ok(host_port) } else { Err("it has several ports") }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.ports),
            false => write!(f, "{}:{}", self.host, self.ports),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_reads_back_what_it_prints() {
        for text in [
            "tcp://127.0.0.1:8080",
            "tcp://[::1]:22",
            "tcp://my-host.lan:1",
            "udp://127.0.0.1:53",
            "tcp+udp://127.0.0.1:53",
            "tcp://127.0.0.1:8000-8010",
            "unix:/run/app.sock",
            "http://127.0.0.1:8080",
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_target_is_named_with_what_was_expected() {
        for text in [
            "",
            "8080",
            "127.0.0.1:8080",
            "ftp://127.0.0.1:8080",
            "tcp://127.0.0.1",
            "tcp://:80",
            "tcp://host:0",
            "tcp://host:65536",
            "tcp://host:80/path",
            "tcp://::1:80",
            "tcp://[host]:80",
            "tcp://a b:80",
            "tcp://host:9-8",
            "unix:relative",
        ] {
            let error = text.parse::<Target>().expect_err(text).to_string();
            assert!(error.contains(&format!("{text:?}")) && error.contains("tcp://HOST:PORT"), "{error}");
        }
    }
}
