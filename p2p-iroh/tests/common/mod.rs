//! What the tests of this crate share.
#![allow(dead_code, unused_imports, unreachable_pub, missing_docs, reason = "each test program uses a part of it")]

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use p2p::{ConnectionConfig, P2PConnection, P2PListener, P2PProvider, ProtocolId, ProviderStatus};
use p2p_iroh::{IrohConfig, IrohP2P};

mod dns;
mod hostile;
pub mod raw;
mod relay;

pub use self::{dns::TestDns, hostile::hostile, raw::RawPeer, relay::TestRelay};

/// Longer than anything here takes on a busy machine. What is late by this much does not come.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// An endpoint on the loopback interface alone.
pub fn loopback() -> IrohConfig {
    IrohConfig::default().with_bind([(Ipv4Addr::LOCALHOST, 0).into()])
}

pub async fn bind(config: IrohConfig) -> Arc<IrohP2P> {
    Arc::new(IrohP2P::bind(config).await.expect("the endpoint is bound"))
}

pub fn protocol() -> ProtocolId {
    "test/1".parse().expect("it is visible ASCII")
}

pub async fn listen(provider: &IrohP2P) -> Box<dyn P2PListener> {
    use p2p::P2PProviderExt;
    provider.listen(&protocol()).await.expect("nobody else listens")
}

/// Settings of a dial that gives up early, for those that are meant to fail.
pub fn impatient() -> ConnectionConfig {
    ConnectionConfig::new(protocol()).with_handshake_timeout(Duration::from_secs(3))
}

/// Both ends of a new connection.
pub async fn connect(ours: &IrohP2P, listener: &dyn P2PListener) -> (Arc<dyn P2PConnection>, Arc<dyn P2PConnection>) {
    let dial = ours.connect_with(listener.local_addr(), ConnectionConfig::new(protocol()));
    in_time(async { tokio::try_join!(dial, listener.accept()) }).await.expect("they connect")
}

/// Sends a message there and one back.
pub async fn exchange(ours: &dyn P2PConnection, theirs: &dyn P2PConnection) {
    ours.send("ping".into()).await.expect("it is sent");
    assert_eq!(in_time(theirs.recv()).await.expect("it arrives"), "ping");
    theirs.send("pong".into()).await.expect("it is sent");
    assert_eq!(in_time(ours.recv()).await.expect("it arrives"), "pong");
}

/// Waits for a status that is as wanted.
pub async fn status_where(provider: &IrohP2P, wanted: impl Fn(&ProviderStatus) -> bool) -> ProviderStatus {
    let mut status = provider.status();
    match tokio::time::timeout(DEADLINE, status.wait_for(wanted)).await {
        Ok(status) => status.expect("the provider lives"),
        Err(_) => panic!("the status stays {:#?}", provider.status().get()),
    }
}

/// What `future` yields, which must not take forever.
pub async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future).await.expect("it is done in time")
}
