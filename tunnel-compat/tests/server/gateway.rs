//! A gateway beside an app, by way of a tunnel server.

use std::sync::Arc;

use futures_util::SinkExt;
use http::{Request, StatusCode};
use p2p::Runtime;
use tunnel_compat::{
    connector::{Connector, pipe},
    gateway::{Gateway, TunnelRoute, TunnelRouteConfig},
    route::{Failure, Route, empty, full},
    server::TokenKind,
    socket::Message,
};

use crate::{
    common::{App, client_id, get, next, post, start_piped},
    sender::start,
    tunnel::{Tunnel, run},
};

fn route(connector: impl Connector, token: String, runtime: &Arc<dyn Runtime>) -> Arc<TunnelRoute> {
    let config = TunnelRouteConfig::new(client_id("a"), token, "tunnel.example".parse().unwrap());
    Arc::new(TunnelRoute::new(config, connector, runtime.clone()).unwrap())
}

/// An app at a gateway that has the tunnel alone.
fn gateway(tunnel: &Tunnel) -> App {
    let token = tunnel.token(TokenKind::Access, "a");
    let route = route(tunnel.connector.clone(), token, &tunnel.runtime);
    let gateway = Gateway::new(client_id("a"), route, tunnel.runtime.clone());
    App::new(start_piped(Arc::new(gateway), &tunnel.runtime), &tunnel.runtime)
}

#[test]
fn an_app_speaks_as_to_the_home_or_as_to_a_tunnel_server_and_the_home_sees_the_same() {
    run(|tunnel| async move {
        let _server = start(&tunnel).await;
        let app = gateway(&tunnel);
        for uri in ["/seen/a%2Fb?q=1", "/seen/a%2Fb?clientId=a&q=1&signature=s"] {
            let request = Request::get(uri).header("authorization", "Bearer whatever").body(empty()).unwrap();
            let seen = app.ask(request).await.json();
            assert_eq!(seen["uri"], "/seen/a%2Fb?q=1");
            assert_eq!(seen["headers"]["authorization"], serde_json::Value::Null);
        }
        assert_eq!(app.ask(post("/echo", "application/json", "[1]")).await.text(), "[1]");
        let mut socket = app.websocket("/ws?moosicboxProfile=p").await.unwrap();
        socket.send(Message::Text("{}".into())).await.unwrap();
        assert_eq!(next(&mut socket).await, Some(Message::Text("{}".into())));
    });
}

#[test]
fn what_only_a_tunnel_server_answers_is_answered_by_the_gateway() {
    run(|tunnel| async move {
        let server = start(&tunnel).await;
        let app = gateway(&tunnel);
        let signature = app.ask(post("/auth/signature-token?clientId=a", "text/plain", "")).await;
        let token = signature.json()["token"].as_str().unwrap().to_owned();
        let valid = format!("/auth/validate-signature-token?clientId=a&signature={token}");
        assert_eq!(app.ask(post(&valid, "text/plain", "")).await.json()["valid"], true);
        assert_eq!(app.get("/hello?clientId=b").await.status, 401, "it is another home's name");
        assert_eq!(app.get("/hello?clientId=a&clientId=b").await.status, 400);
        assert_eq!(server.requests(), 0);
    });
}

#[test]
fn what_the_legacy_tunnel_would_lose_is_refused_with_the_reason() {
    run(|tunnel| async move {
        let server = start(&tunnel).await;
        let app = gateway(&tunnel);
        assert_eq!(app.ask(post("/echo", "text/plain", "no JSON")).await.status, 415);
        assert_eq!(app.ask(post("/echo", "application/json", vec![b'1'; 300 << 10])).await.status, 413);
        assert_eq!(server.requests(), 0);
    });
}

#[test]
fn a_signature_that_the_server_no_longer_knows_is_got_anew() {
    run(|tunnel| async move {
        let revoked = start(&tunnel).await;
        let token = tunnel.token(TokenKind::Access, "a");
        let route = route(tunnel.connector.clone(), token.clone(), &tunnel.runtime);
        let client = client_id("a");
        let open = || route.websocket(&client, Request::get("/ws").body(()).unwrap());
        drop(open().await.unwrap());
        tunnel.tokens.revoke_client(&client_id("a")).unwrap();
        let error = open().await.err().expect("no token of this client is good any more");
        assert_eq!(error.failure.status(), StatusCode::FAILED_DEPENDENCY);
        drop(revoked);
        // The home comes with a new token, the app with the one it had, which is good again. Its signature is not.
        let _home = start(&tunnel).await;
        tunnel.tokens.add(TokenKind::Access, &client_id("a"), &token).unwrap();
        drop(open().await.unwrap());
    });
}

// The home may have seen none of it, so a router may take another route: with what the app sent, and none of the tunnel's marks.
#[test]
fn a_request_that_did_not_reach_the_home_comes_back_as_it_was() {
    run(|tunnel| async move {
        let token = tunnel.token(TokenKind::Access, "a");
        let away = route(tunnel.connector.clone(), token.clone(), &tunnel.runtime);
        let error = away.http(&client_id("a"), get("/hello?q=1")).await.unwrap_err();
        let unsent = error.unsent.unwrap();
        assert!(matches!(error.failure, Failure::NotConnected(_)), "{:?}", error.failure);
        assert_eq!(unsent.uri(), "/hello?q=1");
        assert!(!unsent.headers().contains_key("authorization"));

        let (nobody, listens) = pipe();
        drop(listens);
        let away = route(nobody, token, &tunnel.runtime);
        let request = Request::post("/pay?q=1").header("authorization", "the app's").body(full("[1]")).unwrap();
        let unsent = away.http(&client_id("a"), request).await.unwrap_err().unsent.unwrap();
        assert_eq!(
            (unsent.uri().to_string().as_str(), &unsent.headers()["authorization"]),
            ("/pay?q=1", &"the app's".parse().unwrap())
        );
        let error = away.websocket(&client_id("a"), Request::get("/ws").body(()).unwrap()).await.err().unwrap();
        assert_eq!(error.failure.status(), StatusCode::FAILED_DEPENDENCY);
    });
}
