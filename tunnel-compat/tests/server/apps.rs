//! WebSockets of apps.

use futures_util::SinkExt;
use serde_json::json;
use tunnel_compat::{
    socket::{BoxSocket, Message},
    wire::{Request as Wire, WsRequest},
};

use crate::{
    common::next,
    tunnel::{Home, run},
};

async fn say(app: &mut BoxSocket, home: &mut Home, text: &str) -> WsRequest {
    app.send(Message::Text(text.into())).await.unwrap();
    match home.next().await {
        Some(Wire::Ws(message)) => message,
        other => panic!("{other:?}"),
    }
}

async fn heard(app: &mut BoxSocket) -> String {
    match next(app).await {
        Some(Message::Text(text)) => text,
        other => panic!("{other:?}"),
    }
}

async fn closed_with(app: &mut BoxSocket) -> Option<u16> {
    match next(app).await {
        Some(Message::Close(close)) => close.code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn messages_find_the_app_they_are_for() {
    run(|tunnel| async move {
        let mut home = tunnel.home().await;
        let (mut one, mut two) = (tunnel.app_socket("a").await, tunnel.app_socket("a").await);
        let asked = say(&mut one, &mut home, r#"{"type":"GET_CONNECTION_ID"}"#).await;
        assert_eq!((&asked.body, asked.profile.as_deref()), (&json!({ "type": "GET_CONNECTION_ID" }), Some("p")));
        let first = asked.conn_id;
        let second = say(&mut two, &mut home, "1").await.conn_id;

        let tell = |filter: &str, body: &str| format!(r#"{{"request_id":0,"body":"{body}"{filter}}}"#);
        home.text(tell(&format!(r#","to_connection_ids":[{first}]"#), "to one")).await;
        home.text(tell(&format!(r#","exclude_connection_ids":[{first}]"#), "to two")).await;
        home.text(tell("", "to all")).await;
        home.text(format!(r#"{{"request_id":{},"body":"to who asked"}}"#, asked.request_id)).await;
        home.text(format!(r#"{{"request_id":{},"body":"again"}}"#, asked.request_id)).await;
        home.text(tell(&format!(r#","to_connection_ids":[{second},12345]"#), "the end")).await;
        for expected in ["to one", "to all", "to who asked", "again"] {
            assert_eq!(heard(&mut one).await, format!("{expected:?}"));
        }
        for expected in ["to two", "to all", "the end"] {
            assert_eq!(heard(&mut two).await, format!("{expected:?}"));
        }
    });
}

#[test]
fn a_home_is_told_that_an_app_has_left_in_words_that_a_legacy_one_passes_over() {
    run(|tunnel| async move {
        let mut home = tunnel.home().await;
        let mut app = tunnel.app_socket("a").await;
        let conn_id = say(&mut app, &mut home, "1").await.conn_id;
        drop(app);
        assert_eq!(home.next().await, Some(Wire::Abort { request_id: conn_id }));
    });
}

#[test]
fn what_the_legacy_tunnel_cannot_carry_closes_the_socket_with_1003_instead_of_being_lost() {
    run(|tunnel| async move {
        let _home = tunnel.home().await;
        for message in [Message::Text("no JSON".into()), Message::Binary("bytes".into())] {
            let mut app = tunnel.app_socket("a").await;
            app.send(message).await.unwrap();
            assert_eq!(closed_with(&mut app).await, Some(1003));
        }
    });
}

#[test]
fn an_app_that_does_not_read_is_closed_and_others_hear_on() {
    run(|tunnel| async move {
        let mut home = tunnel.home().await;
        let mut deaf = tunnel.app_socket("a").await;
        let mut app = tunnel.app_socket("a").await;
        say(&mut app, &mut home, "1").await;
        let text = "x".repeat(60_000);
        for _ in 0..100 {
            home.text(format!(r#"{{"request_id":0,"body":"{text}"}}"#)).await;
            assert_eq!(heard(&mut app).await.len(), 60_002);
        }
        // It still gets what was under way when its bound was passed.
        let end = loop {
            match next(&mut deaf).await {
                Some(Message::Text(_)) => {}
                Some(Message::Close(close)) => break close.code,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(end, Some(1013));
    });
}

#[test]
fn apps_are_told_that_their_home_is_gone_and_not_before_it_had_time_to_come_back() {
    run(|tunnel| async move {
        let mut home = tunnel.home().await;
        let mut app = tunnel.app_socket("a").await;
        say(&mut app, &mut home, "1").await;
        drop(home);
        tunnel.sleep(5).await;
        let mut home = tunnel.home().await;
        say(&mut app, &mut home, "2").await;
        drop(home);
        let begun = tunnel.secs();
        assert_eq!(closed_with(&mut app).await, Some(1001));
        assert_eq!(tunnel.secs() - begun, 15);
    });
}
