//! What a home's packets become, whatever order, number and size they have.

use std::time::Duration;

use http_body_util::BodyExt;
use p2p::RuntimeExt;
use tunnel_compat::wire::{FRAME_BYTES_MAX, Request as Wire};

use crate::tunnel::{Tunnel, packet, run};

#[test]
fn packets_in_any_order_doubled_and_beyond_the_end_are_one_answer() {
    run(|tunnel| async move {
        let mut home = tunnel.home().await;
        let answer = tunnel.ask(tunnel.get("/x"));
        let asked = home.http().await.request_id;
        for (number, last, body) in
            [(4, true, "d"), (2, false, "b"), (0, false, "?"), (2, false, "?"), (9, false, "?"), (1, false, "a")]
        {
            home.packet(asked, number, last, body).await;
        }
        home.packet(asked, 3, false, "c").await;
        home.packet(asked, 5, true, "?").await;
        let answer = answer.await;
        assert_eq!((answer.status, answer.text()), (200, "abcd"));
        assert_eq!(answer.headers["content-type"], "text/plain");
    });
}

#[test]
fn a_packet_is_passed_on_before_the_next_one_comes() {
    run(|tunnel| async move {
        let mut home = tunnel.home().await;
        let answer = tunnel.send(tunnel.get("/x"));
        let asked = home.http().await.request_id;
        home.packet(asked, 1, false, "one").await;
        let mut body = answer.await.into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
        home.packet(asked, 2, false, "two").await;
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "two");
        home.packet(asked, 3, true, "").await;
        assert!(body.frame().await.is_none());
    });
}

#[test]
fn a_sender_of_32_bits_and_one_that_writes_text_are_understood() {
    run(|tunnel| async move {
        let mut home = tunnel.home().await;
        let answer = tunnel.ask(tunnel.get("/x"));
        let asked = home.http().await.request_id;
        home.packet(asked, 1, false, "32 ").await;
        home.packet(asked, 0x0100_0002, false, "bits").await;
        assert_eq!(answer.await.text(), "32 bits");
        let answer = tunnel.ask(tunnel.get("/x"));
        let asked = home.http().await.request_id;
        home.text(packet(asked, 1, false, "te").to_text()).await;
        home.packet(asked, 2, true, "xt").await;
        assert_eq!(answer.await.text(), "text");
    });
}

#[test]
fn a_packet_that_stays_missing_ends_the_answer_after_15_seconds() {
    run(|tunnel| async move {
        let mut home = tunnel.home().await;
        let answer = tunnel.send(tunnel.get("/x"));
        let asked = home.http().await.request_id;
        home.packet(asked, 1, false, "one").await;
        home.packet(asked, 3, true, "three").await;
        let begun = tunnel.secs();
        let body = answer.await.into_body();
        let (body, told) = tokio::join!(body.collect(), home.next());
        assert!(body.is_err(), "a cut answer is not a whole one");
        assert_eq!((tunnel.secs() - begun, told), (15, Some(Wire::Abort { request_id: asked })));
    });
}

