//! Rules that come and go.

use std::{io::ErrorKind, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{Pair, connect, name, share, within};
use crate::{
    Error,
    daemon::EventKind,
    rule::{Bandwidth, Rules},
};

// Each reload changes or removes the very rule that the streams belong to.
#[tokio::test]
async fn a_hundred_reloads_under_load_drop_no_stream() {
    let pair = Pair::new().await;
    let mut open = Vec::new();
    for _ in 0..10 {
        open.push(pair.open_and_speak().await);
    }
    let (alices, bobs) = (pair.alice.daemon.rules(), pair.bob.daemon.rules());
    for round in 0..100u64 {
        let (mut a, mut b) = (alices.clone(), bobs.clone());
        match round % 4 {
            0 => (a, b) = (Rules::default(), Rules::default()),
            1 => a.shares[0].udp_idle = Duration::from_secs(round),
            2 => b.connects[0].bandwidth = Bandwidth::bytes_per_second(1_000_000 + round),
            _ => a.shares.push(share("other", "tcp://127.0.0.1:9")),
        }
        pair.alice.daemon.apply(a).await.unwrap();
        pair.bob.daemon.apply(b).await.unwrap();
        let (client, server) = &mut open[(round % 10) as usize];
        client.write_all(&[round as u8]).await.unwrap();
        let mut byte = [0];
        within(server.read_exact(&mut byte)).await.unwrap();
        assert_eq!(byte, [round as u8]);
    }
    for (mut client, mut server) in open {
        server.write_all(b"the end").await.unwrap();
        drop(server);
        let mut text = String::new();
        client.shutdown().await.unwrap();
        within(client.read_to_string(&mut text)).await.unwrap();
        assert_eq!(text, "the end");
    }
    pair.alice.daemon.apply(alices).await.unwrap();
}

#[tokio::test]
async fn a_changed_rule_keeps_its_socket_and_its_numbers_and_is_for_new_connections() {
    let pair = Pair::new().await;
    let (mut old, mut at_old) = pair.open_and_speak().await;
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    pair.alice.share([share("web", &format!("tcp://{}", other.local_addr().unwrap()))]).await;
    let mut rules = pair.bob.daemon.rules();
    rules.connects[0].bandwidth = Bandwidth::bytes_per_second(1_000_000);
    let applied = pair.bob.daemon.apply(rules).await.unwrap();
    assert_eq!(applied.to_string(), "changed connect web");

    let mut new = TcpStream::connect(pair.addr).await.expect("it listens where it did");
    new.write_all(b"n").await.unwrap();
    let (mut at_new, _) = within(other.accept()).await.unwrap();
    within(at_new.read_exact(&mut [0])).await.unwrap();
    old.write_all(b"o").await.unwrap();
    within(at_old.read_exact(&mut [0])).await.unwrap();
    pair.bob.until("web", |counters| counters.streams == 2 && counters.bytes_out == 3).await;
}

#[tokio::test]
async fn rules_that_cannot_be_changed_nothing() {
    let pair = Pair::new().await;
    let (before, taken) = (pair.bob.daemon.rules(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let at = |listen: &str| connect(pair.alice.remote(), "x", listen);

    let mut twice = before.clone();
    twice.connects.extend([at("127.0.0.1:4000"), connect(pair.alice.remote(), "y", "tcp://127.0.0.1:4000")]);
    let error = pair.bob.daemon.apply(twice).await.unwrap_err();
    assert!(matches!(error, Error::Rules { .. }) && error.to_string().contains("x and y both listen on"), "{error}");

    let mut in_use = before.clone();
    in_use.connects.clear();
    in_use.connects.push(at(&taken.local_addr().unwrap().to_string()));
    let error = pair.bob.daemon.apply(in_use).await.unwrap_err();
    assert!(error.to_string().contains("another program has this port"), "{error}");
    assert_eq!(pair.bob.daemon.rules(), before);
    pair.open_and_speak().await;
}

#[tokio::test]
async fn a_removed_rule_is_gone_for_new_connections_alone() {
    let pair = Pair::new().await;
    let (mut client, mut server) = pair.open_and_speak().await;
    pair.alice.share([]).await;
    let mut refused = TcpStream::connect(pair.addr).await.unwrap();
    let error = within(refused.read(&mut [0])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);

    pair.bob.daemon.apply(Rules::default()).await.unwrap();
    TcpStream::connect(pair.addr).await.expect_err("nobody listens there any more");
    assert!(pair.bob.daemon.link(&name("web")).is_none());
    for (from, to) in [(&mut client, &mut server)] {
        from.write_all(b"still").await.unwrap();
        let mut text = [0; 5];
        within(to.read_exact(&mut text)).await.unwrap();
    }
    let kinds: Vec<_> = pair.bob.daemon.events().since(0).iter().map(|event| event.kind).collect();
    assert!(kinds.starts_with(&[EventKind::RulesChanged]), "{kinds:?}");
    assert!(kinds.contains(&EventKind::PeerConnected), "{kinds:?}");
    drop((client, server));
    // With the last stream the connection that no rule needs ends.
    within(async {
        while !pair.bob.daemon.status().peers.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
