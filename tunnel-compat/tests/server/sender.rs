//! Our home side on our server.

use std::{sync::Arc, time::Duration};

use futures_util::SinkExt;
use http_body_util::BodyExt;
use p2p::RuntimeExt;
use tunnel_compat::{
    route::full,
    sender::{Sender, SenderConfig, SenderStatus},
    server::TokenKind,
    socket::Message,
};

use crate::{
    common::{Server, client_id, next, start_piped, to_server},
    tunnel::{Tunnel, run},
};

pub async fn start(tunnel: &Tunnel) -> Arc<Server> {
    let runtime = &tunnel.runtime;
    let server = Server::new(runtime);
    let route = to_server(start_piped(server.clone(), runtime), runtime);
    let host = "tunnel.example".parse().unwrap();
    let config = SenderConfig::new(client_id("a"), tunnel.token(TokenKind::Access, "a"), host);
    let sender = Sender::new(config, tunnel.connector.clone(), route, runtime.clone());
    let mut status = sender.status();
    runtime.spawn("a sender", Box::pin(async move { sender.run().await })).detach();
    status.wait_for(|status| *status == SenderStatus::Connected).await.unwrap();
    server
}

#[test]
fn requests_are_answered_streams_come_as_they_are_made_and_bodies_are_whole() {
    run(|tunnel| async move {
        let _server = start(&tunnel).await;
        let seen = tunnel.app.ask(tunnel.get("/seen/a%2Fb?q=1%26&moosicboxProfile=p")).await.json();
        assert_eq!(seen["uri"], "/seen/a%2Fb?moosicboxProfile=p&q=1%26");
        assert_eq!(seen["headers"]["user-agent"], "MOOSICBOX_TUNNEL");
        let json = tunnel.request("a", "POST", "/echo").body(full(r#"{"a":1}"#)).unwrap();
        assert_eq!(tunnel.app.ask(json).await.text(), r#"{"a":1}"#);
        assert_eq!(tunnel.app.ask(tunnel.get("/chunks/80/65536/0")).await.body.len(), 80 * 65_536);
        let begun = tunnel.runtime.now();
        let mut body = tunnel.app.send(tunnel.get("/chunks/3/16384/100")).await.unwrap().into_body();
        body.frame().await.unwrap().unwrap();
        assert!(tunnel.runtime.now() - begun < Duration::from_millis(5));
    });
}

#[test]
fn an_answer_that_breaks_off_is_broken_off_for_the_app_and_an_app_that_leaves_ends_it() {
    run(|tunnel| async move {
        let server = start(&tunnel).await;
        let body = tunnel.app.send(tunnel.get("/cut")).await.unwrap().into_body();
        assert!(body.collect().await.is_err());
        let left = tunnel.runtime.timeout(Duration::from_secs(1), tunnel.app.send(tunnel.get("/never"))).await;
        assert!(left.is_err());
        crate::common::until(&tunnel.runtime, "the server knows", || server.aborted() == 1).await;
    });
}

#[test]
fn a_reader_that_stalls_costs_little_and_the_answer_goes_on() {
    run(|tunnel| async move {
        let server = start(&tunnel).await;
        let body = tunnel.app.send(tunnel.get("/chunks/30/1048576/0")).await.unwrap().into_body();
        tunnel.sleep(60).await;
        assert!(server.bytes_sent() <= 2 << 20, "{} bytes are held", server.bytes_sent());
        assert_eq!(tunnel.app.ask(tunnel.get("/hello")).await.text(), "hello");
        assert_eq!(body.collect().await.unwrap().to_bytes().len(), 30 << 20);
    });
}

#[test]
fn an_apps_websocket_reaches_the_homes_server() {
    run(|tunnel| async move {
        let _server = start(&tunnel).await;
        let mut app = tunnel.app_socket("a").await;
        app.send(Message::Text(r#"{"type":"PING"}"#.into())).await.unwrap();
        assert_eq!(next(&mut app).await, Some(Message::Text(r#"{"type":"PING"}"#.into())));
    });
}
