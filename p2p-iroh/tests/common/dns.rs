//! A real `iroh-dns-server` within the test's process: pkarr by HTTP, and DNS.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use iroh_dns_server::{
    Server,
    config::{Config, DnsConfig, MetricsConfig},
};
use p2p_iroh::{DnsOrigin, PkarrServer};

/// Under which domain it answers.
const ORIGIN: &str = "peers.test";

/// A server, running until it is dropped.
pub struct TestDns {
    server: Server,
    _data: tempfile::TempDir,
}

impl TestDns {
    /// Starts it on free ports of this machine.
    pub async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let here = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let mut config = Config::default();
        config.data_dir = Some(data.path().to_owned());
        let http = config.http.as_mut().expect("the default has one");
        http.port = 0;
        http.bind_addr = here;
        config.https = None;
        config.metrics = Some(MetricsConfig::disabled());
        let soa = format!("{ORIGIN} hostmaster.{ORIGIN} 0 10800 3600 604800 3600");
        config.dns = DnsConfig::new(0, soa, 1, vec![ORIGIN.into(), ".".into()]);
        config.dns.bind_addr = here;
        Self { server: Server::bind(config).await.expect("free ports are left"), _data: data }
    }

    pub fn pkarr(&self) -> PkarrServer {
        PkarrServer::new(&format!("http://{}/pkarr", self.http())).unwrap()
    }

    pub fn origin(&self) -> DnsOrigin {
        DnsOrigin::new(ORIGIN).unwrap()
    }

    pub fn name_server(&self) -> SocketAddr {
        self.server.dns_addr()
    }

    /// Where it speaks HTTP.
    pub fn http(&self) -> SocketAddr {
        self.server.http_addr().unwrap()
    }
}