#[test]
fn a_frame_that_cannot_be_read_costs_its_own_request_alone() {
    run(|tunnel| async move {
        let mut home = tunnel.home().await;
        let malformed: [fn(u64) -> Vec<u8>; 5] = [
            // No status; headers that are announced and not there; headers that are no JSON; a status that is none; a byte too many.
            |id| [&id.to_be_bytes()[..], &[0, 0, 0, 1, 1]].concat(),
            |id| [&id.to_be_bytes()[..], &[0, 0, 0, 1, 1, 0, 200, 0, 0, 0, 9], b"{}"].concat(),
            |id| [&id.to_be_bytes()[..], &[0, 0, 0, 1, 1, 0, 200, 0, 0, 0, 2], b"{]"].concat(),
            |id| [&id.to_be_bytes()[..], &[0, 0, 0, 1, 1, 0, 9, 0, 0, 0, 2], b"{}"].concat(),
            |id| {
                let mut frame = packet(id, 1, true, vec![0; 60_000]).to_bytes().to_vec();
                frame.resize(FRAME_BYTES_MAX + 1, 0);
                frame
            },
        ];
        for frame in malformed {
            let other = tunnel.ask(tunnel.get("/other"));
            let others = home.http().await.request_id;
            let answer = tunnel.ask(tunnel.get("/x"));
            let asked = home.http().await.request_id;
            home.bytes(frame(asked)).await;
            let answer = answer.await;
            assert_eq!(answer.status, 502, "{answer:?}");
            assert_eq!(home.next().await, Some(Wire::Abort { request_id: asked }));
            home.answer(others, 200, &[], "fine").await;
            assert_eq!(other.await.text(), "fine");
        }
        // What names no request costs nothing.
        home.bytes(vec![1, 2, 3]).await;
        home.text("no JSON").await;
        home.text(r#"{"request_id":"1"}"#).await;
        let answer = tunnel.ask(tunnel.get("/x"));
        let asked = home.http().await.request_id;
        home.answer(asked, 200, &[], "still here").await;
        assert_eq!(answer.await.text(), "still here");
    });
}

#[test]
fn an_answer_of_another_size_than_it_says_harms_no_other() {
    run(|tunnel| async move {
        let mut home = tunnel.home().await;
        for (status, headers, body, expected) in [
            (204, vec![("content-length", "3")], "xyz", ""),
            (304, vec![], "0\r\n\r\n", ""),
            (200, vec![("content-length", "no number")], "abc", "abc"),
            (200, vec![("transfer-encoding", "chunked"), ("connection", "close")], "abc", "abc"),
            (200, vec![("bad name", "1"), ("bad-value", "a\nb"), ("good", "1")], "abc", "abc"),
        ] {
            let answer = tunnel.ask(tunnel.get("/x"));
            let asked = home.http().await.request_id;
            home.answer(asked, status, &headers, body).await;
            let answer = answer.await;
            assert_eq!((answer.status, answer.text()), (status, expected), "{answer:?}");
        }
        let answer = tunnel.ask(tunnel.get("/x"));
        let asked = home.http().await.request_id;
        home.answer(asked, 101, &[], "").await;
        assert_eq!(answer.await.status, 502);
    });
}

#[test]
fn an_answer_that_is_shorter_than_it_says_breaks_off_and_one_that_is_longer_ends_there() {
    run(|tunnel| async move {
        let mut home = tunnel.home().await;
        for (length, expected) in [("9", None), ("2", Some("ab"))] {
            let answer = tunnel.send(tunnel.get("/x"));
            let asked = home.http().await.request_id;
            home.answer(asked, 200, &[("content-length", length)], "abc").await;
            let body = answer.await.into_body().collect().await.map(http_body_util::Collected::to_bytes);
            assert_eq!(body.as_deref().ok(), expected.map(str::as_bytes), "announced {length} bytes");
            // What comes next is not taken for the rest of it.
            let answer = tunnel.ask(tunnel.get("/next"));
            let asked = home.http().await.request_id;
            home.answer(asked, 200, &[], "next").await;
            assert_eq!(answer.await.text(), "next");
        }
    });
}

#[test]
fn an_answer_goes_on_when_its_home_reconnects_in_the_middle() {
    run(|tunnel| async move {
        let mut home = tunnel.home().await;
        let answer = tunnel.ask(tunnel.get("/x"));
        let asked = home.http().await.request_id;
        home.packet(asked, 1, false, "one ").await;
        drop(home);
        tunnel.sleep(5).await;
        let mut home = tunnel.home().await;
        home.packet(asked, 2, true, "two").await;
        assert_eq!(answer.await.text(), "one two");
    });
}

#[test]
fn an_answer_whose_home_does_not_come_back_ends_in_15_seconds() {
    run(|tunnel| async move {
        let mut home = tunnel.home().await;
        let answer = tunnel.ask(tunnel.get("/x"));
        let _ = home.http().await;
        let begun = tunnel.secs();
        drop(home);
        assert_eq!(answer.await.status, 502);
        assert_eq!(tunnel.secs() - begun, 15);
    });
}

/// Sends an answer of 300 MiB, as far as the server lets it, while an app reads nothing of it. Returns the bytes that were taken.
async fn flood(tunnel: &Tunnel, home: &mut crate::tunnel::Home, asked: u64) -> usize {
    let mut sent = 0;
    for number in 1..=(300 << 20) / 65_000 {
        let sending = home.packet(asked, number, false, vec![0; 65_000]);
        if tunnel.runtime.timeout(Duration::from_secs(1), sending).await.is_err() {
            break;
        }
        sent += 65_000;
    }
    sent
}

#[test]
fn a_legacy_home_is_held_back_by_an_app_that_stalls_and_then_only_that_answer_is_cut() {
    run(|tunnel| async move {
        let mut home = tunnel.home().await;
        let other = tunnel.ask(tunnel.get("/other"));
        let others = home.http().await.request_id;
        let stalled = tunnel.send(tunnel.get("/x"));
        let asked = home.http().await.request_id;
        home.packet(asked, 1, false, "").await;
        let stalled = stalled.await;
        let held = flood(&tunnel, &mut home, asked).await;
        assert!(held <= 2 << 20, "{held} bytes are held");
        home.answer(others, 200, &[], "fine").await;
        assert_eq!(other.await.text(), "fine");
        assert_eq!(home.next().await, Some(Wire::Abort { request_id: asked }));
        assert!(stalled.into_body().collect().await.is_err());
    });
}

#[test]
fn a_home_that_keeps_to_windows_is_never_held_back_and_no_answer_is_cut() {
    run(|tunnel| async move {
        let mut home = tunnel.home_of("a", true).await;
        let Some(Wire::Window { request_id: 0, bytes: window }) = home.next().await else { panic!("no window") };
        let answer = tunnel.send(tunnel.get("/x"));
        let asked = home.http().await.request_id;
        // As much as it is told to send, and no more, while the app reads nothing.
        let (mut number, mut sent, mut granted) = (0, 0, window);
        loop {
            while sent < granted {
                let part = (granted - sent).min(60_000);
                number += 1;
                home.packet(asked, number, false, vec![0; part as usize]).await;
                sent += part;
            }
            match tunnel.runtime.timeout(Duration::from_secs(120), home.next()).await {
                Ok(Some(Wire::Window { request_id, bytes })) => granted += if request_id == asked { bytes } else { 0 },
                Ok(other) => panic!("{other:?}: the answer waits as long as the app likes"),
                Err(_) => break,
            }
        }
        assert!(sent <= 2 << 20, "{sent} bytes are held");
        let other = tunnel.ask(tunnel.get("/other"));
        let others = home.http().await.request_id;
        home.answer(others, 200, &[], "fine").await;
        assert_eq!(other.await.text(), "fine");

        let mut body = answer.await.into_body();
        let mut read = 0;
        while read < sent {
            read += body.frame().await.unwrap().unwrap().into_data().unwrap().len() as u64;
        }
        let Some(Wire::Window { request_id, .. }) = home.next().await else { panic!("no window") };
        assert_eq!(request_id, asked);
        home.packet(asked, number + 1, true, "end").await;
        assert_eq!(body.collect().await.unwrap().to_bytes(), "end");
    });
}
