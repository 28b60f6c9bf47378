//! `Timeout`: attempts end at their deadlines, and what was not theirs to lose is not lost.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use p2p::{
    ConnectionConfig, ListenConfig, P2PConnection, P2PError, P2PProvider, P2PProviderExt, Result,
    layer::{Deadlines, LayerExt},
    memory::MemoryNetwork,
};
use tokio::time::Instant;

use crate::stub::{StubConnection, StubProvider, peer};

const SECOND: Duration = Duration::from_secs(1);

#[track_caller]
fn assert_timeout<T>(result: Result<T>, during: &str, after: Duration) {
    match result.err().expect("a deadline passed") {
        P2PError::Timeout { during: actual, after: deadline } => assert_eq!((actual, deadline), (during, after)),
        other => panic!("expected a timeout, got {other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_nobody_answers_ends_at_its_deadline_and_the_next_has_its_own() {
    let provider = StubProvider::silent().with_timeout(Deadlines::NONE.with_connect(3 * SECOND));
    for _ in 0..2 {
        let start = Instant::now();
        let result = provider.connect_with(peer(), ConnectionConfig::default()).await;
        assert_timeout(result, "dialling", 3 * SECOND);
        assert_eq!(start.elapsed(), 3 * SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn listening_that_does_not_become_dialable_ends_at_its_deadline() {
    let provider = StubProvider::silent().with_timeout(Deadlines::NONE.with_listen(SECOND));
    let result = provider.listen_with(ListenConfig::default()).await;
    assert_timeout(result, "listening", SECOND);
}

#[tokio::test(start_paused = true)]
async fn without_a_deadline_an_attempt_takes_as_long_as_it_likes() {
    let day = 24 * 3600 * SECOND;
    let connection = StubConnection::new(None);
    let slow = StubProvider::answering(Some(day), move || Ok(connection.clone()));
    let provider = slow.with_timeout(Deadlines::NONE);
    let result = provider.connect_with(peer(), ConnectionConfig::default()).await;
    assert!(result.is_ok());
}

// Both timers fire in the same tick. Had the clock been asked first, an established connection would be thrown away.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_completes_as_its_deadline_passes_has_completed() {
    let connection = StubConnection::new(None);
    let slow = StubProvider::answering(Some(3 * SECOND), move || Ok(connection.clone()));
    let provider = slow.with_timeout(Deadlines::NONE.with_connect(3 * SECOND));
    let result = provider.connect_with(peer(), ConnectionConfig::default()).await;
    assert!(result.is_ok());
}

#[tokio::test(start_paused = true)]
async fn each_wait_on_a_connection_has_the_deadline_of_its_kind() {
    let connection = StubConnection::new(None);
    connection.full.store(true, Relaxed);
    let provider = StubProvider::of(&connection)
        .with_timeout(Deadlines::NONE.with_send(SECOND).with_open_stream(2 * SECOND).with_finish(3 * SECOND));
    let connection = provider.connect_with(peer(), ConnectionConfig::default()).await.unwrap();
    assert_timeout(connection.send(Bytes::new()).await, "sending", SECOND);
    assert_timeout(connection.open_stream().await, "opening a stream", 2 * SECOND);
    assert_timeout(connection.finish().await, "delivery", 3 * SECOND);
}

#[tokio::test]
async fn without_deadlines_for_connections_they_pass_as_they_are() {
    let inner = StubConnection::new(None);
    let provider = StubProvider::of(&inner).with_timeout(Deadlines::default());
    let connection = provider.connect_with(peer(), ConnectionConfig::default()).await.unwrap();
    assert!(std::ptr::addr_eq(Arc::as_ptr(&connection), Arc::as_ptr(&inner)));
}

/// A connected pair with small buffers, dialled and accepted through `Timeout`.
async fn pair(deadlines: Deadlines) -> (Arc<dyn P2PConnection>, Arc<dyn P2PConnection>) {
    let network = MemoryNetwork::new();
    let alice = network.provider("alice").with_timeout(deadlines);
    let bob = network.provider("bob").with_timeout(deadlines);
    let config = ConnectionConfig::default().with_buffer_bytes(1000).with_streams_max(1);
    let listener = bob.listen_with(ListenConfig::from(config.clone())).await.unwrap();
    tokio::try_join!(alice.connect_with(bob.local_peer_id().into(), config), listener.accept()).unwrap()
}

// The accepting side sends, so this also shows that the listener hands deadlines on. Numbered messages show that what
// was refused is exactly what is missing.
#[tokio::test(start_paused = true)]
async fn a_send_that_ran_into_its_deadline_sent_nothing_and_the_next_one_works() {
    let (ours, theirs) = pair(Deadlines::NONE.with_send(SECOND)).await;
    let message = |number: u32| {
        let mut message = vec![0; 500];
        message[..4].copy_from_slice(&number.to_be_bytes());
        Bytes::from(message)
    };
    let mut accepted = 0;
    let refused = loop {
        match theirs.send(message(accepted)).await {
            Ok(()) => accepted += 1,
            Err(error) => break Err::<(), _>(error),
        }
    };
    assert_timeout(refused, "sending", SECOND);

    for number in 0..accepted {
        assert_eq!(ours.recv().await.unwrap(), message(number));
    }
    theirs.send(message(u32::MAX)).await.unwrap();
    assert_eq!(ours.recv().await.unwrap(), message(u32::MAX));
}

#[tokio::test(start_paused = true)]
async fn a_stream_beyond_the_peers_limit_is_not_opened_and_one_within_it_is() {
    let (ours, theirs) = pair(Deadlines::NONE.with_open_stream(SECOND)).await;
    let mut first = ours.open_stream().await.unwrap();
    first.send.write_all(b"first").await.unwrap();
    assert_timeout(ours.open_stream().await, "opening a stream", SECOND);

    first.send.finish().unwrap();
    let mut accepted = theirs.accept_stream().await.unwrap();
    assert_eq!(accepted.recv.read_to_end(100).await.unwrap(), b"first");
    accepted.send.finish().unwrap();
    assert!(first.recv.read_to_end(100).await.unwrap().is_empty());
    drop((first, accepted));

    let mut second = ours.open_stream().await.unwrap();
    second.send.write_all(b"second").await.unwrap();
    let mut accepted = theirs.accept_stream().await.unwrap();
    let read = accepted.recv.read_chunk(100).await.unwrap();
    assert_eq!(read.unwrap(), "second", "no trace of the one that timed out");
}

// The peer reads only after the deadline; that everything still arrives proves that the finishing went on.
#[tokio::test(start_paused = true)]
async fn a_connection_whose_finish_ran_into_its_deadline_goes_on_finishing() {
    let (ours, theirs) = pair(Deadlines::NONE.with_finish(SECOND)).await;
    let mut sent = 0;
    while ours.try_send(vec![0; 500].into()).is_ok() {
        sent += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_timeout(ours.finish().await, "delivery", SECOND);
    let mut received = 0;
    while theirs.recv().await.is_ok() {
        received += 1;
    }
    assert_eq!(received, sent);
    assert!(theirs.close_reason().unwrap().is_deliberate());
}

#[tokio::test]
async fn what_the_layer_does_not_concern_passes() {
    let network = MemoryNetwork::new();
    let alice = network.provider("alice");
    let stack = Arc::new(alice).with_timeout(Deadlines::default());
    assert!(stack.listen(&"chat/1".parse().unwrap()).await.is_ok());
    stack.shutdown(SECOND).await;
    assert!(matches!(stack.listen(&"chat/1".parse().unwrap()).await, Err(P2PError::ShutDown)));
}
