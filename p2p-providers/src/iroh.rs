//! The settings in iroh's terms.

use p2p::Result;
use p2p_iroh::{AccessList, DnsOrigin, Identity, IrohConfig, PkarrServer, RelayServer, TrustRoots};

use crate::{ProviderConfig, Secret};

impl ProviderConfig {
    /// These settings as iroh's own, to change what only those know and then call
    /// [`IrohP2P::bind`](p2p_iroh::IrohP2P::bind). Reads the key file, or makes it.
    ///
    /// # Errors
    /// [`InvalidInput`](p2p::P2PError::InvalidInput) names what cannot be used: a key file, a relay, a certificate.
    pub fn to_iroh(&self) -> Result<IrohConfig> {
        let mut config = IrohConfig::default()
            .with_port(self.listen_port)
            .with_relays(self.iroh_relays()?)
            .with_trust(self.iroh_trust()?)
            .with_bootstrap(self.bootstrap_peers.iter().cloned())
            .with_lan_discovery(self.lan_discovery)
            .with_port_mapping(self.port_mapping)
            .with_relay_only(self.relay_only)
            .with_name_servers(self.name_servers.iter().copied())
            .with_access(self.iroh_access());
        config.external_addrs = self.external_addrs.clone();
        config.pkarr = self.iroh_pkarr()?;
        config.dns = self.dns_origin.as_deref().map(DnsOrigin::new).transpose()?;
        if let Some(name) = &self.congestion {
            config.congestion = name.parse()?;
        }
        if let Some(name) = &self.key_exchange {
            config.key_exchange = name.parse()?;
        }
        if let Some(most) = self.connections_max {
            config.limits.connections_max = most;
        }
        if let Some(most) = self.buffer_bytes_max {
            config.limits.buffer_bytes_max = most;
        }
        match &self.key_file {
            Some(path) => Ok(config.with_identity(Identity::load_or_create(path)?)),
            None => Ok(config),
        }
    }

    /// Settings for one of several peers within this process: the same relays, a port and an identity of its own, and
    /// loopback, so that not even a machine without a network is too little.
    pub(crate) fn to_local_iroh(&self) -> Result<IrohConfig> {
        Ok(IrohConfig::default()
            .with_bind([(std::net::Ipv4Addr::LOCALHOST, 0).into()])
            .with_relays(self.iroh_relays()?)
            .with_trust(self.iroh_trust()?)
            .with_bootstrap(self.bootstrap_peers.iter().cloned()))
    }

    fn iroh_relays(&self) -> Result<Vec<RelayServer>> {
        let token = self.relay_token.as_ref().map(Secret::expose);
        let relay = |url: &String| {
            let relay = RelayServer::new(url)?;
            Ok(match token {
                Some(token) => relay.with_token(token),
                None => relay,
            })
        };
        self.relay_servers.iter().map(relay).collect()
    }

    fn iroh_access(&self) -> AccessList {
        let access = AccessList::everybody();
        access.set_only(self.allowed_peers.clone());
        access.set_denied(self.denied_peers.clone());
        access
    }

    fn iroh_pkarr(&self) -> Result<Option<PkarrServer>> {
        let Some(url) = &self.pkarr_server else { return Ok(None) };
        let server = PkarrServer::new(url)?;
        Ok(Some(match &self.publish {
            Some(what) => server.with_publish(what.parse()?),
            None => server,
        }))
    }

    fn iroh_trust(&self) -> Result<TrustRoots> {
        match &self.relay_ca {
            Some(pem) => TrustRoots::public().with_pem(pem.as_bytes()),
            None => Ok(TrustRoots::public()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Profile, Role};

    fn config() -> ProviderConfig {
        ProviderConfig::new(Profile::Production, Role::Listener)
    }

    #[test]
    fn every_setting_reaches_iroh() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config();
        config.key_file = Some(folder.path().join("key"));
        config.relay_servers = vec!["relay.example".into(), "http://127.0.0.1:3340".into()];
        config.relay_token = Some("hush".into());
        config.lan_discovery = true;
        config.external_addrs = vec!["192.0.2.7:8800".parse().unwrap()];
        config.pkarr_server = Some("https://dns.example/pkarr".into());
        config.publish = Some("addresses".into());
        config.dns_origin = Some("peers.example".into());
        config.congestion = Some("bbr".into());
        config.connections_max = Some(100);
        let (friend, foe) = (p2p::PeerId::from_name("friend"), p2p::PeerId::from_name("foe"));
        config.allowed_peers = Some([friend, foe].into());
        config.denied_peers = [foe].into();

        let iroh = config.to_iroh().unwrap();
        assert_eq!(iroh.external_addrs, config.external_addrs);
        let pkarr = iroh.pkarr.as_ref().unwrap();
        assert_eq!(pkarr.publish(), p2p_iroh::Publish::RelayAndAddresses);
        assert_eq!(iroh.dns.as_ref().unwrap().origin(), "peers.example");
        assert_eq!((iroh.congestion, iroh.limits.connections_max), (p2p_iroh::Congestion::Bbr, 100));
        assert!(iroh.access.admits(friend) && !iroh.access.admits(foe));
        assert!(iroh.bind.iter().all(|addr| addr.port() == 8800));
        let relays: Vec<_> = iroh.relays.iter().map(|relay| (relay.url(), relay.has_token())).collect();
        assert_eq!(relays, [("https://relay.example".into(), true), ("http://127.0.0.1:3340".into(), true)]);
        assert!(iroh.lan_discovery && !iroh.port_mapping);
        let peer = |iroh: IrohConfig| iroh.identity.unwrap().peer_id();
        assert_eq!(peer(iroh), peer(config.to_iroh().unwrap()));
    }

    #[test]
    fn peers_of_one_process_stay_on_loopback_and_share_no_identity() {
        let mut config = config();
        config.key_file = Some("/nowhere/key".into());
        config.lan_discovery = true;
        let iroh = config.to_local_iroh().unwrap();
        assert!(iroh.bind.iter().all(|addr| addr.ip().is_loopback() && addr.port() == 0));
        assert!(iroh.identity.is_none() && !iroh.lan_discovery && !iroh.port_mapping);
    }

    #[test]
    fn a_key_file_that_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config();
        config.key_file = Some(folder.path().into());
        let error = config.to_iroh().unwrap_err().to_string();
        assert!(error.contains(folder.path().to_str().unwrap()), "{error}");
    }
}
