//! The tunnel's part of the settings, and peers of one process that meet on a server of its own.

use std::sync::Arc;

use p2p::{P2PProvider, Result, TokioRuntime, key_file};
use tokio::sync::OnceCell;
use tunnel_compat::{
    route::ClientId,
    tunnel_p2p::{Identity, LocalServer, TunnelP2P},
};

use crate::ProviderConfig;

impl ProviderConfig {
    /// The peer that these settings are of.
    pub(crate) fn to_tunnel(&self) -> Result<TunnelP2P> {
        let identity = match &self.key_file {
            Some(path) => Identity::from_bytes(key_file::load_or_create(path)?),
            None => Identity::generate(&TokioRuntime),
        };
        let (allowed, denied) = (self.allowed_peers.clone(), self.denied_peers.clone());
        let admits =
            move |peer| allowed.as_ref().is_none_or(|allowed| allowed.contains(&peer)) && !denied.contains(&peer);
        self.tunnel.provider_with_admission(&identity, Arc::new(TokioRuntime), admits)
    }
}

/// A tunnel server on loopback, started when the first peer comes.
#[derive(Debug, Default)]
pub(crate) struct LocalTunnel(OnceCell<LocalServer>);

impl LocalTunnel {
    /// A new peer, which makes its identity up.
    pub(crate) async fn provider(&self) -> Result<Arc<dyn P2PProvider>> {
        let server = self.0.get_or_try_init(|| LocalServer::start(Arc::new(TokioRuntime))).await?;
        let client: ClientId = "local".parse().expect("a valid name");
        let identity = Identity::generate(&TokioRuntime);
        Ok(Arc::new(server.config(&client)?.provider(&identity, Arc::new(TokioRuntime))?))
    }
}

#[cfg(test)]
mod tests {
    use p2p::{P2PError, P2PListener, P2PProviderExt, ProtocolId, Refusal, RefusalCode};

    use super::*;
    use crate::{Profile, Role};

    /// The settings of a peer on that server, who has a key file.
    fn config(server: &LocalServer, folder: &tempfile::TempDir, name: &str) -> ProviderConfig {
        let mut config = ProviderConfig::new(Profile::Production, Role::Listener);
        config.implementation = crate::Implementation::Tunnel;
        config.key_file = Some(folder.path().join(name));
        config.tunnel = server.config(&"home".parse().unwrap()).unwrap();
        config
    }

    #[tokio::test]
    async fn the_key_file_says_who_it_is_and_who_is_denied_is_told_so() {
        let server = LocalServer::start(Arc::new(TokioRuntime)).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let alice = crate::provider(config(&server, &folder, "alice")).await.unwrap();
        let again = config(&server, &folder, "alice").to_tunnel().unwrap();
        assert_eq!(alice.local_peer_id(), again.local_peer_id(), "the key file says who it is");

        let mut bob = config(&server, &folder, "bob");
        bob.denied_peers = [alice.local_peer_id()].into();
        let bob = crate::provider(bob).await.unwrap();
        let chat: ProtocolId = "chat/1".parse().unwrap();
        let listener = bob.listen(&chat).await.unwrap();
        let refused = alice.connect(listener.local_addr(), &chat).await.unwrap_err();
        let is_rejected =
            matches!(&refused, P2PError::Refused { refusal: Refusal { code: RefusalCode::Rejected, .. }, .. });
        assert!(is_rejected, "{}", refused.chain());

        let mut carol = config(&server, &folder, "carol");
        carol.allowed_peers = Some([alice.local_peer_id()].into());
        let carol = crate::provider(carol).await.unwrap();
        let listener: Box<dyn P2PListener> = carol.listen(&chat).await.unwrap();
        alice.connect(listener.local_addr(), &chat).await.unwrap();
        bob.connect(listener.local_addr(), &chat).await.unwrap_err();
    }

    #[tokio::test]
    async fn a_tunnel_without_a_server_says_what_is_missing() {
        let mut config = ProviderConfig::new(Profile::Development, Role::Dialler);
        config.implementation = crate::Implementation::Tunnel;
        let error = crate::provider(config).await.unwrap_err().to_string();
        assert!(error.contains("TUNNEL_P2P_SERVER"), "{error}");
    }
}
