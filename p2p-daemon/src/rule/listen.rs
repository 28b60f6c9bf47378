//! Where a peer's service is made available.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

use super::{Ports, Protocols};
use crate::{Error, forward::Offer};

/// A local address: `127.0.0.1:9000`, `tcp://127.0.0.1:9000-9010`, `udp://[::1]:53`, `tcp+udp://…`, `unix:/run/x.sock`,
/// `socks5://127.0.0.1:1080` or `http-proxy://127.0.0.1:3128`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// What is spoken there; nothing is what the service speaks.
    pub protocols: Option<Protocols>,
    /// Where.
    pub place: Place,
}

/// What a [`Listen`] listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Sockets at this address and as many ports.
    Net(SocketAddr, Ports),
    /// A Unix domain socket.
    Unix(PathBuf),
    /// A SOCKS5 proxy, whose clients say where they want to go.
    Socks5(SocketAddr),
    /// An HTTP proxy, by `CONNECT`.
    HttpProxy(SocketAddr),
}

impl Listen {
    /// The address, if it is one of the network.
    pub const fn addr(&self) -> Option<SocketAddr> {
        match &self.place {
            Place::Net(addr, _) | Place::Socks5(addr) | Place::HttpProxy(addr) => Some(*addr),
            Place::Unix(_) => None,
        }
    }

    /// Listens for what a service speaks, where nothing else was said.
    ///
    /// # Errors
    /// [`Error::ListenAddr`] if the service cannot be had that way.
    pub(crate) fn fit(&mut self, offer: &Offer) -> Result<(), Error> {
        let problem = match &self.place {
            Place::Net(_, ports) if ports.count() > offer.ports => "it has more ports than the service",
            Place::Net(..) if offer.proxy => {
                "the service is a proxy, which is listened for by socks5:// or http-proxy://"
            }
            Place::Socks5(_) | Place::HttpProxy(_) if !offer.proxy => "the service is no proxy",
            _ => {
                self.protocols = self.protocols.or(Some(offer.protocols));
                return Ok(());
            }
        };
        Err(Error::ListenAddr { given: self.to_string(), problem })
    }

    /// Whether both cannot listen at once.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        match (self.net(), other.net()) {
            (Some((addr, ports, protocols)), Some((other, other_ports, other_protocols))) => {
                let same_ip = addr.ip() == other.ip() || addr.ip().is_unspecified() || other.ip().is_unspecified();
                same_ip && ports.overlaps(other_ports) && protocols.meets(other_protocols)
            }
            _ => self.place == other.place,
        }
    }

    fn net(&self) -> Option<(SocketAddr, Ports, Protocols)> {
        match &self.place {
            // What is not known yet is taken for both.
            Place::Net(addr, ports) => Some((*addr, *ports, self.protocols.unwrap_or(Protocols::Both))),
            Place::Socks5(addr) | Place::HttpProxy(addr) => Some((*addr, Ports::one(addr.port()), Protocols::Tcp)),
            Place::Unix(_) => None,
        }
    }
}

impl From<SocketAddr> for Listen {
    fn from(addr: SocketAddr) -> Self {
        Self { protocols: None, place: Place::Net(addr, Ports::one(addr.port())) }
    }
}

impl FromStr for Listen {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |problem| Error::ListenAddr { given: text.to_owned(), problem };
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.starts_with('/') {
                true => Ok(Self { protocols: None, place: Place::Unix(path.into()) }),
                false => Err(invalid("its path is not absolute")),
            };
        }
        let (scheme, authority) = match text.split_once("://") {
            Some((scheme, authority)) => (Some(scheme), authority),
            None => (None, text),
        };
        let (host, ports) = authority.rsplit_once(':').ok_or_else(|| invalid("it has no port"))?;
        let ports = Ports::parse(ports).map_err(invalid)?;
        let addr: SocketAddr = format!("{host}:{}", ports.first())
            .parse()
            .map_err(|_| invalid("its host is no IP address of this machine"))?;
        let single = |place: Place| match ports.count() {
            1 => Ok(Self { protocols: Some(Protocols::Tcp), place }),
            _ => Err(invalid("a proxy has one port")),
        };
        match scheme {
            None => Ok(Self { protocols: None, place: Place::Net(addr, ports) }),
            Some("socks5") => single(Place::Socks5(addr)),
            Some("http-proxy") => single(Place::HttpProxy(addr)),
            Some(scheme) => match Protocols::from_name(scheme) {
                Some(protocols) => Ok(Self { protocols: Some(protocols), place: Place::Net(addr, ports) }),
                None => Err(invalid("its scheme is none of tcp, udp, tcp+udp, unix, socks5, http-proxy")),
            },
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Net(addr, ports) => {
                if let Some(protocols) = self.protocols {
                    write!(f, "{protocols}://")?;
                }
                match addr {
                    SocketAddr::V4(addr) => write!(f, "{}:{ports}", addr.ip()),
                    SocketAddr::V6(addr) => write!(f, "[{}]:{ports}", addr.ip()),
                }
            }
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
            Place::Socks5(addr) => write!(f, "socks5://{addr}"),
            Place::HttpProxy(addr) => write!(f, "http-proxy://{addr}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(text: &str) -> Listen {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_reads_back_what_it_prints() {
        for text in [
            "127.0.0.1:9000",
            "tcp://127.0.0.1:9000-9010",
            "udp://[::1]:53",
            "tcp+udp://0.0.0.0:53",
            "unix:/run/x.sock",
            "socks5://127.0.0.1:1080",
            "http-proxy://127.0.0.1:3128",
        ] {
            assert_eq!(listen(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_named_with_what_was_expected() {
        for text in
            ["", "9000", "localhost:9000", "http://127.0.0.1:80", "unix:x", "socks5://127.0.0.1:1-2", "1.2.3.4:x"]
        {
            let error = text.parse::<Listen>().expect_err(text).to_string();
            assert!(error.contains(&format!("{text:?}")) && error.contains("like 127.0.0.1:9000"), "{error}");
        }
    }

    #[test]
    fn two_that_cannot_listen_at_once_are_found() {
        let overlap = |a: &str, b: &str| listen(a).overlaps(&listen(b));
        assert!(overlap("tcp://127.0.0.1:80", "127.0.0.1:80"));
        assert!(overlap("tcp://127.0.0.1:80-90", "socks5://0.0.0.0:85"));
        assert!(overlap("unix:/a", "unix:/a"));
        assert!(!overlap("tcp://127.0.0.1:80", "udp://127.0.0.1:80"));
        assert!(!overlap("127.0.0.1:80", "127.0.0.2:80"));
        assert!(!overlap("127.0.0.1:0", "127.0.0.1:0"));
    }
}
