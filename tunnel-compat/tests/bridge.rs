//! HTTP and WebSocket over streams between peers, in the simulator: app, gateway, home, the home's server.

mod common;

use std::{sync::Arc, time::Duration};

use common::{App, Server, client_id, forward, get, next, post, start, start_piped, to_server, until};
use futures_util::SinkExt;
use http::Request;
use http_body_util::BodyExt;
use p2p::{P2PListener, P2PProvider, P2PProviderExt, Runtime, RuntimeExt};
use p2p_simulator::{LinkConfig, Network, Simulation, SimulatorP2P};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tunnel_compat::{
    connector::{Acceptor, Connector, pipe},
    http::{HttpRoute, HttpRouteConfig},
    peer::{Allowed, PeerAcceptor, PeerConnector, bridge_protocol},
    route::{Failure, Route, empty},
    socket::{Close, Message},
};

const LATENCY: Duration = Duration::from_millis(20);

/// Everything from the app to the home's server, the peers 20 ms apart.
struct Bridge {
    network: Network,
    app: App,
    server: Arc<Server>,
    runtime: Arc<dyn Runtime>,
}

impl Bridge {
    async fn new(network: Network, home: &SimulatorP2P) -> Self {
        let server = Server::new(home.runtime());
        let connector = start_piped(server.clone(), home.runtime());
        let app = Self::between(&network, home, connector).await;
        let runtime = network.provider("gateway").runtime().clone();
        Self { network, app, server, runtime }
    }

    /// An app's way to whatever answers at `server`.
    async fn between(network: &Network, home: &SimulatorP2P, server: impl Connector) -> App {
        let listener = home.listen(&bridge_protocol()).await.unwrap();
        let gateway = network.provider("gateway");
        let allowed = Allowed::Only([gateway.local_peer_id()].into());
        let route = PeerConnector::new(gateway.clone(), listener.local_addr());
        let streams = PeerAcceptor::new(home.runtime(), listener, allowed);
        start(streams, forward(to_server(server, home.runtime()), home.runtime()), home.runtime());

        let runtime = gateway.runtime();
        let route = Arc::new(HttpRoute::new(HttpRouteConfig::to_home(), route, runtime.clone()));
        App::new(start_piped(forward(route, runtime), runtime), runtime)
    }
}

fn run<F: Future<Output = ()>>(program: impl Fn(Bridge) -> F + Copy) {
    run_seeds(3, program);
}

fn run_seeds<F: Future<Output = ()>>(seeds: u64, program: impl Fn(Bridge) -> F + Copy) {
    for seed in 0..seeds {
        let simulation = Simulation::new(seed).with_link(LinkConfig::ideal(LATENCY));
        simulation.run(|network| async move {
            // A peer lives as long as somebody has its provider.
            let home = network.provider("home");
            program(Bridge::new(network, &home).await).await;
        });
    }
}

#[test]
fn requests_arrive_as_the_app_sent_them_but_for_who_sent_them() {
    run(|bridge| async move {
        let request = Request::put("/seen/a%2Fb%20c?q=1%202&q=3&e=%26")
            .header("range", "bytes=2-3")
            .header("accept", "*/*")
            .header("cookie", "a=1; b=2")
            .header("user-agent", "an app")
            .header("connection", "x-hop")
            .header("x-hop", "1")
            .body(empty())
            .unwrap();
        let seen = bridge.app.ask(request).await.json();
        assert_eq!((&seen["method"], &seen["uri"]), (&"PUT".into(), &"/seen/a%2Fb%20c?q=1%202&q=3&e=%26".into()));
        let headers = &seen["headers"];
        assert_eq!(headers["range"], "bytes=2-3");
        assert_eq!(headers["accept"], "*/*");
        assert_eq!(headers["cookie"], "a=1; b=2");
        // The mark that keeps remote requests from a home's own endpoints cannot be taken off by an app.
        assert_eq!(headers["user-agent"], "MOOSICBOX_TUNNEL");
        assert_eq!(headers["host"], "localhost:8080");
        assert_eq!((headers.get("x-hop"), headers.get("connection")), (None, None));
    });
}

