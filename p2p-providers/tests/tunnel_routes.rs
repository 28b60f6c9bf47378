//! iroh and a tunnel as two routes of one peer, on loopback: a session moves from the one to the other and back.
#![cfg(all(feature = "p2p-iroh", feature = "p2p-tunnel"))]

#[path = "../../tunnel-compat/tests/p2p/session.rs"]
mod session;

use std::{net::Ipv4Addr, sync::Arc};

use p2p::{P2PError, P2PProvider, TokioRuntime};
use p2p_iroh::{IrohConfig, IrohP2P};
use tunnel_compat::tunnel_p2p::{Identity, LocalServer};

use session::{Ways, goes_to_the_tunnel_and_back};

/// One peer by both ways: the same key, and so the same identity.
async fn peer(server: &LocalServer, seed: u8) -> Result<[Arc<dyn P2PProvider>; 2], P2PError> {
    let iroh = IrohConfig::default()
        .with_bind([(Ipv4Addr::LOCALHOST, 0).into()])
        .with_identity(p2p_iroh::Identity::from_bytes([seed; 32]));
    let iroh = IrohP2P::bind(iroh).await?;
    let client = "home".parse().expect("a valid name");
    let tunnel = server.config(&client)?.provider(&Identity::from_bytes([seed; 32]), Arc::new(TokioRuntime))?;
    Ok([Arc::new(iroh), Arc::new(tunnel)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_moves_from_iroh_to_the_tunnel_and_back_and_loses_nothing() {
    let going = async {
        let server = LocalServer::start(Arc::new(TokioRuntime)).await?;
        let (ours, theirs) = (peer(&server, 1).await?, peer(&server, 2).await?);
        goes_to_the_tunnel_and_back(Ways { ours, theirs, tunnel: server.addr().to_string() }).await
    };
    going.await.unwrap_or_else(|error| panic!("{}", error.chain()));
}
