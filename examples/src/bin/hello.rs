//! Two peers of one process say hello, in memory: no network, no configuration.
//!
//! ```sh
//! cargo run -p examples --bin hello
//! ```
//!
//! `echo` is the next step: the same traits over real networks.

#![expect(clippy::print_stdout, reason = "programs speak to people")]

use p2p::{P2PConnectionExt, P2PProvider, P2PProviderExt, ProtocolId, memory::MemoryNetwork};

#[tokio::main]
async fn main() -> p2p::Result<()> {
    // Whoever is on one network can reach the others on it. A peer's identity is a key; in memory, a hashed name.
    let network = MemoryNetwork::new();
    let (alice, bob) = (network.provider("alice"), network.provider("bob"));
    println!("alice is {:?}, bob is {:?}.", alice.local_peer_id(), bob.local_peer_id());

    // Both have to mean the same protocol: one listens for it, the other dials for it.
    let hello: ProtocolId = "hello/1".parse()?;
    let listener = bob.listen(&hello).await?;
    let (to_bob, to_alice) = tokio::try_join!(alice.connect(listener.local_addr(), &hello), listener.accept())?;
    println!("They are connected: {:?} speaks {}.", to_alice.peer_id(), to_alice.negotiated().protocol);

    // A message arrives whole and in order. `send_value` and `recv_value` do the same for anything serde knows.
    to_bob.send("Hello, Bob!".into()).await?;
    println!("bob hears:   {}", String::from_utf8_lossy(&to_alice.recv().await?));
    to_alice.send_value(&("Hello, Alice!", 2_u32)).await?;
    let (words, number): (String, u32) = to_bob.recv_value().await?;
    println!("alice hears: {words} (message {number})");

    // A stream carries as many bytes as you like, beside the messages.
    let mut stream = to_bob.open_stream().await?;
    stream.send.write_all(b"A long story...").await?;
    stream.send.finish()?;
    let story = to_alice.accept_stream().await?.recv.read_to_end(1024).await?;
    println!("bob reads:   {}", String::from_utf8_lossy(&story));

    // `finish` waits until everything has arrived; dropping the connection would not.
    to_bob.finish().await?;
    println!("bob sees:    {}.", to_alice.closed().await);
    Ok(())
}
