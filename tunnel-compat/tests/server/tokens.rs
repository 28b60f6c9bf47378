//! Who may do what, and for how long.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use http::Request;
use p2p::{RuntimeExt, TokioRuntime};
use tunnel_compat::{
    route::empty,
    server::{ServerConfig, TokenKind, TokenStore},
    socket::{Close, Heartbeat, Message, OpenError},
};

use crate::{
    common::{client_id, next},
    tunnel::{ACCESS, Tunnel, run},
};

async fn post(tunnel: &Tunnel, path: &str, authorization: &str) -> (u16, serde_json::Value) {
    let request = Request::post(path).header("authorization", authorization).body(empty()).unwrap();
    let answer = tunnel.app.ask(request).await;
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

async fn opens(tunnel: &Tunnel, query: &str) -> u16 {
    match tunnel.socket(query, Default::default()).await {
        Ok(_) => 101,
        Err(OpenError::Status(status)) => status,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_home_registers_once_by_the_servers_token_raw_or_as_bearer() {
    run(|tunnel| async move {
        assert_eq!(post(&tunnel, "/auth/register-client?clientId=a", "wrong").await.0, 401);
        assert_eq!(post(&tunnel, "/auth/register-client?clientId=a", "").await.0, 401);
        assert_eq!(post(&tunnel, "/auth/register-client", ACCESS).await.0, 400);
        let (status, body) = post(&tunnel, "/auth/register-client?clientId=a", &format!("Bearer {ACCESS}")).await;
        assert_eq!(status, 200);
        let token = body["token"].as_str().unwrap();
        assert_eq!(token.len(), 36, "a UUID, as clients may expect");
        // Or whoever has the server's token could have anybody's home.
        assert_eq!(post(&tunnel, "/auth/register-client?clientId=a", &format!("Bearer {ACCESS}")).await.0, 409);

        for authorization in [token.to_owned(), format!("Bearer {token}"), format!("bearer {token}")] {
            let (status, body) = post(&tunnel, "/auth/signature-token?clientId=a", &authorization).await;
            let signature = body["token"].as_str().unwrap();
            assert_eq!(status, 200);
            let valid = format!("/auth/validate-signature-token?clientId=a&signature={signature}");
            assert_eq!(post(&tunnel, &valid, "").await, (200, serde_json::json!({ "valid": true })));
        }
        assert_eq!(post(&tunnel, "/auth/validate-signature-token?clientId=a&signature=x", "").await.0, 401);
    });
}

#[test]
fn a_signature_ends_after_14_days_and_an_access_token_does_not() {
    run(|tunnel| async move {
        let signature = tunnel.token(TokenKind::Signature, "a");
        let access = tunnel.token(TokenKind::Access, "a");
        let query = format!("clientId=a&sender=true&signature={signature}");
        let almost = 14 * 24 * 60 * 60 - 60;
        tunnel.sleep(almost).await;
        assert_eq!(opens(&tunnel, &query).await, 101);
        tunnel.sleep(61).await;
        assert_eq!(opens(&tunnel, &query).await, 401);
        assert_eq!(post(&tunnel, "/auth/signature-token?clientId=a", &access).await.0, 200);
    });
}

#[test]
fn a_revoked_token_is_none() {
    run(|tunnel| async move {
        let access = tunnel.token(TokenKind::Access, "a");
        let signature = tunnel.token(TokenKind::Signature, "a");
        assert!(tunnel.tokens.revoke(&signature).unwrap());
        assert!(!tunnel.tokens.revoke(&signature).unwrap());
        assert_eq!(opens(&tunnel, &format!("clientId=a&signature={signature}")).await, 401);
        assert_eq!(post(&tunnel, "/auth/signature-token?clientId=a", &access).await.0, 200);
        tunnel.tokens.revoke_client(&client_id("a")).unwrap();
        assert_eq!(post(&tunnel, "/auth/signature-token?clientId=a", &access).await.0, 401);
        assert!(tunnel.tokens.register(&client_id("a")).is_ok(), "there is room for a new home");
    });
}

// Whoever lost a token must not go on by what it opened before.
#[test]
fn what_is_open_under_a_token_ends_when_that_is_revoked_and_nothing_else_does() {
    run(|tunnel| async move {
        let signatures = ["a", "a", "a", "b"].map(|client| tunnel.token(TokenKind::Signature, client));
        let query = |at: usize, rest: &str| format!("clientId=a&signature={}{rest}", signatures[at]);
        let open = async |query: &str| {
            let socket = tunnel.socket(query, http::HeaderMap::new()).await.unwrap();
            tunnel_compat::socket::watched(socket, Heartbeat::default(), &tunnel.runtime)
        };
        let mut home = open(&query(0, "&sender=true")).await;
        assert_eq!(home.next().await.unwrap().unwrap(), Message::Ping);
        let (mut app, mut other) = (open(&query(1, "")).await, open(&query(2, "")).await);
        let mut tenant = open(&format!("clientId=b&sender=true&signature={}", signatures[3])).await;
        let revoked = Close::new(1008, "the token that opened this was revoked");

        tunnel.tokens.revoke(&signatures[1]).unwrap();
        assert_eq!(next(&mut app).await, Some(Message::Close(revoked.clone())));
        other.send(Message::Text("{\"type\":\"PING\"}".into())).await.unwrap();
        assert!(matches!(next(&mut home).await, Some(Message::Text(_))), "the other app and the home are there");

        tunnel.tokens.revoke(&signatures[0]).unwrap();
        loop {
            // What is on its way to it comes first.
            match next(&mut home).await {
                Some(Message::Text(_)) => {}
                ended => break assert_eq!(ended, Some(Message::Close(revoked.clone()))),
            }
        }
        // The client as a whole: what is left of it, and nothing of another one's.
        tunnel.tokens.revoke_client(&client_id("a")).unwrap();
        assert_eq!(next(&mut other).await, Some(Message::Close(revoked)));
        let quiet = tunnel.runtime.timeout(Duration::from_secs(60), next(&mut tenant)).await;
        assert!(quiet.is_err(), "{quiet:?}");
    });
}

#[test]
fn the_home_answers_who_has_its_magic_token_for_a_day() {
    run(|tunnel| async move {
        let mut home = tunnel.home().await;
        let access = tunnel.token(TokenKind::Access, "a");
        let magic = "a magic token of the home's";
        let encoded = magic.replace(' ', "%20");
        let path = format!("/auth/magic-token?magicToken={encoded}");
        assert_eq!(tunnel.app.get(&path).await.status, 401);
        assert_eq!(post(&tunnel, "/auth/magic-token?clientId=a&magicToken=short", &access).await.0, 400);
        assert_eq!(post(&tunnel, &format!("{path}&clientId=a"), "wrong").await.0, 401);
        assert_eq!(post(&tunnel, &format!("{path}&clientId=a"), &access).await.0, 200);
        let answer = tunnel.ask(crate::common::get(&path));
        let seen = home.http().await;
        assert_eq!(
            (seen.path.as_str(), &seen.query),
            ("auth/magic-token", &[("magicToken".into(), magic.into())].into())
        );
        home.answer(seen.request_id, 200, &[], "welcome").await;
        assert_eq!(answer.await.text(), "welcome");
        drop(home);
        tunnel.sleep(24 * 60 * 60).await;
        assert_eq!(tunnel.app.get(&path).await.status, 401);
    });
}

#[test]
fn sender_is_true_or_false() {
    run(|tunnel| async move {
        let signature = tunnel.token(TokenKind::Signature, "a");
        assert_eq!(opens(&tunnel, &format!("clientId=a&signature={signature}&sender=1")).await, 400);
        assert_eq!(opens(&tunnel, &format!("clientId=a&signature={signature}&sender=true")).await, 101);
        assert_eq!(opens(&tunnel, &format!("clientId=a&signature={signature}&sender=true&sender=true")).await, 400);
    });
}

#[test]
fn the_servers_own_paths_take_their_method_alone_and_health_is_for_everybody() {
    run(|tunnel| async move {
        let request = Request::head("/auth/register-client?clientId=a").header("authorization", ACCESS).body(empty());
        assert_eq!(tunnel.app.ask(request.unwrap()).await.status, 405);
        assert_eq!(tunnel.app.get("/health").await.json()["healthy"], true);
        assert_eq!(tunnel.app.get("/ws?clientId=a").await.status, 426);
    });
}

#[test]
fn a_secret_that_can_be_guessed_is_refused() {
    let error = ServerConfig::new("short").unwrap_err().to_string();
    assert!(error.contains("an access token of 5 characters") && error.contains("at least 16"), "{error}");
    assert!(ServerConfig::new("a secret of several words").is_err(), "sent raw, it would be cut at its first space");
}

#[test]
fn tokens_survive_a_restart_are_hashed_and_can_be_taken_over_from_the_legacy_tables() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.redb");
    let runtime: Arc<dyn p2p::Runtime> = Arc::new(TokioRuntime);
    let token = {
        let store = TokenStore::open(&path, runtime.clone()).unwrap();
        assert!(TokenStore::open(&path, runtime.clone()).is_err(), "one process has it");
        // What the legacy server has for the token `secret-of-an-app`.
        let hash = ring::digest::digest(&ring::digest::SHA256, b"secret-of-an-app");
        let hash = data_encoding::HEXLOWER.encode(hash.as_ref());
        store.import(TokenKind::Access, &client_id("a"), &hash, None).unwrap();
        store.issue(TokenKind::Access, &client_id("a")).unwrap()
    };
    let store = TokenStore::open(&path, runtime).unwrap();
    for valid in [token.as_str(), "secret-of-an-app"] {
        assert!(store.allows(TokenKind::Access, &client_id("a"), valid).unwrap());
        assert!(!store.allows(TokenKind::Access, &client_id("b"), valid).unwrap());
        assert!(!store.allows(TokenKind::Signature, &client_id("a"), valid).unwrap());
    }
    let bytes = std::fs::read(&path).unwrap();
    assert!(!bytes.windows(token.len()).any(|window| window == token.as_bytes()), "the file holds the token");
}
