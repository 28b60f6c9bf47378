//! The legacy server's holes, S1 to S7: none works here.

use std::time::Duration;

use http::Request;
use p2p::RuntimeExt;
use tunnel_compat::{
    route::empty,
    server::{ServerConfig, TokenKind},
    socket::{Message, OpenError},
};

use crate::{
    common::next,
    tunnel::{ACCESS, Tunnel, packet, run, run_with},
};
use futures_util::SinkExt;

async fn status(tunnel: &Tunnel, path: &str, token: &str) -> u16 {
    let request = Request::get(path).header("authorization", format!("Bearer {token}")).body(empty()).unwrap();
    tunnel.app.ask(request).await.status
}

async fn refused(tunnel: &Tunnel, query: &str) -> u16 {
    match tunnel.socket(query, Default::default()).await {
        Err(OpenError::Status(status)) => status,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("{query} opened"),
    }
}

#[test]
fn s1_a_token_of_one_client_reaches_no_other_clients_home_however_the_client_is_named() {
    run(|tunnel| async move {
        let mut victim = tunnel.home_of("b", false).await;
        let _own = tunnel.home_of("a", false).await;
        let (token, signature) = (tunnel.token(TokenKind::Access, "a"), tunnel.token(TokenKind::Signature, "a"));
        for query in
            ["clientId=a&clientId=b", "clientid=a&clientId=b", "clientId=a&client%49d=b", "CLIENTID=b&clientId=a"]
        {
            assert_eq!(status(&tunnel, &format!("/x?{query}"), &token).await, 400, "{query}");
            assert_eq!(
                status(&tunnel, &format!("/files/track?{query}&signature={signature}"), "").await,
                400,
                "{query}"
            );
        }
        assert_eq!(status(&tunnel, "/x?clientId=b", &token).await, 401);
        assert_eq!(status(&tunnel, &format!("/files/track?clientId=b&signature={signature}"), "").await, 401);
        assert!(tunnel.runtime.timeout(Duration::from_secs(10), victim.next()).await.is_err(), "nothing reached it");
    });
}

#[test]
fn s2_nobody_becomes_the_home_of_another_client_or_by_a_signature_that_apps_have_used() {
    run(|tunnel| async move {
        let mut home = tunnel.home_of("b", false).await;
        let signature = tunnel.token(TokenKind::Signature, "a");
        for query in ["clientid=a&clientId=b", "clientId=a&clientId=b"] {
            assert_eq!(refused(&tunnel, &format!("{query}&sender=true&signature={signature}")).await, 400);
        }
        assert_eq!(refused(&tunnel, &format!("clientId=b&sender=true&signature={signature}")).await, 401);

        // A signature that stands in media URLs, and in whoever's logs.
        let leaked = tunnel.token(TokenKind::Signature, "b");
        let media = tunnel.ask(crate::common::get(&format!("/files/track?clientId=b&signature={leaked}")));
        let seen = home.http().await;
        home.answer(seen.request_id, 200, &[], "music").await;
        assert_eq!(media.await.text(), "music");
        assert_eq!(refused(&tunnel, &format!("clientId=b&sender=true&signature={leaked}")).await, 401);

        let answer = tunnel.ask(tunnel.request("b", "GET", "/x").body(empty()).unwrap());
        let seen = home.http().await;
        home.answer(seen.request_id, 200, &[], "still the home").await;
        assert_eq!(answer.await.text(), "still the home");
    });
}

#[test]
fn s2_a_home_that_opens_another_socket_replaces_its_own_and_the_old_ones_end_changes_nothing() {
    run(|tunnel| async move {
        let mut old = tunnel.home().await;
        let mut new = tunnel.home().await;
        let close = old.close().await;
        assert_eq!((close.code, close.reason.as_str()), (Some(4000), "another connection of this home took its place"));
        drop(old);
        tunnel.sleep(60).await;
        // Not polled for a minute, it would be dead by now; so it is looked at from here on.
        let mut third = tunnel.home().await;
        assert_eq!(new.next().await, None);
        drop(new);
        let answer = tunnel.ask(tunnel.get("/x"));
        let seen = third.http().await;
        third.answer(seen.request_id, 200, &[], "the newest answers").await;
        assert_eq!(answer.await.text(), "the newest answers");
    });
}