#[test]
fn answers_arrive_as_the_server_sent_them() {
    run(|bridge| async move {
        let ranged = bridge.app.get("/range").await;
        assert_eq!((ranged.status, ranged.text()), (206, "23"));
        assert_eq!(ranged.headers["content-range"], "bytes 2-3/10");
        let away = bridge.app.get("/away").await;
        assert_eq!((away.status, &away.headers["location"]), (302, &"/hello".parse().unwrap()));
        for status in [200, 204, 304, 404, 500, 599] {
            assert_eq!(bridge.app.get(&format!("/status/{status}")).await.status, status);
        }
        let fixed = bridge.app.get("/fixed/100000").await;
        assert_eq!((fixed.body.len(), &fixed.headers["content-length"]), (100_000, &"100000".parse().unwrap()));
        let head = bridge.app.ask(Request::head("/fixed/100000").body(empty()).unwrap()).await;
        assert_eq!((head.body.len(), &head.headers["content-length"]), (0, &"100000".parse().unwrap()));
    });
}

#[test]
fn bodies_of_any_kind_and_size_are_carried_both_ways() {
    run(|bridge| async move {
        let body: Vec<u8> = (0..5 << 20).map(|at: u32| (at / 3) as u8).collect();
        let answer = bridge.app.ask(post("/echo", "application/octet-stream", body.clone())).await;
        assert!(answer.body == body, "{} bytes came back", answer.body.len());
        assert_eq!(bridge.app.ask(post("/length", "text/plain", "not JSON")).await.text(), "8");
    });
}

#[test]
fn a_request_costs_one_round_trip_and_none_more_to_open_anything() {
    run(|bridge| async move {
        bridge.app.get("/hello").await;
        for _ in 0..10 {
            let begun = bridge.runtime.now();
            assert_eq!(bridge.app.get("/hello").await.text(), "hello");
            assert_eq!(bridge.runtime.now() - begun, 2 * LATENCY);
        }
    });
}

#[test]
fn a_live_stream_arrives_as_it_is_made() {
    run(|bridge| async move {
        bridge.app.get("/hello").await;
        let begun = bridge.runtime.now();
        let mut body = bridge.app.send(get("/chunks/5/16384/100")).await.unwrap().into_body();
        // Bytes of a chunk may come in parts, so they are counted at the times at which chunks are due.
        let mut bytes = 0;
        for chunk in 1..=5_u32 {
            while bytes < chunk as usize * 16_384 {
                bytes += body.frame().await.unwrap().unwrap().into_data().unwrap().len();
            }
            let due = 2 * LATENCY + (chunk - 1) * Duration::from_millis(100);
            let came = bridge.runtime.now() - begun;
            assert!(came >= due && came < due + Duration::from_millis(5), "chunk {chunk} came after {came:?}");
        }
        assert!(body.frame().await.is_none());
    });
}

#[test]
fn an_app_that_leaves_ends_the_request_at_the_server() {
    run(|bridge| async move {
        // Before the answer, and within it.
        let never = bridge.runtime.timeout(Duration::from_secs(1), bridge.app.send(get("/never"))).await;
        assert!(never.is_err());
        until(&bridge.runtime, "the server knows", || bridge.server.aborted() == 1).await;

        let mut body = bridge.app.send(get("/chunks/1000000/1000/10")).await.unwrap().into_body();
        body.frame().await.unwrap().unwrap();
        drop(body);
        until(&bridge.runtime, "the server knows", || bridge.server.aborted() == 2).await;
        assert_eq!(bridge.app.get("/hello").await.text(), "hello");
    });
}

#[test]
fn an_answer_that_breaks_off_is_not_taken_for_a_whole_one() {
    run(|bridge| async move {
        let body = bridge.app.send(get("/cut")).await.unwrap().into_body();
        assert!(body.collect().await.is_err());
        assert_eq!(bridge.app.get("/hello").await.text(), "hello");
    });
}

#[test]
fn a_reader_that_stalls_costs_at_most_2_mib_and_stalls_nobody_else() {
    run_seeds(1, |bridge| async move {
        let mut body = bridge.app.send(get("/chunks/300/1048576/0")).await.unwrap().into_body();
        let read = body.frame().await.unwrap().unwrap().into_data().unwrap().len();
        bridge.runtime.sleep(Duration::from_secs(60)).await;
        // All that the server was asked for and the app has not read lies somewhere in between.
        let held = bridge.server.bytes_sent() - read;
        assert!(held <= 2 << 20, "{held} bytes are held");
        assert_eq!(bridge.app.get("/hello").await.text(), "hello");

        let rest = body.collect().await.unwrap().to_bytes().len();
        assert_eq!(read + rest, 300 << 20, "the reader goes on where it was");
    });
}

