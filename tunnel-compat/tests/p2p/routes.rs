//! `Routes` over two ways that differ in what is between the peers: nothing, or a tunnel server.

use std::sync::Arc;

use p2p::P2PProvider;
use tunnel_compat::tunnel_p2p::PeerBounds;

use crate::{
    memory::Meadow,
    session::{Ways, goes_to_the_tunnel_and_back},
    town::Town,
};

#[tokio::test(start_paused = true)]
async fn a_session_moves_to_the_tunnel_and_back_and_loses_nothing() {
    let (meadow, town) = (Meadow::default(), Town::new(PeerBounds::default()));
    let ways = |name| -> [Arc<dyn P2PProvider>; 2] { [Arc::new(meadow.provider(name)), Arc::new(town.peer(name))] };
    let ways = Ways { ours: ways("alice"), theirs: ways("bob"), tunnel: "tunnel.example".into() };
    goes_to_the_tunnel_and_back(ways).await.unwrap_or_else(|error| panic!("{}", error.chain()));
}
