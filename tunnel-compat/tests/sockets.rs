//! WebSockets over byte streams, and byte streams between peers.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use p2p::{P2PListener, P2PProvider, P2PProviderExt, memory::MemoryNetwork};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tunnel_compat::{
    connector::{Acceptor, Connector, pipe},
    peer::{Allowed, PeerAcceptor, PeerConnector, bridge_protocol},
    socket::{self, BoxSocket, Close, Message},
};

async fn pair(message_bytes_max: usize) -> (BoxSocket, BoxSocket) {
    let (connector, acceptor) = pipe();
    let (ours, theirs) = tokio::try_join!(connector.connect(), acceptor.accept()).unwrap();
    (socket::client(ours, message_bytes_max), socket::server(theirs, message_bytes_max))
}

#[tokio::test]
async fn messages_of_each_kind_arrive_and_a_close_is_the_last() {
    let (mut client, mut server) = pair(1_000).await;
    let sent = [
        Message::Text("text".into()),
        Message::Binary(Bytes::from_static(b"\0bytes")),
        Message::Binary(Bytes::new()),
        Message::Close(Close::new(4_000, "enough")),
    ];
    for message in sent.clone() {
        client.send(message).await.unwrap();
    }
    let received: Vec<_> = (&mut server).map(Result::unwrap).collect().await;
    assert_eq!(received, sent);
    assert_eq!(
        client.next().await.unwrap().unwrap(),
        Message::Close(Close { code: Some(4_000), reason: String::new() })
    );
    assert!(client.next().await.is_none());
}

#[tokio::test]
async fn pings_are_answered_and_seen() {
    let (mut client, mut server) = pair(1_000).await;
    server.send(Message::Ping).await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Message::Ping);
    // The pong goes out while the client reads on, which it does without ever getting another message.
    let pong = p2p::select! {
        pong = server.next() => pong,
        other = client.next() => panic!("{other:?}"),
    };
    assert_eq!(pong.unwrap().unwrap(), Message::Pong);
}

#[tokio::test]
async fn a_message_over_the_limit_is_an_error_and_closes_the_socket_with_1009() {
    let (mut client, mut server) = pair(1_000).await;
    client.send(Message::Binary(vec![0; 1_001].into())).await.unwrap();
    assert!(server.next().await.unwrap().is_err());
    assert!(server.next().await.is_none());
    server.flush().await.unwrap();
    let Message::Close(close) = client.next().await.unwrap().unwrap() else { panic!("no close") };
    assert_eq!(close.code, Some(1009));
}

#[tokio::test]
async fn joined_sockets_carry_both_ways_and_pass_the_end_on() {
    let ((mut app, one), (two, mut home)) = (pair(1_000).await, pair(1_000).await);
    let joined = tokio::spawn(socket::join(one, two));
    app.send(Message::Text("a question".into())).await.unwrap();
    assert_eq!(home.next().await.unwrap().unwrap(), Message::Text("a question".into()));
    home.send(Message::Text("an answer".into())).await.unwrap();
    assert_eq!(app.next().await.unwrap().unwrap(), Message::Text("an answer".into()));
    app.send(Message::Close(Close::new(1000, "done"))).await.unwrap();
    assert_eq!(home.next().await.unwrap().unwrap(), Message::Close(Close::new(1000, "done")));
    joined.await.unwrap();
}

#[tokio::test]
async fn a_home_takes_the_streams_of_allowed_peers_alone() {
    let network = MemoryNetwork::new();
    let (home, app, stranger) = (network.provider("home"), network.provider("app"), network.provider("stranger"));
    let listener = home.listen(&bridge_protocol()).await.unwrap();
    let addr = listener.local_addr();
    let acceptor = PeerAcceptor::new(home.runtime(), listener, Allowed::Only([app.local_peer_id()].into()));

    let strange = PeerConnector::new(stranger, addr.clone());
    // It sees the close at whichever step it has come to.
    let turned_away = async {
        let mut stream = strange.connect().await?;
        stream.write_all(b"let me in").await?;
        stream.read_to_end(&mut Vec::new()).await
    };
    let error = turned_away.await.unwrap_err();
    assert!(error.to_string().contains("this peer is not allowed here"), "{error}");

    let mut stream = PeerConnector::new(app, addr).connect().await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut received = String::new();
    acceptor.accept().await.unwrap().read_to_string(&mut received).await.unwrap();
    assert_eq!(received, "hello");
}