#[test]
fn s3_a_home_reaches_the_apps_of_its_own_client_alone() {
    run(|tunnel| async move {
        let (mut attacker, mut victim) = (tunnel.home_of("a", false).await, tunnel.home_of("b", false).await);
        let mut app = tunnel.app_socket("b").await;
        app.send(Message::Text("1".into())).await.unwrap();
        let Some(tunnel_compat::wire::Request::Ws(asked)) = victim.next().await else { panic!("no message") };
        let body = r#""body":{"type":"HTTP"}"#;
        for frame in [
            format!(r#"{{"request_id":0,{body}}}"#),
            format!(r#"{{"request_id":0,{body},"to_connection_ids":[{}]}}"#, asked.conn_id),
            format!(r#"{{"request_id":0,{body},"exclude_connection_ids":[]}}"#),
            format!(r#"{{"request_id":{},{body}}}"#, asked.request_id),
        ] {
            attacker.text(frame).await;
        }
        // Neither the other client's app nor its home has heard anything when its own home speaks.
        victim.text(r#"{"request_id":0,"body":"mine"}"#).await;
        assert_eq!(next(&mut app).await, Some(Message::Text("\"mine\"".into())));
        assert!(tunnel.runtime.timeout(Duration::from_secs(3), victim.next()).await.is_err());
    });
}

#[test]
fn s4_only_the_home_that_was_asked_can_answer() {
    run(|tunnel| async move {
        let (mut home, mut stranger) = (tunnel.home_of("a", false).await, tunnel.home_of("b", false).await);
        let mut app = tunnel.app_socket("a").await;
        let answer = tunnel.ask(tunnel.get("/x"));
        let asked = home.http().await.request_id;
        let forged = packet(asked, 1, true, "forged").to_bytes();
        stranger.bytes(forged.clone()).await;
        app.send(Message::Binary(forged)).await.unwrap();
        let Some(Message::Close(close)) = next(&mut app).await else { panic!("an app's packet was taken") };
        assert_eq!(close.code, Some(1003));
        tunnel.sleep(1).await;
        home.answer(asked, 200, &[], "true").await;
        // And what comes after the answer changes nothing.
        home.answer(asked, 200, &[], "twice").await;
        assert_eq!(answer.await.text(), "true");
    });
}

#[test]
fn s5_secrets_do_not_reach_the_home_and_errors_say_nothing_of_the_inside() {
    run(|tunnel| async move {
        let mut home = tunnel.home().await;
        let answer = tunnel.ask(tunnel.get("/x?signature=s&q=1&moosicboxProfile=p"));
        let seen = home.http().await;
        let keys: Vec<_> = seen.query.keys().map(String::as_str).collect();
        assert_eq!(keys, ["moosicboxProfile", "q"]);
        assert_eq!(seen.headers, None);
        home.answer(seen.request_id, 200, &[], "ok").await;
        answer.await;
        let long = "x".repeat(65);
        let path = format!("/auth/register-client?clientId={long}");
        let request = Request::post(path).header("authorization", ACCESS).body(empty()).unwrap();
        let refusal = tunnel.app.ask(request).await;
        assert_eq!((refusal.status, refusal.text()), (400, "a clientId has 1 to 64 characters of visible ASCII"));
    });
}

// What the operator sees is for the peers' own encryption: the bridge's streams, or a provider over this server.

#[test]
fn s7_a_browser_sends_its_credentials_from_named_origins_alone() {
    let config = ServerConfig::new(ACCESS).unwrap().with_origin("https://app.example").unwrap();
    run_with(config, |tunnel| async move {
        for (origin, allowed, credentials) in
            [("https://app.example", "https://app.example", Some("true")), ("https://evil.example", "*", None)]
        {
            for preflight in [false, true] {
                let mut request = Request::builder().uri("/health").header("origin", origin);
                if preflight {
                    request = request.method("OPTIONS").header("access-control-request-method", "GET");
                }
                let answer = tunnel.app.ask(request.body(empty()).unwrap()).await;
                assert_eq!(answer.headers["access-control-allow-origin"], allowed);
                let header = answer.headers.get("access-control-allow-credentials");
                assert_eq!(header.map(|value| value.to_str().unwrap()), credentials, "{origin}");
            }
        }
    });
    for origin in ["app.example", "https://app.example/", ""] {
        assert!(ServerConfig::new(ACCESS).unwrap().with_origin(origin).is_err(), "{origin:?}");
    }
}
