//! What of an app's request reaches the home, and what the app is told if it does not.

use std::time::Duration;

use http::Request;
use p2p::RuntimeExt;
use serde_json::json;
use tunnel_compat::{
    route::{empty, full},
    wire::{Method, Request as Wire},
};

use crate::tunnel::run;

#[test]
fn a_request_reaches_the_home_in_the_tunnels_words_without_its_secrets() {
    run(|tunnel| async move {
        let mut home = tunnel.home().await;
        let request = tunnel
            .request("a", "PUT", "/a%2Fb%20c?q=1%202&q=3&e=%26")
            .header("range", "bytes=2-3")
            .header("accept", "*/*")
            .header("moosicbox-profile", "p")
            .header("cookie", "secret")
            .body(full(r#"{"n":1}"#))
            .unwrap();
        let answer = tunnel.ask(request);
        let seen = home.http().await;
        assert_eq!((seen.method, seen.path.as_str()), (Method::Put, "a%2Fb%20c"));
        assert_eq!(seen.query, [("q".into(), "3".into()), ("e".into(), "&".into())].into());
        assert_eq!(seen.payload, Some(json!({ "n": 1 })));
        let headers = [("accept".into(), "*/*".into()), ("range".into(), "bytes=2-3".into())].into();
        assert_eq!(seen.headers, Some(headers));
        assert_eq!(seen.profile.as_deref(), Some("p"));
        home.answer(seen.request_id, 206, &[("content-range", "bytes 2-3/10")], "23").await;
        let answer = answer.await;
        assert_eq!((answer.status, answer.text()), (206, "23"));
        assert_eq!(answer.headers["content-range"], "bytes 2-3/10");
    });
}

// The legacy server's handler panics on these, and the app gets an empty reply.
#[test]
fn a_header_that_is_not_ascii_is_left_out_and_the_request_goes_on() {
    run(|tunnel| async move {
        let mut home = tunnel.home().await;
        let request = tunnel.request("a", "GET", "/x").header("accept", &b"text/\xfc"[..]);
        let request = request.header("range", "bytes=0-\u{fc}".as_bytes()).body(empty()).unwrap();
        let answer = tunnel.ask(request);
        let seen = home.http().await;
        assert_eq!(seen.headers, None);
        home.answer(seen.request_id, 200, &[], "ok").await;
        assert_eq!(answer.await.text(), "ok");
    });
}

#[test]
fn a_body_that_the_legacy_home_would_lose_is_refused_and_one_that_fits_is_not() {
    run(|tunnel| async move {
        let mut home = tunnel.home().await;
        let post = |body: Vec<u8>| tunnel.request("a", "POST", "/x").body(full(body)).unwrap();
        let too_large = tunnel.app.ask(post(vec![b'1'; 256 * 1024 + 1])).await;
        assert_eq!(
            (too_large.status, too_large.text()),
            (413, "the legacy tunnel carries bodies of at most 262144 bytes")
        );
        let no_json = tunnel.app.ask(post(b"name=value".to_vec())).await;
        assert_eq!(no_json.status, 415);
        assert!(no_json.text().starts_with("the legacy tunnel carries JSON bodies alone"), "{no_json:?}");
        let text = format!("\"{}\"", "x".repeat(256 * 1024 - 2));
        let answer = tunnel.ask(post(text.into_bytes()));
        let seen = home.http().await;
        assert_eq!(seen.payload.unwrap().as_str().unwrap().len(), 256 * 1024 - 2);
        home.answer(seen.request_id, 200, &[], "ok").await;
        assert_eq!(answer.await.text(), "ok");
    });
}

#[test]
fn a_client_without_a_home_is_424_as_the_legacy_server_says_it() {
    run(|tunnel| async move {
        let answer = tunnel.app.ask(tunnel.get("/x")).await;
        assert_eq!((answer.status, answer.text()), (424, "the home is not connected: Client with ID is not connected"));
    });
}

#[test]
fn a_home_that_never_answers_is_504_and_is_told_to_stop() {
    run(|tunnel| async move {
        let mut home = tunnel.home().await;
        let begun = tunnel.secs();
        let answer = tunnel.ask(tunnel.get("/x"));
        let asked = home.http().await.request_id;
        let (answer, told) = tokio::join!(answer, home.next());
        assert_eq!((answer.status, tunnel.secs() - begun), (504, 60));
        assert_eq!(told, Some(Wire::Abort { request_id: asked }));
    });
}

#[test]
fn a_home_is_told_at_once_that_the_app_has_left() {
    run(|tunnel| async move {
        let mut home = tunnel.home().await;
        // Before the head.
        let left = tunnel.runtime.timeout(Duration::from_secs(1), tunnel.app.send(tunnel.get("/x"))).await;
        assert!(left.is_err());
        let asked = home.http().await.request_id;
        assert_eq!(home.next().await, Some(Wire::Abort { request_id: asked }));
        // Within the body, and without another packet coming.
        let answer = tunnel.send(tunnel.get("/x"));
        let asked = home.http().await.request_id;
        home.packet(asked, 1, false, "half").await;
        let begun = tunnel.runtime.now();
        drop(answer.await);
        assert_eq!(home.next().await, Some(Wire::Abort { request_id: asked }));
        assert_eq!(tunnel.runtime.now(), begun);
    });
}

#[test]
fn a_home_that_falls_silent_is_dead_after_15_seconds_and_what_it_had_ends() {
    run(|tunnel| async move {
        let mut home = tunnel.home().await;
        let answer = tunnel.ask(tunnel.get("/x"));
        home.http().await;
        // It neither reads nor writes any more, and keeps its socket: a half-open connection.
        let silent_since = tunnel.secs();
        assert_eq!(answer.await.status, 502);
        let took = tunnel.secs() - silent_since;
        assert!((15..=31).contains(&took), "dead after 15 s, given up after 15 more: {took}");
        let begun = tunnel.secs();
        assert_eq!(tunnel.app.ask(tunnel.get("/x")).await.status, 424);
        assert_eq!(tunnel.secs(), begun);
        drop(home);
    });
}

#[test]
fn methods_that_the_tunnel_does_not_have_are_refused() {
    run(|tunnel| async move {
        let _home = tunnel.home().await;
        let answer = tunnel.app.ask(tunnel.request("a", "PROPFIND", "/x").body(empty()).unwrap()).await;
        assert_eq!((answer.status, answer.text()), (501, "the legacy tunnel has no method PROPFIND"));
    });
}

#[test]
fn requests_that_are_over_leave_nothing_behind() {
    run(|tunnel| async move {
        let mut home = tunnel.home().await;
        // More than may be in flight: each must have made room for the next.
        for _ in 0..1_100 {
            let request: Request<_> = tunnel.get("/x");
            let answer = tunnel.ask(request);
            let asked = home.http().await.request_id;
            home.packet(asked, 1, false, "he").await;
            home.packet(asked, 2, true, "llo").await;
            assert_eq!(answer.await.text(), "hello");
        }
    });
}
