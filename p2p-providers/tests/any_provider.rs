//! One source for every implementation: what is written against the traits works on each that is built in.

use std::{sync::Arc, time::Duration};

use p2p::{CloseCode, P2PConnection, P2PConnectionExt, P2PError, P2PProviderExt, ProtocolId, Ticket};
use p2p_providers::{Implementation, Network, ProviderConfig, Role, provider};

/// Long enough for a slow machine. What hangs fails here and not by the patience of whoever runs the tests.
const DEADLINE: Duration = Duration::from_secs(60);

/// The settings that a program would get of these variables, with a simulated network that is quick and loses nothing.
fn config(implementation: Implementation, role: Role) -> ProviderConfig {
    let vars = [
        ("P2P_IMPLEMENTATION", implementation.name()),
        ("P2P_LISTEN_PORT", "0"),
        ("P2P_LAN_DISCOVERY", "off"),
        ("P2P_PORT_MAPPING", "off"),
        ("SIMULATOR_P2P_LATENCY_MS", "2"),
        ("SIMULATOR_P2P_PACKET_LOSS", "0"),
        ("SIMULATOR_P2P_FAILURE_RATE", "0"),
    ];
    let (config, unknown) = ProviderConfig::from_vars(role, vars).expect("the variables are valid");
    assert_eq!(unknown, []);
    config
}

#[test]
fn something_is_built_in() {
    assert_ne!(Implementation::built_in().count(), 0);
}

#[tokio::test]
async fn two_peers_of_one_process_talk_over_every_implementation() {
    for implementation in Implementation::built_in() {
        let talk = talk_within_a_network(config(implementation, Role::Listener));
        tokio::time::timeout(DEADLINE, talk)
            .await
            .unwrap_or_else(|_| panic!("{implementation} hangs"))
            .unwrap_or_else(|error| panic!("{implementation}: {}", error.chain()));
    }
}

async fn talk_within_a_network(config: ProviderConfig) -> p2p::Result<()> {
    let network = Network::new(&config)?;
    assert_eq!(network.implementation(), config.implementation);
    let (alice, bob) = (network.provider("alice").await?, network.provider("bob").await?);
    assert_ne!(alice.local_peer_id(), bob.local_peer_id());
    assert!(alice.to_string().contains(config.implementation.name()));

    let protocol: ProtocolId = "talk/1".parse()?;
    let listener = bob.listen(&protocol).await?;
    let (ours, theirs) = tokio::try_join!(alice.connect(listener.local_addr(), &protocol), listener.accept())?;
    assert_eq!((ours.peer_id(), theirs.peer_id()), (bob.local_peer_id(), alice.local_peer_id()));
    talk(ours, theirs).await?;

    alice.shutdown(Duration::from_secs(1)).await;
    bob.shutdown(Duration::from_secs(1)).await;
    Ok(())
}

#[tokio::test]
async fn a_ticket_is_enough_to_reach_a_provider_that_spans_processes() {
    for implementation in Implementation::built_in().filter(|implementation| implementation.spans_processes()) {
        let talk = talk_by_ticket(implementation);
        tokio::time::timeout(DEADLINE, talk)
            .await
            .unwrap_or_else(|_| panic!("{implementation} hangs"))
            .unwrap_or_else(|error| panic!("{implementation}: {}", error.chain()));
    }
}

async fn talk_by_ticket(implementation: Implementation) -> p2p::Result<()> {
    let (server, client) = (config(implementation, Role::Listener), config(implementation, Role::Dialler));
    #[cfg(feature = "p2p-tunnel")]
    let tunnel = tunnel_compat::tunnel_p2p::LocalServer::start(Arc::new(p2p::TokioRuntime)).await?;
    #[cfg(feature = "p2p-tunnel")]
    let (server, client) = {
        let on_tunnel = |mut config: ProviderConfig| -> p2p::Result<ProviderConfig> {
            config.tunnel = tunnel.config(&"home".parse().expect("a valid name"))?;
            Ok(config)
        };
        (on_tunnel(server)?, on_tunnel(client)?)
    };
    let (server, client) = (provider(server).await?, provider(client).await?);
    let protocol: ProtocolId = "talk/1".parse()?;
    let listener = server.listen(&protocol).await?;

    let ticket: Ticket = Ticket::new(listener.local_addr()).to_string().parse()?;
    let (ours, theirs) = tokio::try_join!(client.connect(ticket.addr, &protocol), listener.accept())?;
    talk(ours, theirs).await?;

    client.shutdown(Duration::from_secs(1)).await;
    server.shutdown(Duration::from_secs(1)).await;
    Ok(())
}

#[tokio::test]
async fn a_simulated_provider_of_its_own_is_made_too_and_says_what_it_cannot() {
    for implementation in Implementation::built_in().filter(|implementation| !implementation.spans_processes()) {
        provider(config(implementation, Role::Dialler)).await.unwrap();
        let error = implementation.require_other_processes().unwrap_err().to_string();
        assert!(error.contains("P2P_IMPLEMENTATION=iroh"), "{error}");
    }
}

/// Messages, a stream, a datagram where the way carries them, and an end that loses nothing.
async fn talk(ours: Arc<dyn P2PConnection>, theirs: Arc<dyn P2PConnection>) -> p2p::Result<()> {
    for i in 0..100_u32 {
        ours.send_value(&i).await?;
    }
    for i in 0..100_u32 {
        assert_eq!(theirs.recv_value::<u32>().await?, i);
    }
    theirs.send("and back".into()).await?;
    assert_eq!(ours.recv().await?, "and back");

    let sent: Vec<u8> = (0..300_000_u32).map(|i| ((i * 31) >> 3) as u8).collect();
    let mut stream = ours.open_stream().await?;
    let write = async {
        stream.send.write_all(&sent).await?;
        stream.send.finish()?;
        Ok::<_, P2PError>(())
    };
    let read = async { Ok::<_, P2PError>(theirs.accept_stream().await?.recv.read_to_end(sent.len()).await?) };
    let ((), received) = tokio::try_join!(write, read)?;
    assert!(received == sent, "the stream arrives as it was written");

    if ours.limits().datagram_bytes_max.is_some() {
        ours.send_datagram("perhaps".into())?;
        assert_eq!(theirs.recv_datagram().await?, "perhaps");
    }

    ours.send("last words".into()).await?;
    ours.finish().await?;
    assert_eq!(theirs.recv().await?, "last words");
    assert_eq!(theirs.closed().await.code(), Some(CloseCode::OK));
    Ok(())
}
