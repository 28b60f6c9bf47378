//! `Compression`: the contract through it, what it saves, and peers who send what cannot be inflated.

use std::sync::Arc;

use bytes::Bytes;
use p2p::{
    Capability, CloseCode, CloseReason, ConnectionConfig, ListenConfig, P2PConnection, P2PError, P2PProvider,
    P2PProviderExt, ProtocolId,
    conformance::{Harness, PROPERTIES},
    conformance_tests,
    layer::{CompressionConfig, LayerExt, ReconnectConfig, compression::NOT_INFLATABLE},
    memory::{MemoryNetwork, MemoryP2P},
};

/// Two in-memory peers, each in a stack of its own.
struct Stacks {
    ours: fn(MemoryP2P) -> Arc<dyn P2PProvider>,
    theirs: fn(MemoryP2P) -> Arc<dyn P2PProvider>,
}

#[async_trait::async_trait]
impl Harness for Stacks {
    async fn providers(&self) -> (Arc<dyn P2PProvider>, Arc<dyn P2PProvider>) {
        let network = MemoryNetwork::new();
        ((self.ours)(network.provider("alice")), (self.theirs)(network.provider("bob")))
    }
}

/// Every message is tried.
fn always() -> CompressionConfig {
    CompressionConfig::default().with_threshold_bytes(0)
}

fn plain(provider: MemoryP2P) -> Arc<dyn P2PProvider> {
    Arc::new(provider)
}

fn compressed(provider: MemoryP2P) -> Arc<dyn P2PProvider> {
    Arc::new(provider.with_compression(always()))
}

fn above_reconnect(provider: MemoryP2P) -> Arc<dyn P2PProvider> {
    Arc::new(provider.with_reconnect(ReconnectConfig::default()).unwrap().with_compression(always()))
}

fn below_reconnect(provider: MemoryP2P) -> Arc<dyn P2PProvider> {
    Arc::new(provider.with_compression(always()).with_reconnect(ReconnectConfig::default()).unwrap())
}

mod on_both_sides {
    use super::*;
    conformance_tests!(
        #[tokio::test(start_paused = true)]
        Stacks { ours: compressed, theirs: compressed }
    );
}

// Room for what a frame adds is agreed before it is known whether the peer has the layer. One that has not may send one
// byte more than the layered side was asked for, and says so in its limits, which is what this property compares.
const NOT_ONE_SIDED: &str = "the_smaller_message_limit_holds_on_both_sides";

#[tokio::test(start_paused = true)]
async fn on_one_side() {
    for (ours, theirs) in [(compressed as fn(_) -> _, plain as fn(_) -> _), (plain, compressed)] {
        for property in PROPERTIES.iter().filter(|property| property.name != NOT_ONE_SIDED) {
            property.test(&Stacks { ours, theirs }).await;
        }
    }
}

mod above_reconnect {
    use super::*;
    conformance_tests!(
        #[tokio::test(start_paused = true)]
        Stacks { ours: super::above_reconnect, theirs: super::above_reconnect }
    );
}

mod below_reconnect {
    use super::*;
    conformance_tests!(
        #[tokio::test(start_paused = true)]
        Stacks { ours: super::below_reconnect, theirs: super::below_reconnect }
    );
}

fn protocol() -> ProtocolId {
    "compression/1".parse().unwrap()
}

async fn connect(
    ours: &impl P2PProvider,
    theirs: &impl P2PProvider,
    config: ConnectionConfig,
) -> (Arc<dyn P2PConnection>, Arc<dyn P2PConnection>) {
    let listener = theirs.listen_with(ListenConfig::from(config.clone())).await.unwrap();
    tokio::try_join!(ours.connect_with(theirs.local_peer_id().into(), config), listener.accept()).unwrap()
}

