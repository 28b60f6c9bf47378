//! Which destinations a peer may choose.

use std::{fmt, io, net::IpAddr, str::FromStr};

use tokio::net::lookup_host;

use crate::{forward::Local, rule::HostPort};

/// Patterns, one of which a destination has to fit. Without any, nothing fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destinations(Vec<Pattern>);

/// `HOST`, or `HOST:PORT`, where `HOST` is a name, `*.` and the end of a name, an address, a block of addresses like
/// `192.168.1.0/24`, or `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    text: String,
    host: Host,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Any,
    Name(String),
    /// With its dot.
    End(String),
    Block(IpAddr, u8),
}

impl Destinations {
    /// Reads patterns.
    ///
    /// # Errors
    /// Names the pattern that is none.
    pub fn parse<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        patterns.into_iter().map(str::parse).collect::<Result<_, _>>().map(Self)
    }

    /// Connects to `destination`, `HOST:PORT`, if it fits. A name that fits no pattern may stand for an address that does.
    pub(crate) async fn connect(&self, destination: &str) -> io::Result<Local> {
        let refused = |why: &str| io::Error::new(io::ErrorKind::PermissionDenied, why.to_owned());
        let host_port = HostPort::parse_single(destination).map_err(refused)?;
        let port = host_port.ports.first();
        let by_name = self.0.iter().any(|pattern| pattern.fits_name(&host_port.host, port));
        let addrs: Vec<_> = lookup_host((host_port.host.as_str(), port)).await?.collect();
        // Looked up once, so that what was allowed is what is connected to.
        for addr in addrs {
            let allowed = by_name || self.0.iter().any(|pattern| pattern.fits_ip(addr.ip(), port));
            let one = HostPort { host: addr.ip().to_string(), ports: host_port.ports };
            if allowed && let Ok(local) = Local::connect(&one, 0).await {
                return Ok(local);
            }
        }
        Err(refused("no address of it is allowed and answers"))
    }
}

impl Pattern {
    fn fits_name(&self, name: &str, port: u16) -> bool {
        let fits = match &self.host {
            Host::Any => true,
            Host::Name(wanted) => wanted.eq_ignore_ascii_case(name),
            Host::End(end) => name.len() > end.len() && name.to_ascii_lowercase().ends_with(end),
            Host::Block(..) => return false,
        };
        fits && self.port.is_none_or(|wanted| wanted == port)
    }

    fn fits_ip(&self, ip: IpAddr, port: u16) -> bool {
        let Host::Block(block, bits) = &self.host else { return false };
        let fits = match (block, ip) {
            (IpAddr::V4(block), IpAddr::V4(ip)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(*bits)).unwrap_or(0);
                (block.to_bits() ^ ip.to_bits()) & mask == 0
            }
            (IpAddr::V6(block), IpAddr::V6(ip)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(*bits)).unwrap_or(0);
                (block.to_bits() ^ ip.to_bits()) & mask == 0
            }
            _ => false,
        };
        fits && self.port.is_none_or(|wanted| wanted == port)
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || {
            format!(
                "destination {text:?} is invalid: expected HOST or HOST:PORT, like *.lan:443, 192.168.1.0/24 or *:80"
            )
        };
        let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (host, port) = match (bracketed, text.matches(':').count()) {
            (Some((host, rest)), _) => (host, rest.strip_prefix(':')),
            (None, 1) => text.split_once(':').map(|(host, port)| (host, Some(port))).ok_or_else(invalid)?,
            (None, _) => (text, None),
        };
        let port = port.map(|port| port.parse().map_err(|_| invalid())).transpose()?;
        let (addr, bits) = host.split_once('/').map_or((host, None), |(addr, bits)| (addr, Some(bits)));
        let host = match (addr.parse::<IpAddr>(), bits) {
            (Ok(ip), bits) => {
                let most = if ip.is_ipv4() { 32 } else { 128 };
                let bits = bits.map_or(Ok(most), |bits| bits.parse().map_err(|_| invalid()))?;
                if bits > most {
                    return Err(invalid());
                }
                Host::Block(ip, bits)
            }
            (Err(_), Some(_)) => return Err(invalid()),
            (Err(_), None) if host == "*" => Host::Any,
            (Err(_), None) => {
                let name = host.strip_prefix('*').unwrap_or(host);
                if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
                    return Err(invalid());
                }
                match host.starts_with('*') {
                    true if name.starts_with('.') => Host::End(name.to_ascii_lowercase()),
                    true => return Err(invalid()),
                    false => Host::Name(name.to_owned()),
                }
            }
        };
        Ok(Self { text: text.to_owned(), host, port })
    }
}

impl fmt::Display for Destinations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.0.iter().map(|pattern| pattern.text.as_str()).collect();
        f.write_str(&texts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_names_and_blocks_of_addresses() {
        let fits = |pattern: &str, host: &str, port| {
            let pattern: Pattern = pattern.parse().unwrap();
            pattern.fits_name(host, port) || host.parse().is_ok_and(|ip| pattern.fits_ip(ip, port))
        };
        assert!(fits("*", "anything", 1));
        assert!(fits("*:80", "a", 80) && !fits("*:80", "a", 81));
        assert!(fits("*.lan", "NAS.lan", 1) && !fits("*.lan", "lan", 1) && !fits("*.lan", "evillan", 1));
        assert!(fits("nas.lan:22", "nas.lan", 22));
        assert!(fits("192.168.1.0/24", "192.168.1.7", 1) && !fits("192.168.1.0/24", "192.168.2.7", 1));
        assert!(fits("0.0.0.0/0:53", "8.8.8.8", 53));
        assert!(fits("[fe80::/10]:1", "fe80::1", 1) && !fits("[fe80::/10]:1", "ff80::1", 1));
        assert!(fits("127.0.0.1", "127.0.0.1", 9));
        for bad in ["", "a b", "1.2.3.4/33", "x/8", "*lan", "a:b", "a:70000"] {
            bad.parse::<Pattern>().unwrap_err();
        }
    }
}