#[test]
fn websockets_carry_messages_both_ways_and_the_reason_of_their_end() {
    run(|bridge| async move {
        let mut socket = bridge.app.websocket("/ws?moosicboxProfile=p").await.unwrap();
        for message in [Message::Text("one".into()), Message::Binary(vec![0; 100_000].into())] {
            socket.send(message.clone()).await.unwrap();
            assert_eq!(next(&mut socket).await, Some(message));
        }
        // It stays open while nothing is said.
        let silence = bridge.runtime.timeout(Duration::from_secs(400), next(&mut socket)).await;
        assert!(silence.is_err(), "{silence:?} {:?}", bridge.runtime.now());
        socket.send(Message::Text("still there?".into())).await.unwrap();
        assert_eq!(next(&mut socket).await, Some(Message::Text("still there?".into())));
        socket.send(Message::Close(Close::new(4_001, "enough"))).await.unwrap();
        let Some(Message::Close(close)) = next(&mut socket).await else { panic!("no close") };
        assert_eq!(close.code, Some(4_001));
        bridge.runtime.sleep(Duration::from_secs(1)).await;
        assert_eq!(bridge.server.aborted(), 0, "the server was told");
    });
}

#[test]
fn a_websocket_that_the_server_refuses_is_refused_with_its_status() {
    run(|bridge| async move {
        let Err(error) = bridge.app.websocket("/nowhere").await else { panic!("it opened") };
        assert!(matches!(error.failure, Failure::Refused { status, .. } if status == 404), "{error}");
    });
}

#[test]
fn a_home_that_cannot_be_reached_is_424_and_one_that_does_not_answer_504() {
    run(|bridge| async move {
        assert_eq!(bridge.app.get("/never").await.status, 504);
        bridge.network.crash("home");
        let answer = bridge.app.get("/hello").await;
        assert!([424, 502].contains(&answer.status), "{answer:?}");
        let answer = bridge.app.get("/hello").await;
        assert_eq!(answer.status, 424, "{answer:?}");
    });
}

#[test]
fn a_request_of_which_nothing_was_sent_is_given_back_whole() {
    run(|bridge| async move {
        let nobody = PeerConnector::new(bridge.network.provider("gateway"), p2p::PeerId::from_name("nobody"));
        let route = HttpRoute::new(HttpRouteConfig::to_home(), nobody, bridge.runtime.clone());
        let request = post("/echo", "text/plain", "precious");
        let error = route.http(&client_id("a"), request).await.unwrap_err();
        let request = *error.unsent.expect("it comes back");
        assert_eq!(request.uri(), "/echo");
        assert_eq!(request.into_body().collect().await.unwrap().to_bytes(), "precious");
    });
}

/// A server that sends exactly these bytes to every request.
async fn raw_server(acceptor: impl Acceptor, answers: Vec<&'static [u8]>) {
    for answer in answers {
        let mut io = acceptor.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let _ = io.read(&mut request).await;
        let _ = io.write_all(answer).await;
    }
}

#[test]
fn what_follows_an_answer_without_a_body_is_not_taken_for_the_next_one() {
    Simulation::new(0).with_link(LinkConfig::ideal(LATENCY)).run(|network| async move {
        let home = network.provider("home");
        let (connector, acceptor) = pipe();
        let answers: Vec<&[u8]> = vec![
            b"HTTP/1.1 204 No Content\r\ncontent-length: 3\r\n\r\nxyz",
            b"HTTP/1.1 304 Not Modified\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            b"HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n",
            b"no HTTP at all\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        ];
        home.runtime().spawn("a raw server", Box::pin(raw_server(acceptor, answers))).detach();
        let app = Bridge::between(&network, &home, connector).await;
        let mut statuses = Vec::new();
        for _ in 0..6 {
            // Not GET, which would be repeated on another connection.
            let answer = app.ask(post("/", "text/plain", "")).await;
            assert_eq!(answer.body.is_empty(), answer.status != 200 && answer.status != 502, "{answer:?}");
            statuses.push(answer.status);
        }
        assert_eq!(statuses, [204, 304, 200, 999, 502, 502]);
    });
}
