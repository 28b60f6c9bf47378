//! Our home side and tunnel servers that are mute, forgetful, away, or know its signature no longer.

use std::{io, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::SinkExt;
use http::{Request, Response};
use hyper::body::Incoming;
use p2p::{Instant, P2PProvider, Runtime, RuntimeExt};
use p2p_simulator::Simulation;
use parking_lot::Mutex;
use tunnel_compat::{
    connector::{BoxIo, Connector, PipeConnector},
    http::Handler,
    route::{Body, empty, full},
    sender::{Sender, SenderConfig},
    socket::Message,
};

use crate::common::{Server, client_id, start_piped, to_server};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// Cannot be connected to.
    Away,
    /// Opens a socket and says nothing on it, as a legacy server does that has forgotten the home.
    Forgetful,
    /// Says one word, then nothing, and reads nothing.
    Mute,
    /// Knows no signature.
    Refusing,
}

#[derive(Debug)]
struct BadServer {
    runtime: Arc<dyn Runtime>,
    mood: Mutex<Mood>,
    /// When it was dialled.
    dials: Mutex<Vec<Instant>>,
    /// When a socket was asked for, and with which signature.
    sockets: Mutex<Vec<(Instant, String)>>,
    signatures: Mutex<u32>,
}

#[async_trait]
impl Handler for BadServer {
    async fn handle(&self, mut request: Request<Incoming>) -> Response<Body> {
        if request.uri().path() == "/auth/signature-token" {
            let mut issued = self.signatures.lock();
            *issued += 1;
            return Response::new(full(format!(r#"{{"token":"s{issued}"}}"#)));
        }
        let query = request.uri().query().unwrap_or("").to_owned();
        let signature = query.rsplit("signature=").next().unwrap_or("").to_owned();
        self.sockets.lock().push((self.runtime.now(), signature));
        let mood = *self.mood.lock();
        if mood == Mood::Refusing {
            return Response::builder().status(401).body(empty()).unwrap();
        }
        let key = request.headers()["sec-websocket-key"].as_bytes().to_owned();
        let upgraded = hyper::upgrade::on(&mut request);
        let holding = async move {
            let io = hyper_util::rt::TokioIo::new(upgraded.await.unwrap());
            let mut socket = tunnel_compat::socket::server(io, 1 << 20);
            if mood == Mood::Mute {
                socket.send(Message::Ping).await.unwrap();
            }
            let _held = socket;
            std::future::pending::<()>().await;
        };
        self.runtime.spawn("a bad server's socket", Box::pin(holding)).detach();
        let mut digest = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
        digest.update(&key);
        digest.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
        Response::builder()
            .status(101)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-accept", data_encoding::BASE64.encode(digest.finish().as_ref()))
            .body(empty())
            .unwrap()
    }
}

#[derive(Debug)]
struct Way(Arc<BadServer>, PipeConnector);

#[async_trait]
impl Connector for Way {
    async fn connect(&self) -> io::Result<BoxIo> {
        self.0.dials.lock().push(self.0.runtime.now());
        if *self.0.mood.lock() == Mood::Away {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        self.1.connect().await
    }
}

/// Runs a home side against such a server.
fn run<F: Future<Output = ()>>(mood: Mood, program: impl FnOnce(Arc<BadServer>) -> F) {
    Simulation::new(1).with_time_limit(30 * DAY).run(|network| async move {
        let peer = network.provider("home");
        let runtime = peer.runtime().clone();
        let server = Arc::new(BadServer {
            runtime: runtime.clone(),
            mood: Mutex::new(mood),
            dials: Mutex::default(),
            sockets: Mutex::default(),
            signatures: Mutex::default(),
        });
        let way = Way(server.clone(), start_piped(server.clone(), &runtime));
        let route = to_server(start_piped(Server::new(&runtime), &runtime), &runtime);
        let config = SenderConfig::new(client_id("a"), "access", "tunnel.example".parse().unwrap());
        let sender = Sender::new(config, way, route, runtime.clone());
        let running = runtime.spawn("a sender", Box::pin(async move { sender.run().await }));
        program(server).await;
        drop(running);
    });
}

/// The time between the first two sockets.
fn gap(server: &BadServer) -> Duration {
    let sockets = server.sockets.lock();
    sockets[1].0 - sockets[0].0
}

#[test]
fn a_server_that_says_no_first_word_within_10_s_is_left_for_another_socket() {
    run(Mood::Forgetful, |server| async move {
        server.runtime.sleep(Duration::from_secs(20)).await;
        let gap = gap(&server);
        assert!(gap >= Duration::from_secs(10) && gap < Duration::from_secs(12), "{gap:?}");
    });
}

#[test]
fn a_server_that_falls_silent_is_dead_after_15_s() {
    run(Mood::Mute, |server| async move {
        server.runtime.sleep(Duration::from_secs(30)).await;
        let gap = gap(&server);
        assert!(gap >= Duration::from_secs(15) && gap < Duration::from_secs(17), "{gap:?}");
        assert_eq!(*server.signatures.lock(), 1, "the same signature opens the next socket");
    });
}

#[test]
fn a_signature_that_is_refused_is_not_shown_again() {
    run(Mood::Refusing, |server| async move {
        server.runtime.sleep(Duration::from_secs(60)).await;
        let sockets = server.sockets.lock();
        assert!(sockets.len() > 2);
        assert!(sockets.windows(2).all(|pair| pair[0].1 != pair[1].1), "{sockets:?}");
    });
}

#[test]
fn a_signature_is_renewed_before_its_14_days_are_over() {
    run(Mood::Mute, |server| async move {
        server.runtime.sleep(Duration::from_secs(1)).await;
        for (day, issued) in [(11, 1), (13, 2)] {
            *server.mood.lock() = Mood::Away;
            server.runtime.sleep_until(Instant::ZERO + day * DAY).await;
            *server.mood.lock() = Mood::Mute;
            server.runtime.sleep(Duration::from_secs(60)).await;
            assert_eq!(*server.signatures.lock(), issued, "after {day} days");
        }
    });
}

// Each pause is drawn, so two homes that lost one server do not come back together; and none is longer than 30 s.
#[test]
fn a_server_that_is_away_is_dialled_at_a_growing_jittered_pace_that_never_stops() {
    run(Mood::Away, |server| async move {
        server.runtime.sleep(Duration::from_secs(600)).await;
        let dials = server.dials.lock();
        let gaps: Vec<Duration> = dials.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.len() >= 20, "{gaps:?}");
        assert!(gaps[0] <= Duration::from_millis(500), "{gaps:?}");
        assert!(gaps.iter().all(|gap| *gap <= Duration::from_secs(31)), "{gaps:?}");
        assert!(gaps.iter().any(|gap| *gap >= Duration::from_secs(10)), "{gaps:?}");
        let late = &gaps[gaps.len() - 5..];
        assert!(late.windows(2).all(|pair| pair[0] != pair[1]), "without jitter they would be equal: {late:?}");
    });
}