#[tokio::test]
async fn what_repeats_takes_fewer_bytes_and_what_does_not_one_more() {
    let network = MemoryNetwork::new();
    let alice = network.provider("alice").with_compression(CompressionConfig::default());
    let bob = network.provider("bob").with_compression(CompressionConfig::default());
    let (ours, theirs) = connect(&alice, &bob, ConnectionConfig::new(protocol())).await;
    let rows = r#"{"id":17,"name":"somebody","online":true},"#.repeat(500);
    let noise =
        Bytes::from((0..2_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect::<Vec<_>>());
    for message in [rows.clone().into(), noise.clone(), "tiny".into()] {
        ours.send(Bytes::clone(&message)).await.unwrap();
        assert_eq!(theirs.recv().await.unwrap(), message);
    }
    let totals = alice.totals();
    assert_eq!((totals.compressed, totals.not_helped), (1, 1));
    let all = rows.len() + noise.len() + 4;
    assert_eq!(totals.message_bytes, all as u64);
    let rows_on_the_wire = totals.wire_bytes as usize - (noise.len() + 1) - 5;
    assert!(rows_on_the_wire * 20 < rows.len(), "{rows_on_the_wire} bytes for {}", rows.len());
    assert_eq!(ours.stats().bytes_sent, all as u64, "what was sent, not what it became");
    assert_eq!(theirs.stats().bytes_received, all as u64);
}

#[tokio::test]
async fn the_largest_message_is_as_large_as_it_was_asked_for() {
    let network = MemoryNetwork::new();
    let config = ConnectionConfig::new(protocol()).with_message_bytes_max(1_000);
    for (ours, theirs) in
        [(compressed as fn(_) -> _, compressed as fn(_) -> _), (compressed, plain), (plain, compressed)]
    {
        let (alice, bob) = (ours(network.provider("alice")), theirs(network.provider("bob")));
        let (ours, theirs) = connect(&alice, &bob, config.clone()).await;
        for connection in [&ours, &theirs] {
            assert_eq!(connection.limits().message_bytes_max, 1_000, "{alice} and {bob}");
        }
        ours.send(vec![7; 1_000].into()).await.unwrap();
        assert_eq!(theirs.recv().await.unwrap().len(), 1_000);
        let error = ours.send(vec![7; 1_001].into()).await.unwrap_err();
        assert!(matches!(error, P2PError::MessageTooLarge { size: 1_001, limit: 1_000 }), "{error}");
        alice.shutdown(std::time::Duration::ZERO).await;
        bob.shutdown(std::time::Duration::ZERO).await;
    }
}

#[tokio::test]
async fn an_application_does_not_see_the_layers_capability() {
    let network = MemoryNetwork::new();
    let (alice, bob) = (compressed(network.provider("alice")), compressed(network.provider("bob")));
    let config = ConnectionConfig::new(protocol()).with_capability(Capability::new("own"));
    let (ours, theirs) = connect(&alice, &bob, config).await;
    for connection in [ours, theirs] {
        let names: Vec<_> = connection.negotiated().capabilities.iter().map(|it| it.name.clone()).collect();
        assert_eq!(names, ["own"]);
    }
}

/// A peer who says that it compresses, and then sends these frames.
async fn receive(frames: &[&[u8]]) -> (Arc<dyn P2PConnection>, Arc<dyn P2PConnection>) {
    let network = MemoryNetwork::new();
    let (eve, bob) = (network.provider("eve"), compressed(network.provider("bob")));
    let listener = bob.listen(&protocol()).await.unwrap();
    let config = ConnectionConfig::new(protocol()).with_capability(Capability::new("compression").with_data(*b"lz4"));
    let theirs = eve.connect_with(bob.local_peer_id().into(), config).await.unwrap();
    for frame in frames {
        theirs.send(Bytes::copy_from_slice(frame)).await.unwrap();
    }
    (listener.accept().await.unwrap(), theirs)
}

// A length of 2^40 in eight bytes: if it were allocated, the test would not live to see the error.
#[tokio::test]
async fn a_message_that_would_inflate_beyond_the_cap_ends_the_connection() {
    for (frame, why) in [
        (&b"\x01\xc0\x00\x01\x00\x00\x00\x00\x00 "[..], "a message of 1099511627776 bytes, where 1048576 are allowed"),
        (b"\x01\x80\x0f\xff\xff ", "a message of 1048575 bytes, compressed to 1: LZ4 makes no such thing"),
        (b"\x01\x05\x50abc", "a compressed message that cannot be inflated"),
        (b"\x01\x05\x30abc", "a message of 3 bytes, announced as 5"),
        (b"\x01\xc0", "a compressed message that is cut in its length"),
        (b"\x07abc", "a message compressed in way 7"),
        (b"", "a message without the byte"),
    ] {
        let (ours, theirs) = receive(&[b"\x00before", frame, b"\x00after"]).await;
        assert_eq!(ours.recv().await.unwrap(), "before");
        let error = ours.recv().await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}, expected: {why}");
        assert!(ours.recv().await.is_err() && ours.try_recv().is_err(), "nothing is skipped over");
        let CloseReason::Peer { code, .. } = theirs.closed().await else { panic!("closed by the layer") };
        assert_eq!(code, NOT_INFLATABLE);
        assert_ne!(code, CloseCode::OK);
    }
}

#[tokio::test]
async fn a_peer_that_knows_another_way_gets_messages_as_they_are() {
    let network = MemoryNetwork::new();
    let (eve, bob) = (network.provider("eve"), compressed(network.provider("bob")));
    let listener = bob.listen(&protocol()).await.unwrap();
    let config = ConnectionConfig::new(protocol()).with_capability(Capability::new("compression").with_data(*b"zip"));
    let theirs = eve.connect_with(bob.local_peer_id().into(), config).await.unwrap();
    assert!(theirs.negotiated().capabilities.is_empty());
    listener.accept().await.unwrap().send("as it is".into()).await.unwrap();
    assert_eq!(theirs.recv().await.unwrap(), "as it is");
}
