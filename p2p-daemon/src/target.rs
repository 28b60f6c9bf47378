//! What a service name stands for on the sharing side.

use std::{fmt, io, str::FromStr, time::Duration};

use tokio::{net::TcpStream, time::timeout};

use crate::Error;

/// A TCP service to share: `tcp://HOST:PORT`.
///
/// A host name is looked up for each connection, so a service may move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// A name, or an address without brackets.
    host: String,
    port: u16,
}

impl Target {
    /// Connects to the service.
    ///
    /// # Errors
    /// What the system says, or `TimedOut` after 5 seconds.
    pub(crate) async fn connect(&self) -> io::Result<TcpStream> {
        let connecting = TcpStream::connect((self.host.as_str(), self.port));
        let tcp =
            timeout(CONNECT_TIMEOUT, connecting).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        // What is forwarded was already gathered into packets by whoever sent it.
        tcp.set_nodelay(true)?;
        Ok(tcp)
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |problem| Error::Target { given: text.to_owned(), problem };
        let (scheme, authority) = text.split_once("://").ok_or_else(|| invalid("it has no scheme"))?;
        if scheme != "tcp" {
            return Err(invalid("its scheme is not tcp"));
        }
        let (host, port) = authority.rsplit_once(':').ok_or_else(|| invalid("it has no port"))?;
        let port = port.parse().ok().filter(|&port| port != 0).ok_or_else(|| invalid("its port is not 1 to 65535"))?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = bracketed.unwrap_or(host);
        match host {
            "" => Err(invalid("it has no host")),
            _ if bracketed.is_some() && host.parse::<std::net::Ipv6Addr>().is_err() => {
                Err(invalid("what stands in brackets is no IPv6 address"))
            }
            _ if bracketed.is_none() && host.contains(|c: char| !c.is_ascii_alphanumeric() && !"-._".contains(c)) => {
                Err(invalid("its host is neither a name nor an address; an IPv6 address stands in brackets"))
            }
            _ => Ok(Self { host: host.to_owned(), port }),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "tcp://[{}]:{}", self.host, self.port),
            false => write!(f, "tcp://{}:{}", self.host, self.port),
        }
    }
}

/// Services are near the daemon, mostly on its own machine; whoever waits longer waits for nothing.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_reads_back_what_it_prints() {
        for text in ["tcp://127.0.0.1:8080", "tcp://[::1]:22", "tcp://my-host.lan:1"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_target_is_named_with_what_was_expected() {
        for text in [
            "",
            "8080",
            "127.0.0.1:8080",
            "http://127.0.0.1:8080",
            "tcp://127.0.0.1",
            "tcp://:80",
            "tcp://host:0",
            "tcp://host:65536",
            "tcp://host:80/path",
            "tcp://::1:80",
            "tcp://[host]:80",
            "tcp://a b:80",
        ] {
            let error = text.parse::<Target>().expect_err(text).to_string();
            assert!(error.contains(&format!("{text:?}")) && error.contains("tcp://HOST:PORT"), "{error}");
        }
    }
}
