//! What the tunnel server does for peers, and does not do for strangers.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use p2p::{
    ConnectionConfig, ListenConfig, P2PConnection, P2PError, P2PListener, P2PProvider, P2PProviderExt, ProtocolId,
    Runtime, RuntimeExt, TokioRuntime, conformance::PROPERTIES,
};
use p2p_simulator::{LinkConfig, Probability, Simulation};
use tunnel_compat::{
    server::TokenKind,
    socket::{BoxSocket, Close, Message, OpenError},
    tunnel_p2p::{PeerBounds, TunnelP2P},
};

use crate::{
    memory::identity,
    town::{ACCESS, InTown, Town, at},
};

const SEEDS: u64 = 3;

/// The server, its peers and their ways are simulated, with latency and loss on each.
#[test]
fn every_property_holds_on_simulated_ways_to_the_server() {
    let link = LinkConfig::default()
        .with_latency(Duration::from_millis(50))
        .with_loss(Probability::percent(2))
        .with_dial_failure(Probability::NEVER);
    let mut failures = Vec::new();
    for property in PROPERTIES {
        failures.extend((0..SEEDS).filter_map(|seed| {
            let simulation = Simulation::new(seed).with_link(link);
            let run = simulation.try_run(|network| async move { property.run(&InTown::simulated(network)).await });
            run.err().map(|failure| format!("{} on seed {seed}: {failure}", property.name))
        }));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn chat() -> ProtocolId {
    "chat/1".parse().unwrap()
}

/// The next that is no ping.
async fn next(socket: &mut BoxSocket) -> Option<Message> {
    loop {
        match socket.next().await?.ok()? {
            Message::Ping | Message::Pong => {}
            message => return Some(message),
        }
    }
}

async fn closed(socket: &mut BoxSocket) -> u16 {
    match next(socket).await {
        Some(Message::Close(Close { code: Some(code), .. })) => code,
        other => panic!("{other:?}"),
    }
}

async fn status(town: &Town, query: &str, token: &str) -> u16 {
    match town.socket(query, token).await {
        Err(OpenError::Status(status)) => status,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("{query} opened"),
    }
}

async fn talk(ours: &TunnelP2P, listener: &dyn P2PListener) -> Result<(), P2PError> {
    let chat = chat();
    let (ours, theirs) = tokio::try_join!(ours.connect(at(listener), &chat), listener.accept())?;
    ours.send("hello".into()).await?;
    assert_eq!(theirs.recv().await?, "hello");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_status_says_whether_peers_can_call() {
    let town = Town::new(PeerBounds::default());
    let bob = town.peer("bob");
    assert!(bob.status().get().checks.is_empty(), "it dials only, and lacks nothing");
    let _listener = bob.listen(&chat()).await.unwrap();
    let status = bob.status().get();
    assert_eq!(status.checks[0].name, "tunnel tunnel.example");
    assert_eq!(status.checks[0].problem, None);

    // A token that is good no longer, or never was.
    let (rendezvous, of, runtime) = town.rendezvous("home", "carol");
    town.tokens.revoke_client(&"home".parse().unwrap()).unwrap();
    let carol = TunnelP2P::new(&of, Arc::new(rendezvous), runtime);
    let config = ListenConfig::from(ConnectionConfig::new(chat()));
    let _listener = carol.listen_with(config).await.unwrap();
    let problem = carol.status().get().checks[0].problem.clone().unwrap();
    assert!(problem.contains("does not know the access token"), "{problem}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_opened_without_an_access_token_of_the_client() {
    let town = Town::new(PeerBounds::default());
    let bob = town.peer("bob");
    let _listener = bob.listen(&chat()).await.unwrap();
    let peer = bob.local_peer_id();
    let of_another = town.token("another");
    let signature = town.tokens.issue(TokenKind::Signature, &"home".parse().unwrap()).unwrap();
    for role in ["listen", "dial"] {
        let query = format!("clientId=home&role={role}&peer={peer}");
        for token in [&of_another, &signature, ACCESS, "x"] {
            assert_eq!(status(&town, &query, token).await, 401);
        }
        assert_eq!(status(&town, &format!("{query}&signature={signature}"), "x").await, 400);
    }
    // S1: a client that is named twice, or in another case, is nobody.
    for query in
        ["clientId=another&clientId=home", "clientid=home&clientId=another", "clientId=another&client%49d=home"]
    {
        assert_eq!(status(&town, &format!("{query}&role=dial&peer={peer}"), &of_another).await, 400, "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn peers_of_one_client_are_there_for_no_other() {
    let town = Town::new(PeerBounds::default());
    let (bob, stranger) = (town.peer("bob"), town.peer_of("another", "mallory"));
    let listener = bob.listen(&chat()).await.unwrap();
    let refused = stranger.connect(at(&*listener), &chat()).await.unwrap_err();
    assert!(matches!(refused, P2PError::PeerNotFound { .. }), "{}", refused.chain());

    // Nor can another client take its place, even with its key.
    let twin = town.peer_of("another", "bob");
    let _listener = twin.listen(&chat()).await.unwrap();
    talk(&town.peer("alice"), &*listener).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn s2_nobody_takes_a_peers_calls_without_its_key() {
    let town = Town::new(PeerBounds::default());
    let bob = town.peer("bob");
    let listener = bob.listen(&chat()).await.unwrap();
    let (peer, token) = (bob.local_peer_id(), town.token("home"));
    let query = format!("clientId=home&role=listen&peer={peer}");
    let mut challenges = Vec::new();
    for proof in [vec![0; 64], Vec::new(), vec![1; 4096]] {
        let mut socket = town.socket(&query, &token).await.unwrap();
        let Some(Message::Binary(challenge)) = next(&mut socket).await else { panic!("no challenge") };
        challenges.push(challenge);
        socket.send(Message::Binary(proof.into())).await.unwrap();
        assert_eq!(closed(&mut socket).await, 4400);
    }
    assert_eq!(challenges[0].len(), 32);
    assert!(challenges[0] != challenges[1] && challenges[1] != challenges[2], "a signature could be used again");

    // One that proves nothing at all is not kept, and was never in the way.
    let mut silent = town.socket(&query, &token).await.unwrap();
    talk(&town.peer("alice"), &*listener).await.unwrap();
    let began = TokioRuntime.now();
    assert!(matches!(next(&mut silent).await, Some(Message::Binary(_))));
    assert_eq!(closed(&mut silent).await, 4400);
    assert!(TokioRuntime.now() - began <= Duration::from_secs(11));
    talk(&town.peer("alice"), &*listener).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_comes_back_takes_its_own_calls_again() {
    let town = Town::new(PeerBounds::default());
    let first = town.peer("bob");
    let _stale = first.listen(&chat()).await.unwrap();
    let second = town.peer("bob");
    let listener = second.listen(&chat()).await.unwrap();
    first.shutdown(Duration::ZERO).await;
    talk(&town.peer("alice"), &*listener).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_takes_ends_at_its_deadline() {
    let town = Town::new(PeerBounds::default());
    let (rendezvous, of, _runtime) = town.rendezvous("home", "bob");
    let (peer, token) = (of.peer_id(), town.token("home"));
    drop(rendezvous);
    // Proves its key, hears the call, and does nothing.
    let mut bob = listen(&town, "bob", &token).await;
    let mut socket = town.socket(&format!("clientId=home&role=dial&peer={peer}"), &token).await.unwrap();
    let Some(Message::Binary(call)) = next(&mut bob).await else { panic!("no call") };
    assert_eq!((call[0], call.len()), (2, 17));
    let began = TokioRuntime.now();
    assert_eq!(closed(&mut socket).await, 4408);
    assert_eq!((TokioRuntime.now() - began).as_secs(), 10);

    // What would take it later finds nothing.
    let call: String = call[1..].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(status(&town, &format!("clientId=home&role=accept&call={call}"), &token).await, 410);
}

/// A socket on which that peer's calls come, its key proved by hand.
async fn listen(town: &Town, name: &str, token: &str) -> BoxSocket {
    use ring::digest::{SHA256, digest};
    let identity = identity(name);
    let query = format!("clientId=home&role=listen&peer={}", identity.peer_id());
    let mut socket = town.socket(&query, token).await.unwrap();
    let Some(Message::Binary(challenge)) = next(&mut socket).await else { panic!("no challenge") };
    let token = digest(&SHA256, token.as_bytes());
    let message = [b"p2p-tunnel/1 listen\0", &challenge[..], token.as_ref(), b"home"].concat();
    let pair = ring::signature::Ed25519KeyPair::from_seed_unchecked(&identity.to_bytes()).unwrap();
    socket.send(Message::Binary(pair.sign(&message).as_ref().to_vec().into())).await.unwrap();
    assert_eq!(next(&mut socket).await, Some(Message::Binary((&[1][..]).into())));
    socket
}

/// A pipe, joined by hand: the dialling end, then the other.
async fn pipe(town: &Town, token: &str) -> (BoxSocket, BoxSocket, BoxSocket) {
    let mut bob = listen(town, "bob", token).await;
    let query = format!("clientId=home&role=dial&peer={}", identity("bob").peer_id());
    let mut ours = town.socket(&query, token).await.unwrap();
    let Some(Message::Binary(call)) = next(&mut bob).await else { panic!("no call") };
    let call: String = call[1..].iter().map(|byte| format!("{byte:02x}")).collect();
    // A call is its client's: another's token takes nothing.
    let another = town.token("another");
    assert_eq!(status(town, &format!("clientId=another&role=accept&call={call}"), &another).await, 410);
    let theirs = town.socket(&format!("clientId=home&role=accept&call={call}"), token).await.unwrap();
    assert_eq!(next(&mut ours).await, Some(Message::Binary((&[1][..]).into())));
    (ours, theirs, bob)
}

#[tokio::test(start_paused = true)]
async fn a_half_open_pipe_ends() {
    let town = Town::new(PeerBounds::default());
    let token = town.token("home");
    let (mut ours, theirs, _bob) = pipe(&town, &token).await;
    // It is there, and neither reads nor answers pings.
    let began = TokioRuntime.now();
    assert_eq!(closed(&mut ours).await, 1011);
    let waited = (TokioRuntime.now() - began).as_secs();
    assert!((14..=16).contains(&waited), "{waited} s");
    drop(theirs);

    // One that goes without a word takes the other with it at once.
    let (mut ours, theirs, _bob) = pipe(&town, &token).await;
    drop(theirs);
    let began = TokioRuntime.now();
    assert_eq!(closed(&mut ours).await, 1011);
    assert!((TokioRuntime.now() - began).as_secs() < 1);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_ends_the_pipe_and_the_listening_socket_under_it() {
    let town = Town::new(PeerBounds::default());
    let token = town.token("home");
    let (mut ours, mut theirs, mut bob) = pipe(&town, &token).await;
    assert!(town.tokens.revoke(&token).unwrap());
    for socket in [&mut ours, &mut theirs, &mut bob] {
        assert_eq!(closed(socket).await, 1008);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_makes_the_server_hold_little() {
    let town = Town::new(PeerBounds::default());
    let (mut ours, _theirs, _bob) = pipe(&town, &town.token("home")).await;
    let mut sent = 0;
    while let Ok(message) =
        TokioRuntime.timeout(Duration::from_secs(1), ours.send(Message::Binary(vec![0; 16 * 1024].into()))).await
    {
        message.unwrap();
        sent += 16 * 1024;
        assert!(sent < 4 << 20, "{sent} bytes went in, and nobody read one");
    }
    // Two pipes of 64 KiB are not the server's.
    assert!(sent < 512 * 1024, "the server holds {sent} bytes of one that is not read");
}

#[tokio::test(start_paused = true)]
async fn a_message_over_the_limit_ends_the_pipe() {
    let town = Town::new(PeerBounds::default());
    let (mut ours, _theirs, _bob) = pipe(&town, &town.token("home")).await;
    let sending = ours.send(Message::Binary(vec![0; 64 * 1024 + 1].into()));
    let _ = TokioRuntime.timeout(Duration::from_secs(1), sending).await;
    assert!(matches!(next(&mut ours).await, None | Some(Message::Close(_))));
}

#[tokio::test(start_paused = true)]
async fn there_are_as_many_peers_and_pipes_as_there_may_be() {
    let bounds = PeerBounds { pipes: 3, pipes_per_client: 2, peers_per_client: 1, ..PeerBounds::default() };
    let town = Town::new(bounds);
    let token = town.token("home");
    let _bob = listen(&town, "bob", &token).await;
    let mut second =
        town.socket(&format!("clientId=home&role=listen&peer={}", identity("carol").peer_id()), &token).await.unwrap();
    assert_eq!(closed(&mut second).await, 4429);

    let query = format!("clientId=home&role=dial&peer={}", identity("bob").peer_id());
    let mut open = vec![town.socket(&query, &token).await.unwrap(), town.socket(&query, &token).await.unwrap()];
    TokioRuntime.sleep(Duration::from_millis(1)).await;
    let mut third = town.socket(&query, &token).await.unwrap();
    assert_eq!(closed(&mut third).await, 4429);

    // A place that is given up is another's.
    drop(open.pop());
    TokioRuntime.sleep(Duration::from_millis(1)).await;
    let mut third = town.socket(&query, &token).await.unwrap();
    assert_eq!(closed(&mut third).await, 4408);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_comes_back_is_found_again() {
    let town = Town::new(PeerBounds::default());
    let bob = town.peer("bob");
    let listener = bob.listen(&chat()).await.unwrap();
    let alice = town.peer("alice");
    talk(&alice, &*listener).await.unwrap();
    // The socket of the listener is taken by a newer one of the same key, which then goes.
    let taken = listen(&town, "bob", &town.token("home")).await;
    drop(taken);
    let mut status = bob.status();
    let _ = status.wait_for(|status| status.checks[0].problem.is_some()).await;
    let _ = status.wait_for(|status| status.checks[0].problem.is_none()).await;
    talk(&alice, &*listener).await.unwrap();
}
