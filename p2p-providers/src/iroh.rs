//! The settings in iroh's terms.

use p2p::Result;
use p2p_iroh::{Identity, IrohConfig, RelayServer, TrustRoots};

use crate::{ProviderConfig, Secret};

impl ProviderConfig {
    /// These settings as iroh's own, to change what only those know and then call
    /// [`IrohP2P::bind`](p2p_iroh::IrohP2P::bind). Reads the key file, or makes it.
    ///
    /// # Errors
    /// [`InvalidInput`](p2p::P2PError::InvalidInput) names what cannot be used: a key file, a relay, a certificate.
    pub fn to_iroh(&self) -> Result<IrohConfig> {
        let config = IrohConfig::default()
            .with_port(self.listen_port)
            .with_relays(self.iroh_relays()?)
            .with_trust(self.iroh_trust()?)
            .with_bootstrap(self.bootstrap_peers.iter().cloned())
            .with_lan_discovery(self.lan_discovery)
            .with_port_mapping(self.port_mapping);
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

        let iroh = config.to_iroh().unwrap();
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
